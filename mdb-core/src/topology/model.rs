//! The model: areas, generations, partitions and shards, read-only.

use std::collections::HashMap;

use mdb_gdid::RangeKey;

use super::builder::{TopologyBuilder, TopologyError};
use super::ids::{AreaIndex, GenerationIndex, PartitionIndex, ShardId, ShardPosition};
use crate::config::{AreaName, Config, DatabaseName, EngineKind, HashKind, ServerName, StoreName};

/// A validated, immutable set of areas with their ranges and shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    pub(super) store: StoreName,
    pub(super) shards: Vec<Shard>,
    pub(super) central: CentralTopology,
    pub(super) areas: Vec<AreaTopology>,
    pub(super) by_name: HashMap<String, AreaIndex>,
}

impl Topology {
    /// The topology that a checked configuration describes.
    ///
    /// # Errors
    ///
    /// [`TopologyError`] when the parts don't fit; a [`Config`] has been checked for all of it.
    pub fn from_config(config: &Config) -> Result<Self, TopologyError> {
        TopologyBuilder::from_config(config).build()
    }

    /// Reads a configuration from TOML text, with no environment, and takes its topology.
    ///
    /// For tests, examples and tools that only route; a service opens a configuration file.
    ///
    /// # Errors
    ///
    /// Every fault of the text, or what makes its parts not fit.
    pub fn from_toml(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let config = Config::parse("text", text, std::path::Path::new("."), &|_| None)?;
        Ok(Self::from_config(&config)?)
    }

    /// The store's name.
    pub fn store(&self) -> &StoreName {
        &self.store
    }

    /// All shards, CENTRAL's first; a [`ShardId`] is a place in this list.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard with that id.
    ///
    /// # Panics
    ///
    /// When the id is from a topology with more shards.
    #[inline]
    pub fn shard(&self, id: ShardId) -> &Shard {
        &self.shards[id.get() as usize]
    }

    /// CENTRAL.
    pub fn central(&self) -> &CentralTopology {
        &self.central
    }

    /// The partitioned areas, in the order of the configuration.
    pub fn areas(&self) -> &[AreaTopology] {
        &self.areas
    }

    /// The place of the area called `name`, letter case ignored.
    pub fn area_index(&self, name: &str) -> Option<AreaIndex> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// The area at `index`.
    ///
    /// # Panics
    ///
    /// When the index is from a topology with more areas.
    pub fn area(&self, index: AreaIndex) -> &AreaTopology {
        &self.areas[index.get()]
    }

    /// What a shard is called inside its area, in every process and whatever is added to the
    /// configuration: breakpoint of the generation, start of the partition, position. CENTRAL's are
    /// called by their position.
    ///
    /// # Panics
    ///
    /// When the id is from a topology with more shards.
    pub fn shard_name(&self, shard: ShardId) -> String {
        let position = self.shard(shard).home.position();
        match self.range_of(shard) {
            None => position.to_string(),
            Some((_, generation, partition)) => generation.shard_name(partition, position),
        }
    }

    /// Where a shard is, as people write it: SERVER/DATABASE.
    ///
    /// # Panics
    ///
    /// When the id is from a topology with more shards.
    pub fn shard_place(&self, shard: ShardId) -> String {
        let shard = self.shard(shard);
        format!("{}/{}", shard.server(), shard.database())
    }

    /// The shard of an area that is [called](Self::shard_name) `name`.
    pub fn shard_named(&self, area: AreaIndex, name: &str) -> Option<ShardId> {
        self.area(area).by_name.get(name).copied()
    }

    /// The area, generation and partition that `shard` belongs to; `None` for one of CENTRAL's.
    ///
    /// # Panics
    ///
    /// When the id is from a topology with more shards.
    pub fn range_of(&self, shard: ShardId) -> Option<(&AreaTopology, &Generation, &Partition)> {
        match self.shard(shard).home {
            Home::Central { .. } => None,
            Home::Partition {
                area,
                generation,
                partition,
                ..
            } => {
                let area = &self.areas[area.get()];
                let generation = &area.generations[usize::from(generation.get())];
                Some((
                    area,
                    generation,
                    &generation.partitions[partition.get() as usize],
                ))
            }
        }
    }
}

/// A database on a server, and whose home it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub(super) server: ServerName,
    pub(super) database: DatabaseName,
    pub(super) home: Home,
}

impl Shard {
    /// The server.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The database on it.
    pub fn database(&self) -> &DatabaseName {
        &self.database
    }

    /// What lives there.
    pub fn home(&self) -> Home {
        self.home
    }
}

/// What a shard is the home of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Home {
    /// A part of CENTRAL.
    Central {
        /// Its place in CENTRAL's list.
        position: ShardPosition,
    },
    /// A part of a partition of an area.
    Partition {
        /// The area.
        area: AreaIndex,
        /// The generation in it.
        generation: GenerationIndex,
        /// The partition in that.
        partition: PartitionIndex,
        /// The shard's place in the partition's list.
        position: ShardPosition,
    },
}

impl Home {
    /// The shard's place in its partition's (or CENTRAL's) list.
    pub const fn position(self) -> ShardPosition {
        match self {
            Self::Central { position } | Self::Partition { position, .. } => position,
        }
    }
}

/// CENTRAL's placement: shards by the hash of any shard key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CentralTopology {
    pub(super) engine: EngineKind,
    pub(super) hash: HashKind,
    pub(super) shards: Vec<ShardId>,
}

impl CentralTopology {
    /// The engine of all its shards.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// The hash.
    pub fn hash(&self) -> HashKind {
        self.hash
    }

    /// Its shards, by position.
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }
}

/// One partitioned area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaTopology {
    pub(super) name: AreaName,
    pub(super) engine: EngineKind,
    pub(super) hash: HashKind,
    pub(super) generations: Vec<Generation>,
    pub(super) by_name: HashMap<String, ShardId>,
}

impl AreaTopology {
    pub(super) fn new(
        name: AreaName,
        engine: EngineKind,
        hash: HashKind,
        generations: Vec<Generation>,
    ) -> Self {
        let named = |generation: &Generation, partition: &Partition| {
            let shards = (0..).map(ShardPosition::new).zip(&partition.shards);
            let named = shards.map(|(at, shard)| (generation.shard_name(partition, at), *shard));
            named.collect::<Vec<_>>()
        };
        let all = generations.iter().flat_map(|generation| {
            let partitions = generation.partitions.iter();
            partitions.flat_map(move |partition| named(generation, partition))
        });
        Self {
            by_name: all.collect(),
            name,
            engine,
            hash,
            generations,
        }
    }

    /// Its name.
    pub fn name(&self) -> &AreaName {
        &self.name
    }

    /// The engine of all its shards.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// The hash that picks a shard inside a partition.
    pub fn hash(&self) -> HashKind {
        self.hash
    }

    /// Its generations, ascending by breakpoint.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// All its shards: generation by generation, partition by partition, by position.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.generations
            .iter()
            .flat_map(|g| &g.partitions)
            .flat_map(|p| p.shards.iter().copied())
    }

    /// The ranges that really hold, ascending: where each starts, and whose it is.
    ///
    /// A generation's partitions count from its breakpoint up to the next one's; a partition that
    /// lies wholly outside owns nothing and is left out.
    pub fn effective_ranges(
        &self,
    ) -> impl Iterator<Item = (RangeKey, GenerationIndex, PartitionIndex, &[ShardId])> + '_ {
        self.generations
            .iter()
            .zip(0u16..)
            .flat_map(move |(generation, g)| {
                let end = self
                    .generations
                    .get(usize::from(g) + 1)
                    .map(Generation::breakpoint);
                let starts = move |p: &Partition| end.is_none_or(|end| p.start < end);
                generation
                    .partitions
                    .iter()
                    .zip(0u32..)
                    .filter_map(move |(partition, p)| {
                        let next = generation.partitions.get(p as usize + 1);
                        let ends_below =
                            next.is_some_and(|next| next.start <= generation.breakpoint);
                        (starts(partition) && !ends_below).then(|| {
                            let start = partition.start.max(generation.breakpoint);
                            (
                                start,
                                GenerationIndex::new(g),
                                PartitionIndex::new(p),
                                partition.shards.as_slice(),
                            )
                        })
                    })
            })
    }
}

/// A complete set of ranges, from a breakpoint on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub(super) breakpoint: RangeKey,
    pub(super) partitions: Vec<Partition>,
}

impl Generation {
    fn shard_name(&self, partition: &Partition, position: ShardPosition) -> String {
        format!("{}/{}/{position}", self.breakpoint, partition.start)
    }

    /// From where on it holds.
    pub fn breakpoint(&self) -> RangeKey {
        self.breakpoint
    }

    /// Its partitions, ascending by start.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }
}

/// A range of range keys with its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub(super) start: RangeKey,
    pub(super) shards: Vec<ShardId>,
}

impl Partition {
    /// Where it starts; also its name.
    pub fn start(&self) -> RangeKey {
        self.start
    }

    /// Its shards, by position.
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }
}
