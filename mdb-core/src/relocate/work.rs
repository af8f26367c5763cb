//! Running one batch on the engine that its shards are on.

use std::convert::Infallible;
use std::time::Duration;

use mdb_gdid::Gdid;
use sqlx::{MySql, Postgres, Sqlite};
use tokio::sync::SemaphorePermit;

use super::batch::{Batch, open_pair};
use super::error::MoveError;
use super::record::MoveRecord;
use super::relocator::Relocator;
use super::report::{MoveOptions, MoveProgress, MoveReport};
use super::run::Run;
use crate::config::{Capture, EngineKind};
use crate::engine::relocating::{Manifest, OwnerToken, Relocating};
use crate::topology::ShardId;

/// How often the source's load is looked at.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);

/// A move with everything that is needed to run it.
pub(super) struct Job<'j> {
    pub(super) record: MoveRecord,
    pub(super) owner: OwnerToken,
    pub(super) ids: Vec<Gdid>,
    pub(super) source: ShardId,
    pub(super) target: ShardId,
    pub(super) manifest: &'j Manifest,
    pub(super) capture: Capture,
    pub(super) run: &'j Run,
    pub(super) turn: SemaphorePermit<'j>,
    pub(super) options: &'j MoveOptions,
    pub(super) progress: &'j MoveProgress,
}

pub(super) enum Aim {
    Complete,
    Abort,
}

impl Relocator {
    pub(super) async fn work(&self, job: Job<'_>, aim: Aim) -> Result<MoveReport, MoveError> {
        let journal = self.journal();
        let (id, owner, progress) = (job.record.id.clone(), job.owner, job.progress);
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

    async fn work_on<DB: Relocating>(
        &self,
        job: Job<'_>,
        aim: Aim,
    ) -> Result<MoveReport, MoveError> {
        let (run, source, target) = (job.run, job.source, job.target);
        let pair = match run.take::<DB>(source, target) {
            Some(pair) => pair,
            None => open_pair::<DB>(&self.servers, source, target).await?,
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
            pair,
            source,
            run,
            turn: Some(job.turn),
            options: job.options,
            progress: job.progress,
        };
        match aim {
            Aim::Complete => {
                let report = batch.run().await?;
                run.keep(source, target, batch.pair);
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
    }
}
