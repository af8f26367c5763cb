//! CENTRAL: placement by any shard key, and the named indexes that find ids by strings.
//!
//! An **index** maps unique keys (an e-mail address) to GDIDs. Its entries are spread over
//! CENTRAL's shards by the key's hash and kept in MDB's own table; lookups are cached.
//!
//! Vocabulary:
//!
//! - **entry**: a key and the id that holds it.
//! - **claim**: a key that is taken, but not found yet, while its briefcase is being created.
//! - **unfinished**: an entry that a claim or a rename left behind when its process died.
//!
//! # Creating a briefcase together with its entry
//!
//! The two live on different shards, so there is no transaction over both. Instead:
//!
//! 1. [`claim`](Index::claim) takes the key for a fresh id; nobody else can have it from now on.
//! 2. The briefcase is created, in a transaction on its own shard.
//! 3. [`confirm`](Index::confirm) turns the claim into an entry that is found.
//!
//! | the process dies | what is left | what to do |
//! |---|---|---|
//! | before 1 is done | nothing, or a claim without a briefcase | release the claim |
//! | between 1 and 2 | a claim without a briefcase | release the claim |
//! | between 2 and 3 | a claim with a briefcase | confirm it (or delete the briefcase and release it) |
//! | after 3 | the entry | nothing |
//!
//! [`unfinished`](Index::unfinished) finds what is left, also `mdb central claims`. Whoever was
//! merely slow finds its claim gone when it confirms: [`IndexError::ClaimLost`].
//!
//! # Renaming a key
//!
//! Between keys on one shard it is one statement. Between two shards, the **old** key's entry
//! decides: it is marked with the new key, the new key is taken but points back at it, then one
//! statement on the old entry makes the new key found and the old one not found. Before that
//! statement the rename can be undone, after it only be completed; [`Index::settle`] does what
//! holds. At no time are both keys found, or neither, by whoever reads past the cache
//! ([`Index::get_uncached`]); a cache in another process can be behind by its time to live.

mod cache;
mod claims;
mod entry;
mod error;
mod index;
mod key;
mod rename;

use std::collections::HashMap;
use std::sync::Arc;

pub use claims::{BriefcaseFound, Claim, Settled, Unfinished, UnfinishedKind};
pub use error::IndexError;
pub use index::Index;
pub use key::{IndexKey, KeyError, MAX_KEY_BYTES};

use crate::catalog::LiveRouter;
use crate::config::CentralConfig;
use crate::engine::Engine;
use crate::routing::{CentralRoute, ShardKey};
use crate::scatter::{ShardHandle, ShardInfo};
use crate::servers::{AcquireError, AnyPool, Servers};

/// The CENTRAL area. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Central {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    indexes: HashMap<String, Index>,
}

/// Where keys live.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    live: Arc<LiveRouter>,
    servers: Servers,
}

impl Place {
    pub(crate) fn of(&self, key: &ShardKey<'_>) -> CentralRoute {
        self.live.current().central(key)
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = &AnyPool> {
        self.servers
            .topology()
            .central()
            .shards()
            .iter()
            .map(|shard| self.servers.pool(*shard))
    }
}

impl Central {
    pub(crate) fn new(config: &CentralConfig, live: Arc<LiveRouter>, servers: Servers) -> Self {
        let place = Place { live, servers };
        let indexes = config
            .indexes()
            .iter()
            .map(|index| {
                (
                    index.name().to_string(),
                    Index::new(index, config.cache(), place.clone()),
                )
            })
            .collect();
        Self {
            inner: Arc::new(Inner { place, indexes }),
        }
    }

    /// The index called `name`. One that the configuration lacks answers every call with
    /// [`IndexError::Unknown`].
    pub fn index(&self, name: &str) -> Index {
        self.inner
            .indexes
            .get(name)
            .cloned()
            .unwrap_or_else(|| Index::unknown(name))
    }

    /// The names of the configured indexes, in no order.
    pub fn index_names(&self) -> impl Iterator<Item = &str> {
        self.inner.indexes.keys().map(String::as_str)
    }

    /// Where CENTRAL keeps `key`, without I/O.
    pub fn route<'k>(&self, key: impl Into<ShardKey<'k>>) -> CentralRoute {
        self.inner.place.of(&key.into())
    }

    /// The shard of `key`, for tables of one's own in CENTRAL.
    ///
    /// # Errors
    ///
    /// [`AcquireError::WrongEngine`]: CENTRAL is on another engine.
    pub fn shard<'k, DB: Engine>(
        &self,
        key: impl Into<ShardKey<'k>>,
    ) -> Result<ShardHandle<DB>, AcquireError> {
        let shard = self.route(key).shard_id();
        let servers = &self.inner.place.servers;
        let info = ShardInfo::new(servers.topology(), shard);
        Ok(ShardHandle::new(servers.typed::<DB>(shard)?.clone(), info))
    }
}
