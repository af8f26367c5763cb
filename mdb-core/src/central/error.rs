//! Why an index refused or failed.

use std::sync::Arc;
use std::time::Duration;

use mdb_gdid::Gdid;

use super::key::KeyError;

/// Why an operation on an index failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The configuration has no such index.
    #[error(
        "there is no index called `{name}` in the configuration; declare it as [[central.index]]"
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The value can't be a key of this index.
    #[error("not a key of index `{index}`")]
    Key {
        /// The index.
        index: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The key has another holder.
    #[error("the key is taken in index `{index}`: {holder} holds it")]
    Taken {
        /// The index.
        index: String,
        /// Whose it is.
        holder: Gdid,
    },
    /// The key is claimed by somebody who is creating a briefcase, or who died doing so.
    #[error(
        "the key is claimed in index `{index}` by {holder} since {} s; \
         if that was abandoned, release it: `mdb central claims`",
        age.as_secs()
    )]
    Claimed {
        /// The index.
        index: String,
        /// For which id.
        holder: Gdid,
        /// Since when.
        age: Duration,
    },
    /// The key is part of a rename that is not finished.
    #[error("the key is being renamed in index `{index}` since {} s; try again shortly", age.as_secs())]
    Renaming {
        /// The index.
        index: String,
        /// Since when.
        age: Duration,
    },
    /// The key has no entry.
    #[error("the key is not in index `{index}`")]
    NotFound {
        /// The index.
        index: String,
    },
    /// The claim was released by somebody else, or belongs to another id by now.
    #[error(
        "the claim in index `{index}` is no longer yours: it was released as abandoned; begin anew"
    )]
    ClaimLost {
        /// The index.
        index: String,
    },
    /// The id is `0:0:0`, which means "no id".
    #[error("0:0:0 means \"no id\" and can't hold a key in index `{index}`")]
    ZeroId {
        /// The index.
        index: String,
    },
    /// A rename was stopped before its commit point; the old key is still the one that is found.
    #[error(
        "the rename in index `{index}` was stopped by somebody else; the old key is still valid"
    )]
    RenameStopped {
        /// The index.
        index: String,
    },
    /// A CENTRAL shard failed.
    #[error("index `{index}` could not {action}")]
    Database {
        /// The index.
        index: String,
        /// What it was about to do.
        action: &'static str,
        /// What the shard's server or pool said.
        #[source]
        source: Arc<sqlx::Error>,
        /// Whether the same call may succeed later.
        #[doc(hidden)]
        transient: bool,
    },
}

impl IndexError {
    /// Whether the same call may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Renaming { .. } => true,
            Self::Database { transient, .. } => *transient,
            Self::Unknown { .. }
            | Self::Key { .. }
            | Self::Taken { .. }
            | Self::Claimed { .. }
            | Self::NotFound { .. }
            | Self::ClaimLost { .. }
            | Self::ZeroId { .. }
            | Self::RenameStopped { .. } => false,
        }
    }
}
