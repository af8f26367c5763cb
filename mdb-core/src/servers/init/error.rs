//! Why a shard's database could not be made ready.

use std::time::Duration;

use mdb_gdid::{AuthorityError, RangeKey, SequenceName};

use super::super::error::{AcquireError, is_authority_unreachable, is_unreachable};
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
    /// MDB's tables are in another schema than the one in which new tables are made: those would hide them. PostgreSQL only.
    #[error(
        "database `{database}` on server `{server}` has MDB's tables in schema `{found}`, but the search path now begins with `{first}`: \
         drop that schema, or have the search path of MDB's user begin with `{found}`"
    )]
    Elsewhere {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// Where the tables are.
        found: String,
        /// Where they would be made.
        first: String,
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
    /// A shard's database is empty or not there, while others of its area are in use and no ids seem to have been issued: who
    /// counts them was lost as well. It was left as it is.
    #[error(
        "database `{database}` on server `{server}` is new or empty, and the area's ids begin only now, but shard {in_use} is in \
         use: the counts are lost, so raise them first (`mdb gdid floor`), and restore the shard if it was in use; if it is to \
         begin empty, `mdb init --new-shard {server}/{database}` says so"
    )]
    ShardLost {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// A shard of the area that is in use.
        in_use: String,
    },
    /// A shard's database is empty or not there, the area's ids begin only now, and a shard of the area that may be in use
    /// could not be asked. It was left as it is.
    #[error(
        "database `{database}` on server `{server}` is new or empty, the area's ids begin only now, and a shard that may be in \
         use can't be asked: try again when all servers answer; if it is to begin empty, \
         `mdb init --new-shard {server}/{database}` says so"
    )]
    ShardUncertain {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// Why it could not be asked.
        #[source]
        source: AcquireError,
    },
    /// A shard's database is empty or not there, though briefcases were moved there. It was left as it is.
    #[error(
        "database `{database}` on server `{server}` is new or empty, but briefcases were moved there: the configuration names the \
         wrong server or database, or the shard is lost and has to be restored; if it is to begin empty, without them, \
         `mdb init --new-shard {server}/{database}` says so"
    )]
    BriefcasesMoved {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
    },
    /// A shard's database is empty or not there, and the catalog could not be asked whether briefcases were moved there. It
    /// was left as it is.
    #[error(
        "database `{database}` on server `{server}` is new or empty, and CENTRAL can't be asked whether briefcases were moved \
         there: try again when it answers; if it is to begin empty whatever CENTRAL says, \
         `mdb init --new-shard {server}/{database}` says so"
    )]
    MovesUncertain {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// Why it could not be asked.
        #[source]
        source: sqlx::Error,
    },
    /// A shard's database is empty or not there, though ids that belong there were issued. It was left as it is.
    #[error(
        "database `{database}` on server `{server}` is new or empty, but ids from {} on belong there, and sequence `{sequence}` \
         is at {}: the configuration names the wrong server or database, or the shard is lost and has to be restored, or its \
         partition was added with a start that is too low, or it was never made before ids were taken; if it is to begin empty, \
         `mdb init --new-shard {server}/{database}` says so",
        start.lowest_id(), next.lowest_id()
    )]
    IdsIssued {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// The sequence.
        sequence: SequenceName,
        /// What it issues next.
        next: RangeKey,
        /// From where on ids belong to the shard's partition.
        start: RangeKey,
    },
    /// A shard's database is empty or not there, and it could not be asked whether ids that belong there were issued.
    #[error(
        "database `{database}` on server `{server}` is new or empty, and it can't be asked whether ids that belong there were \
         issued: try again when all who count them answer; if it is to begin empty whatever they say, \
         `mdb init --new-shard {server}/{database}` says so"
    )]
    IdsUncertain {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
        /// Why a sequence could not be asked.
        #[source]
        source: AuthorityError,
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
            Self::Acquire(error)
            | Self::CentralUncertain { source: error, .. }
            | Self::ShardUncertain { source: error, .. } => error.is_unreachable(),
            Self::MovesUncertain { source, .. } => is_unreachable(source),
            Self::IdsUncertain { source, .. } => is_authority_unreachable(source),
            Self::TimedOut { .. } => true,
            Self::MayNotCreate { .. }
            | Self::Directory { .. }
            | Self::Elsewhere { .. }
            | Self::Statement { .. }
            | Self::CentralLost { .. }
            | Self::ShardLost { .. }
            | Self::BriefcasesMoved { .. }
            | Self::IdsIssued { .. }
            | Self::Identity { .. } => false,
        }
    }
}
