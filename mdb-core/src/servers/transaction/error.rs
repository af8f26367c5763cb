//! Why a transaction refuses.

use std::time::Duration;

use crate::servers::error::{Transience, io_error};

/// Why a statement, or the end, of a transaction was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// Another statement of the same transaction is still running.
    #[error(
        "another statement of this transaction is still running; end it (or drop its stream) first"
    )]
    Overlapping,
    /// A statement was given up before its end, so that nobody knows what it did.
    #[error(
        "a statement of this transaction was given up before its end; nothing is committed, begin anew"
    )]
    Interrupted,
    /// A statement of it has failed, and the server rolled the whole back.
    #[error(
        "a statement of this transaction failed, and the server rolled it back; nothing is committed, begin anew"
    )]
    RolledBack {
        #[doc(hidden)]
        transient: Transience,
    },
    /// The work of [`transact`](crate::Briefcase::transact) tried to commit by itself: it could not be known whether
    /// that took effect if its answer was lost, and the work were run again.
    #[error("this transaction is committed by `transact`: end the work with `Ok` instead")]
    Lent,
    /// It was committed or rolled back before.
    #[error("this transaction is over")]
    Over,
    /// A statement, or the whole, took too long and was given up.
    #[error("gave up after {} ms", limit.as_millis())]
    OutOfTime {
        /// The time-out.
        limit: Duration,
    },
    /// The commit came after the transaction's time was over.
    #[error(
        "the transaction's time of {} ms was over before its commit; it is rolled back",
        limit.as_millis()
    )]
    TooLate {
        /// The time-out.
        limit: Duration,
    },
    /// The briefcase was being moved for longer than the transaction could wait.
    #[error(
        "briefcase {id} was being moved for longer than the {} ms that were waited; try again",
        waited.as_millis()
    )]
    Moving {
        /// The briefcase.
        id: mdb_gdid::Gdid,
        /// How long it was waited.
        waited: Duration,
    },
    /// Briefcases have left the shard since this process last heard of any, and it could not learn which: CENTRAL can't be
    /// asked, or nobody asks it any more, because the tokio runtime that the store was opened in has ended. Nothing was done.
    #[error(
        "briefcase {id} may have been moved: this process has not heard from CENTRAL for longer than the {} ms that were waited, \
         or the runtime that the store was opened in has ended",
        waited.as_millis()
    )]
    Unheard {
        /// The briefcase.
        id: mdb_gdid::Gdid,
        /// How long it was waited.
        waited: Duration,
    },
    /// The process lost touch with the catalog while the transaction ran, or while something was
    /// [read](crate::Briefcase::read), and the briefcase was moved meanwhile. Nothing is committed.
    #[error(
        "briefcase {id} was moved while this process had lost touch with the catalog; what was read may be old"
    )]
    Outdated {
        /// The briefcase.
        id: mdb_gdid::Gdid,
    },
    /// A single statement was executed while the process lost touch with the catalog, and it could not be made sure that
    /// the briefcase was still there. One that writes has taken effect where the briefcase was; one that only reads
    /// may be run again.
    #[error(
        "the statement was executed, but this process had lost touch with the catalog meanwhile, and whether briefcase {id} \
         was still there could not be made sure; look before repeating it"
    )]
    Unconfirmed {
        /// The briefcase.
        id: mdb_gdid::Gdid,
    },
}

impl TransactionError {
    /// Whether the whole transaction may succeed when it is run again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RolledBack { transient } => *transient == Transience::Passing,
            Self::Overlapping
            | Self::Interrupted
            | Self::Lent
            | Self::Over
            | Self::OutOfTime { .. }
            | Self::TooLate { .. }
            | Self::Unconfirmed { .. } => false,
            Self::Moving { .. } | Self::Unheard { .. } | Self::Outdated { .. } => true,
        }
    }

    /// As what sqlx hands out.
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        let kind = match self {
            Self::OutOfTime { .. } | Self::TooLate { .. } => std::io::ErrorKind::TimedOut,
            Self::Overlapping
            | Self::Interrupted
            | Self::RolledBack { .. }
            | Self::Lent
            | Self::Over => std::io::ErrorKind::InvalidInput,
            Self::Moving { .. } | Self::Unheard { .. } | Self::Outdated { .. } => {
                std::io::ErrorKind::WouldBlock
            }
            Self::Unconfirmed { .. } => std::io::ErrorKind::Other,
        };
        io_error(kind, self)
    }
}

/// Why a commit failed.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The server was not asked to commit, and never will be.
    Before(sqlx::Error),
    /// The server was asked.
    During(sqlx::Error),
}

impl CommitError {
    pub(super) fn into_sqlx(self) -> sqlx::Error {
        match self {
            Self::Before(error) | Self::During(error) => error,
        }
    }
}
