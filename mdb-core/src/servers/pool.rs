//! The pool of one database.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Instant;

use dashmap::DashSet;
use deadpool::managed::{Pool, PoolConfig, PoolError, QueueMode};
use tokio::sync::Semaphore;

use super::budget::{Budget, Evict};
use super::connection::{Lease, Permits, Timed};
use super::error::AcquireError;
use super::identity::Identity;
use super::manager::{Manager, Source};
use super::transaction::Transaction;
use crate::config::{DatabaseName, Endpoint, ServerLimits, ServerName};
use crate::engine::{Access, Engine, Farewells, Lanes, TransactionOptions};

/// How many statements that write are remembered, so that they go to the writer straight away.
const KNOWN_WRITERS: usize = 10_000;

/// Which connections of a database serve a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Write,
    Read,
}

/// The connections of one database, opened as they are needed.
pub(crate) struct ShardPool<DB: Engine>(Arc<Core<DB>>, Known);

/// The epoch that the work on a pool was decided upon under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It is not about a briefcase, or looks at the fence itself.
    Any,
    Epoch(u64),
}

struct Core<DB: Engine> {
    source: Arc<Source>,
    /// Every connection, or the readers where there is a writer besides.
    connections: Pool<Manager<DB>>,
    writer: Option<Writer<DB>>,
    known_writers: DashSet<u64>,
}

struct Writer<DB: Engine> {
    turn: Arc<Semaphore>,
    connection: Pool<Manager<DB>>,
}

/// What a pool of a database holds just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Connections of this database, in use or idle.
    pub open: usize,
    /// Those of them that lie idle.
    pub idle: usize,
    /// Connections of the whole server that are handed out.
    pub server_in_use: usize,
    /// Connections of the whole server, in use or idle.
    pub server_open: usize,
}

impl<DB: Engine> Clone for ShardPool<DB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), self.1)
    }
}

impl<DB: Engine> std::fmt::Debug for ShardPool<DB> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardPool")
            .field("server", &self.0.source.server)
            .field("database", &self.0.source.database)
            .finish_non_exhaustive()
    }
}

/// What a pool is made of.
pub(crate) struct PoolParts<'a> {
    pub(crate) server: &'a ServerName,
    pub(crate) database: &'a DatabaseName,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) identity: Identity,
    pub(crate) limits: &'a ServerLimits,
    pub(crate) application: &'a Arc<str>,
    pub(crate) budget: &'a Arc<Budget>,
    pub(crate) farewells: &'a Farewells,
    pub(crate) access: Access,
}

impl<DB: Engine> ShardPool<DB> {
    pub(crate) fn new(parts: PoolParts<'_>) -> Self {
        let source = Arc::new(Source {
            server: parts.server.clone(),
            database: parts.database.clone(),
            endpoint: parts.endpoint.clone(),
            identity: parts.identity,
            limits: parts.limits.clone(),
            application: Arc::clone(parts.application),
            budget: Arc::clone(parts.budget),
            farewells: parts.farewells.clone(),
            alterations: AtomicU64::new(0),
        });
        let lane = |access, size| {
            let manager = Manager {
                source: Arc::clone(&source),
                access,
                engine: PhantomData,
            };
            let mut config = PoolConfig::new(size);
            config.queue_mode = QueueMode::Lifo;
            Pool::builder(manager)
                .config(config)
                .build()
                .expect("a pool without time-outs needs no runtime")
        };
        let size = parts.budget.limit() as usize;
        let (connections, writer) = match DB::LANES {
            Lanes::One => (lane(parts.access, size), None),
            Lanes::WriterAndReaders => {
                let writer = Writer {
                    turn: Arc::new(Semaphore::new(1)),
                    connection: lane(parts.access, 1),
                };
                (lane(Access::ReadOnly, size), Some(writer))
            }
        };
        let core = Arc::new(Core {
            source,
            connections,
            writer,
            known_writers: DashSet::new(),
        });
        let weak: Weak<Core<DB>> = Arc::downgrade(&core);
        parts.budget.register(weak);
        Self(core, Known::Any)
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.0.source
    }

    /// The pool for work that was decided upon under `epoch`: it hands out no connection to a shard
    /// that has asked for a later one when the connection was opened.
    pub(crate) fn knowing(&self, epoch: u64) -> Self {
        Self(Arc::clone(&self.0), Known::Epoch(epoch))
    }

    /// The limit of one statement.
    pub(crate) fn statement_limit(&self) -> Timed {
        Timed::by_server::<DB>(self.0.source.limits.statement_timeout())
    }

    /// Takes a connection, waiting for one within the acquire time-out.
    pub(crate) async fn acquire(&self, lane: Lane) -> Result<Lease<DB>, AcquireError> {
        let limit = self.0.source.limits.acquire_timeout();
        let (pool, turn, left) = match (&self.0.writer, lane) {
            (Some(writer), Lane::Write) => {
                if let Ok(turn) = Arc::clone(&writer.turn).try_acquire_owned() {
                    (&writer.connection, Some(turn), limit)
                } else {
                    let started = Instant::now();
                    let turn =
                        tokio::time::timeout(limit, Arc::clone(&writer.turn).acquire_owned())
                            .await
                            .map_err(|_| self.busy(1))?
                            .map_err(|_| self.closed())?;
                    (
                        &writer.connection,
                        Some(turn),
                        limit.saturating_sub(started.elapsed()),
                    )
                }
            }
            _ => (&self.0.connections, None, limit),
        };
        let budget = &self.0.source.budget;
        let server = budget
            .permit(left)
            .await
            .ok_or_else(|| self.busy(budget.limit()))?;
        match pool.get().await {
            Ok(object) => {
                let permits = Permits {
                    _server: server,
                    _writer: turn,
                };
                let mut lease = Lease::new(object, permits, Arc::clone(&self.0.source));
                match self.1 {
                    Known::Epoch(known) if lease.least_epoch() > known => Err(self.outdated()),
                    Known::Epoch(_) | Known::Any => Ok(lease),
                }
            }
            Err(PoolError::Backend(error)) => Err(error),
            // The others can't happen to a pool without time-outs and hooks.
            Err(_) => Err(self.closed()),
        }
    }

    fn busy(&self, limit: u32) -> AcquireError {
        let Source {
            server,
            database,
            limits,
            ..
        } = &*self.0.source;
        AcquireError::Busy {
            server: server.clone(),
            database: database.clone(),
            waited: limits.acquire_timeout(),
            limit,
        }
    }

    fn outdated(&self) -> AcquireError {
        let Source {
            server, database, ..
        } = &*self.0.source;
        AcquireError::Outdated {
            server: server.clone(),
            database: database.clone(),
        }
    }

    fn closed(&self) -> AcquireError {
        let Source {
            server, database, ..
        } = &*self.0.source;
        AcquireError::Closed {
            server: server.clone(),
            database: database.clone(),
        }
    }

    /// Begins a transaction. A connection that turns out to be dead at that is replaced once.
    pub(crate) async fn begin(
        &self,
        options: &TransactionOptions,
    ) -> Result<Transaction<DB>, sqlx::Error> {
        Transaction::begin(self, options).await
    }

    pub(crate) async fn prepare_with<'q>(
        &self,
        sql: &'q str,
        parameters: &[DB::TypeInfo],
    ) -> Result<DB::Statement<'q>, sqlx::Error> {
        let mut lease = self.acquire(Lane::Read).await?;
        lease
            .run(self.statement_limit(), async |c| {
                DB::prepare_with(c, sql, parameters).await
            })
            .await
    }

    pub(crate) async fn describe(&self, sql: &str) -> Result<sqlx::Describe<DB>, sqlx::Error> {
        let mut lease = self.acquire(Lane::Read).await?;
        lease
            .run(self.statement_limit(), async |c| DB::describe(c, sql).await)
            .await
    }

    /// Whether a statement is known to need the writer.
    pub(crate) fn is_known_writer(&self, statement: u64) -> bool {
        self.0.known_writers.contains(&statement)
    }

    /// Remembers that a statement needs the writer.
    pub(crate) fn remember_writer(&self, statement: u64) {
        if self.0.known_writers.len() >= KNOWN_WRITERS {
            self.0.known_writers.clear();
        }
        self.0.known_writers.insert(statement);
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let pools = [
            Some(&self.0.connections),
            self.0.writer.as_ref().map(|writer| &writer.connection),
        ];
        let statuses = pools.into_iter().flatten().map(Pool::status);
        let (open, idle) = statuses.fold((0, 0), |(open, idle), s| {
            (open + s.size, idle + s.available.min(s.size))
        });
        let budget = &self.0.source.budget;
        PoolStatus {
            open,
            idle,
            server_in_use: budget.in_use(),
            server_open: budget.open(),
        }
    }

    /// Closes idle connections that are too old or no longer trusted.
    pub(crate) fn sweep(&self) {
        self.0
            .retain(|pooled| pooled.is_fresh(&self.0.source, Instant::now()));
    }

    /// Closes all idle connections, and lets nobody take one any more.
    pub(crate) fn close(&self) {
        self.0.connections.close();
        if let Some(writer) = &self.0.writer {
            writer.turn.close();
            writer.connection.close();
        }
    }
}

impl<DB: Engine> Core<DB> {
    fn retain(&self, mut keep: impl FnMut(&super::manager::Pooled<DB>) -> bool) {
        let writer = self.writer.as_ref().map(|writer| &writer.connection);
        for pool in [Some(&self.connections), writer].into_iter().flatten() {
            drop(pool.retain(|pooled, _| keep(pooled)));
        }
    }
}

impl<DB: Engine> Evict for Core<DB> {
    fn evict_one(&self) -> bool {
        let mut evicted = false;
        self.retain(|_| std::mem::replace(&mut evicted, true));
        evicted
    }
}
