//! Areas: the handle that finds briefcases, and work over many shards.

use std::num::NonZeroUsize;
use std::sync::Arc;

use mdb_gdid::Gdid;

use crate::briefcase::Briefcase;
use crate::catalog::{LiveArea, Operation};
use crate::config::AreaName;
use crate::engine::Engine;
use crate::routing::{Route, RouteError};
use crate::scatter::{Scatter, ScatterOptions, ShardHandle, ShardInfo, scatter};
use crate::servers::{AcquireError, AnyPool, Replica, Servers, ShardPool};
use crate::topology::{AreaTopology, ShardId};

/// A partitioned area of one engine.
///
/// Cheap to clone, `Send` and `Sync`; made by [`Mdb::area`](crate::Mdb::area). It never keeps a
/// shard past one operation.
pub struct Area<DB: Engine> {
    inner: Arc<Inner<DB>>,
}

struct Inner<DB: Engine> {
    live: LiveArea,
    servers: Servers,
    name: AreaName,
    /// By shard id; only this area's shards have one.
    pools: Vec<Option<ShardPool<DB>>>,
}

impl<DB: Engine> Clone for Area<DB> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<DB: Engine> std::fmt::Debug for Area<DB> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Area")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

impl<DB: Engine> Area<DB> {
    pub(crate) fn new(live: LiveArea, servers: Servers) -> Result<Self, AcquireError> {
        let topology = Arc::clone(servers.topology());
        let area = topology.area(live.index());
        let mut pools = vec![None; topology.shards().len()];
        for shard in area.shards() {
            pools[shard.get() as usize] = Some(servers.typed::<DB>(shard)?.clone());
        }
        let name = area.name().clone();
        Ok(Self {
            inner: Arc::new(Inner {
                live,
                servers,
                name,
                pools,
            }),
        })
    }

    /// The area's name.
    pub fn name(&self) -> &AreaName {
        &self.inner.name
    }

    /// Finds the shard that owns the briefcase `id`, without I/O.
    ///
    /// # Errors
    ///
    /// - [`RouteError::ZeroId`]: `id` is [`Gdid::ZERO`].
    /// - [`RouteError::BelowFirstPartition`]: the area's first partition starts above it.
    #[inline]
    pub fn route(&self, id: Gdid) -> Result<Route, RouteError> {
        self.inner.live.route(id)
    }

    /// A handle to the briefcase `id`, which need not exist. No I/O.
    ///
    /// # Errors
    ///
    /// As [`route`](Self::route).
    pub fn briefcase(&self, id: Gdid) -> Result<Briefcase<DB>, RouteError> {
        self.route(id)?;
        Ok(Briefcase::new(self.clone(), id))
    }

    /// Runs `work` once for every shard of the area, several at a time; results come as they are ready.
    ///
    /// Nothing runs until the [`Scatter`] is used; how failures are dealt with is its user's choice:
    /// [`all`](Scatter::all) or [`report`](Scatter::report). Each shard answers for itself: the
    /// results are no snapshot of one moment. While a briefcase is being moved its rows are on two
    /// shards: [`ShardHandle::present`] is the condition that leaves those out that don't count, and
    /// [`each_shard_settled`](Self::each_shard_settled) asks again when a briefcase went from one
    /// shard to another in between, so that none is counted twice or not at all.
    ///
    /// # Cancel safety
    ///
    /// Dropping the scatter drops what runs: statements are ended on their servers and transactions
    /// are rolled back.
    ///
    /// ```
    /// # async fn example(mdb: &mdb_core::Mdb) -> Result<(), Box<dyn std::error::Error>> {
    /// use mdb_core::ScatterOptions;
    /// use sqlx::Sqlite;
    ///
    /// let counts = mdb
    ///     .area::<Sqlite>("user")?
    ///     .each_shard(ScatterOptions::new(), |shard| async move {
    ///         sqlx::query_scalar::<_, i64>("SELECT count(*) FROM account").fetch_one(&shard).await
    ///     })
    ///     .all()
    ///     .await?;
    /// println!("{} accounts", counts.iter().map(|(_, count)| count).sum::<i64>());
    /// # Ok(())
    /// # }
    /// ```
    pub fn each_shard<T, E, F, Fut>(&self, options: ScatterOptions, work: F) -> Scatter<'_, T, E>
    where
        F: FnMut(ShardHandle<DB>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let shards = self.topology(AreaTopology::shards);
        scatter(self, shards, options, work)
    }

    /// As [`each_shard`](Self::each_shard), but only for partitions from `id`'s on, from the first
    /// one without an id, and for the shards that briefcases from `id` on were moved to. All shards are
    /// asked while such a briefcase is being moved, and in a process that moves need not wait for:
    /// see [`Mdb::join`](crate::Mdb::join).
    ///
    /// For work that knows that what it looks for is not older than `id`; older briefcases may be met
    /// as well. Partitions come in ascending order, the shards of each by position.
    ///
    /// # Errors
    ///
    /// As [`route`](Self::route), and [`RouteError::UnknownHome`].
    pub fn each_partition_from<T, E, F, Fut>(
        &self,
        id: Option<Gdid>,
        options: ScatterOptions,
        work: F,
    ) -> Result<Scatter<'_, T, E>, RouteError>
    where
        F: FnMut(ShardHandle<DB>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let wanted = self.inner.live.shards_from(id)?;
        let mut shards = self.topology(AreaTopology::shards);
        shards.retain(|shard| wanted.contains(shard));
        Ok(scatter(self, shards, options, work))
    }

    /// What there is to know of the area's shards, in the order of [`each_shard`](Self::each_shard).
    pub fn shards(&self) -> Vec<ShardInfo> {
        self.topology(AreaTopology::shards)
            .into_iter()
            .map(|shard| self.info(shard))
            .collect()
    }

    /// The area's shards dealt out to `workers`, for work that several processes share: contiguous
    /// runs in the order of [`shards`](Self::shards), the first ones longer by one where it does not
    /// come out even. Worker `n` of every process gets the same run; late workers may get none.
    pub fn segments(&self, workers: NonZeroUsize) -> Vec<Vec<ShardInfo>> {
        let mut shards = self.shards().into_iter();
        let (each, longer) = (shards.len() / workers, shards.len() % workers);
        (0..workers.get())
            .map(|worker| {
                shards
                    .by_ref()
                    .take(each + usize::from(worker < longer))
                    .collect()
            })
            .collect()
    }

    fn topology<'a, I: Iterator<Item = ShardId> + 'a>(
        &'a self,
        shards: impl FnOnce(&'a AreaTopology) -> I,
    ) -> Vec<ShardId> {
        shards(self.inner.servers.topology().area(self.inner.live.index())).collect()
    }

    pub(crate) fn info(&self, shard: ShardId) -> ShardInfo {
        ShardInfo::new(self.inner.servers.topology(), shard)
    }

    #[inline]
    pub(crate) fn pool(&self, shard: ShardId) -> Result<&ShardPool<DB>, AcquireError> {
        match self.inner.pools.get(shard.get() as usize) {
            Some(Some(pool)) => Ok(pool),
            // A relocation to a shard of another area.
            _ => self.inner.servers.typed(shard),
        }
    }

    /// Begins an operation on the briefcase `id`.
    pub(crate) fn enter(&self, id: Gdid) -> Result<Operation, RouteError> {
        self.inner.live.enter(id)
    }

    /// A shard that briefcases of the area are on and that this process' configuration lacks.
    pub(crate) fn unknown_home(&self) -> Option<String> {
        self.inner.live.unknown_home()
    }

    /// The area's shard that is called `name` in every process.
    pub(crate) fn shard_named(&self, name: &str) -> Option<ShardId> {
        let topology = self.inner.servers.topology();
        topology.shard_named(self.inner.live.index(), name)
    }

    pub(crate) fn any_pool(&self, shard: ShardId) -> &AnyPool {
        self.inner.servers.pool(shard)
    }

    /// The pool of one of the area's own shards.
    pub(crate) fn own_pool(&self, shard: ShardId) -> &ShardPool<DB> {
        self.inner.pools[shard.get() as usize]
            .as_ref()
            .expect("every shard of the area has a pool")
    }

    pub(crate) fn replicas(&self, shard: ShardId) -> Result<Vec<Replica<'_, DB>>, AcquireError> {
        self.inner.servers.replicas(shard)
    }
}
