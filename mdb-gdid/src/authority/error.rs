//! Why an authority did not do what it was asked.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::{AdvanceError, AuthorityId};
use crate::names::SequenceName;
use crate::range_key::RangeKey;

/// Where an authority counts, in words that an operator knows: `CENTRAL`, `https://ids-1:7443`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Place(Arc<str>);

impl Place {
    /// A place; it must hold no secret, for it is shown in errors and logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The cause of an error that several callers get, because they waited for the same thing.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl std::ops::Deref for Cause {
    type Target = dyn Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why an authority did not hand out a block, or did not raise or tell its count.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The authority, or where it keeps its count, can't be used just now.
    #[error("{place} can't be asked about ids of sequence `{sequence}` just now")]
    Unavailable {
        /// Where it counts.
        place: Place,
        /// The sequence.
        sequence: SequenceName,
        /// Why.
        #[source]
        source: Cause,
    },
    /// What it has stored is no count. It is never taken for a fresh start.
    #[error(
        "{place} has stored no valid count of sequence `{sequence}`; restore it before issuing ids"
    )]
    Corrupt {
        /// Where it counts.
        place: Place,
        /// The sequence.
        sequence: SequenceName,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The sequence has come to its end.
    #[error("sequence `{sequence}` of {place} has come to its end")]
    Exhausted {
        /// Where it counts.
        place: Place,
        /// The sequence.
        sequence: SequenceName,
        /// Where the end is.
        #[source]
        source: AdvanceError,
    },
    /// Its count is behind what it has handed out before: it was restored from an older copy, or
    /// another one answers in its place.
    #[error(
        "{place} has gone back: sequence `{sequence}` of authority {authority} is at {found} there, but was at {seen} before; \
         it was restored from an older copy; raise it above with `mdb gdid floor` before issuing ids"
    )]
    WentBack {
        /// Where it counts.
        place: Place,
        /// The authority.
        authority: AuthorityId,
        /// The sequence.
        sequence: SequenceName,
        /// What would come next now.
        found: RangeKey,
        /// What was to come next when it was last asked.
        seen: RangeKey,
    },
    /// A write has failed, and what is stored now is not known: it issues nothing until it is opened
    /// again.
    #[error(
        "{place} issues no ids of sequence `{sequence}` since a write failed; mend the cause and open it again"
    )]
    Closed {
        /// Where it counts.
        place: Place,
        /// The sequence.
        sequence: SequenceName,
        /// The failed write.
        #[source]
        source: Cause,
    },
    /// It was asked what it does not answer: another protocol, a wrong token, an unknown authority.
    #[error("{place} refused what it was asked about sequence `{sequence}`")]
    Refused {
        /// Where it counts.
        place: Place,
        /// The sequence.
        sequence: SequenceName,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// All of several places failed; the cause is the first one's.
    #[error("none of {} places handed out ids of sequence `{sequence}`", failures.len())]
    AllFailed {
        /// The sequence.
        sequence: SequenceName,
        /// The failures, in the order in which the places were asked.
        failures: Arc<[AuthorityError]>,
        /// The first of them.
        #[source]
        source: Box<AuthorityError>,
    },
}

impl AuthorityError {
    /// Whether the same call may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::AllFailed { failures, .. } => failures.iter().any(Self::is_transient),
            Self::Corrupt { .. }
            | Self::Exhausted { .. }
            | Self::WentBack { .. }
            | Self::Closed { .. }
            | Self::Refused { .. } => false,
        }
    }
}
