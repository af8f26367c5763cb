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

/// What is left to do for a move that is taken up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// All of it, from copying on.
    Moving,
    /// It is decided: deleting the briefcases where they were.
    Ending,
    /// Deleting the half copy.
    Undoing,
}

impl Relocator {
    /// What is left to do for a move.
    async fn left_of(
        &self,
        source: ShardId,
        record: &MoveRecord,
        aim: Aim,
    ) -> Result<Left, PlanError> {
        Ok(match aim {
            Aim::Abort => Left::Undoing,
            Aim::Complete if self.is_decided(source, record).await? => Left::Ending,
            Aim::Complete => Left::Moving,
        })
    }

    /// Makes sure that the catalog and the configuration are not of another time than the move.
    async fn refuse_others(
        &self,
        area: AreaIndex,
        shards: &[ShardId],
        record: &MoveRecord,
        left: Left,
    ) -> Result<(), MoveError> {
        let config = &self.config.areas()[area.get()];
        let mut tables = record.details.listed_since(config);
        if left == Left::Moving {
            self.refuse_behind(shards).await?;
            tables.extend(record.details.listed_before(config));
        }
        if tables.is_empty() {
            return Ok(());
        }
        tables.sort_unstable();
        tables.dedup();
        let tables = tables.iter().map(|table| format!("table `{table}`"));
        Err(MoveError::Relisted {
            tables: tables.collect(),
        })
    }

    /// The tables of a move, as they are on both of its shards now.
    async fn tables_of(
        &self,
        area: AreaIndex,
        [source, target]: [ShardId; 2],
        left: Left,
    ) -> Result<Manifest, PlanError> {
        let config = &self.config.areas()[area.get()];
        let (source_pool, target_pool) = (self.servers.pool(source), self.servers.pool(target));
        let manifest = match left {
            // It is done at the source. Nothing may be in its way: it can't be undone any more.
            Left::Ending => {
                let here = source_pool.schema_of_tables().await?;
                manifest_of(config, &here, &here)
            }
            Left::Moving => {
                // First: what is altered meanwhile is noticed later.
                let shape = source_pool.shape(listed(config)).await?;
                let (here, there) = (source_pool.schema().await?, target_pool.schema().await?);
                let examined = examine(config, &here, &there);
                examined.map(|(manifest, _)| manifest.with_shape(shape))
            }
            // What is in the way of a move need not be in the way of undoing it.
            Left::Undoing => {
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
        let left = self.left_of(source, &record, aim).await?;
        self.refuse_others(area, &[source, target], &record, left)
            .await?;
        let manifest = self.tables_of(area, [source, target], left).await?;
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
