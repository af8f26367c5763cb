//! One batch under way: its connections and its journal.

use std::sync::Arc;
use std::time::Duration;

use mdb_gdid::Gdid;
use tokio::sync::SemaphorePermit;

use super::error::MoveError;
use super::journal::Journal;
use super::patience::{Patience, Place};
use super::record::{MovePhase, MoveRecord};
use super::report::{MoveOptions, MoveProgress};
use super::run::Run;
use super::seen::Seen;
use super::side::SideOf;
use crate::catalog::Home;
use crate::config::Capture;
use crate::engine::relocating::{
    LockLimit, Manifest, OwnerToken, Pair, Relocating, Side, Span, StepError,
};
use crate::engine::{Access, Connected, ErrorClass, Lanes, Target, Value};
use crate::routing::AreaRouter;
use crate::servers::{Servers, ShardPool};
use crate::topology::ShardId;

/// How long a step of a move may hold others up, and waits for their locks.
pub(super) const LOCK_LIMIT: Duration = Duration::from_millis(150);

/// How long a statement of a mover may take: copying a table is one.
const STATEMENT_LIMIT: Duration = Duration::from_hours(12);

/// One batch of briefcases on its way.
pub(super) struct Batch<'m, DB: Relocating> {
    pub(super) home: Home<'m>,
    pub(super) record: MoveRecord,
    pub(super) owner: OwnerToken,
    /// Ascending.
    pub(super) ids: Vec<Gdid>,
    /// How many rows the last copy had.
    pub(super) copied: u64,
    /// How many rows there were in each span when it was verified; none where that is not known. Spans ascend.
    pub(super) verified: Vec<(Span, u64)>,
    pub(super) manifest: &'m Manifest,
    pub(super) capture: Capture,
    /// The source's tables, once they were looked at.
    pub(super) seen: Option<Arc<Seen>>,
    pub(super) pair: Pair<DB>,
    /// The source's and the target's.
    pub(super) pools: [&'m ShardPool<DB>; 2],
    pub(super) source: ShardId,
    /// Where briefcases are that were never moved.
    pub(super) rule: &'m AreaRouter,
    pub(super) run: &'m Run,
    /// While it is at work, and does not wait for processes.
    pub(super) shift: Option<SemaphorePermit<'m>>,
    /// While it is copied.
    pub(super) turn: Option<SemaphorePermit<'m>>,
    pub(super) options: &'m MoveOptions,
    pub(super) progress: &'m MoveProgress,
}

impl<'m, DB: Relocating> Batch<'m, DB> {
    pub(super) fn journal(&self) -> Journal<'m> {
        Journal::new(self.home)
    }

    /// Writes the phase that begins now.
    pub(super) async fn enter(&mut self, phase: MovePhase) -> Result<(), MoveError> {
        self.keep_going()?;
        self.journal()
            .enter(&self.record.id, self.owner, phase)
            .await?;
        self.entered(phase);
        Ok(())
    }

    /// The journal has taken down that this phase begins.
    pub(super) fn entered(&mut self, phase: MovePhase) {
        self.record.phase = phase;
        self.progress.set_phase(phase);
        tracing::debug!(id = self.record.id(), %phase, "the move goes on");
    }

    pub(super) fn keep_going(&self) -> Result<(), MoveError> {
        self.progress.keep_going()?;
        self.run.goes_on(self.record.phase)
    }

    pub(super) fn patience(&self, phase: &'static str) -> Patience {
        Patience::new(self.options.waits(), phase)
    }

    /// A failure of the database on that side.
    pub(super) fn failed_at(&self, side: Side, error: sqlx::Error) -> MoveError {
        Place::between(self.pools).failed(Some(side), error)
    }

    pub(super) fn connection(&mut self, side: Side) -> &mut DB::Connection {
        match side {
            Side::Source => &mut self.pair.source,
            Side::Target => &mut self.pair.target,
        }
    }

    /// The source and the target, to be used at the same time.
    pub(super) fn sides(&mut self) -> [SideOf<'_, DB>; 2] {
        let journal = self.journal();
        let Pair { source, target, .. } = &mut self.pair;
        let [source_pool, target_pool] = self.pools;
        let both = [(&mut **source, source_pool), (&mut **target, target_pool)];
        both.map(|(connection, pool)| SideOf {
            connection,
            pool,
            journal,
            id: &self.record.id,
            owner: self.owner,
            waits: self.options.waits(),
            progress: self.progress,
        })
    }

    pub(super) fn side(&mut self, side: Side) -> SideOf<'_, DB> {
        let [source, target] = self.sides();
        match side {
            Side::Source => source,
            Side::Target => target,
        }
    }

    /// Makes this process the one whose transactions count on both shards, if it is still the journal's.
    pub(super) async fn claim(&mut self) -> Result<(), MoveError> {
        self.mark_sides().await?;
        let kept = self.journal().keep(&self.record.id, self.owner).await;
        self.unmark_unless_kept(kept).await
    }

    /// The first half of [`claim`](Self::claim): the journal's next word says whether the marks may stay.
    pub(super) async fn mark_sides(&mut self) -> Result<(), MoveError> {
        let [mut source, mut target] = self.sides();
        // Both to their end: a transaction must not be left halfway.
        let (there, here) = tokio::join!(target.claim(), source.claim());
        let marked = there.and(here);
        if marked.is_err() {
            // Perhaps because somebody took the move over, and has ended it: one side may be marked all the same.
            let kept = self.journal().keep(&self.record.id, self.owner).await;
            if let Err(error) = self.unmark_unless_kept(kept).await {
                tracing::debug!(id = self.record.id(), error = %crate::error::chain(&error), "the move may have left marks");
            }
        }
        marked
    }

    /// Whoever takes a move over writes the journal first. One that slept before it marked the sides may have lost the
    /// move meanwhile.
    pub(super) async fn unmark_unless_kept<T>(
        &mut self,
        kept: Result<T, MoveError>,
    ) -> Result<T, MoveError> {
        if matches!(kept, Err(MoveError::NotOwner)) {
            let [mut source, mut target] = self.sides();
            let (there, here) = tokio::join!(target.unclaim(), source.unclaim());
            there.and(here)?;
        }
        kept
    }

    /// Before nothing is done on `side` but deleting the move's rows: rows may refer to each other in circles. Where it can't
    /// be found out what makes no difference, all is checked.
    pub(super) async fn spare_checks_of_deletions(&mut self, side: Side) {
        let (manifest, id) = (self.manifest, self.record.id.clone());
        let spared = DB::spare_checks_of_deletions(self.connection(side), manifest, &id);
        if let Err(error) = spared.await {
            tracing::info!(error = %crate::error::chain(&error), "deleting with all checks");
        }
    }

    /// How many fence rows of this move `side` has in one of these states.
    pub(super) async fn fences(&mut self, side: Side, states: &str) -> Result<usize, StepError> {
        let id = Value::from(&self.record.id);
        count_fences::<DB>(self.connection(side), id, states).await
    }
}

pub(super) async fn count_fences<DB: Relocating>(
    connection: &mut DB::Connection,
    id: Value,
    states: &str,
) -> Result<usize, StepError> {
    let query = format!("SELECT count(*) FROM mdb_fence WHERE move = ? AND state IN ({states})");
    let rows = DB::query_own(connection, &query, &[id]).await?;
    let count = rows.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// A lock that could not be had, or a transaction that lost, is no failure of the move.
pub(super) fn busy<DB: Relocating>(error: sqlx::Error) -> StepError {
    match DB::error_class(&error) {
        ErrorClass::Conflict | ErrorClass::Cancelled => StepError::Busy,
        _ => StepError::Database(error),
    }
}

/// How long definitions on a shard may keep others waiting.
pub(super) fn lock_limit<DB: Relocating>(pool: &ShardPool<DB>) -> LockLimit<'_> {
    let source = pool.source();
    let target = Target::Database(&source.database);
    LockLimit::new(LOCK_LIMIT, source.spec(target, Access::ReadWrite))
}

/// Opens the two connections of a batch, which are nobody else's.
pub(super) async fn open_pair<DB: Relocating>(
    servers: &Servers,
    source: ShardId,
    target: ShardId,
) -> Result<Pair<DB>, MoveError> {
    let source = servers.typed::<DB>(source)?;
    let source_file = match DB::LANES {
        Lanes::One => None,
        Lanes::WriterAndReaders => {
            let source = source.source();
            Some(source.endpoint.database_path(&source.database))
        }
    };
    Ok(Pair {
        source: open(source).await?,
        target: open(servers.typed::<DB>(target)?).await?,
        source_file,
    })
}

pub(super) async fn open<DB: Relocating>(pool: &ShardPool<DB>) -> Result<Connected<DB>, MoveError> {
    let source = pool.source();
    let mut spec = source.spec(Target::Database(&source.database), Access::ReadWrite);
    // Not the name of this process' other connections: those may be ended.
    spec.application = "mdb-mover";
    spec.statement_timeout = STATEMENT_LIMIT;
    spec.busy_timeout = LOCK_LIMIT;
    let mut connection = source.connect_checked::<DB>(&spec).await?;
    DB::begin_session(&mut connection).await?;
    Ok(connection)
}
