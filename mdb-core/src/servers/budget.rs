//! One server's connections: how many are open, who may have one, and which idle one has to go.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pool that can close one of its idle connections for a sibling's sake.
pub(crate) trait Evict: Send + Sync {
    /// Closes one idle connection; says whether there was one.
    fn evict_one(&self) -> bool;
}

/// The connection budget that all databases of one server share.
///
/// A permit is needed for every connection that is handed out, so at most `limit` are in use.
/// Connections that lie idle count as open too. Whoever holds a permit and finds `limit` open
/// connections knows that one of them is idle, and has it closed.
pub(crate) struct Budget {
    limit: u32,
    permits: Arc<Semaphore>,
    open: AtomicUsize,
    pools: Mutex<Vec<Weak<dyn Evict>>>,
    ending: tokio::sync::Mutex<()>,
    discoveries: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit,
            permits: Arc::new(Semaphore::new(limit as usize)),
            open: AtomicUsize::new(0),
            pools: Mutex::new(Vec::new()),
            ending: tokio::sync::Mutex::new(()),
            discoveries: AtomicU64::new(0),
        })
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many connections are open, in use or idle.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many are handed out.
    pub(crate) fn in_use(&self) -> usize {
        (self.limit as usize).saturating_sub(self.permits.available_permits())
    }

    /// How often connections of the server were found not to be what they were taken for.
    pub(crate) fn discoveries(&self) -> u64 {
        self.discoveries.load(Ordering::Relaxed)
    }

    /// One was found dead, or is of before the catalog was restored: those that are open, of all databases, are not used again.
    pub(crate) fn distrust_connections(&self) {
        self.discoveries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn register(&self, pool: Weak<dyn Evict>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// Waits for the right to hold a connection; `None` when `limit` runs out.
    pub(crate) async fn permit(&self, limit: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        let waiting = Arc::clone(&self.permits).acquire_owned();
        tokio::time::timeout(limit, waiting).await.ok()?.ok()
    }

    /// Counts one more open connection, having an idle one closed where that is needed.
    ///
    /// The caller holds a permit.
    pub(crate) async fn admit(self: &Arc<Self>) -> Open {
        loop {
            let open = self.open.load(Ordering::Relaxed);
            if open < self.limit as usize {
                if self
                    .open
                    .compare_exchange(open, open + 1, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
                {
                    return Open(Arc::clone(self));
                }
            } else if !self.evict_one() {
                // Somebody has just taken the idle one and is about to hand its own back.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for one's turn to open a connection beyond the budget, to end another's session.
    pub(crate) async fn ending(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.ending.lock().await
    }

    fn evict_one(&self) -> bool {
        let pools = self
            .pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // Starting anywhere spreads the loss over the siblings.
        let start = fastrand::usize(..pools.len().max(1));
        pools[start..]
            .iter()
            .chain(&pools[..start])
            .filter_map(Weak::upgrade)
            .any(|pool| pool.evict_one())
    }
}

/// One open connection's place in its server's count.
pub(crate) struct Open(Arc<Budget>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
