//! What the clones of a generator, its handles and its filler share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::dispenser::{Dispenser, Run, Take};
use super::filler;
use super::lane::{self, Lane};
use super::options::GeneratorOptions;
use super::stock::Stock;
use crate::authority::{AuthorityError, BlockSource};
use crate::gdid::Gdid;
use crate::names::{ScopeName, SequenceName};

/// How many ids a thread holds at most.
const HELD_BY_THREAD: u64 = 64;

/// Every generator's number; 0 is none's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
pub(super) struct Shared {
    /// Tells it from all other generators of the process.
    pub(super) id: u64,
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
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
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
        let (era, id) = lane::with_lane_of_thread(self.id, |lane| {
            lane.deal(self.id, |ticket| self.dispenser.is_at(ticket))
                .or_else(|| self.try_next_of_block(lane))
        })?;
        Some(Gdid::from_era_and_id(era, id))
    }

    #[inline(never)]
    fn try_next_of_block(self: &Arc<Self>, lane: &Lane) -> Option<(u32, u64)> {
        let length = lane.length(self.id, HELD_BY_THREAD);
        if length > 1 {
            let run = self.try_run(|left| length.min(left))?;
            Self::note(lane, run.ticket, run.count);
            lane.fill(&run);
            return lane.deal(self.id, |_| true);
        }
        lane.step_aside();
        loop {
            match self.dispenser.next() {
                Take::Got(taken) => {
                    Self::note(lane, taken.ticket, 1);
                    self.wake_if(taken.at_mark);
                    return Some((taken.era, taken.id));
                }
                Take::Lost(ids) => self.count_lost(ids),
                Take::Empty if self.go_on() => {}
                Take::Empty => return None,
            }
        }
    }

    fn note(lane: &Lane, ticket: u64, count: u64) {
        lane.note(ticket + count, |before| {
            Dispenser::<64>::is_undisturbed(before, ticket)
        });
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
    #[cold]
    fn go_on(self: &Arc<Self>) -> bool {
        let (goes_on, is_low) = {
            let mut stock = self.stock();
            let goes_on = stock.go_on(&self.dispenser);
            (goes_on, stock.is_low(&self.dispenser))
        };
        if !goes_on {
            // Without a runtime there is nobody who could fetch, and nobody waits.
            let _ = filler::ensure(self);
        }
        // Else whoever takes the id at the mark wakes it.
        self.wake_if(is_low);
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
