//! What an error means for the caller, whichever engine it comes from.

/// The few meanings of an error that code above acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ErrorClass {
    /// A unique or primary key is taken.
    UniqueViolation,
    /// The transaction lost against another one; it can be run again.
    Conflict,
    /// The server gave the statement up: a time-out or a cancel of its own.
    Cancelled,
    /// The connection is of no more use.
    LostConnection,
    /// The server takes no work just now: starting, stopping, too many connections.
    Unavailable,
    /// The table is not there.
    MissingTable,
    /// The column is not there.
    MissingColumn,
    /// The database is not there.
    MissingDatabase,
    /// The database is not there, or the user may not use it: the server does not say which.
    HiddenDatabase,
    /// The user may not do that.
    NoPermission,
    /// The connection may only read.
    ReadOnly,
    /// The briefcase is being moved, or has gone.
    Fenced,
    /// The session has prepared the statement before a table was altered, and refuses to run it; nothing has happened. A
    /// session that is opened now prepares it anew.
    StalePlan,
    /// Anything else: the caller's own affair.
    Other,
}

impl ErrorClass {
    /// Whether the same work may succeed when it is run again, with no change by a person.
    pub(crate) fn is_transient(self) -> bool {
        match self {
            Self::Conflict
            | Self::LostConnection
            | Self::Unavailable
            | Self::Fenced
            | Self::StalePlan => true,
            Self::UniqueViolation
            | Self::Cancelled
            | Self::MissingTable
            | Self::MissingColumn
            | Self::MissingDatabase
            | Self::HiddenDatabase
            | Self::NoPermission
            | Self::ReadOnly
            | Self::Other => false,
        }
    }

    /// The class of an error that did not come from the server itself, if it has one.
    pub(crate) fn of_driver(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::Database(_) => None,
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed => Some(Self::LostConnection),
            sqlx::Error::PoolTimedOut => Some(Self::Unavailable),
            _ => Some(Self::Other),
        }
    }
}
