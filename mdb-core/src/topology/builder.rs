//! Building a topology, from a configuration or piece by piece.

use std::collections::{HashMap, HashSet};

use mdb_gdid::RangeKey;

use super::ids::{AreaIndex, GenerationIndex, MAX_SHARDS, PartitionIndex, ShardId, ShardPosition};
use super::model::{AreaTopology, CentralTopology, Generation, Home, Partition, Shard, Topology};
use crate::config::{
    AreaName, Config, DatabaseName, EngineKind, HashKind, ServerName, ShardConfig, StoreName,
};

/// Why parts don't make a topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// Two areas have one name.
    #[error("there are two areas called `{0}`")]
    DuplicateArea(AreaName),
    /// An area without ranges.
    #[error("area `{0}` has no partition")]
    NoPartition(AreaName),
    /// A shard list that is empty or too long.
    #[error("{owner} has {shards} shards; a list holds 1 to 256")]
    ShardCount {
        /// Whose list.
        owner: String,
        /// How many there are.
        shards: usize,
    },
    /// A start or breakpoint that is not above the one before it.
    #[error("area `{area}`: {start} does not come after {previous}")]
    NotAscending {
        /// The area.
        area: AreaName,
        /// The one before.
        previous: RangeKey,
        /// The one that should be higher.
        start: RangeKey,
    },
    /// Ids between a breakpoint and its first partition would have no home.
    #[error(
        "area `{area}`: the first partition after breakpoint {breakpoint} starts above it, at {start}"
    )]
    Gap {
        /// The area.
        area: AreaName,
        /// The breakpoint.
        breakpoint: RangeKey,
        /// The first start.
        start: RangeKey,
    },
    /// One database is named as two shards.
    #[error("database `{database}` on server `{server}` is used as two shards")]
    DuplicateDatabase {
        /// The server.
        server: ServerName,
        /// The database.
        database: DatabaseName,
    },
}

/// Collects the parts of a [`Topology`].
#[derive(Clone, Debug)]
pub struct TopologyBuilder {
    store: StoreName,
    central: (EngineKind, HashKind, Vec<(ServerName, DatabaseName)>),
    areas: Vec<AreaBuilder>,
}

/// Collects the ranges of one area, in ascending order.
#[derive(Clone, Debug)]
pub struct AreaBuilder {
    name: AreaName,
    engine: EngineKind,
    hash: HashKind,
    generations: Vec<(RangeKey, Vec<PartitionParts>)>,
}

type PartitionParts = (RangeKey, Vec<(ServerName, DatabaseName)>);

impl AreaBuilder {
    /// An area without ranges.
    pub fn new(name: AreaName, engine: EngineKind, hash: HashKind) -> Self {
        Self {
            name,
            engine,
            hash,
            generations: Vec::new(),
        }
    }

    /// Begins a generation that holds from `breakpoint` on; partitions that follow belong to it.
    #[must_use]
    pub fn generation(mut self, breakpoint: RangeKey) -> Self {
        self.generations.push((breakpoint, Vec::new()));
        self
    }

    /// Adds a partition to the last generation, or to a first one from the lowest key on.
    #[must_use]
    pub fn partition(mut self, start: RangeKey, shards: Vec<(ServerName, DatabaseName)>) -> Self {
        if self.generations.is_empty() {
            self = self.generation(RangeKey::MIN);
        }
        if let Some((_, partitions)) = self.generations.last_mut() {
            partitions.push((start, shards));
        }
        self
    }
}

impl TopologyBuilder {
    /// Begins with CENTRAL.
    pub fn new(
        store: StoreName,
        engine: EngineKind,
        hash: HashKind,
        central: Vec<(ServerName, DatabaseName)>,
    ) -> Self {
        Self {
            store,
            central: (engine, hash, central),
            areas: Vec::new(),
        }
    }

    /// Adds an area.
    #[must_use]
    pub fn area(mut self, area: AreaBuilder) -> Self {
        self.areas.push(area);
        self
    }

    pub(super) fn from_config(config: &Config) -> Self {
        let databases = |shards: &[ShardConfig]| {
            shards
                .iter()
                .map(|shard| (shard.server().clone(), shard.database().clone()))
                .collect::<Vec<_>>()
        };
        let central = config.central();
        let mut builder = Self::new(
            config.store().clone(),
            central.engine(),
            central.hash(),
            databases(central.shards()),
        );
        for area in config.areas() {
            let mut parts = AreaBuilder::new(area.name().clone(), area.engine(), area.hash());
            for generation in area.generations() {
                parts = parts.generation(generation.breakpoint());
                for partition in generation.partitions() {
                    parts = parts.partition(partition.start(), databases(partition.shards()));
                }
            }
            builder = builder.area(parts);
        }
        builder
    }

    /// Checks the parts and puts them together.
    ///
    /// # Errors
    ///
    /// Any [`TopologyError`]; see its variants.
    pub fn build(self) -> Result<Topology, TopologyError> {
        let mut shards = ShardList::default();
        let (engine, hash, databases) = self.central;
        let central = CentralTopology {
            engine,
            hash,
            shards: shards.add("CENTRAL", databases, |position| Home::Central { position })?,
        };
        let mut areas = Vec::with_capacity(self.areas.len());
        let mut by_name = HashMap::new();
        for (parts, index) in self.areas.into_iter().zip((0..).map(AreaIndex::new)) {
            if by_name
                .insert(parts.name.as_str().to_ascii_lowercase(), index)
                .is_some()
            {
                return Err(TopologyError::DuplicateArea(parts.name));
            }
            areas.push(build_area(parts, index, &mut shards)?);
        }
        Ok(Topology {
            store: self.store,
            shards: shards.list,
            central,
            areas,
            by_name,
        })
    }
}

fn build_area(
    parts: AreaBuilder,
    area: AreaIndex,
    shards: &mut ShardList,
) -> Result<AreaTopology, TopologyError> {
    let AreaBuilder {
        name,
        engine,
        hash,
        generations,
    } = parts;
    if generations.is_empty()
        || generations
            .iter()
            .any(|(_, partitions)| partitions.is_empty())
    {
        return Err(TopologyError::NoPartition(name));
    }
    let ascending = |previous: Option<RangeKey>, start: RangeKey| match previous {
        Some(previous) if previous >= start => Err(TopologyError::NotAscending {
            area: name.clone(),
            previous,
            start,
        }),
        _ => Ok(()),
    };
    let mut built: Vec<Generation> = Vec::with_capacity(generations.len());
    for ((breakpoint, partitions), generation) in
        generations.into_iter().zip((0..).map(GenerationIndex::new))
    {
        ascending(built.last().map(|g| g.breakpoint), breakpoint)?;
        if generation.get() > 0 && partitions[0].0 > breakpoint {
            return Err(TopologyError::Gap {
                area: name,
                breakpoint,
                start: partitions[0].0,
            });
        }
        let mut ranges: Vec<Partition> = Vec::with_capacity(partitions.len());
        for ((start, databases), partition) in
            partitions.into_iter().zip((0..).map(PartitionIndex::new))
        {
            ascending(ranges.last().map(|p| p.start), start)?;
            let owner = format!("partition {start} of area `{name}`");
            let home = |position| Home::Partition {
                area,
                generation,
                partition,
                position,
            };
            ranges.push(Partition {
                start,
                shards: shards.add(&owner, databases, home)?,
            });
        }
        built.push(Generation {
            breakpoint,
            partitions: ranges,
        });
    }
    Ok(AreaTopology::new(name, engine, hash, built))
}

#[derive(Default)]
struct ShardList {
    list: Vec<Shard>,
    used: HashSet<(ServerName, DatabaseName)>,
}

impl ShardList {
    fn add(
        &mut self,
        owner: &str,
        databases: Vec<(ServerName, DatabaseName)>,
        home: impl Fn(ShardPosition) -> Home,
    ) -> Result<Vec<ShardId>, TopologyError> {
        if databases.is_empty() || databases.len() > MAX_SHARDS {
            return Err(TopologyError::ShardCount {
                owner: owner.to_owned(),
                shards: databases.len(),
            });
        }
        let mut ids = Vec::with_capacity(databases.len());
        for (position, (server, database)) in databases.into_iter().enumerate() {
            if !self.used.insert((server.clone(), database.clone())) {
                return Err(TopologyError::DuplicateDatabase { server, database });
            }
            let id = u32::try_from(self.list.len()).expect("fewer than 2³² shards fit into memory");
            ids.push(ShardId::new(id));
            self.list.push(Shard {
                server,
                database,
                home: home(ShardPosition::new(position)),
            });
        }
        Ok(ids)
    }
}
