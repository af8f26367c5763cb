//! Where data lives: shards, CENTRAL, areas and their ranges.

use std::time::Duration;

use mdb_gdid::RangeKey;

use super::{BriefcaseConfig, Capture, EngineKind, HashKind};
use crate::config::names::{AreaName, DatabaseName, IndexName, ServerName};

/// One home of data: a database on a server. Its position in its list is data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardConfig {
    pub(in crate::config) server: ServerName,
    pub(in crate::config) database: DatabaseName,
}

impl ShardConfig {
    /// The server; [`Config::server`](super::Config::server) finds it.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The database on that server. No other shard of the store has the same.
    pub fn database(&self) -> &DatabaseName {
        &self.database
    }
}

/// CENTRAL: its shards, its cache and its indexes.
#[derive(Clone, Debug)]
pub struct CentralConfig {
    pub(in crate::config) engine: EngineKind,
    pub(in crate::config) hash: HashKind,
    pub(in crate::config) shards: Vec<ShardConfig>,
    pub(in crate::config) cache: CacheConfig,
    pub(in crate::config) indexes: Vec<IndexConfig>,
}

impl CentralConfig {
    /// The engine of all its shards.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// How shard keys are spread over the shards.
    pub fn hash(&self) -> HashKind {
        self.hash
    }

    /// 1 to 256 shards.
    pub fn shards(&self) -> &[ShardConfig] {
        &self.shards
    }

    /// Limits of each index's cache.
    pub fn cache(&self) -> &CacheConfig {
        &self.cache
    }

    /// The declared indexes, in the order of the file.
    pub fn indexes(&self) -> &[IndexConfig] {
        &self.indexes
    }
}

/// Limits of CENTRAL's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    pub(in crate::config) capacity: u64,
    pub(in crate::config) ttl: Duration,
    pub(in crate::config) negative_ttl: Duration,
}

impl CacheConfig {
    /// Most entries held; 0 switches the cache off.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How long a found id is held.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long the absence of a key is held.
    pub fn negative_ttl(&self) -> Duration {
        self.negative_ttl
    }
}

/// What kind of key an index has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A 64-bit integer.
    Integer,
}

/// What is done to a string key before it is stored or looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Normalization {
    /// Nothing: keys are taken as they are.
    None,
    /// White space around the key is removed.
    Trim,
    /// White space around the key is removed, then Unicode case folding and NFC applied.
    Fold,
}

/// An index in CENTRAL: unique key → GDID.
#[derive(Clone, Debug)]
pub struct IndexConfig {
    pub(in crate::config) name: IndexName,
    pub(in crate::config) key: KeyKind,
    pub(in crate::config) normalization: Normalization,
    pub(in crate::config) claim_ttl: Duration,
}

impl IndexConfig {
    /// The index's name.
    pub fn name(&self) -> &IndexName {
        &self.name
    }

    /// What kind of key it has.
    pub fn key(&self) -> KeyKind {
        self.key
    }

    /// What is done to a key first; always [`Normalization::None`] unless the key is a string.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }

    /// A claim older than this counts as abandoned.
    pub fn claim_ttl(&self) -> Duration {
        self.claim_ttl
    }
}

/// An area: its ranges and its briefcase types.
#[derive(Clone, Debug)]
pub struct AreaConfig {
    pub(in crate::config) name: AreaName,
    pub(in crate::config) engine: EngineKind,
    pub(in crate::config) hash: HashKind,
    pub(in crate::config) generations: Vec<GenerationConfig>,
    pub(in crate::config) briefcases: Vec<BriefcaseConfig>,
    pub(in crate::config) capture: Capture,
}

impl AreaConfig {
    /// The area's name; never `CENTRAL` in any case.
    pub fn name(&self) -> &AreaName {
        &self.name
    }

    /// The engine of all its shards.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// How ids are spread over a partition's shards.
    pub fn hash(&self) -> HashKind {
        self.hash
    }

    /// At least one; breakpoints ascend.
    pub fn generations(&self) -> &[GenerationConfig] {
        &self.generations
    }

    /// The briefcase types, in the order of the file; possibly none.
    pub fn briefcases(&self) -> &[BriefcaseConfig] {
        &self.briefcases
    }

    /// When what records changes of briefcases is installed on their tables.
    pub fn capture(&self) -> Capture {
        self.capture
    }
}

/// A complete set of ranges that holds from its breakpoint on.
#[derive(Clone, Debug)]
pub struct GenerationConfig {
    pub(in crate::config) breakpoint: RangeKey,
    pub(in crate::config) partitions: Vec<PartitionConfig>,
}

impl GenerationConfig {
    /// The first range key that this generation decides about.
    pub fn breakpoint(&self) -> RangeKey {
        self.breakpoint
    }

    /// At least one; starts ascend. In every generation but the first, the first start is not
    /// above the breakpoint.
    pub fn partitions(&self) -> &[PartitionConfig] {
        &self.partitions
    }
}

/// A range of ids and its shards.
#[derive(Clone, Debug)]
pub struct PartitionConfig {
    pub(in crate::config) start: RangeKey,
    pub(in crate::config) shards: Vec<ShardConfig>,
}

impl PartitionConfig {
    /// The lowest range key of the partition.
    pub fn start(&self) -> RangeKey {
        self.start
    }

    /// 1 to 256 shards.
    pub fn shards(&self) -> &[ShardConfig] {
        &self.shards
    }
}
