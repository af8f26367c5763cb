//! Listing and collecting what moves have left on shards: fences, half copies, marks of movers,
//! triggers with their change tables.
//!
//! The shards are looked at first, then the journal, then the places of briefcases, then who knows of
//! the present epoch. So a move that begins meanwhile is known to the journal, and who is said to know
//! has heard of the places that were read. What may be removed by then stays so: a move that is over
//! never goes on, and its fence keeps other moves of the same briefcase from coming to that shard.

mod judge;
mod removal;
mod survey;
mod unknown;

use std::collections::HashSet;

use super::error::MoveError;
use super::record::MoveRecord;
use super::relocator::Relocator;
use crate::topology::{AreaIndex, AreaTopology, ShardId};
use judge::Judge;

pub use unknown::UnknownMove;

/// Something that a move has left on a shard, or needs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    shard: ShardId,
    what: String,
    state: LeftoverState,
}

/// What can be done about a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftoverState {
    /// Nobody needs it; [`Relocator::clean`] removes it.
    Removable,
    /// It was removed.
    Removed,
    /// A move that is not over needs it: resume or abort that one.
    Needed,
    /// Processes that have not been heard of may still run into it, and have to be turned away.
    Awaited,
    /// It does not agree with the catalog, or the journal doesn't know enough of it. It is not removed
    /// by [`Relocator::clean`]: look whose the rows are first.
    Doubtful,
}

impl LeftoverState {
    /// Its name, as the command prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removable => "removable",
            Self::Removed => "removed",
            Self::Needed => "needed",
            Self::Awaited => "awaited",
            Self::Doubtful => "doubtful",
        }
    }
}

impl Leftover {
    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// What it is.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What can be done about it.
    pub fn state(&self) -> LeftoverState {
        self.state
    }

    /// Whether it was removed.
    pub fn is_removed(&self) -> bool {
        self.state == LeftoverState::Removed
    }
}

impl Relocator {
    /// Lists what moves have left on these shards, or need there. Changes nothing. Shards of CENTRAL
    /// have nothing of the kind, and triggers that are disabled are none of it.
    ///
    /// # Errors
    ///
    /// As [`clean`](Self::clean).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn leftovers(&self, shards: &[ShardId]) -> Result<Vec<Leftover>, MoveError> {
        let mut remains = self.remains(shards).await?;
        remains.retain(|remains| remains.kind != Kind::Disabled);
        Ok(remains
            .into_iter()
            .map(|remains| remains.leftover)
            .collect())
    }

    /// Whether a move that is not over takes briefcases from the shard, or brings some.
    fn concerns(&self, record: &MoveRecord, area: AreaIndex, shard: ShardId) -> bool {
        let topology = self.servers.topology();
        let name = topology.shard_name(shard);
        !record.phase().is_over()
            && topology.area_index(record.area()) == Some(area)
            && [record.source(), record.target()].contains(&name.as_str())
    }

    /// What is left on these shards, with what is needed to remove it; triggers come last.
    async fn remains(&self, shards: &[ShardId]) -> Result<Vec<Remains>, MoveError> {
        let topology = self.servers.topology();
        let mut surveys = Vec::new();
        for (area, index) in topology.areas().iter().zip(0..) {
            for shard in area.shards().filter(|shard| shards.contains(shard)) {
                surveys.push(self.survey(AreaIndex::new(index), shard).await?);
            }
        }
        surveys.retain(|survey| !survey.is_empty());
        if surveys.is_empty() {
            return Ok(Vec::new());
        }
        let judge = Judge::now(self, &surveys).await?;
        let mut remains = Vec::new();
        for survey in surveys {
            remains.extend(judge.judge(survey).await?);
        }
        Ok(remains)
    }
}

/// Removes what nobody needs, and names the rest.
pub(super) async fn clean(relocator: &Relocator) -> Result<Vec<Leftover>, MoveError> {
    let areas = relocator.servers.topology().areas().iter();
    let shards: Vec<ShardId> = areas.flat_map(AreaTopology::shards).collect();
    let mut found = Vec::new();
    let mut changed = HashSet::new();
    for remains in relocator.remains(&shards).await? {
        let mut leftover = remains.leftover.clone();
        // Triggers are needed by a fence that is not what it was any more.
        if leftover.state == LeftoverState::Removable && !changed.contains(&leftover.shard) {
            if relocator.remove(&remains).await? {
                leftover.state = LeftoverState::Removed;
            } else {
                leftover.state = LeftoverState::Needed;
                changed.insert(leftover.shard);
            }
        }
        found.push(leftover);
    }
    Ok(found)
}

/// A leftover, with what is needed to remove it.
struct Remains {
    area: AreaIndex,
    leftover: Leftover,
    kind: Kind,
}

/// What is left, by how it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Fences of a move in these states, as a list in SQL.
    Fences { by: String, states: &'static str },
    /// Rows that a move has copied, and the fences that say so.
    HalfCopy { by: String },
    /// The mark of who runs a move.
    Mark { by: String },
    /// Triggers, functions, change tables: all of them together.
    Installed,
    /// The same, where no trigger fires. Moves leave them so, for the next ones.
    Disabled,
}
