//! Why a shard's database could not be made ready.

use std::time::Duration;

use super::super::error::AcquireError;
use super::super::identity::IdentityError;
use crate::config::{DatabaseName, ServerName};

/// Why a shard's database could not be made ready. Nothing of another shard was touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The server could not be reached, or refused.
    #[error(transparent)]
    Acquire(AcquireError),
    /// The user may not create databases.
    #[error(
        "database `{database}` is missing on server `{server}`, and the user may not create it; \
         have an administrator run: {statement};"
    )]
    MayNotCreate {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// What to run.
        statement: String,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
    /// The directory of a SQLite server could not be made.
    #[error("can't create directory `{}` for server `{server}`", directory.display())]
    Directory {
        /// The server.
        server: ServerName,
        /// The directory.
        directory: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A statement failed.
    #[error("can't set up MDB's tables in database `{database}` on server `{server}`")]
    Statement {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
    /// The database belongs to another shard; it was left as it is.
    #[error("database `{database}` on server `{server}` is in use as something else")]
    Identity {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// What it is.
        #[source]
        source: IdentityError,
    },
    /// A database of CENTRAL is empty or not there, while the store is in use. It was left as it is.
    #[error(
        "CENTRAL's database `{database}` on server `{server}` is new or empty, but shard {in_use} of the store is in use: \
         restore its backup; a new one would issue ids again and not know which briefcases were moved"
    )]
    CentralLost {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// A shard that is in use.
        in_use: String,
    },
    /// A database of CENTRAL is empty or not there, and a shard that may be in use could not be asked.
    #[error(
        "CENTRAL's database `{database}` on server `{server}` is new or empty, and a shard that may be in use can't be asked: \
         try again when all servers answer; if CENTRAL never was in use, `mdb init --new-central` makes it without asking"
    )]
    CentralUncertain {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// Why it could not be asked.
        #[source]
        source: AcquireError,
    },
    /// The server did not answer in time.
    #[error("server `{server}` did not answer within {} ms while database `{database}` was set up", limit.as_millis())]
    TimedOut {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// The statement time-out.
        limit: Duration,
    },
}

impl InitError {
    /// Whether the server could not be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Acquire(error) | Self::CentralUncertain { source: error, .. } => {
                error.is_unreachable()
            }
            Self::TimedOut { .. } => true,
            Self::MayNotCreate { .. }
            | Self::Directory { .. }
            | Self::Statement { .. }
            | Self::CentralLost { .. }
            | Self::Identity { .. } => false,
        }
    }
}
