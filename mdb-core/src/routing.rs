//! The router: from (topology, relocations, area, key) to a shard, as a pure function.
//!
//! Nothing here does I/O, reads a clock, locks or allocates on the way to an answer. The router
//! returns ids ([`ShardId`](crate::topology::ShardId)), never handles: whoever holds connections
//! looks them up by id.
//!
//! Vocabulary:
//!
//! - **slot**: one of 4,096 buckets that a key's hash falls into ([`slots`]).
//! - **slot table**: the frozen rule that gives each slot to one of a partition's shards.
//! - **relocation**: an exception to the rule, for one briefcase or a span of range keys.
//! - **snapshot**: one immutable topology with its relocations, answered from as a whole.
//!
//! # Example
//!
//! An area with two partitions, the first with four shards. Id `0:3:250000` has the range key
//! `0:250000`: the partition that starts at `0:250000` owns it, whatever the authority.
//!
//! ```
//! use mdb_core::routing::Router;
//! use mdb_core::topology::Topology;
//! use mdb_gdid::Gdid;
//!
//! let topology = Topology::from_toml(
//!     r#"
//!     store = { name = "shop" }
//!     central = { shards = [{ server = "local", database = "central" }] }
//!     [[server]]
//!     name = "local"
//!     url = "sqlite:data"
//!     [[area]]
//!     name = "user"
//!     [[area.partition]]
//!     start = "0:0:0"
//!     shards = [
//!         { server = "local", database = "a0" }, { server = "local", database = "a1" },
//!         { server = "local", database = "a2" }, { server = "local", database = "a3" },
//!     ]
//!     [[area.partition]]
//!     start = "0:0:250000"
//!     shards = [{ server = "local", database = "b0" }]
//!     "#,
//! )?;
//! let router = Router::new(topology);
//! let users = router.area("user").expect("declared above");
//!
//! let below = users.route(Gdid::new(0, 3, 249_999)?)?;
//! let at = users.route(Gdid::new(0, 3, 250_000)?)?;
//! assert_eq!(below.partition().get(), 0);
//! assert_eq!(at.partition().get(), 1);
//! assert_eq!(router.topology().shard(at.shard_id()).database().as_str(), "b0");
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```

pub mod azos;
mod ranges;
mod relocations;
mod router;
mod shard_key;
pub mod slots;

pub use ranges::RangeTable;
pub use relocations::{Relocation, RelocationError, Relocations, Span};
pub use router::{AreaRouter, CentralRoute, Placement, Route, RouteError, Router};
pub use shard_key::{Atom, AtomError, EntityId, ShardKey};
