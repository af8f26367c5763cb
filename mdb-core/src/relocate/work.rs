//! Running one batch on the engine that its shards are on.

use mdb_gdid::Gdid;
use sqlx::{MySql, Postgres, Sqlite};

use super::batch::{Batch, open_pair};
use super::error::MoveError;
use super::record::MoveRecord;
use super::relocator::Relocator;
use super::report::{MoveOptions, MoveProgress, MoveReport};
use crate::config::EngineKind;
use crate::engine::relocating::{Manifest, OwnerToken, Relocating};
use crate::topology::ShardId;

/// A move with everything that is needed to run it.
pub(super) struct Job<'j> {
    pub(super) record: MoveRecord,
    pub(super) owner: OwnerToken,
    pub(super) ids: Vec<Gdid>,
    pub(super) source: ShardId,
    pub(super) target: ShardId,
    pub(super) manifest: &'j Manifest,
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
        let (id, owner) = (job.record.id.clone(), job.owner);
        let end = match self.servers.config_of(job.source).engine() {
            EngineKind::Sqlite => self.work_on::<Sqlite>(job, aim).await,
            EngineKind::Postgres => self.work_on::<Postgres>(job, aim).await,
            EngineKind::MySql => self.work_on::<MySql>(job, aim).await,
        };
        if end.is_err() {
            // Best effort: otherwise the lease runs out by itself.
            if let Err(error) = journal.release(&id, owner).await {
                tracing::debug!(error = %crate::error::chain(&error), "could not give the move up");
            }
        }
        end
    }

    async fn work_on<DB: Relocating>(
        &self,
        job: Job<'_>,
        aim: Aim,
    ) -> Result<MoveReport, MoveError> {
        let pair = open_pair::<DB>(&self.servers, job.source, job.target).await?;
        let mut batch = Batch {
            home: self.home(),
            record: job.record,
            owner: job.owner,
            ids: job.ids,
            manifest: job.manifest,
            pair,
            options: job.options,
            progress: job.progress,
        };
        match aim {
            Aim::Complete => batch.run().await,
            Aim::Abort => {
                batch.abort().await?;
                Ok(MoveReport {
                    id: batch.record.id().to_owned(),
                    briefcases: 0,
                    rows: 0,
                    pause: std::time::Duration::ZERO,
                    tables: Vec::new(),
                })
            }
        }
    }
}
