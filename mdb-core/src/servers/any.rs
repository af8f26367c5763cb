//! The pool of a database of any engine, for MDB's own statements.

mod definitions;

use std::any::Any;
use std::time::{Duration, Instant};

use super::error::AcquireError;
use super::pool::{Lane, PoolParts, PoolStatus, ShardPool};
use crate::config::EngineKind;
use crate::engine::relocating::{Manifest, MovedTable};
use crate::engine::{Access, Engine, ErrorClass, Step, Target, TransactionOptions, Value, Values};
use sqlx::{MySql, Postgres, Sqlite};

/// How long a statement that lost against others waits at most before it is run again.
const CONFLICT_PAUSE: Duration = Duration::from_millis(2);

/// A pool whose engine is known at run time only.
#[derive(Clone, Debug)]
pub(crate) enum AnyPool {
    Sqlite(ShardPool<Sqlite>),
    Postgres(ShardPool<Postgres>),
    MySql(ShardPool<MySql>),
}

macro_rules! on_each {
    ($any:ident, $self:expr, $inner:ident => $body:expr) => {
        match $self {
            $any::Sqlite($inner) => $body,
            $any::Postgres($inner) => $body,
            $any::MySql($inner) => $body,
        }
    };
}

use on_each;

impl AnyPool {
    pub(crate) fn new(engine: EngineKind, parts: PoolParts<'_>) -> Self {
        match engine {
            EngineKind::Sqlite => Self::Sqlite(ShardPool::new(parts)),
            EngineKind::Postgres => Self::Postgres(ShardPool::new(parts)),
            EngineKind::MySql => Self::MySql(ShardPool::new(parts)),
        }
    }

    /// The pool, if it is of that engine.
    pub(crate) fn typed<DB: Engine>(&self) -> Option<&ShardPool<DB>> {
        on_each!(AnyPool, self, pool => (pool as &dyn Any).downcast_ref())
    }

    pub(crate) fn status(&self) -> PoolStatus {
        on_each!(AnyPool, self, pool => pool.status())
    }

    pub(crate) fn sweep(&self) {
        on_each!(AnyPool, self, pool => pool.sweep());
    }

    pub(crate) fn distrust_connections(&self) {
        on_each!(AnyPool, self, pool => pool.source().distrust_connections());
    }

    pub(crate) fn close(&self) {
        on_each!(AnyPool, self, pool => pool.close());
    }

    /// An `INSERT` that does nothing when the key is taken.
    pub(crate) fn insert_if_absent(&self, insert_into: &str, column: &str) -> String {
        fn of<DB: Engine>(_: &ShardPool<DB>, insert_into: &str, column: &str) -> String {
            DB::insert_if_absent(insert_into, column)
        }
        on_each!(AnyPool, self, pool => of(pool, insert_into, column))
    }

    /// Runs one of MDB's own queries.
    pub(crate) async fn query(
        &self,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<Values>, sqlx::Error> {
        async fn on<DB: Engine>(
            pool: &ShardPool<DB>,
            sql: &str,
            values: &[Value],
        ) -> Result<Vec<Values>, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| {
                    DB::query_own(c, sql, values).await
                })
                .await
        }
        on_each!(AnyPool, self, pool => on(pool, sql, values).await)
    }

    /// Runs one of MDB's own statements; says how many rows it changed.
    ///
    /// One that lost against another transaction has done nothing. It is run again, since two
    /// statements on one row are enough for that in MySQL.
    pub(crate) async fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, sqlx::Error> {
        async fn on<DB: Engine>(
            pool: &ShardPool<DB>,
            sql: &str,
            values: &[Value],
        ) -> Result<u64, sqlx::Error> {
            let deadline = Instant::now() + pool.source().limits.acquire_timeout();
            loop {
                let mut lease = pool.acquire(Lane::Write).await?;
                let result = lease
                    .run(pool.statement_limit(), async |c| {
                        DB::execute_own(c, sql, values).await
                    })
                    .await;
                match result {
                    Err(error)
                        if DB::error_class(&error) == ErrorClass::Conflict
                            && Instant::now() < deadline => {}
                    result => return result,
                }
                drop(lease);
                tokio::time::sleep(CONFLICT_PAUSE.mul_f64(fastrand::f64())).await;
            }
        }
        on_each!(AnyPool, self, pool => on(pool, sql, values).await)
    }

    /// Runs several of MDB's own statements in one transaction, again after a conflict; `false` when
    /// one of them did not change as many rows as it was to, and nothing was done.
    pub(crate) async fn together(&self, steps: &[Step]) -> Result<bool, sqlx::Error> {
        async fn on<DB: Engine>(pool: &ShardPool<DB>, steps: &[Step]) -> Result<bool, sqlx::Error> {
            let deadline = Instant::now() + pool.source().limits.acquire_timeout();
            loop {
                let mut lease = pool.acquire(Lane::Write).await?;
                let mut is_left_open = false;
                let result = lease
                    .run(pool.statement_limit(), async |c| {
                        if let [_] = steps {
                            // A statement is a transaction, and three times as fast as one.
                            return Step::run_all::<DB>(steps, c).await;
                        }
                        DB::begin(c, &TransactionOptions::new()).await?;
                        let done = Step::run_all::<DB>(steps, c).await;
                        let ended = match done {
                            Ok(true) => DB::commit(c).await,
                            Ok(false) | Err(_) => DB::rollback(c).await,
                        };
                        is_left_open = ended.is_err();
                        match done {
                            Ok(done) => ended.map(|()| done),
                            Err(error) => Err(error),
                        }
                    })
                    .await;
                if is_left_open {
                    // The driver still counts the transaction as open, and in SQLite it may be.
                    lease.retire();
                }
                match result {
                    Err(error)
                        if DB::error_class(&error) == ErrorClass::Conflict
                            && Instant::now() < deadline => {}
                    result => return result,
                }
                drop(lease);
                tokio::time::sleep(CONFLICT_PAUSE.mul_f64(fastrand::f64())).await;
            }
        }
        on_each!(AnyPool, self, pool => on(pool, steps).await)
    }

    /// Adds the first value to a column of one row, and says what it is then; `None` when no row was
    /// changed. `{sum}` in the statement is where the sum belongs.
    pub(crate) async fn add(
        &self,
        update: &str,
        column: &str,
        values: &[Value],
    ) -> Result<Option<i64>, sqlx::Error> {
        async fn on<DB: Engine>(
            pool: &ShardPool<DB>,
            update: &str,
            column: &str,
            values: &[Value],
        ) -> Result<Option<i64>, sqlx::Error> {
            let deadline = Instant::now() + pool.source().limits.acquire_timeout();
            loop {
                let mut lease = pool.acquire(Lane::Write).await?;
                let result = lease
                    .run(pool.statement_limit(), async |c| {
                        DB::add_to_column(c, update, column, values).await
                    })
                    .await;
                match result {
                    Err(error)
                        if DB::error_class(&error) == ErrorClass::Conflict
                            && Instant::now() < deadline => {}
                    result => return result,
                }
                drop(lease);
                tokio::time::sleep(CONFLICT_PAUSE.mul_f64(fastrand::f64())).await;
            }
        }
        on_each!(AnyPool, self, pool => on(pool, update, column, values).await)
    }

    /// An expression for the greater of two.
    pub(crate) fn greatest(&self, a: &str, b: &str) -> String {
        fn of<DB: Engine>(_: &ShardPool<DB>, a: &str, b: &str) -> String {
            format!("{}({a}, {b})", DB::GREATEST)
        }
        on_each!(AnyPool, self, pool => of(pool, a, b))
    }

    /// Whether the error is a taken unique key.
    pub(crate) fn is_unique_violation(&self, error: &sqlx::Error) -> bool {
        fn of<DB: Engine>(_: &ShardPool<DB>, error: &sqlx::Error) -> bool {
            DB::error_class(error) == ErrorClass::UniqueViolation
        }
        on_each!(AnyPool, self, pool => of(pool, error))
    }

    /// Whether the same work may succeed when it is run again.
    pub(crate) fn is_transient(&self, error: &sqlx::Error) -> bool {
        fn of<DB: Engine>(_: &ShardPool<DB>, error: &sqlx::Error) -> bool {
            super::is_transient::<DB>(error)
        }
        on_each!(AnyPool, self, pool => of(pool, error))
    }

    /// An expression for the server's clock, in milliseconds since 1970.
    pub(crate) fn now(&self) -> &'static str {
        fn of<DB: Engine>(_: &ShardPool<DB>) -> &'static str {
            DB::now()
        }
        on_each!(AnyPool, self, pool => of(pool))
    }

    /// As [`now`](Self::now), but the same wherever it stands in one statement, which may have waited
    /// for others since.
    pub(crate) fn statement_now(&self) -> &'static str {
        fn of<DB: Engine>(_: &ShardPool<DB>) -> &'static str {
            DB::statement_now()
        }
        on_each!(AnyPool, self, pool => of(pool))
    }

    /// Follows the condition of an `UPDATE`: its commit waits for the disk, where sessions may be set not to.
    pub(crate) fn durably(&self) -> &'static str {
        fn of<DB: Engine>(_: &ShardPool<DB>) -> &'static str {
            DB::durably()
        }
        on_each!(AnyPool, self, pool => of(pool))
    }

    /// A condition on a row `t` of `table` that its briefcase's key is one of `keys`.
    pub(crate) fn condition(&self, manifest: &Manifest, table: &MovedTable, keys: &str) -> String {
        fn of<DB: Engine>(
            _: &ShardPool<DB>,
            manifest: &Manifest,
            table: &MovedTable,
            keys: &str,
        ) -> String {
            manifest.condition::<DB>(table, "t", keys)
        }
        on_each!(AnyPool, self, pool => of(pool, manifest, table, keys))
    }

    /// The statement that tells those who listen for the catalog's changes, where there is one.
    pub(crate) fn notification(&self) -> Option<&'static str> {
        fn of<DB: Engine>(_: &ShardPool<DB>) -> Option<&'static str> {
            DB::notification()
        }
        on_each!(AnyPool, self, pool => of(pool))
    }

    /// Calls `heard` whenever [`notification`](Self::notification) is run by anybody, on a connection
    /// of its own; returns at once where there is no such thing.
    pub(crate) async fn listen(&self, heard: &(dyn Fn() + Sync)) -> Result<(), sqlx::Error> {
        async fn on<DB: Engine>(
            pool: &ShardPool<DB>,
            heard: &(dyn Fn() + Sync),
        ) -> Result<(), sqlx::Error> {
            let source = pool.source();
            let spec = source.spec(Target::Database(&source.database), Access::ReadWrite);
            DB::listen(&spec, heard).await
        }
        on_each!(AnyPool, self, pool => on(pool, heard).await)
    }

    /// Quotes an identifier.
    pub(crate) fn quote(&self, identifier: &str) -> String {
        fn of<DB: Engine>(_: &ShardPool<DB>, identifier: &str) -> String {
            DB::quote(identifier)
        }
        on_each!(AnyPool, self, pool => of(pool, identifier))
    }

    /// How many sessions are at work on the server just now; `None` where there is no server.
    pub(crate) async fn sessions_at_work(&self) -> Result<Option<u32>, sqlx::Error> {
        async fn on<DB: Engine>(pool: &ShardPool<DB>) -> Result<Option<u32>, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| {
                    DB::sessions_at_work(c).await
                })
                .await
        }
        on_each!(AnyPool, self, pool => on(pool).await)
    }

    /// The server's clock, in milliseconds since 1970.
    pub(crate) async fn clock(&self) -> Result<i64, sqlx::Error> {
        let rows = self.query(&format!("SELECT {}", self.now()), &[]).await?;
        rows.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)
    }

    /// Takes and gives back a connection: is the server there, and is the database the right one?
    pub(crate) async fn probe(&self) -> Result<(), AcquireError> {
        on_each!(AnyPool, self, pool => pool.acquire(Lane::Read).await.map(drop))
    }
}
