//! A failed fetch, kept so that every call that waited for it gets the same error.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::authority::{AdvanceError, AllocateError, AuthorityId};
use crate::names::SequenceName;

/// An [`AllocateError`] that can be given out more than once.
#[derive(Debug)]
pub(super) enum Failure {
    Unavailable(AuthorityId, SequenceName, Cause),
    Corrupt(AuthorityId, SequenceName),
    Exhausted(AuthorityId, SequenceName, AdvanceError),
}

/// A cause that several errors have in common.
#[derive(Clone)]
pub(super) struct Cause(Arc<dyn Error + Send + Sync>);

impl From<AllocateError> for Failure {
    fn from(error: AllocateError) -> Self {
        match error {
            AllocateError::Unavailable {
                authority,
                sequence,
                source,
            } => Self::Unavailable(authority, sequence, Cause(source.into())),
            AllocateError::Corrupt {
                authority,
                sequence,
            } => Self::Corrupt(authority, sequence),
            AllocateError::Exhausted {
                authority,
                sequence,
                source,
            } => Self::Exhausted(authority, sequence, source),
        }
    }
}

impl Failure {
    pub(super) fn to_error(&self) -> AllocateError {
        match self {
            Self::Unavailable(authority, sequence, cause) => AllocateError::Unavailable {
                authority: *authority,
                sequence: sequence.clone(),
                source: Box::new(cause.clone()),
            },
            Self::Corrupt(authority, sequence) => AllocateError::Corrupt {
                authority: *authority,
                sequence: sequence.clone(),
            },
            Self::Exhausted(authority, sequence, source) => AllocateError::Exhausted {
                authority: *authority,
                sequence: sequence.clone(),
                source: *source,
            },
        }
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Cause {
    /// The cause itself, so that whoever looks for its type among the sources finds it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
