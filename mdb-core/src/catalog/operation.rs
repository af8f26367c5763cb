//! Operations under way, counted so that nobody changes what they rely on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::live::{Epoch, LiveRouter, Snapshot};
use crate::routing::{Placement, Route};
use crate::topology::ShardId;

/// How an operation gets to its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Straight on: nobody moves the briefcase without this process having said that it knows.
    Direct,
    /// By way of the briefcase's fence, which says where it is.
    Guarded,
}

/// An operation on one briefcase; it counts, under the snapshot that it began by, until it is
/// dropped.
pub(crate) struct Operation {
    live: Arc<LiveRouter>,
    snapshot: Arc<Snapshot>,
    route: Route,
    path: Path,
    lapses: u64,
}

impl Operation {
    pub(super) fn begin(
        live: &Arc<LiveRouter>,
        snapshot: Arc<Snapshot>,
        route: Route,
        path: Path,
    ) -> Self {
        snapshot
            .running(route.shard_id())
            .fetch_add(1, Ordering::SeqCst);
        Self {
            live: Arc::clone(live),
            snapshot,
            route,
            path,
            lapses: live.lapses(),
        }
    }

    /// Where the briefcase is by the snapshot.
    pub(crate) fn shard(&self) -> ShardId {
        self.route.shard_id()
    }

    /// Whether it is there by a relocation.
    pub(crate) fn placement(&self) -> Placement {
        self.route.placement()
    }

    pub(crate) fn path(&self) -> Path {
        self.path
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.snapshot.epoch()
    }

    /// Whether the lease has held from the beginning until now: then nobody can have moved the
    /// briefcase before what was read. On the guarded path the fence sees to that.
    pub(crate) fn was_in_time(&self) -> bool {
        self.path == Path::Guarded || (self.live.has_lease() && self.live.lapses() == self.lapses)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.snapshot
            .running(self.shard())
            .fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("shard", &self.shard())
            .field("path", &self.path)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}
