//! All servers of a configuration, with the pools of their databases.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::any::AnyPool;
use super::budget::Budget;
use super::error::AcquireError;
use super::identity::Identity;
use super::pool::{PoolParts, PoolStatus, ShardPool};
use super::replica::{Replica, Rest};
use crate::config::{Config, Endpoint, ServerConfig};
use crate::engine::{Access, Engine, Farewells};
use crate::topology::{ShardId, Topology};

/// How often idle connections are looked through for old ones.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The pools of every shard of a topology, and of its replicas. Opening them connects to nothing.
///
/// Cheap to clone; the pools close when the last clone is dropped.
#[derive(Clone)]
pub struct Servers {
    inner: Arc<Inner>,
}

/// Servers that are there as long as somebody else uses them.
#[derive(Clone)]
pub(crate) struct WeakServers(Weak<Inner>);

impl WeakServers {
    pub(crate) fn upgrade(&self) -> Option<Servers> {
        self.0.upgrade().map(|inner| Servers { inner })
    }
}

struct Inner {
    application: Arc<str>,
    topology: Arc<Topology>,
    configs: HashMap<String, ServerConfig>,
    shards: Vec<ShardPools>,
    farewells: Farewells,
}

struct ShardPools {
    primary: AnyPool,
    replicas: Vec<(AnyPool, Arc<Rest>)>,
    next_replica: AtomicUsize,
}

impl ShardPools {
    fn on_replicas(&self) -> impl Iterator<Item = &AnyPool> {
        self.replicas.iter().map(|(pool, _)| pool)
    }
}

impl Servers {
    /// Makes the pools for `topology` on the servers of `config`.
    ///
    /// # Panics
    ///
    /// When the topology names a server that the configuration lacks; build it from the same one.
    pub fn new(config: &Config, topology: &Arc<Topology>) -> Self {
        // 63 characters: PostgreSQL cuts longer names of sessions, which could not be found by them then.
        let store = config.store().as_str();
        let application: Arc<str> = format!("mdb:{store:.42}:{:016x}", fastrand::u64(..)).into();
        let farewells = Farewells::new();
        let mut budgets: HashMap<(String, usize), Arc<Budget>> = HashMap::new();
        let mut rests: HashMap<(String, usize), Arc<Rest>> = HashMap::new();
        let shards = (0..)
            .zip(topology.shards())
            .map(|(id, shard)| {
                let server = config
                    .server(shard.server())
                    .expect("the topology comes from this configuration");
                let mut pool = |place: usize, endpoint: &Endpoint, access| {
                    let budget = budgets
                        .entry((server.name().to_string(), place))
                        .or_insert_with(|| Budget::new(server.limits().max_connections()));
                    let parts = PoolParts {
                        server: server.name(),
                        database: shard.database(),
                        endpoint,
                        identity: Identity::of(topology, ShardId::new(id)),
                        limits: server.limits(),
                        application: &application,
                        budget,
                        farewells: &farewells,
                        access,
                    };
                    AnyPool::new(server.engine(), parts)
                };
                ShardPools {
                    primary: pool(0, server.primary(), Access::ReadWrite),
                    replicas: (1..)
                        .zip(server.replicas())
                        .map(|(place, endpoint)| {
                            let there = (server.name().to_string(), place);
                            let rest = rests.entry(there).or_insert_with(Rest::none);
                            let pool = pool(place, endpoint, Access::ReadOnly);
                            (pool, Arc::clone(rest))
                        })
                        .collect(),
                    next_replica: AtomicUsize::new(0),
                }
            })
            .collect();
        let configs = config
            .servers()
            .iter()
            .map(|server| (server.name().to_string(), server.clone()))
            .collect();
        let inner = Arc::new(Inner {
            application,
            topology: Arc::clone(topology),
            configs,
            shards,
            farewells,
        });
        sweep_regularly(&inner);
        Self { inner }
    }

    pub(crate) fn downgrade(&self) -> WeakServers {
        WeakServers(Arc::downgrade(&self.inner))
    }

    /// What this process' connections are called on their servers; random, so that there is no
    /// other of that name.
    pub(crate) fn application(&self) -> &str {
        &self.inner.application
    }

    /// The topology that the pools are for.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.inner.topology
    }

    /// The configuration of the server that `shard` is on.
    pub fn config_of(&self, shard: ShardId) -> &ServerConfig {
        &self.inner.configs[self.inner.topology.shard(shard).server().as_str()]
    }

    pub(crate) fn pool(&self, shard: ShardId) -> &AnyPool {
        &self.inner.shards[shard.get() as usize].primary
    }

    pub(crate) fn typed<DB: Engine>(&self, shard: ShardId) -> Result<&ShardPool<DB>, AcquireError> {
        self.pool(shard)
            .typed()
            .ok_or_else(|| self.wrong_engine::<DB>(shard))
    }

    /// The replicas of a shard, the next one in turn first.
    pub(crate) fn replicas<DB: Engine>(
        &self,
        shard: ShardId,
    ) -> Result<Vec<Replica<'_, DB>>, AcquireError> {
        let pools = &self.inner.shards[shard.get() as usize];
        let count = pools.replicas.len();
        let first = if count == 0 {
            0
        } else {
            pools.next_replica.fetch_add(1, Ordering::Relaxed) % count
        };
        let (before, from) = pools.replicas.split_at(first);
        from.iter()
            .chain(before)
            .map(|(pool, rest)| {
                let pool = pool.typed().ok_or_else(|| self.wrong_engine::<DB>(shard))?;
                Ok(Replica::new(pool, rest))
            })
            .collect()
    }

    fn wrong_engine<DB: Engine>(&self, shard: ShardId) -> AcquireError {
        let server = self.config_of(shard);
        AcquireError::WrongEngine {
            server: server.name().clone(),
            wanted: DB::KIND,
            found: server.engine(),
        }
    }

    /// What the pool of `shard` holds just now.
    pub fn status(&self, shard: ShardId) -> PoolStatus {
        self.pool(shard).status()
    }

    /// Connects to a shard's primary and checks its identity stamp.
    ///
    /// # Errors
    ///
    /// Any [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// Safe: a connection that is being opened is closed.
    pub async fn probe(&self, shard: ShardId) -> Result<(), AcquireError> {
        self.pool(shard).probe().await
    }

    /// Has connections that are open now not be used again.
    pub(crate) fn distrust_connections(&self) {
        for pools in &self.inner.shards {
            pools.primary.distrust_connections();
            pools.on_replicas().for_each(AnyPool::distrust_connections);
        }
    }

    /// Closes all pools. Idle connections have taken leave of their servers then, if those listen; connections in use do
    /// when they are given back.
    ///
    /// # Cancel safety
    ///
    /// Safe: connections take leave all the same.
    pub async fn close(&self) {
        for pools in &self.inner.shards {
            pools.primary.close();
            pools.on_replicas().for_each(AnyPool::close);
        }
        self.inner.farewells.all().await;
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers")
            .field("shards", &self.inner.shards.len())
            .finish_non_exhaustive()
    }
}

fn sweep_regularly(inner: &Arc<Inner>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let inner = Arc::downgrade(inner);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            let Some(inner) = inner.upgrade() else { return };
            for pools in &inner.shards {
                pools.primary.sweep();
                pools.on_replicas().for_each(AnyPool::sweep);
            }
        }
    });
}
