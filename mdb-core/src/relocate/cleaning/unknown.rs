//! Ending moves that no journal knows: the catalog was restored from a backup that is older than they are, or begun anew.
//!
//! Nobody can resume or abort such a move, and its fences would keep everybody for ever from writing where its briefcases
//! were, or where they were to go. Which rows are right only a person can say, so none is touched.

use std::collections::BTreeMap;

use sqlx::{MySql, Postgres, Sqlite};

use super::removal::remove_fences;
use super::{Leftover, LeftoverState};
use crate::config::EngineKind;
use crate::engine::Value;
use crate::engine::relocating::{FenceState, Relocating};
use crate::relocate::batch::open;
use crate::relocate::error::MoveError;
use crate::relocate::relocator::Relocator;
use crate::topology::{AreaIndex, AreaTopology, ShardId};
use futures_util::future::BoxFuture;

/// A move that shards have fences of and that the journal doesn't know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMove {
    id: String,
    leftovers: Vec<Leftover>,
}

impl UnknownMove {
    /// The move's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What shards have of it: how many briefcases have gone, and where to, or are half copied.
    pub fn leftovers(&self) -> &[Leftover] {
        &self.leftovers
    }
}

impl Relocator {
    /// The moves that shards have fences of and that the journal doesn't know, by their ids. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`clean`](Self::clean).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn unknown_moves(&self) -> Result<Vec<UnknownMove>, MoveError> {
        let mut found = BTreeMap::<String, Vec<Leftover>>::new();
        for (area, index) in self.servers.topology().areas().iter().zip(0..) {
            for shard in area.shards() {
                for (by, leftover) in self.fences_on(AreaIndex::new(index), shard).await? {
                    found.entry(by).or_default().push(leftover);
                }
            }
        }
        // Afterwards: a move is journalled first.
        let known = found.keys().map(String::as_str);
        for record in self.journal().named(known).await? {
            found.remove(record.id());
        }
        let found = found.into_iter();
        Ok(found
            .map(|(id, leftovers)| UnknownMove { id, leftovers })
            .collect())
    }

    /// Ends a move that the journal doesn't know: removes its fences from all shards, and touches no row. Says what it
    /// has removed.
    ///
    /// From then on its briefcases can be written on both of its shards, and services use them where the catalog has them.
    /// Of briefcases that had gone, what was written last is where they went. So compare the rows that
    /// [`verify`](Self::verify) finds on both, and keep what is right. A mover that still runs the move can do nothing more.
    ///
    /// # Errors
    ///
    /// - [`MoveError::Known`]: the journal knows the move: resume or abort it.
    /// - [`MoveError::Unknown`]: nor has any shard a fence of it.
    /// - [`MoveError::Busy`]: others kept locked what was to be removed; do it again.
    /// - As [`clean`](Self::clean).
    ///
    /// # Cancel safety
    ///
    /// Some of it may have been removed; do it again.
    pub async fn forget_unknown(&self, id: &str) -> Result<Vec<Leftover>, MoveError> {
        let unknown = self.unknown_moves().await?;
        let Some(unknown) = unknown.into_iter().find(|unknown| unknown.id == id) else {
            let known = self.find(id).await?;
            return Err(MoveError::Known {
                id: known.id().to_owned(),
            });
        };
        let by = [Value::from(id)];
        let areas = self.servers.topology().areas().iter();
        for shard in areas.flat_map(AreaTopology::shards) {
            // First and everywhere: a mover that is still alive must not decide the move between two shards.
            let forget = "DELETE FROM mdb_mover WHERE move = ?";
            self.servers.pool(shard).execute(forget, &by).await?;
        }
        let mut leftovers = unknown.leftovers;
        for leftover in &mut leftovers {
            let shard = leftover.shard;
            match self.servers.config_of(shard).engine() {
                EngineKind::Sqlite => self.remove_all_fences::<Sqlite>(shard, id).await?,
                EngineKind::Postgres => self.remove_all_fences::<Postgres>(shard, id).await?,
                EngineKind::MySql => self.remove_all_fences::<MySql>(shard, id).await?,
            }
            leftover.state = LeftoverState::Removed;
        }
        Ok(leftovers)
    }

    fn remove_all_fences<'a, DB: Relocating>(
        &'a self,
        shard: ShardId,
        by: &'a str,
    ) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(async move {
            let mut connection = open::<DB>(self.servers.typed::<DB>(shard)?).await?;
            remove_fences::<DB>(&mut connection, by, "1, 2, 3, 4").await
        })
    }

    /// The fences that a shard has, each kind of each move once.
    async fn fences_on(
        &self,
        area: AreaIndex,
        shard: ShardId,
    ) -> Result<Vec<(String, Leftover)>, MoveError> {
        let topology = self.servers.topology();
        let query = "SELECT move, state, target, count(*) FROM mdb_fence GROUP BY move, state, target \
                     ORDER BY move, state, target";
        let mut found = Vec::new();
        for row in self.servers.pool(shard).query(query, &[]).await? {
            let by = row.text(0)?.to_owned();
            let briefcases = match row.integer(3)? {
                1 => "1 briefcase".to_owned(),
                several => format!("{several} briefcases"),
            };
            let what = match FenceState::stored(row.integer(1)?) {
                Some(FenceState::Moved) => {
                    let target = row.optional_text(2)?.unwrap_or_default();
                    let place = topology.shard_named(area, target);
                    let place = place
                        .map_or_else(|| target.to_owned(), |shard| topology.shard_place(shard));
                    format!("signs that {briefcases} went to {place} by move {by}")
                }
                Some(FenceState::Receiving) => format!("half a copy of {briefcases} by move {by}"),
                _ => format!("fences of {briefcases} by move {by}"),
            };
            let state = LeftoverState::Doubtful;
            found.push((by, Leftover { shard, what, state }));
        }
        Ok(found)
    }
}
