//! The dynamic state: which router answers just now.
//!
//! A topology and its relocations change as a whole: a new [`Router`] replaces the old one in one
//! step, and every operation uses the one that it found at its beginning. A handle keeps the router
//! that it was made with and compares one number per operation, so that routing takes no lock and
//! follows no shared pointer while nothing changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mdb_gdid::Gdid;

use crate::routing::{AreaRouter, Route, RouteError, Router};
use crate::topology::AreaIndex;

/// The router of a store, replaced as a whole when something changes.
#[derive(Debug)]
pub struct LiveRouter {
    version: AtomicU64,
    current: ArcSwap<Router>,
}

impl LiveRouter {
    /// Begins with `router`.
    pub fn new(router: Router) -> Arc<Self> {
        Arc::new(Self {
            version: AtomicU64::new(0),
            current: ArcSwap::from_pointee(router),
        })
    }

    /// The router that holds just now.
    pub fn current(&self) -> Arc<Router> {
        self.current.load_full()
    }

    /// Replaces the router, for all operations that begin from now on.
    ///
    /// The new router's topology must have the same areas and shards in the same order: handles
    /// keep their numbers. Relocations may differ.
    pub fn replace(&self, router: Router) {
        self.current.store(Arc::new(router));
        // After the store: whoever sees the new number finds the new router.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// A handle for the area at `index`.
    pub fn area(self: &Arc<Self>, index: AreaIndex) -> LiveArea {
        // The number first: if the router is replaced in between, the handle is merely outdated.
        let version = self.version.load(Ordering::Acquire);
        let pinned = Arc::clone(self.current.load().area_at(index));
        LiveArea {
            live: Arc::clone(self),
            index,
            version,
            pinned,
        }
    }
}

/// Routes the ids of one area by the router that holds just now.
#[derive(Clone, Debug)]
pub struct LiveArea {
    live: Arc<LiveRouter>,
    index: AreaIndex,
    version: u64,
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
        if self.live.version.load(Ordering::Acquire) == self.version {
            self.pinned.route(id)
        } else {
            self.route_anew(id)
        }
    }

    /// By the router that has replaced the handle's own; apart, so that `route` stays short.
    #[inline(never)]
    fn route_anew(&self, id: Gdid) -> Result<Route, RouteError> {
        self.live.current.load().area_at(self.index).route(id)
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
