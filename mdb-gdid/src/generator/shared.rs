//! What the clones of a generator, its handles and its filler share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::dispenser::{Dispenser, Run, Take, Taken};
use super::filler;
use super::options::GeneratorOptions;
use super::stock::Stock;
use crate::authority::{AuthorityError, BlockSource};
use crate::gdid::Gdid;
use crate::names::{ScopeName, SequenceName};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dispenser: Dispenser,
    stock: Mutex<Stock>,
    /// Held by the one who waits for the filler; others wait for it in the order of their calls.
    turn: tokio::sync::Mutex<()>,
    /// Tells whoever has the turn that a block came, that a fetch failed, or that the filler ended.
    pub(super) news: Notify,
    /// Tells the filler that there may be something to do.
    pub(super) wake: Notify,
    pub(super) waits: AtomicU64,
    pub(super) waited_nanos: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) source: Arc<dyn BlockSource>,
    pub(super) scope: ScopeName,
    pub(super) name: SequenceName,
    pub(super) options: GeneratorOptions,
}

/// Counts the time of one who waits, even when the wait is cancelled.
struct Waiting<'a> {
    shared: &'a Shared,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let nanos = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.waits.fetch_add(1, Ordering::Relaxed);
        self.shared.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(
        source: Arc<dyn BlockSource>,
        scope: ScopeName,
        name: SequenceName,
        options: GeneratorOptions,
    ) -> Self {
        Self {
            dispenser: Dispenser::new(),
            stock: Mutex::new(Stock::new(options)),
            turn: tokio::sync::Mutex::new(()),
            news: Notify::new(),
            wake: Notify::new(),
            waits: AtomicU64::new(0),
            waited_nanos: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            source,
            scope,
            name,
            options,
        }
    }

    /// Nothing that is done under this lock waits, nor can it panic half-way.
    pub(super) fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn try_next(self: &Arc<Self>) -> Option<Gdid> {
        match self.dispenser.next() {
            Take::Got(Taken { id, at_mark: false }) => Some(id),
            taken => self.try_next_slowly(taken),
        }
    }

    #[cold]
    fn try_next_slowly(self: &Arc<Self>, mut taken: Take<Taken>) -> Option<Gdid> {
        loop {
            match taken {
                Take::Got(Taken { id, at_mark }) => {
                    self.wake_if(at_mark);
                    return Some(id);
                }
                Take::Lost(ids) => self.count_lost(ids),
                Take::Empty if self.go_on() => {}
                Take::Empty => return None,
            }
            taken = self.dispenser.next();
        }
    }

    /// As many ids as `wanted` says for what is left of the block, at least one; none when memory is
    /// empty.
    pub(super) fn try_run(self: &Arc<Self>, wanted: impl Fn(u64) -> u64) -> Option<Run> {
        loop {
            match self.dispenser.run(&wanted) {
                Take::Got(run) => {
                    self.wake_if(run.at_mark);
                    return Some(run);
                }
                Take::Lost(ids) => self.count_lost(ids),
                Take::Empty if self.go_on() => {}
                Take::Empty => return None,
            }
        }
    }

    /// Prepares for taking ids that had better be consecutive.
    pub(super) fn make_room(&self, count: usize) {
        self.stock().make_room(&self.dispenser, count as u64);
    }

    /// Goes on with the next block; false when memory is empty.
    fn go_on(self: &Arc<Self>) -> bool {
        let goes_on = self.stock().go_on(&self.dispenser);
        if !goes_on {
            // Without a runtime there is nobody who could fetch, and nobody waits.
            let _ = filler::ensure(self);
        }
        self.wake.notify_one();
        goes_on
    }

    fn count_lost(&self, ids: u64) {
        self.lost.fetch_add(ids, Ordering::Relaxed);
    }

    fn wake_if(&self, at_mark: bool) {
        if at_mark {
            self.wake.notify_one();
        }
    }

    /// Tries `attempt` until it has something, and waits for the filler in between, which is to fetch
    /// a block with as many ids as `attempt` says are missing.
    ///
    /// Those who wait get their turn one after the other. A fetch that fails while they wait fails
    /// for all of them, unless something is left in memory.
    pub(super) async fn wait_for<T>(
        self: &Arc<Self>,
        mut attempt: impl FnMut() -> Result<T, usize>,
    ) -> Result<T, AuthorityError> {
        let _waiting = Waiting {
            shared: self,
            since: Instant::now(),
        };
        let mut failures = self.stock().counts.failures;
        let _turn = self.turn.lock().await;
        loop {
            let missing = match attempt() {
                Ok(taken) => return Ok(taken),
                Err(missing) => missing,
            };
            {
                let mut stock = self.stock();
                if stock.counts.failures != failures {
                    if let Some(failure) = &stock.last_failure {
                        return Err(failure.clone());
                    }
                    failures = stock.counts.failures;
                }
                stock.want(missing);
            }
            filler::ensure(self)?;
            self.wake.notify_one();
            self.news.notified().await;
        }
    }

    /// Drops what has lapsed, in handles too, and says when something lapses next.
    pub(super) fn drop_lapsed(&self, now: Instant) -> Option<Instant> {
        let mut stock = self.stock();
        if stock.drop_lapsed(&self.dispenser, now) {
            self.dispenser.lapse();
        }
        stock.next_lapse()
    }

    /// Drops everything, in handles too: nobody is there any more who would do it in time.
    pub(super) fn drop_all(&self) {
        self.stock().drop_all(&self.dispenser);
        self.dispenser.lapse();
    }

    pub(super) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_nanos.load(Ordering::Relaxed))
    }
}
