//! The router itself: one immutable topology with its relocations, and the answers it gives.

mod reach;

use std::collections::HashMap;
use std::sync::Arc;

use mdb_gdid::{Gdid, RangeKey};

use super::azos;
use super::ranges::RangeTable;
use super::relocations::Relocations;
use super::shard_key::ShardKey;
use super::slots::{Slot, SlotTable};
use crate::config::{AreaName, HashKind};
use crate::topology::{
    AreaIndex, AreaTopology, GenerationIndex, Home, MAX_SHARDS, PartitionIndex, ShardId,
    ShardPosition, Topology,
};

/// Routes every area and CENTRAL of one topology.
///
/// Immutable: a changed topology or a changed set of relocations makes a new router, and the old
/// one goes on answering as it did.
#[derive(Debug)]
pub struct Router {
    topology: Arc<Topology>,
    areas: Vec<Arc<AreaRouter>>,
}

impl Router {
    /// Compiles `topology`, with no relocations.
    pub fn new(topology: impl Into<Arc<Topology>>) -> Self {
        Self::with_relocations(topology, &HashMap::new())
    }

    /// Compiles `topology` with the relocations of its areas.
    ///
    /// # Panics
    ///
    /// When a relocation's target is not a shard of that topology: shard ids hold for one topology.
    pub fn with_relocations(
        topology: impl Into<Arc<Topology>>,
        relocations: &HashMap<AreaIndex, Relocations>,
    ) -> Self {
        let topology = topology.into();
        let areas = topology
            .areas()
            .iter()
            .zip(0..)
            .map(|(area, index)| {
                let relocations = relocations
                    .get(&AreaIndex::new(index))
                    .cloned()
                    .unwrap_or_default();
                Arc::new(AreaRouter::new(Arc::clone(&topology), area, relocations))
            })
            .collect();
        Self { topology, areas }
    }

    /// The topology that is routed by.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The router of the area called `name`, letter case ignored.
    pub fn area(&self, name: &str) -> Option<&Arc<AreaRouter>> {
        self.topology
            .area_index(name)
            .map(|index| self.area_at(index))
    }

    /// The router of the area at `index`.
    ///
    /// # Panics
    ///
    /// When `index` is from another topology with more areas.
    #[inline]
    pub fn area_at(&self, index: AreaIndex) -> &Arc<AreaRouter> {
        &self.areas[index.get()]
    }

    /// The CENTRAL shard for `key`.
    pub fn central(&self, key: &ShardKey<'_>) -> CentralRoute {
        let shards = self.topology.central().shards();
        let (slot, position) = match self.topology.central().hash() {
            HashKind::Xxh3 => {
                let table = SlotTable::for_shards(shards.len())
                    .expect("a topology's shard lists hold 1 to 256 shards");
                let slot = key.slot();
                (Some(slot), table.owner(slot))
            }
            HashKind::Azos => (None, azos::shard_position(key.azos_hash(), shards.len())),
        };
        CentralRoute {
            slot,
            position: ShardPosition::new(position),
            shard: shards[position],
        }
    }
}

/// Where CENTRAL keeps a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CentralRoute {
    slot: Option<Slot>,
    position: ShardPosition,
    shard: ShardId,
}

impl CentralRoute {
    /// The key's slot; `None` under `hash = "azos"`.
    pub const fn slot(self) -> Option<Slot> {
        self.slot
    }

    /// The shard's position in CENTRAL's list.
    pub const fn position(self) -> ShardPosition {
        self.position
    }

    /// The shard.
    pub const fn shard_id(self) -> ShardId {
        self.shard
    }
}

/// Why a shard owns a briefcase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// By the area's rule: partition, then hash.
    Rule,
    /// By a relocation.
    Relocated,
}

/// Where a briefcase lives, as ids of one topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    generation: GenerationIndex,
    partition: PartitionIndex,
    slot: Option<Slot>,
    position: ShardPosition,
    shard: ShardId,
    placement: Placement,
}

impl Route {
    /// The generation of the shard's partition.
    pub const fn generation(self) -> GenerationIndex {
        self.generation
    }

    /// The shard's partition, counted inside its generation.
    pub const fn partition(self) -> PartitionIndex {
        self.partition
    }

    /// The id's slot; `None` under `hash = "azos"`.
    pub const fn slot(self) -> Option<Slot> {
        self.slot
    }

    /// The shard's position in its partition's list, from 0.
    pub const fn position(self) -> ShardPosition {
        self.position
    }

    /// The shard.
    #[inline]
    pub const fn shard_id(self) -> ShardId {
        self.shard
    }

    /// Whether the rule or a relocation decided.
    pub const fn placement(self) -> Placement {
        self.placement
    }
}

/// Why an id has no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The id is `0:0:0`, which means "no id".
    #[error("0:0:0 means \"no id\" and has no shard in area `{area}`")]
    ZeroId {
        /// The area asked.
        area: AreaName,
    },
    /// The id's range key is below the area's first partition.
    #[error("id {id} is below area `{area}`'s first partition, which starts at {first}")]
    BelowFirstPartition {
        /// The area asked.
        area: AreaName,
        /// The id.
        id: Gdid,
        /// Where the first partition starts.
        first: RangeKey,
    },
    /// The briefcase was moved to a shard that this configuration does not have.
    #[error(
        "briefcase {id} of area `{area}` is on shard `{shard}`, which this configuration lacks; update it"
    )]
    UnknownHome {
        /// The area asked.
        area: AreaName,
        /// The id.
        id: Gdid,
        /// The shard's name.
        shard: String,
    },
}

/// What one range of the compiled table needs to answer: a quarter of a cache line, so that one
/// load gets all of it. The slot table, which most ranges share, is found by the number of shards.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Range {
    first_shard: u32,
    partition: u32,
    shards: u16,
    generation: u16,
}

/// The slot tables of an area, by number of shards.
type SlotTables = [Option<&'static SlotTable>; MAX_SHARDS + 1];

/// Routes the ids of one area.
#[derive(Debug)]
pub struct AreaRouter {
    topology: Arc<Topology>,
    name: AreaName,
    hash: HashKind,
    ranges: RangeTable<Range>,
    slot_tables: Box<SlotTables>,
    /// `None` when there are none, which is nearly always.
    relocations: Option<Relocations>,
}

impl AreaRouter {
    fn new(topology: Arc<Topology>, area: &AreaTopology, relocations: Relocations) -> Self {
        for target in relocations.targets() {
            assert!(
                (target.get() as usize) < topology.shards().len(),
                "relocation to {target}, which this topology lacks"
            );
        }
        let mut slot_tables: Box<SlotTables> = Box::new([None; MAX_SHARDS + 1]);
        let ranges = area
            .effective_ranges()
            .map(|(start, generation, partition, shards)| {
                let first_shard = shards
                    .first()
                    .expect("a partition has at least one shard")
                    .get();
                slot_tables[shards.len()] = SlotTable::for_shards(shards.len());
                let range = Range {
                    first_shard,
                    partition: partition.get(),
                    shards: u16::try_from(shards.len()).expect("at most 256"),
                    generation: generation.get(),
                };
                (start, range)
            })
            .collect();
        Self {
            name: area.name().clone(),
            hash: area.hash(),
            ranges: RangeTable::new(ranges),
            slot_tables,
            relocations: (!relocations.is_empty()).then_some(relocations),
            topology,
        }
    }

    /// The area's name.
    pub fn name(&self) -> &AreaName {
        &self.name
    }

    /// Finds the shard that owns the briefcase `id`.
    ///
    /// The partition is the last one that starts at or below the id's range key; the shard is the
    /// one that the partition's slot table gives to the hash of the whole id, authority included.
    /// A relocation goes before both. No I/O, clock or allocation; time grows with the logarithm of
    /// the number of partitions.
    ///
    /// # Errors
    ///
    /// Only these two:
    ///
    /// - [`RouteError::ZeroId`]: `id` is [`Gdid::ZERO`].
    /// - [`RouteError::BelowFirstPartition`]: no partition starts at or below `id`.
    #[inline]
    pub fn route(&self, id: Gdid) -> Result<Route, RouteError> {
        if let Some(relocations) = &self.relocations
            && let Some(route) = self.relocated(relocations, id)
        {
            return Ok(route);
        }
        let Some(range) = self.ranges.find(id.range_key()) else {
            return Err(self.no_shard(id));
        };
        if id.is_zero() {
            return Err(self.no_shard(id));
        }
        let (slot, position) = match self.hash {
            HashKind::Xxh3 => {
                // Not a copy: its parts were just read, and reading them anew as others would stall.
                let slot = Slot::of_bytes(id.as_bytes());
                let table = self.slot_tables[usize::from(range.shards)]
                    .expect("there is a table for every partition's number of shards");
                (Some(slot), table.owner(slot))
            }
            HashKind::Azos => (None, Self::azos_position(id, range)),
        };
        let position = ShardPosition::new(position);
        Ok(Route {
            generation: GenerationIndex::new(range.generation),
            partition: PartitionIndex::new(range.partition),
            slot,
            position,
            shard: ShardId::new(range.first_shard + u32::from(position.get())),
            placement: Placement::Rule,
        })
    }

    // The rarer ways are kept out of `route`, so that it is short enough to be inlined.

    #[inline(never)]
    fn azos_position(id: Gdid, range: &Range) -> usize {
        azos::shard_position(azos::hash_gdid(id), usize::from(range.shards))
    }

    #[inline(never)]
    fn relocated(&self, relocations: &Relocations, id: Gdid) -> Option<Route> {
        let shard = relocations.find(id)?;
        let slot = match self.hash {
            HashKind::Xxh3 => Some(Slot::of_bytes(id.as_bytes())),
            HashKind::Azos => None,
        };
        let (generation, partition, position) = match self.topology.shard(shard).home() {
            Home::Partition {
                generation,
                partition,
                position,
                ..
            } => (generation, partition, position),
            Home::Central { position } => {
                (GenerationIndex::new(0), PartitionIndex::new(0), position)
            }
        };
        Some(Route {
            generation,
            partition,
            slot,
            position,
            shard,
            placement: Placement::Relocated,
        })
    }

    #[cold]
    fn no_shard(&self, id: Gdid) -> RouteError {
        let area = self.name.clone();
        if id.is_zero() {
            return RouteError::ZeroId { area };
        }
        let first = self
            .ranges
            .iter()
            .next()
            .map_or(RangeKey::MAX, |(start, _)| start);
        RouteError::BelowFirstPartition { area, id, first }
    }
}
