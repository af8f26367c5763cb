//! The topology: which areas there are, how their ids are ranged, and which databases hold them.
//!
//! A [`Topology`] is validated when it is built and never changes; a new one replaces it whole. It
//! knows names and positions only, no connection and no clock.
//!
//! Vocabulary:
//!
//! - **shard**: a database on a server, the home of briefcases. Its [`ShardId`] counts all shards
//!   of a topology and holds for that topology only; its [`ShardPosition`] is its place in its
//!   partition's list, and is data: the hash picks by it.
//! - **generation**: a complete set of ranges that holds from its breakpoint on.
//! - **partition**: a half-open range of range keys inside a generation, named by its start.

mod builder;
mod change;
mod ids;
mod model;

pub use builder::{AreaBuilder, TopologyBuilder, TopologyError};
pub use change::{Change, Rerouted, change};
pub use ids::{AreaIndex, GenerationIndex, MAX_SHARDS, PartitionIndex, ShardId, ShardPosition};
pub use model::{AreaTopology, CentralTopology, Generation, Home, Partition, Shard, Topology};
