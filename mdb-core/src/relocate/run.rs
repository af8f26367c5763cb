//! What the batches of one run share: turns, connections, and the triggers on the source.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{MutexGuard, Semaphore, SemaphorePermit};

use super::error::MoveError;
use super::record::MovePhase;
use super::seen::Seen;
use crate::engine::relocating::{Pair, Relocating};
use crate::topology::ShardId;

/// For each batch that is copied, how many are at work: one is verified and flipped meanwhile, and one is deleted at the source.
const AT_WORK: usize = 3;

/// The batches of a run that are under way or to come.
///
/// New sessions have to log in and to learn what the tables are, and installing triggers and removing
/// them again takes longer than moving a briefcase: a run does both once.
pub(super) struct Run {
    /// How many batches there are still, by their source.
    left: BTreeMap<ShardId, tokio::sync::Mutex<usize>>,
    /// Pairs of whatever engine that nobody uses just now.
    idle: Mutex<Vec<Idle>>,
    /// How many batches may be at work at once, and not only wait for processes.
    shifts: Semaphore,
    /// How many batches may be copied.
    turns: Semaphore,
    /// Whether batches that have copied nothing yet are to stop.
    closed: AtomicBool,
}

/// A batch that needs the triggers no more, and is the only one of its source that ends just now.
pub(super) struct Ending<'r> {
    left: Option<MutexGuard<'r, usize>>,
}

impl Ending<'_> {
    /// Whether no other batch of the run will need the triggers.
    pub(super) fn is_last(&self) -> bool {
        self.left.as_ref().is_none_or(|left| **left <= 1)
    }

    /// Notes that the journal knows the batch to be over.
    pub(super) fn over(self) {
        if let Some(mut left) = self.left {
            *left = left.saturating_sub(1);
        }
    }
}

struct Idle {
    source: ShardId,
    target: ShardId,
    pair: Box<dyn Any + Send>,
    seen: Option<Arc<Seen>>,
}

impl Run {
    /// With so many batches from each source, and so many of them at once.
    pub(super) fn of(batches: impl IntoIterator<Item = (ShardId, usize)>, at_once: usize) -> Self {
        let batches = batches.into_iter();
        Self {
            left: batches
                .map(|(source, count)| (source, tokio::sync::Mutex::new(count)))
                .collect(),
            idle: Mutex::default(),
            shifts: Semaphore::new(AT_WORK * at_once.max(1)),
            turns: Semaphore::new(at_once.max(1)),
            closed: AtomicBool::new(false),
        }
    }

    /// Has batches stop that have copied nothing yet; the others go on to their end.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Refuses to go on with a batch in that phase, once the run is closed.
    pub(super) fn goes_on(&self, phase: MovePhase) -> Result<(), MoveError> {
        if phase < MovePhase::Copying && self.closed.load(Ordering::SeqCst) {
            return Err(MoveError::Stopped);
        }
        Ok(())
    }

    /// Waits until a batch may work on its shards. Others that are announced wait for processes meanwhile, and would only
    /// lengthen the pause of one that is fenced.
    pub(super) async fn shift(&self) -> SemaphorePermit<'_> {
        let shift = self.shifts.acquire().await;
        shift.expect("nobody closes the semaphore")
    }

    /// Waits until a batch may be copied, before it waits for its [shift](Self::shift). It gives the turn back once it is
    /// copied: the rest waits for the disk often, and deleting loads the source alone, while the next batch loads the target
    /// most.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.turns.acquire().await;
        turn.expect("nobody closes the semaphore")
    }

    /// Begins the end of a batch: one after another, so that the last one finds all others over.
    ///
    /// After a batch that failed none is the last: whoever takes that one up removes the triggers.
    pub(super) async fn ending(&self, source: ShardId) -> Ending<'_> {
        Ending {
            left: match self.left.get(&source) {
                Some(left) => Some(left.lock().await),
                None => None,
            },
        }
    }

    /// Connections that an earlier batch has left, and what it has seen of the source.
    pub(super) fn take<DB: Relocating>(
        &self,
        source: ShardId,
        target: ShardId,
    ) -> Option<(Pair<DB>, Option<Arc<Seen>>)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let place = idle
            .iter()
            .position(|idle| idle.source == source && idle.target == target)?;
        let Idle { pair, seen, .. } = idle.swap_remove(place);
        pair.downcast().ok().map(|pair| (*pair, seen))
    }

    /// Leaves the connections of a batch that has ended well to a later one.
    pub(super) fn keep<DB: Relocating>(
        &self,
        source: ShardId,
        target: ShardId,
        pair: Pair<DB>,
        seen: Option<Arc<Seen>>,
    ) {
        let idle = Idle {
            source,
            target,
            pair: Box::new(pair),
            seen,
        };
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(idle);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_batch_waits_for_its_turn() {
        let run = Run::of([], 2);
        let first = run.turn().now_or_never();
        let second = run.turn().now_or_never();
        assert!(first.is_some() && second.is_some());
        assert!(run.turn().now_or_never().is_none());
        drop(first);
        assert!(run.turn().now_or_never().is_some());
    }

    #[test]
    fn two_are_at_work_beside_each_that_is_copied() {
        let run = Run::of([], 1);
        let [first, second, third] = [(); 3].map(|()| run.shift().now_or_never());
        assert!(first.is_some() && second.is_some() && third.is_some());
        assert!(run.shift().now_or_never().is_none());
        drop(second);
        assert!(run.shift().now_or_never().is_some());
    }

    #[test]
    fn only_batches_that_have_copied_go_on_in_a_closed_run() {
        let run = Run::of([], 1);
        assert!(run.goes_on(MovePhase::Planned).is_ok());
        run.close();
        for phase in [MovePhase::Planned, MovePhase::Announced] {
            assert!(matches!(run.goes_on(phase), Err(MoveError::Stopped)));
        }
        for phase in [MovePhase::Copying, MovePhase::Flipping, MovePhase::Purging] {
            assert!(run.goes_on(phase).is_ok());
        }
    }

    #[test]
    fn only_the_last_batch_of_a_source_is_its_last() {
        let [a, b] = [ShardId::new(0), ShardId::new(1)];
        let run = Run::of([(a, 2), (b, 1)], 1);
        let first = run.ending(a).now_or_never().expect("nobody else ends");
        assert!(!first.is_last());
        let other = run.ending(b).now_or_never().expect("nobody else ends");
        assert!(other.is_last());
        assert!(
            run.ending(a).now_or_never().is_none(),
            "the first is not over"
        );
        first.over();
        let last = run.ending(a).now_or_never().expect("the first is over");
        assert!(last.is_last());
    }

    #[test]
    fn after_a_batch_that_failed_none_is_the_last() {
        let a = ShardId::new(0);
        let run = Run::of([(a, 2)], 1);
        drop(run.ending(a).now_or_never());
        let second = run.ending(a).now_or_never().expect("the first has failed");
        assert!(!second.is_last());
    }
}
