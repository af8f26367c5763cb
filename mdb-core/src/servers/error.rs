//! Why a connection could not be handed out, and how that travels through sqlx's error type.

use std::io;
use std::time::Duration;

use mdb_gdid::AuthorityError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::{MySql, Postgres, Sqlite};

use super::identity::IdentityError;
use super::transaction::TransactionError;
use crate::config::{DatabaseName, EngineKind, ServerName};
use crate::engine::{Engine, ErrorClass};
use crate::routing::RouteError;

/// Why a connection to a shard could not be handed out.
///
/// `Display` states this layer's fact; the cause is in [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// No connection became free in time.
    #[error(
        "no free connection to database `{database}` on server `{server}` after {} ms: all {limit} are in use; \
         raise `max_connections` or use them for shorter",
        waited.as_millis()
    )]
    Busy {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// How long it was waited.
        waited: Duration,
        /// The server's connection budget.
        limit: u32,
    },
    /// The server refused or broke the attempt to connect.
    #[error("can't connect to database `{database}` on server `{server}`")]
    Connect {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
        #[doc(hidden)]
        transient: Transience,
    },
    /// The server is there, the database is not.
    #[error(
        "server `{server}` has no database `{database}`: run `mdb init`, or mend the configuration"
    )]
    Missing {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
    /// The server did not answer the attempt to connect in time.
    #[error("server `{server}` did not answer within {} ms when connecting to database `{database}`", limit.as_millis())]
    ConnectTimeout {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// The connect time-out.
        limit: Duration,
    },
    /// The database is not the shard that it is configured as.
    #[error("database `{database}` on server `{server}` is refused")]
    Identity {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// What is wrong with it.
        #[source]
        source: IdentityError,
    },
    /// The server's engine is not the one that was asked for.
    #[error("server `{server}` is {found}, not {wanted}")]
    WrongEngine {
        /// The server.
        server: ServerName,
        /// The engine that the code wants.
        wanted: EngineKind,
        /// The engine that the configuration says.
        found: EngineKind,
    },
    /// Briefcases have left the shard that this process did not know of when the work was begun.
    #[error(
        "briefcases have left database `{database}` on server `{server}` that this process did not know of; try again"
    )]
    Outdated {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
    },
    /// The pools were closed first.
    #[error("the pool of database `{database}` on server `{server}` is closed")]
    Closed {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
    },
}

/// Whether a failure may pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transience {
    /// It may.
    Passing,
    /// Somebody has to change something.
    Lasting,
}

impl AcquireError {
    pub(crate) fn connect<DB: Engine>(
        server: ServerName,
        database: DatabaseName,
        source: sqlx::Error,
    ) -> Self {
        let transient = if DB::error_class(&source).is_transient() {
            Transience::Passing
        } else {
            Transience::Lasting
        };
        Self::Connect {
            server,
            database,
            source,
            transient,
        }
    }

    /// Whether the same call may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::ConnectTimeout { .. } | Self::Outdated { .. } => true,
            Self::Connect { transient, .. } => *transient == Transience::Passing,
            Self::Missing { .. }
            | Self::Identity { .. }
            | Self::WrongEngine { .. }
            | Self::Closed { .. } => false,
        }
    }

    /// Whether the server could not be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::ConnectTimeout { .. } => true,
            Self::Connect { source, .. } => matches!(source, sqlx::Error::Io(_)),
            Self::Busy { .. }
            | Self::Outdated { .. }
            | Self::Missing { .. }
            | Self::Identity { .. }
            | Self::WrongEngine { .. }
            | Self::Closed { .. } => false,
        }
    }
}

impl From<AcquireError> for sqlx::Error {
    fn from(error: AcquireError) -> Self {
        let kind = match &error {
            AcquireError::Busy { .. } | AcquireError::ConnectTimeout { .. } => {
                io::ErrorKind::TimedOut
            }
            AcquireError::Connect {
                source: Self::Io(cause),
                ..
            } => cause.kind(),
            AcquireError::Connect { .. } | AcquireError::Closed { .. } => {
                io::ErrorKind::NotConnected
            }
            AcquireError::Outdated { .. } => io::ErrorKind::WouldBlock,
            AcquireError::Missing { .. } => io::ErrorKind::NotFound,
            AcquireError::Identity { .. } | AcquireError::WrongEngine { .. } => {
                io::ErrorKind::InvalidData
            }
        };
        io_error(kind, error)
    }
}

impl From<RouteError> for sqlx::Error {
    fn from(error: RouteError) -> Self {
        io_error(io::ErrorKind::InvalidInput, error)
    }
}

/// Carries one of MDB's errors in sqlx's type, from where [`cause_of`] takes it out again.
pub(crate) fn io_error(
    kind: io::ErrorKind,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(kind, error))
}

/// The error of a statement that was given up after `limit`.
pub(crate) fn out_of_time(limit: Duration) -> sqlx::Error {
    io_error(
        io::ErrorKind::TimedOut,
        TransactionError::OutOfTime { limit },
    )
}

/// MDB's own error inside one that came through sqlx's [`Executor`](sqlx::Executor).
///
/// A single statement on a briefcase can fail before it reaches a server: the id has no shard, no
/// connection is free. sqlx's traits fix the error type, so such errors travel inside it.
///
/// ```
/// use mdb_core::{AcquireError, cause_of};
///
/// fn is_refused(error: &sqlx::Error) -> bool {
///     matches!(cause_of::<AcquireError>(error), Some(AcquireError::Identity { .. }))
/// }
/// # assert!(!is_refused(&sqlx::Error::RowNotFound));
/// ```
pub fn cause_of<E: std::error::Error + 'static>(error: &sqlx::Error) -> Option<&E> {
    match error {
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Whether the work that failed with `error` may succeed when it is run again, with no change by a
/// person: a lost connection, a conflict with another transaction, a server that is starting.
///
/// It says nothing on whether a single statement took effect before its connection was lost; a
/// transaction that was not committed did not.
pub fn is_transient<DB: Engine>(error: &sqlx::Error) -> bool {
    if let Some(acquire) = cause_of::<AcquireError>(error) {
        return acquire.is_transient();
    }
    if let Some(transaction) = cause_of::<TransactionError>(error) {
        return transaction.is_transient();
    }
    if cause_of::<RouteError>(error).is_some() {
        return false;
    }
    DB::error_class(error).is_transient()
}

/// Whether work on a server of whatever engine may succeed when it is run again, also if the server gave it up.
pub(crate) fn may_pass(error: &sqlx::Error) -> bool {
    fn by<DB: Engine>(error: &sqlx::Error) -> bool {
        is_transient::<DB>(error) || DB::error_class(error) == ErrorClass::Cancelled
    }
    match error.as_database_error() {
        Some(of) if of.try_downcast_ref::<PgDatabaseError>().is_some() => by::<Postgres>(error),
        Some(of) if of.try_downcast_ref::<MySqlDatabaseError>().is_some() => by::<MySql>(error),
        _ => by::<Sqlite>(error),
    }
}

/// Whether no server was there to answer: it can't be reached, or has been lost.
///
/// What MDB itself refuses was never sent.
///
/// ```
/// assert!(!mdb_core::is_unreachable(&sqlx::Error::RowNotFound));
/// ```
pub fn is_unreachable(error: &sqlx::Error) -> bool {
    match cause_of::<AcquireError>(error) {
        Some(acquire) => acquire.is_unreachable(),
        None => {
            matches!(error, sqlx::Error::Io(_))
                && cause_of::<TransactionError>(error).is_none()
                && cause_of::<RouteError>(error).is_none()
        }
    }
}

/// Whether an authority, or where it keeps its count, was not there to answer.
///
/// Of several authorities, whether one was not.
pub fn is_authority_unreachable(error: &AuthorityError) -> bool {
    match error {
        // Without a database there is a disk, or a server of ids, that is away.
        AuthorityError::Unavailable { source, .. } => {
            source.downcast_ref().is_none_or(is_unreachable)
        }
        AuthorityError::AllFailed { failures, .. } => failures.iter().any(is_authority_unreachable),
        _ => false,
    }
}

/// Whether the connection that `error` came from is of no more use.
pub(crate) fn loses_connection<DB: Engine>(error: &sqlx::Error) -> bool {
    // Then it came from no connection.
    cause_of::<AcquireError>(error).is_none()
        && DB::error_class(error) == ErrorClass::LostConnection
}

/// Whether an error of a commit leaves it open if that took effect.
pub(crate) fn is_outcome_unknown<DB: Engine>(error: &sqlx::Error) -> bool {
    match cause_of::<TransactionError>(error) {
        Some(TransactionError::OutOfTime { .. }) => true,
        Some(_) => false,
        None => loses_connection::<DB>(error),
    }
}
