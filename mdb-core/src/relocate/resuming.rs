//! Taking up a move that has stopped.

use std::sync::Arc;

use super::error::{MoveError, PlanError};
use super::manifest::{listed, manifest_of};
use super::record::{MovePhase, MoveRecord};
use super::relocator::Relocator;
use super::report::{MoveOptions, MoveProgress, MoveReport};
use super::run::Run;
use super::suitability::examine;
use super::work::{Aim, Job};
use crate::engine::Value;
use crate::engine::relocating::{FenceState, Manifest, OwnerToken};
use crate::routing::Router;
use crate::topology::{AreaIndex, ShardId};

impl Relocator {
    /// The tables of a move, as they are on both of its shards now.
    async fn tables_of(
        &self,
        area: AreaIndex,
        [source, target]: [ShardId; 2],
        record: &MoveRecord,
        aim: Aim,
    ) -> Result<Manifest, PlanError> {
        let config = &self.config.areas()[area.get()];
        let (source_pool, target_pool) = (self.servers.pool(source), self.servers.pool(target));
        let manifest = match aim {
            // What is left to do is done at the source. Nothing may be in its way: it can't be undone any more.
            Aim::Complete if self.is_decided(source, record).await? => {
                let here = source_pool.schema_of_tables().await?;
                manifest_of(config, &here, &here)
            }
            Aim::Complete => {
                // First: what is altered meanwhile is noticed later.
                let shape = source_pool.shape(listed(config)).await?;
                let (here, there) = (source_pool.schema().await?, target_pool.schema().await?);
                let examined = examine(config, &here, &there);
                examined.map(|(manifest, _)| manifest.with_shape(shape))
            }
            // What is in the way of a move need not be in the way of undoing it.
            Aim::Abort => {
                let there = target_pool.schema_of_tables().await?;
                manifest_of(config, &there, &there)
            }
        };
        manifest.map_err(|refusals| PlanError::Refused { refusals })
    }

    /// Whether a move has passed its commit point. It may do so later.
    async fn is_decided(&self, source: ShardId, record: &MoveRecord) -> Result<bool, PlanError> {
        if record.phase != MovePhase::Flipping {
            return Ok(record.phase > MovePhase::Flipping);
        }
        let moved = format!(
            "SELECT count(*) FROM mdb_fence WHERE move = ? AND state = {}",
            FenceState::Moved as i64
        );
        let pool = self.servers.pool(source);
        let rows = pool.query(&moved, &[Value::from(&record.id)]).await?;
        let count = rows.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)?;
        Ok(count > 0)
    }

    pub(super) async fn take_up(
        &self,
        record: MoveRecord,
        options: &MoveOptions,
        progress: &MoveProgress,
        aim: Aim,
    ) -> Result<MoveReport, MoveError> {
        in_time(record.phase, aim)?;
        let area = self.area(&record)?;
        let source = self.shard(&record, area, record.source())?;
        let target = self.shard(&record, area, record.target())?;
        let manifest = self.tables_of(area, [source, target], &record, aim).await?;
        let owner = OwnerToken::random();
        let never: Vec<MovePhase> = aim.never().iter().map(|(phase, _)| *phase).collect();
        let taken = self
            .journal()
            .take_over(record.id(), owner, options.takes_over(), &never);
        match taken.await {
            Err(MoveError::NotOwner) => {
                let others = self.journal().find(record.id()).await?;
                in_time(others.phase, aim)?;
                let left = others.runs_for.unwrap_or_default();
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

/// Whether a move in this phase can still be brought to that end.
fn in_time(phase: MovePhase, aim: Aim) -> Result<(), MoveError> {
    match aim.never().iter().find(|(never, _)| *never == phase) {
        Some((phase, advice)) => Err(MoveError::WrongPhase {
            phase: *phase,
            advice,
        }),
        None => Ok(()),
    }
}
