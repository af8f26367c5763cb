//! Running one batch on the engine that its shards are on.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mdb_gdid::Gdid;
use sqlx::{MySql, Postgres, Sqlite};

use super::batch::{Batch, open_pair};
use super::details::Details;
use super::error::MoveError;
use super::plan::MovePlan;
use super::record::{MovePhase, MoveRecord};
use super::relocator::Relocator;
use super::report::{MoveOptions, MoveProgress, MoveReport};
use super::run::Run;
use crate::catalog::Epoch;
use crate::config::{Capture, EngineKind};
use crate::engine::relocating::{Manifest, MoveId, OwnerToken, Relocating};
use crate::routing::AreaRouter;
use crate::topology::ShardId;

/// How often the source's load is looked at.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);

/// How long it may take to find out which of two shards has failed.
const PROBED_FOR: Duration = Duration::from_secs(2);

/// A move with everything that is needed to run it.
pub(super) struct Job<'j> {
    pub(super) record: MoveRecord,
    pub(super) owner: OwnerToken,
    pub(super) ids: Vec<Gdid>,
    pub(super) source: ShardId,
    pub(super) target: ShardId,
    pub(super) manifest: &'j Manifest,
    pub(super) capture: Capture,
    pub(super) rule: &'j AreaRouter,
    pub(super) run: &'j Run,
    pub(super) options: &'j MoveOptions,
    pub(super) progress: &'j MoveProgress,
}

/// What is to become of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Complete,
    Abort,
}

impl Aim {
    /// The phases in which a move can't be brought to that end, each with what can be done instead.
    pub(super) fn never(self) -> &'static [(MovePhase, &'static str)] {
        const NOTHING: &str = "there is nothing left to do";
        match self {
            Self::Complete => &[
                (MovePhase::Done, NOTHING),
                (MovePhase::Aborting, "abort it again"),
                (MovePhase::Aborted, NOTHING),
            ],
            Self::Abort => &[
                (
                    MovePhase::Purging,
                    "it has passed its commit point: resume it, then move the briefcases back by another move",
                ),
                (MovePhase::Done, "move the briefcases back by another move"),
                (MovePhase::Aborted, NOTHING),
            ],
        }
    }
}

impl Relocator {
    /// Runs one batch of a plan: the briefcases of that shard.
    pub(super) async fn run_batch(
        &self,
        plan: &MovePlan,
        rule: &AreaRouter,
        run: &Run,
        (source, manifest, ids): (ShardId, &Manifest, &[Gdid]),
        options: &MoveOptions,
        progress: &MoveProgress,
    ) -> Result<MoveReport, MoveError> {
        progress.keep_going()?;
        let topology = self.servers.topology();
        let record = MoveRecord {
            id: MoveId::random(),
            area: topology.area(plan.area).name().to_string(),
            source: topology.shard_name(source),
            target: topology.shard_name(plan.target),
            phase: MovePhase::Planned,
            announced: Epoch::START,
            published: Epoch::START,
            created_ms: 0,
            changed_ms: 0,
            runs_for: None,
            details: Details::beginning(&self.config.areas()[plan.area.get()]),
        };
        let (id, owner) = (record.id.clone(), OwnerToken::random());
        self.journal().begin(&record, owner, ids).await?;
        progress.set_phase(MovePhase::Planned);
        let job = Job {
            record,
            owner,
            ids: ids.to_vec(),
            source,
            target: plan.target,
            manifest,
            capture: self.config.areas()[plan.area.get()].capture(),
            rule,
            run,
            options,
            progress,
        };
        let end = self.work(job, Aim::Complete).await;
        if matches!(end, Err(MoveError::Stopped)) {
            return self.without_begun(&id, end, options, progress).await;
        }
        self.without_refused(&id, end, options, progress).await
    }

    pub(super) async fn work(&self, job: Job<'_>, aim: Aim) -> Result<MoveReport, MoveError> {
        let journal = self.journal();
        let (id, owner, progress) = (job.record.id.clone(), job.owner, job.progress);
        let (area, shards) = (job.record.area.clone(), [job.source, job.target]);
        progress.begins(id.as_str(), job.ids.len());
        let watching = self.watch_load(job.source, job.options.load_limit(), job.progress);
        let working = async {
            match self.servers.config_of(job.source).engine() {
                EngineKind::Sqlite => Box::pin(self.work_on::<Sqlite>(job, aim)).await,
                EngineKind::Postgres => Box::pin(self.work_on::<Postgres>(job, aim)).await,
                EngineKind::MySql => Box::pin(self.work_on::<MySql>(job, aim)).await,
            }
        };
        let end = tokio::select! {
            end = working => end,
            never = watching => match never {},
        };
        match &end {
            Ok(report) => progress.ended(report),
            // Best effort: otherwise the lease runs out by itself.
            Err(_) => {
                if let Err(error) = journal.release(&id, owner).await {
                    tracing::debug!(error = %crate::error::chain(&error), "could not give the move up");
                }
            }
        }
        match end {
            Err(MoveError::Database(source)) => Err(MoveError::OnShard {
                shards: self.in_trouble(shards).await,
                source,
            }),
            end => end.map_err(|error| self.with_places(error, &area)),
        }
    }

    /// Which of the shards can't be reached; both if both can, or none.
    async fn in_trouble(&self, shards: [ShardId; 2]) -> Vec<String> {
        let silent = async |shard: &ShardId| {
            let answer = self.servers.pool(*shard).probe();
            let answer = tokio::time::timeout(PROBED_FOR, answer).await;
            // Neither slow nor with too few connections.
            matches!(answer, Ok(Err(error)) if error.is_unreachable())
        };
        let [source, target] = &shards;
        let of_them = match tokio::join!(silent(source), silent(target)) {
            (true, false) => &shards[..1],
            (false, true) => &shards[1..],
            _ => &shards[..],
        };
        let topology = self.servers.topology();
        let places = of_them.iter().map(|shard| topology.shard_place(*shard));
        places.collect()
    }

    /// The error, with shards as people write them.
    fn with_places(&self, error: MoveError, area: &str) -> MoveError {
        let topology = self.servers.topology();
        let place = |name: String| {
            let area = topology.area_index(area);
            let shard = area.and_then(|area| topology.shard_named(area, &name));
            shard.map_or(name, |shard| topology.shard_place(shard))
        };
        match error {
            MoveError::Displaced { id, home, planned } => MoveError::Displaced {
                id,
                home: place(home),
                planned: place(planned),
            },
            MoveError::FencesLost { shard } => MoveError::FencesLost {
                shard: place(shard),
            },
            error => error,
        }
    }

    /// Undoes a move that was refused before it had copied anything: it would be refused for ever.
    pub(super) async fn without_refused(
        &self,
        id: &MoveId,
        end: Result<MoveReport, MoveError>,
        options: &MoveOptions,
        progress: &MoveProgress,
    ) -> Result<MoveReport, MoveError> {
        match &end {
            Err(error) if error.is_refusal() => {
                self.without_begun(id, end, options, progress).await
            }
            _ => end,
        }
    }

    /// Undoes a move if it has copied nothing yet.
    async fn without_begun(
        &self,
        id: &MoveId,
        end: Result<MoveReport, MoveError>,
        options: &MoveOptions,
        progress: &MoveProgress,
    ) -> Result<MoveReport, MoveError> {
        let id = id.as_str();
        if let Ok(record) = self.journal().find(id).await
            && record.phase < MovePhase::Copying
        {
            match Box::pin(self.abort(id, options)).await {
                Ok(()) => progress.undone(id),
                Err(error) => {
                    tracing::warn!(%id, error = %crate::error::chain(&error), "the move stays in the journal though it has copied nothing; abort it");
                }
            }
        }
        end
    }

    /// Looks, for ever, at how many sessions are at work on the source.
    async fn watch_load(&self, source: ShardId, limit: u32, progress: &MoveProgress) -> Infallible {
        let pool = self.servers.pool(source);
        loop {
            match pool.sessions_at_work().await {
                Ok(Some(sessions)) => progress.back_off(sessions, limit),
                Ok(None) => std::future::pending().await,
                Err(error) => {
                    tracing::debug!(error = %crate::error::chain(&error), "the source's load is not known");
                }
            }
            tokio::time::sleep(LOAD_INTERVAL).await;
        }
    }

    fn work_on<'a, DB: Relocating>(
        &'a self,
        job: Job<'a>,
        aim: Aim,
    ) -> BoxFuture<'a, Result<MoveReport, MoveError>> {
        Box::pin(async move {
            let (run, source, target) = (job.run, job.source, job.target);
            let pools = [
                self.servers.typed::<DB>(source)?,
                self.servers.typed::<DB>(target)?,
            ];
            let (pair, seen) = if let Some(left) = run.take::<DB>(source, target) {
                left
            } else {
                let pair = open_pair::<DB>(&self.servers, source, target).await?;
                (pair, None)
            };
            let mut ids = job.ids;
            ids.sort_unstable();
            let mut batch = Batch {
                home: self.home(),
                record: job.record,
                owner: job.owner,
                ids,
                copied: 0,
                verified: Vec::new(),
                manifest: job.manifest,
                capture: job.capture,
                seen,
                pair,
                pools,
                source,
                rule: job.rule,
                run,
                shift: None,
                turn: None,
                options: job.options,
                progress: job.progress,
            };
            match aim {
                Aim::Complete => {
                    let report = batch.run().await?;
                    run.keep(source, target, batch.pair, batch.seen);
                    Ok(report)
                }
                Aim::Abort => {
                    batch.abort().await?;
                    Ok(MoveReport {
                        id: batch.record.id().to_owned(),
                        briefcases: 0,
                        rows: 0,
                        pause: Duration::ZERO,
                        tables: Vec::new(),
                    })
                }
            }
        })
    }
}
