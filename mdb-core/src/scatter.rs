//! Work over many shards: bounded, with a deadline for each, results as they come.

mod settled;

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mdb_gdid::RangeKey;

use crate::area::Area;
use crate::config::{DatabaseName, ServerName};
use crate::engine::{Engine, TransactionOptions};
use crate::servers::{ShardPool, Transaction, executor_on_pool};
use crate::topology::{ShardId, ShardPosition, Topology};

pub use settled::{SettleError, WatchError, WatchedReport};

/// How work over many shards is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScatterOptions {
    concurrency: NonZeroUsize,
    deadline: Duration,
}

impl ScatterOptions {
    /// Eight shards at a time, with thirty seconds for each.
    #[expect(
        clippy::new_without_default,
        reason = "options are spelled out, not defaulted"
    )]
    pub const fn new() -> Self {
        Self {
            concurrency: NonZeroUsize::new(8).expect("8 is not 0"),
            deadline: Duration::from_secs(30),
        }
    }

    /// Sets how many shards are worked on at once.
    #[must_use]
    pub const fn concurrency(mut self, shards: NonZeroUsize) -> Self {
        self.concurrency = shards;
        self
    }

    /// Sets how long the work on one shard may take, counted from when it is begun there.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }
}

/// What there is to know of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardInfo {
    id: ShardId,
    generation: RangeKey,
    partition: RangeKey,
    position: ShardPosition,
    server: ServerName,
    database: DatabaseName,
}

impl ShardInfo {
    pub(crate) fn new(topology: &Topology, id: ShardId) -> Self {
        let shard = topology.shard(id);
        let (generation, partition) = topology.range_of(id).map_or(
            (RangeKey::MIN, RangeKey::MIN),
            |(_, generation, partition)| (generation.breakpoint(), partition.start()),
        );
        Self {
            id,
            generation,
            partition,
            position: shard.home().position(),
            server: shard.server().clone(),
            database: shard.database().clone(),
        }
    }

    /// Its id in the topology.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The breakpoint of its generation.
    pub fn generation(&self) -> RangeKey {
        self.generation
    }

    /// The start of its partition.
    pub fn partition(&self) -> RangeKey {
        self.partition
    }

    /// Its place in the partition's list.
    pub fn position(&self) -> ShardPosition {
        self.position
    }

    /// The server.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The database on it.
    pub fn database(&self) -> &DatabaseName {
        &self.database
    }
}

impl fmt::Display for ShardInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shard {} of partition {} (`{}` on `{}`)",
            self.position, self.partition, self.database, self.server
        )
    }
}

/// One shard, for work that is not about a single briefcase.
///
/// `&ShardHandle` is an sqlx [`Executor`](sqlx::Executor) for single statements.
pub struct ShardHandle<DB: Engine> {
    pool: ShardPool<DB>,
    info: ShardInfo,
}

impl<DB: Engine> ShardHandle<DB> {
    pub(crate) fn new(pool: ShardPool<DB>, info: ShardInfo) -> Self {
        Self { pool, info }
    }

    /// Which shard it is.
    pub fn info(&self) -> &ShardInfo {
        &self.info
    }

    /// Begins a transaction on this shard.
    ///
    /// # Errors
    ///
    /// As [`Briefcase::begin_with`](crate::Briefcase::begin_with).
    pub async fn begin_with(
        &self,
        options: &TransactionOptions,
    ) -> Result<Transaction<DB>, sqlx::Error> {
        self.pool.begin(options).await
    }
}

impl<DB: Engine> fmt::Debug for ShardHandle<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHandle")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

executor_on_pool!(ShardHandle, |handle| Ok(&handle.pool));

/// Why the work on one shard failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError<E> {
    /// The work's own error.
    #[error("the work failed")]
    Failed(#[source] E),
    /// The work was given up.
    #[error("gave up after {} ms", limit.as_millis())]
    OutOfTime {
        /// The deadline.
        limit: Duration,
    },
}

/// The first failure of work that had to succeed everywhere.
#[derive(Debug, thiserror::Error)]
#[error("the work over all shards stopped at {shard}")]
pub struct ScatterError<E: std::error::Error + 'static> {
    shard: ShardInfo,
    #[source]
    source: ShardError<E>,
}

impl<E: std::error::Error + 'static> ScatterError<E> {
    /// Where it failed.
    pub fn shard(&self) -> &ShardInfo {
        &self.shard
    }

    /// Why.
    pub fn cause(&self) -> &ShardError<E> {
        &self.source
    }
}

/// What each shard answered, failures included.
#[derive(Debug)]
pub struct ScatterReport<T, E> {
    succeeded: Vec<(ShardInfo, T)>,
    failed: Vec<(ShardInfo, ShardError<E>)>,
}

impl<T, E> ScatterReport<T, E> {
    /// Whether every shard answered.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }

    /// The answers, in the order of the shards.
    pub fn succeeded(&self) -> &[(ShardInfo, T)] {
        &self.succeeded
    }

    /// The failures, in the order of the shards.
    pub fn failed(&self) -> &[(ShardInfo, ShardError<E>)] {
        &self.failed
    }
}

type Outcome<T, E> = (ShardInfo, Result<T, ShardError<E>>);

/// Work over many shards, under way; made by [`Area::each_shard`].
///
/// A [`Stream`] of (shard, result) pairs in the order in which they are ready. What becomes of
/// failures is the choice of whoever takes the results: [`all`](Self::all) stops at the first,
/// [`report`](Self::report) collects them.
#[must_use = "nothing runs until the results are taken"]
pub struct Scatter<'a, T, E> {
    waiting: VecDeque<ShardId>,
    running: FuturesUnordered<BoxFuture<'a, Outcome<T, E>>>,
    concurrency: NonZeroUsize,
    start: Box<dyn FnMut(ShardId) -> BoxFuture<'a, Outcome<T, E>> + Send + 'a>,
}

pub(crate) fn scatter<'a, DB, T, E, F, Fut>(
    area: &'a Area<DB>,
    shards: Vec<ShardId>,
    options: ScatterOptions,
    mut work: F,
) -> Scatter<'a, T, E>
where
    DB: Engine,
    F: FnMut(ShardHandle<DB>) -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    let limit = options.deadline;
    let start = move |shard| -> BoxFuture<'a, Outcome<T, E>> {
        let info = area.info(shard);
        let running = work(ShardHandle::new(area.own_pool(shard).clone(), info.clone()));
        Box::pin(async move {
            let result = match tokio::time::timeout(limit, running).await {
                Ok(result) => result.map_err(ShardError::Failed),
                Err(_) => Err(ShardError::OutOfTime { limit }),
            };
            (info, result)
        })
    };
    Scatter {
        waiting: shards.into(),
        running: FuturesUnordered::new(),
        concurrency: options.concurrency,
        start: Box::new(start),
    }
}

impl<T, E> Stream for Scatter<'_, T, E> {
    type Item = Outcome<T, E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while this.running.len() < this.concurrency.get() {
            let Some(shard) = this.waiting.pop_front() else {
                break;
            };
            this.running.push((this.start)(shard));
        }
        this.running.poll_next_unpin(context)
    }
}

impl<T, E> Scatter<'_, T, E> {
    /// All answers, in the order of the shards; the first failure ends the work on the others.
    ///
    /// # Errors
    ///
    /// [`ScatterError`]: which shard failed first, and why.
    pub async fn all(mut self) -> Result<Vec<(ShardInfo, T)>, ScatterError<E>>
    where
        E: std::error::Error + 'static,
    {
        let mut answers = Vec::new();
        while let Some((shard, result)) = self.next().await {
            match result {
                Ok(answer) => answers.push((shard, answer)),
                Err(source) => return Err(ScatterError { shard, source }),
            }
        }
        answers.sort_by_key(|(shard, _)| shard.id);
        Ok(answers)
    }

    /// What each shard answered, failures included; every shard is asked.
    pub async fn report(mut self) -> ScatterReport<T, E> {
        let mut report = ScatterReport {
            succeeded: Vec::new(),
            failed: Vec::new(),
        };
        while let Some((shard, result)) = self.next().await {
            match result {
                Ok(answer) => report.succeeded.push((shard, answer)),
                Err(error) => report.failed.push((shard, error)),
            }
        }
        report.succeeded.sort_by_key(|(shard, _)| shard.id);
        report.failed.sort_by_key(|(shard, _)| shard.id);
        report
    }
}

impl<T, E> fmt::Debug for Scatter<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scatter")
            .field("waiting", &self.waiting.len())
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}
