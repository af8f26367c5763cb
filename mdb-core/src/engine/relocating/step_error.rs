//! What may come of a step.

use super::Side;

/// Why a step of a move did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The database failed.
    #[error("a database failed during the move")]
    Database(#[from] sqlx::Error),
    /// The database on that side failed.
    #[error("a database failed during the move")]
    DatabaseAt(Side, #[source] sqlx::Error),
    /// Somebody else runs the move now: this one has to stop at once, and touch nothing.
    #[error("another process has taken the move over")]
    NotOwner,
    /// A lock could not be had in the time that was allowed; nothing was changed.
    #[error("others hold locks that the move needs")]
    Busy,
    /// Another move relies on triggers and change tables that are not what this one needs.
    #[error("another move relies on other triggers")]
    OtherTables,
    /// The source's tables, or the triggers on them, are not what they were.
    #[error("tables or triggers were changed")]
    Altered,
    /// Rows of a table stay although they were deleted.
    #[error("rows of table `{0}` stay where they are deleted")]
    Kept(String),
    /// Somebody has asked the mover to stop.
    #[error("the mover was asked to stop")]
    Stopped,
}

impl StepError {
    /// Where a database has failed, it was the one on that side.
    pub(crate) fn at(self, side: Side) -> Self {
        match self {
            Self::Database(error) => Self::DatabaseAt(side, error),
            other => other,
        }
    }
}
