//! What a shard has of moves.

use crate::config::Capture;
use crate::engine::relocating::{FenceState, Installed};
use crate::relocate::error::MoveError;
use crate::relocate::relocator::Relocator;
use crate::topology::{AreaIndex, ShardId};

/// What a shard has of moves.
pub(super) struct Survey {
    pub(super) area: AreaIndex,
    pub(super) shard: ShardId,
    /// Moves with fences here, each with the states that they are in.
    pub(super) fences: Vec<(String, FenceState)>,
    /// Moves whose movers are noted here.
    pub(super) marks: Vec<String>,
    /// Triggers, functions and change tables, where they don't stay for good.
    pub(super) installed: Installed,
}

impl Survey {
    pub(super) fn is_empty(&self) -> bool {
        self.fences.is_empty() && self.marks.is_empty() && self.installed.names.is_empty()
    }

    /// The moves that have left something here.
    pub(super) fn moves(&self) -> impl Iterator<Item = &str> {
        let fences = self.fences.iter().map(|(by, _)| by);
        fences.chain(&self.marks).map(String::as_str)
    }
}

impl Relocator {
    pub(super) async fn survey(
        &self,
        area: AreaIndex,
        shard: ShardId,
    ) -> Result<Survey, MoveError> {
        let pool = self.servers.pool(shard);
        let mut fences = Vec::new();
        let query = "SELECT DISTINCT move, state FROM mdb_fence ORDER BY move, state";
        for row in pool.query(query, &[]).await? {
            let state = FenceState::stored(row.integer(1)?)
                .ok_or_else(|| sqlx::Error::Decode("a fence with an unknown state".into()))?;
            fences.push((row.text(0)?.to_owned(), state));
        }
        let mut marks = Vec::new();
        let query = "SELECT move FROM mdb_mover ORDER BY move";
        for row in pool.query(query, &[]).await? {
            marks.push(row.text(0)?.to_owned());
        }
        let installed = match self.config.areas()[area.get()].capture() {
            Capture::Moving => self.installed_on(shard).await?,
            // No move has left them: they belong there.
            Capture::Always => Installed::enabled(Vec::new()),
        };
        Ok(Survey {
            area,
            shard,
            fences,
            marks,
            installed,
        })
    }
}
