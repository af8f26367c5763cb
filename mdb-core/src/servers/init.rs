//! Making a shard's database ready: the database itself, MDB's tables, the identity stamp.

mod error;

use super::again;
use super::error::AcquireError;
use super::identity::{self, Identity, IdentityError};
use super::server::Servers;
use crate::config::EngineKind;
use crate::engine::{Access, Engine, ErrorClass, Target, TransactionOptions, Value, mdb_tables};
use crate::topology::{Home, ShardId};
use sqlx::{MySql, Postgres, Sqlite};

pub use error::InitError;

/// What was done to one shard's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    shard: ShardId,
    outcome: InitOutcome,
}

/// Whether a database was made or was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitOutcome {
    /// The database was made, with MDB's tables in it.
    Created,
    /// The database was there; it got MDB's tables and its stamp.
    Stamped,
    /// Everything was there already.
    Unchanged,
}

impl InitReport {
    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// What was done.
    pub fn outcome(&self) -> InitOutcome {
        self.outcome
    }
}

/// What `init` does about a database that is new or empty although the store has been using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InitLost {
    /// Refuses: it is lost, or the configuration names the wrong one. An empty CENTRAL would issue ids again, and know
    /// nothing of moves; an empty shard would be taken for the home of briefcases that are elsewhere.
    Refuse,
    /// Begins with it as it is, for good.
    Begin,
}

/// Makes one shard's database ready; doing it again changes nothing. One without a stamp gets it only if `may_begin`
/// says so, and one that is stamped with another spread gets this one only in a store of which `is_unused` says that it is.
pub(crate) async fn init_shard(
    servers: &Servers,
    shard: ShardId,
    may_begin: impl Future<Output = Result<(), InitError>>,
    is_unused: impl Future<Output = bool>,
) -> Result<InitReport, InitError> {
    let outcome = match servers.config_of(shard).engine() {
        EngineKind::Sqlite => {
            Init::<Sqlite>::new(servers, shard)?
                .run(may_begin, is_unused)
                .await?
        }
        EngineKind::Postgres => {
            Init::<Postgres>::new(servers, shard)?
                .run(may_begin, is_unused)
                .await?
        }
        EngineKind::MySql => {
            Init::<MySql>::new(servers, shard)?
                .run(may_begin, is_unused)
                .await?
        }
    };
    Ok(InitReport { shard, outcome })
}

struct Init<'a, DB: Engine> {
    servers: &'a Servers,
    source: &'a super::manager::Source,
    shard: ShardId,
    engine: std::marker::PhantomData<DB>,
}

impl<'a, DB: Engine> Init<'a, DB> {
    fn new(servers: &'a Servers, shard: ShardId) -> Result<Self, InitError> {
        let source = servers
            .typed::<DB>(shard)
            .map_err(InitError::Acquire)?
            .source();
        Ok(Self {
            servers,
            source,
            shard,
            engine: std::marker::PhantomData,
        })
    }

    async fn run(
        &self,
        may_begin: impl Future<Output = Result<(), InitError>>,
        is_unused: impl Future<Output = bool>,
    ) -> Result<InitOutcome, InitError> {
        let created = self.create_database().await?;
        let target = Target::Create(&self.source.database);
        let (mut connection, _) = self
            .source
            .connect::<DB>(target, Access::ReadWrite)
            .await
            .map_err(InitError::Acquire)?;
        self.refuse_elsewhere(&mut connection).await?;
        let expected = &self.source.identity;
        let found = identity::verify::<DB>(&mut connection, expected);
        match self.limited(found).await? {
            Ok(_) => {
                self.create_tables(&mut connection).await?;
                return Ok(InitOutcome::Unchanged);
            }
            Err(IdentityError::Missing { .. }) => {
                may_begin.await?;
                self.create_tables(&mut connection).await?;
                self.limited(identity::stamp::<DB>(&mut connection, expected))
                    .await?;
            }
            Err(IdentityError::Outdated { .. }) => {
                self.limited(identity::alter::<DB>(&mut connection, expected))
                    .await?;
                self.create_tables(&mut connection).await?;
            }
            // While there is nothing, nothing can be looked for elsewhere.
            Err(IdentityError::Spread { found, .. }) if is_unused.await => {
                self.limited(identity::respread::<DB>(&mut connection, &found, expected))
                    .await?;
            }
            Err(error) => return Err(self.refused(error)),
        }
        // Somebody else may have stamped it at the same time, as something else.
        self.limited(identity::verify::<DB>(&mut connection, expected))
            .await?
            .map_err(|error| self.refused(error))?;
        Ok(match created {
            InitOutcome::Created => InitOutcome::Created,
            InitOutcome::Stamped | InitOutcome::Unchanged => InitOutcome::Stamped,
        })
    }

    async fn create_database(&self) -> Result<InitOutcome, InitError> {
        let Some((create, find)) = DB::create_database(&self.source.database) else {
            return self.create_file();
        };
        // Whoever may connect to the database needs no right to make one.
        let target = Target::Database(&self.source.database);
        match self.source.connect::<DB>(target, Access::ReadWrite).await {
            Ok(_) => return Ok(InitOutcome::Unchanged),
            Err(AcquireError::Missing { .. }) => {}
            // Some servers say so of a database that is not there.
            Err(AcquireError::Connect { source, .. })
                if DB::error_class(&source) == ErrorClass::HiddenDatabase => {}
            Err(error) => return Err(InitError::Acquire(error)),
        }
        let admin = Target::Server(self.servers.config_of(self.shard).admin_database());
        let (mut connection, _) = self
            .source
            .connect::<DB>(admin, Access::ReadWrite)
            .await
            .map_err(InitError::Acquire)?;
        let name = [Value::from(self.source.database.as_str())];
        let found = self
            .limited(DB::query_own(&mut connection, &find, &name))
            .await?;
        if found
            .first()
            .is_some_and(|row| row.integer(0).is_ok_and(|count| count > 0))
        {
            return Ok(InitOutcome::Unchanged);
        }
        match self
            .limited(DB::execute_own(&mut connection, &create, &[]))
            .await
        {
            Ok(_) => Ok(InitOutcome::Created),
            Err(InitError::Statement { source, .. })
                if matches!(
                    DB::error_class(&source),
                    ErrorClass::NoPermission | ErrorClass::HiddenDatabase
                ) =>
            {
                Err(InitError::MayNotCreate {
                    server: self.source.server.clone(),
                    database: self.source.database.clone(),
                    statement: create,
                    source,
                })
            }
            Err(error) => {
                // Two that create one database at the same time: the second finds it there.
                let found = self
                    .limited(DB::query_own(&mut connection, &find, &name))
                    .await?;
                match found.first().map(|row| row.integer(0)) {
                    Some(Ok(count)) if count > 0 => Ok(InitOutcome::Unchanged),
                    _ => Err(error),
                }
            }
        }
    }

    fn create_file(&self) -> Result<InitOutcome, InitError> {
        let path = self.source.endpoint.database_path(&self.source.database);
        if path.exists() {
            return Ok(InitOutcome::Unchanged);
        }
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|source| InitError::Directory {
                server: self.source.server.clone(),
                directory: directory.to_owned(),
                source,
            })?;
        }
        Ok(InitOutcome::Created)
    }

    /// New, empty tables would hide those that are there.
    async fn refuse_elsewhere(&self, connection: &mut DB::Connection) -> Result<(), InitError> {
        let Some(query) = DB::TABLES_ELSEWHERE else {
            return Ok(());
        };
        let found = self.limited(DB::query_own(connection, query, &[])).await?;
        let Some(row) = found.first() else {
            return Ok(());
        };
        let text = |place| row.text(place).map(str::to_owned);
        let names = std::future::ready(text(0).and_then(|found| Ok((found, text(1)?))));
        let (found, first) = self.limited(names).await?;
        Err(InitError::Elsewhere {
            server: self.source.server.clone(),
            database: self.source.database.clone(),
            found,
            first,
        })
    }

    async fn create_tables(&self, connection: &mut DB::Connection) -> Result<(), InitError> {
        let (mut tables, for_central) = mdb_tables::<DB>();
        if matches!(
            self.servers.topology().shard(self.shard).home(),
            Home::Central { .. }
        ) {
            tables.extend(for_central);
        }
        let mut waits = again::waits();
        self.limited(async {
            loop {
                let error = match define::<DB>(connection, &tables).await {
                    Err(error) if DB::error_class(&error) == ErrorClass::Conflict => error,
                    end => return end,
                };
                let Some(wait) = waits.next() else {
                    return Err(error);
                };
                DB::rollback(connection).await?;
                tokio::time::sleep(wait).await;
            }
        })
        .await
    }

    async fn limited<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, InitError> {
        let limit = self.source.limits.statement_timeout();
        let (server, database) = (self.source.server.clone(), self.source.database.clone());
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(InitError::Statement {
                server,
                database,
                source,
            }),
            Err(_) => Err(InitError::TimedOut {
                server,
                database,
                limit,
            }),
        }
    }

    fn refused(&self, source: IdentityError) -> InitError {
        InitError::Identity {
            server: self.source.server.clone(),
            database: self.source.database.clone(),
            source,
        }
    }
}

/// Makes the tables, which may be there already. On MySQL several who begin at once may meet in each other's locks.
async fn define<DB: Engine>(
    connection: &mut DB::Connection,
    tables: &[String],
) -> Result<(), sqlx::Error> {
    DB::begin(connection, &TransactionOptions::new()).await?;
    if let Some(lock) = DB::definition_lock() {
        DB::query_own(connection, lock, &[]).await?;
    }
    for table in tables {
        DB::execute_own(connection, table, &[]).await?;
    }
    DB::commit(connection).await
}

/// The identity that a shard's database has to carry.
impl Servers {
    /// What the database of `shard` has to be stamped as.
    pub fn identity(&self, shard: ShardId) -> Identity {
        Identity::of(self.topology(), shard)
    }
}
