//! Planning, running, resuming and undoing moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::cleaning::{self, Leftover};
use super::error::{MoveError, PlanError};
use super::journal::Journal;
use super::plan::{self, MovePlan, MoveRequest, Planner};
use super::record::MoveRecord;
use super::report::{MoveOptions, MoveProgress, MoveReport};
use super::run::Run;
use super::work::Aim;
use crate::catalog::{Home, KnownRelocations, RelocationState, spread_copies};
use crate::config::Config;
use crate::routing::Router;
use crate::servers::Servers;
use crate::topology::{AreaIndex, ShardId};

/// How often the copies of the relocations are brought up to date during a long run.
const COPY_INTERVAL: Duration = Duration::from_secs(5);

/// How many batches may be under way beside those that are copied, and as many that are beyond that: processes hear of them
/// meanwhile.
const ANNOUNCED_AHEAD: usize = 4;

/// Moves briefcases of a store; made by [`Mdb::relocator`](crate::Mdb::relocator).
#[derive(Clone, Debug)]
pub struct Relocator {
    pub(super) config: Arc<Config>,
    pub(super) servers: Servers,
}

impl Relocator {
    pub(crate) fn new(config: Arc<Config>, servers: Servers) -> Self {
        Self { config, servers }
    }

    pub(super) fn home(&self) -> Home<'_> {
        Home::of(&self.servers, self.servers.topology())
    }

    pub(super) fn journal(&self) -> Journal<'_> {
        Journal::new(self.home())
    }

    /// Says what a move would do, and whether it can be done. Changes nothing.
    ///
    /// # Errors
    ///
    /// - [`PlanError::UnknownArea`], [`PlanError::UnknownShard`], [`PlanError::NoManifest`].
    /// - [`PlanError::Refused`]: with everything that is in the way.
    /// - [`PlanError::Database`], [`PlanError::Acquire`]: a shard could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn plan(&self, request: &MoveRequest) -> Result<MovePlan, PlanError> {
        let topology = self.servers.topology();
        let unknown = || PlanError::UnknownArea {
            name: request.area().to_owned(),
        };
        let area = topology.area_index(request.area()).ok_or_else(unknown)?;
        let config = self.config.areas().get(area.get()).ok_or_else(unknown)?;
        let state = self.fresh_state().await?;
        let planner = Planner {
            servers: &self.servers,
            state: &state,
            config,
            area,
        };
        planner.plan(request).await
    }

    /// What the relocations come to that the catalog has now.
    async fn fresh_state(&self) -> Result<RelocationState, PlanError> {
        let rows = self.home().relocations().await?;
        Ok(KnownRelocations::of(&rows, self.servers.topology()).state())
    }

    /// Runs a plan, batch after batch, and says what came of each.
    ///
    /// # Errors
    ///
    /// [`MoveError`], of the first batch that stopped. Those that were being copied then, or were further, have gone on to
    /// their end; those that had copied nothing are undone. `progress` has the [reports](MoveProgress::take_reports) of
    /// those that are done, and names [those that stopped](MoveProgress::unfinished): [`resume`](Self::resume) or
    /// [`abort`](Self::abort) them.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the move stops where it is, and can be resumed once its mover's
    /// lease of 15 s has run out. [`MoveProgress::stop`] stops it in an orderly way.
    ///
    /// # Durability
    ///
    /// What the report says has moved is committed at the target, and the source refuses it.
    pub async fn run(
        &self,
        plan: &MovePlan,
        options: &MoveOptions,
        progress: &MoveProgress,
    ) -> Result<Vec<MoveReport>, MoveError> {
        let size = options.briefcases_in_a_batch();
        let mut batches = Vec::new();
        let mut counts = Vec::new();
        for (source, leaving) in &plan.sources {
            counts.push((*source, leaving.ids.len().div_ceil(size)));
            for ids in leaving.ids.chunks(size) {
                batches.push((*source, &leaving.manifest, ids));
            }
        }
        let run = Run::of(counts, options.batches_at_once());
        let rule = Router::new(Arc::clone(self.servers.topology()));
        let rule = rule.area_at(plan.area);
        // As many again are beyond copying, and some have been announced already.
        let at_once = 2 * options.batches_at_once() + ANNOUNCED_AHEAD;
        let all = async {
            let mut shards: Vec<ShardId> = plan.sources.keys().copied().collect();
            shards.push(plan.target);
            self.refuse_behind(&shards).await?;
            let (mut batches, mut running) = (batches.into_iter(), FuturesUnordered::new());
            let (mut reports, mut failure) = (Vec::new(), None);
            loop {
                while failure.is_none()
                    && running.len() < at_once
                    && let Some(batch) = batches.next()
                {
                    running.push(self.run_batch(plan, rule, &run, batch, options, progress));
                }
                match running.next().await {
                    Some(Ok(report)) => reports.push(report),
                    Some(Err(error)) if failure.is_none() => {
                        tracing::warn!(
                            error = %crate::error::chain(&error),
                            "a batch has stopped; those that are being copied, or are further, go on to their end"
                        );
                        run.close();
                        failure = Some(error);
                    }
                    Some(Err(_)) => {}
                    None => return failure.map_or(Ok(reports), Err),
                }
            }
        };
        self.with_copies(all).await
    }

    /// Keeps the copies of the relocations up to date while `work` goes on.
    pub(super) async fn with_copies<T>(&self, work: impl Future<Output = T>) -> T {
        let spreading = async {
            loop {
                tokio::time::sleep(COPY_INTERVAL).await;
                spread_copies(&self.servers).await;
            }
        };
        let end = tokio::select! {
            end = work => end,
            never = spreading => never,
        };
        spread_copies(&self.servers).await;
        if let Err(error) = self.forget_gone().await {
            tracing::debug!(error = %crate::error::chain(&error), "who has gone is forgotten another time");
        }
        end
    }

    /// Takes a move over that has stopped, and brings it to its end.
    ///
    /// # Errors
    ///
    /// - [`MoveError::Unknown`]: there is no such move.
    /// - [`MoveError::Running`]: it has not stopped; its mover's lease runs out 15 s after its death.
    /// - [`MoveError::WrongPhase`]: it is over, or is being undone: abort it again.
    /// - [`MoveError::Relisted`]: the configuration is not that of the move.
    /// - [`MoveError::CatalogBehind`], [`MoveError::FencesLost`]: the catalog, or a shard, was restored from a backup.
    /// - Any other [`MoveError`], as [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn resume(
        &self,
        id: &str,
        options: &MoveOptions,
        progress: &MoveProgress,
    ) -> Result<MoveReport, MoveError> {
        let record = self.journal().find(id).await?;
        let id = record.id.clone();
        let end = self.take_up(record, options, progress, Aim::Complete).await;
        self.without_refused(&id, end, options, progress).await
    }

    /// Takes a move over that has stopped before its commit point, and undoes it.
    ///
    /// # Errors
    ///
    /// As [`resume`](Self::resume); [`MoveError::WrongPhase`] also when it is too late.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, abort it again.
    pub async fn abort(&self, id: &str, options: &MoveOptions) -> Result<(), MoveError> {
        let record = self.journal().find(id).await?;
        let progress = MoveProgress::new();
        self.take_up(record, options, &progress, Aim::Abort)
            .await
            .map(drop)
    }

    /// How many rows the briefcases of a plan have, by source shard. Reads them all.
    ///
    /// # Errors
    ///
    /// [`PlanError::Database`]: a shard could not be asked.
    pub async fn count_rows(&self, plan: &MovePlan) -> Result<BTreeMap<ShardId, u64>, PlanError> {
        plan::count_rows(&self.servers, plan).await
    }

    /// Removes what moves that are over have left on the shards of all areas, and names what is still
    /// needed. On PostgreSQL that goes also for triggers that moves have disabled, for the next ones to enable.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list), and [`MoveError::Acquire`]: a shard can't be reached.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was removed is removed.
    pub async fn clean(&self) -> Result<Vec<Leftover>, MoveError> {
        cleaning::clean(self).await
    }

    pub(super) fn area(&self, record: &MoveRecord) -> Result<AreaIndex, MoveError> {
        let unknown = || PlanError::UnknownArea {
            name: record.area.clone(),
        };
        Ok(self
            .servers
            .topology()
            .area_index(&record.area)
            .ok_or_else(unknown)?)
    }

    pub(super) fn shard(
        &self,
        record: &MoveRecord,
        area: AreaIndex,
        name: &str,
    ) -> Result<ShardId, MoveError> {
        let unknown = || PlanError::UnknownShard {
            area: record.area.clone(),
            shard: name.to_owned(),
        };
        Ok(self
            .servers
            .topology()
            .shard_named(area, name)
            .ok_or_else(unknown)?)
    }
}
