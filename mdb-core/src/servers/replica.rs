//! Replicas, and when not to ask them: one that could not be reached rests for a while, lest every read in its turn
//! wait for it until its time is out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::connection::Lease;
use super::pool::{Lane, ShardPool};
use crate::engine::Engine;

/// For how long a server is not asked after it could not be reached.
const REST: Duration = Duration::from_secs(5);

/// Until when a server rests.
#[derive(Debug)]
pub(super) struct Rest {
    origin: Instant,
    /// In milliseconds after `origin`; 0 when it was reached last.
    until: AtomicU64,
}

impl Rest {
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            until: AtomicU64::new(0),
        })
    }

    /// Whether to ask the server now. After its rest one of those who come does, and the others pass it over until
    /// that one knows.
    fn is_to_be_asked(&self, now: u64) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        let next = || end_after(now);
        until == 0
            || until <= now
                && self
                    .until
                    .compare_exchange(until, next(), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
    }

    fn begin(&self, now: u64) {
        self.until.store(end_after(now), Ordering::Relaxed);
    }

    fn end_early(&self) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.until.store(0, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn end_after(now: u64) -> u64 {
    let rest = REST.mul_f64(0.75 + fastrand::f64() / 2.0);
    now.saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX))
}

/// The pool of a shard on a replica, which rests together with the other pools on that server.
pub(crate) struct Replica<'p, DB: Engine> {
    pool: &'p ShardPool<DB>,
    rest: &'p Rest,
}

impl<'p, DB: Engine> Replica<'p, DB> {
    pub(super) fn new(pool: &'p ShardPool<DB>, rest: &'p Rest) -> Self {
        Self { pool, rest }
    }

    /// A connection to it; `None` while it rests, or if it has none to give.
    pub(crate) async fn acquire(&self) -> Option<Lease<DB>> {
        if !self.rest.is_to_be_asked(self.rest.now()) {
            return None;
        }
        match self.pool.acquire(Lane::Read).await {
            Ok(lease) => {
                self.rest.end_early();
                Some(lease)
            }
            Err(error) => {
                tracing::debug!(error = %crate::error::chain(&error), "passing over a replica");
                if error.is_unreachable() {
                    self.rest.begin(self.rest.now());
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_its_rest_one_asks() {
        let rest = Rest::none();
        assert!(rest.is_to_be_asked(1) && rest.is_to_be_asked(1));
        rest.begin(1);
        assert!(!rest.is_to_be_asked(2));
        let over = rest.until.load(Ordering::Relaxed);
        assert!(rest.is_to_be_asked(over));
        assert!(!rest.is_to_be_asked(over), "another one does");
        let over = rest.until.load(Ordering::Relaxed);
        assert!(rest.is_to_be_asked(over), "that one never came back");
        rest.end_early();
        assert!(rest.is_to_be_asked(over) && rest.is_to_be_asked(over));
    }
}
