//! Taking up a move that has stopped.

use std::sync::Arc;

use super::error::{MoveError, PlanError};
use super::manifest::manifest_of;
use super::record::{MovePhase, MoveRecord};
use super::relocator::Relocator;
use super::report::{MoveOptions, MoveProgress, MoveReport};
use super::run::Run;
use super::suitability::examine;
use super::work::{Aim, Job};
use crate::engine::relocating::{Manifest, OwnerToken};
use crate::routing::Router;
use crate::topology::{AreaIndex, ShardId};

impl Relocator {
    /// The tables of a move, as they are on both of its shards now.
    async fn tables_of(
        &self,
        area: AreaIndex,
        [source, target]: [ShardId; 2],
        phase: MovePhase,
        aim: &Aim,
    ) -> Result<Manifest, PlanError> {
        let config = &self.config.areas()[area.get()];
        let here = self.servers.pool(source).schema().await?;
        let there = self.servers.pool(target).schema().await?;
        let manifest = match aim {
            // What is left to do is done at the source. Nothing may be in its way: it can't be undone any more.
            Aim::Complete if phase == MovePhase::Purging => manifest_of(config, &here, &here),
            Aim::Complete => examine(config, &here, &there).map(|(manifest, _)| manifest),
            // What is in the way of a move need not be in the way of undoing it.
            Aim::Abort => manifest_of(config, &there, &there),
        };
        manifest.map_err(|refusals| PlanError::Refused { refusals })
    }

    pub(super) async fn take_up(
        &self,
        record: MoveRecord,
        options: &MoveOptions,
        progress: &MoveProgress,
        aim: Aim,
    ) -> Result<MoveReport, MoveError> {
        let area = self.area(&record)?;
        let source = self.shard(&record, area, record.source())?;
        let target = self.shard(&record, area, record.target())?;
        let manifest = self
            .tables_of(area, [source, target], record.phase, &aim)
            .await?;
        let owner = OwnerToken::random();
        let taken = self
            .journal()
            .take_over(record.id(), owner, options.takes_over());
        match taken.await {
            Err(MoveError::NotOwner) => {
                let alive = self.journal().find(record.id()).await?;
                let left = alive.runs_for.unwrap_or_default();
                return Err(MoveError::Running { left });
            }
            taken => taken?,
        }
        let run = Run::of([(source, 1)], 1);
        let rule = Router::new(Arc::clone(self.servers.topology()));
        let job = Job {
            ids: self.journal().briefcases(&record.id).await?,
            source,
            target,
            // Read again: whoever ran it may have gone on until now.
            record: self.journal().find(record.id()).await?,
            owner,
            manifest: &manifest,
            capture: self.config.areas()[area.get()].capture(),
            rule: rule.area_at(area),
            run: &run,
            turn: run.turn().await,
            options,
            progress,
        };
        self.with_copies(self.work(job, aim)).await
    }
}
