//! The router that holds just now, replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use mdb_gdid::{Gdid, RangeKey};
use tokio::sync::Notify;

use super::operation::{Operation, Path};
use super::relocation::RelocationState;
use crate::routing::{AreaRouter, Route, RouteError, Router};
use crate::topology::{AreaIndex, ShardId};

/// The number of a state of the relocations; each change has the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Before the first change.
    pub const START: Self = Self(0);

    /// An epoch by its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The briefcases that are in motion, each with the shard that it is leaving.
pub(crate) type Motions = HashMap<(AreaIndex, Gdid), ShardId>;

/// A router with what has to be known of it besides.
pub(crate) struct Snapshot {
    version: u64,
    epoch: Epoch,
    state: RelocationState,
    running: Box<[AtomicUsize]>,
}

impl Snapshot {
    fn new(version: u64, epoch: Epoch, state: RelocationState) -> Self {
        let shards = state.router.topology().shards().len();
        Self {
            version,
            epoch,
            state,
            running: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn motions(&self) -> &Motions {
        &self.state.motions
    }

    pub(super) fn state(&self) -> &RelocationState {
        &self.state
    }

    /// How many operations that began by this snapshot run on `shard`.
    pub(super) fn running(&self, shard: ShardId) -> &AtomicUsize {
        &self.running[shard.get() as usize]
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The router of a store, replaced as a whole when something changes.
#[derive(Debug)]
pub struct LiveRouter {
    version: AtomicU64,
    current: ArcSwap<Snapshot>,
    /// Those that were replaced while operations ran by them, each with when that was; ascending.
    older: Mutex<Vec<(Arc<Snapshot>, Instant)>>,
    origin: Instant,
    /// Until when the lease holds, in nanoseconds after `origin`; 0 without one.
    lease: AtomicU64,
    /// How often a lease has run out before it was renewed.
    lapses: AtomicU64,
    used: Notify,
}

impl LiveRouter {
    /// Begins with `router`.
    pub fn new(router: Router) -> Arc<Self> {
        let first = Snapshot::new(0, Epoch::START, RelocationState::at_rest(router));
        Arc::new(Self {
            version: AtomicU64::new(0),
            current: ArcSwap::from_pointee(first),
            older: Mutex::new(Vec::new()),
            origin: Instant::now(),
            lease: AtomicU64::new(0),
            lapses: AtomicU64::new(0),
            used: Notify::new(),
        })
    }

    /// The router that holds just now.
    pub fn current(&self) -> Arc<Router> {
        Arc::clone(&self.current.load().state.router)
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the router, for all operations that begin from now on.
    ///
    /// The new router's topology must have the same areas and shards in the same order: handles
    /// keep their numbers. Relocations may differ.
    pub fn replace(&self, router: Router) {
        let epoch = self.current.load().epoch;
        self.change(epoch, RelocationState::at_rest(router));
    }

    pub(super) fn change(&self, epoch: Epoch, state: RelocationState) {
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version.load(Ordering::SeqCst) + 1;
        let next = Snapshot::new(version, epoch, state);
        older.push((self.current.swap(Arc::new(next)), Instant::now()));
        // After the swap: whoever sees the new number finds the new router. Whoever has counted
        // itself under the old one before that is seen by `running_before`.
        self.version.store(version, Ordering::SeqCst);
        older.retain(|(snapshot, _)| {
            snapshot
                .running
                .iter()
                .any(|running| running.load(Ordering::SeqCst) > 0)
        });
    }

    /// For how long, at the least, an operation has been running on `shard` that began before the present snapshot.
    pub(super) fn running_before(&self, shard: ShardId) -> Option<Duration> {
        let older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        older
            .iter()
            .find(|(snapshot, _)| snapshot.running(shard).load(Ordering::SeqCst) > 0)
            .map(|(_, replaced)| replaced.elapsed())
    }

    /// Grants the lease until `until`; `None` takes it back.
    pub(super) fn grant(&self, until: Option<Instant>) {
        if !self.has_lease() {
            // Before the new one is seen: whoever began under the old one has to notice.
            self.lapses.fetch_add(1, Ordering::SeqCst);
        }
        let nanos = until.map_or(0, |until| nanos(until.duration_since(self.origin)));
        self.lease.store(nanos, Ordering::SeqCst);
    }

    /// How often a lease has run out before it was renewed.
    pub(super) fn lapses(&self) -> u64 {
        self.lapses.load(Ordering::SeqCst)
    }

    /// Whether this process is sure to be heard of by whoever moves briefcases.
    pub(crate) fn has_lease(&self) -> bool {
        nanos(self.origin.elapsed()) < self.lease.load(Ordering::Relaxed)
    }

    /// Is told when the router is used without a lease.
    pub(super) fn used(&self) -> &Notify {
        &self.used
    }

    /// A handle for the area at `index`.
    pub fn area(self: &Arc<Self>, index: AreaIndex) -> LiveArea {
        let snapshot = self.snapshot();
        LiveArea {
            live: Arc::clone(self),
            index,
            pinned: Arc::clone(snapshot.state.router.area_at(index)),
            snapshot,
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Routes the ids of one area by the router that holds just now.
#[derive(Clone, Debug)]
pub struct LiveArea {
    live: Arc<LiveRouter>,
    index: AreaIndex,
    snapshot: Arc<Snapshot>,
    pinned: Arc<AreaRouter>,
}

impl LiveArea {
    /// Finds the shard that owns the briefcase `id`; see [`AreaRouter::route`].
    ///
    /// # Errors
    ///
    /// As [`AreaRouter::route`].
    #[inline]
    pub fn route(&self, id: Gdid) -> Result<Route, RouteError> {
        if self.live.version.load(Ordering::Acquire) == self.snapshot.version {
            self.pinned.route(id)
        } else {
            self.route_anew(id)
        }
    }

    /// By the router that has replaced the handle's own; apart, so that `route` stays short.
    #[inline(never)]
    fn route_anew(&self, id: Gdid) -> Result<Route, RouteError> {
        let current = self.live.current.load();
        current.state.route(self.index, id)
    }

    /// Begins an operation on the briefcase `id`: finds its shard, and counts until it is dropped.
    ///
    /// # Errors
    ///
    /// As [`AreaRouter::route`], and [`RouteError::UnknownHome`].
    pub(crate) fn enter(&self, id: Gdid) -> Result<Operation, RouteError> {
        loop {
            let version = self.live.version.load(Ordering::Acquire);
            let snapshot = if version == self.snapshot.version {
                Arc::clone(&self.snapshot)
            } else {
                self.live.snapshot()
            };
            let route = snapshot.state.route(self.index, id)?;
            let motions = snapshot.motions();
            let rests = motions.is_empty() || !motions.contains_key(&(self.index, id));
            let path = if rests && self.live.has_lease() {
                Path::Direct
            } else {
                self.live.used.notify_one();
                Path::Guarded
            };
            let version = snapshot.version;
            let operation = Operation::begin(&self.live, snapshot, route, path);
            // Counted first, looked again afterwards: either this sees the new snapshot, or whoever
            // made it sees this.
            if self.live.version.load(Ordering::SeqCst) == version {
                return Ok(operation);
            }
        }
    }

    /// The shards that the area's briefcases from `id` on may be on: all of them while it is not known
    /// where one goes, or in a process that may not have been told.
    pub(crate) fn shards_from(&self, id: Option<Gdid>) -> Result<HashSet<ShardId>, RouteError> {
        // First: a process is told before it has its lease.
        let is_told = self.is_told();
        let current = self.live.current.load();
        let state = &current.state;
        let mut shards = state.shards_from(self.index, id)?;
        let key = id.map_or(RangeKey::MIN, Gdid::range_key);
        if !is_told || state.moves_from(self.index, key) {
            shards.extend(state.router.topology().area(self.index).shards());
        }
        Ok(shards)
    }

    /// A shard that briefcases of the area are on and that this process' configuration lacks, as far as
    /// the process has been told.
    pub(crate) fn unknown_home(&self) -> Option<String> {
        self.is_told();
        let current = self.live.current.load();
        current.state.unknown_home(self.index).map(str::to_owned)
    }

    /// Whether moves wait until this process knows of them; they begin to when it asks.
    fn is_told(&self) -> bool {
        let is_told = self.live.has_lease();
        if !is_told {
            self.live.used.notify_one();
        }
        is_told
    }

    /// The router of the whole store that holds just now.
    pub fn router(&self) -> Arc<Router> {
        self.live.current()
    }

    /// The area's place in the topology.
    pub fn index(&self) -> AreaIndex {
        self.index
    }
}
