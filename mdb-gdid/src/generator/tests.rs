//! Generators with a source that waits, fails, goes back or panics when it is told to.

use super::*;
use crate::authority::{
    AllocateFuture, AuthorityId, BlockSize, Place, SequenceState, StatusFuture,
};
use std::collections::HashSet;
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Semaphore;

mod failing;
mod holding;
mod lapsing;
mod runtimes;

/// An authority that answers once its gate is open, and fails as often as it is told to.
#[derive(Debug)]
struct Counted {
    state: Mutex<SequenceState>,
    fetches: AtomicUsize,
    failures_to_come: AtomicUsize,
    panics: AtomicUsize,
    gate: Semaphore,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody is there")]
struct NobodyThere;

impl Counted {
    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn fail(&self, times: usize) {
        self.failures_to_come.store(times, Ordering::SeqCst);
    }

    fn set(&self, era: u32, counter: u64) {
        *self.state.lock().unwrap() = SequenceState::new(era, counter).unwrap();
    }
}

/// Counts down; false when it was 0.
fn uses_one(left: &AtomicUsize) -> bool {
    let less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

impl BlockSource for Counted {
    fn allocate<'a>(
        &'a self,
        _: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.acquire().await;
            assert!(!uses_one(&self.panics), "told to panic");
            if uses_one(&self.failures_to_come) {
                return Err(AuthorityError::Unavailable {
                    place: Place::new("CENTRAL"),
                    sequence: sequence.clone(),
                    source: NobodyThere.into(),
                });
            }
            let authority = AuthorityId::new(1).unwrap();
            let mut state = self.state.lock().unwrap();
            let (block, after) =
                state
                    .advance(authority, size)
                    .map_err(|source| AuthorityError::Exhausted {
                        place: Place::new("CENTRAL"),
                        sequence: sequence.clone(),
                        source,
                    })?;
            *state = after;
            Ok(block)
        })
    }

    fn raise<'a>(
        &'a self,
        _: &'a ScopeName,
        _: &'a SequenceName,
        _: crate::RangeKey,
    ) -> StatusFuture<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn status<'a>(&'a self, _: &'a ScopeName, _: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Blocks of `size` ids; the gate lets so many fetches through at the same time.
fn generator(size: u16, permits: usize) -> (Arc<Counted>, Generator) {
    let source = Arc::new(Counted {
        state: Mutex::new(SequenceState::START),
        fetches: AtomicUsize::new(0),
        failures_to_come: AtomicUsize::new(0),
        panics: AtomicUsize::new(0),
        gate: Semaphore::new(permits),
    });
    let generator = of(&source, size);
    (source, generator)
}

/// Another process' generator on the same source.
fn of(source: &Arc<Counted>, size: u16) -> Generator {
    let size = BlockSize::new(size).unwrap();
    Generator::new(
        Arc::clone(source) as Arc<dyn BlockSource>,
        "shop.main".parse().unwrap(),
        "user".parse().unwrap(),
        GeneratorOptions::new(size, BlockSize::MAX).unwrap(),
    )
}

/// Lets other tasks run until something holds.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Polls a future once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

fn counters(ids: &[Gdid]) -> Vec<u64> {
    ids.iter().map(|id| id.counter()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_never_get_one_id_twice() {
    let (_, generator) = generator(7, 1);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let generator = generator.clone();
            tokio::spawn(async move {
                let (mut shared, mut own) = (Vec::new(), Vec::new());
                let mut handle = generator.handle();
                for _ in 0..250 {
                    shared.push(generator.next().await.unwrap());
                    own.push(handle.next().await.unwrap());
                    shared.extend(generator.take(3).await.unwrap());
                }
                (shared, own)
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        let (shared, own) = task.await.unwrap();
        assert!(
            shared.is_sorted() && own.is_sorted(),
            "each sees ids ascend"
        );
        assert!(shared.into_iter().chain(own).all(|id| seen.insert(id)));
    }
    assert_eq!(seen.len(), 8 * 250 * 5);
    let metrics = generator.metrics();
    assert!(metrics.issued() >= seen.len() as u64);
    assert!(metrics.blocks() > 0 && metrics.waits() > 0 && metrics.fetch_failures() == 0);
}

#[test]
fn threads_that_never_wait_get_no_id_twice() {
    let (_, generator) = generator(8, 1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let take = |generator: Generator| {
        let mut ids = Vec::new();
        while ids.len() < 20_000 {
            match generator.try_next() {
                Some(id) => ids.push(id),
                None => std::thread::yield_now(),
            }
        }
        ids
    };
    // Outside a runtime nobody fetches until somebody has asked inside one.
    assert_eq!(generator.try_next(), None);
    let first = runtime.block_on(generator.next()).unwrap();
    let mut seen = HashSet::from([first]);
    std::thread::scope(|scope| {
        let threads = [0; 3].map(|_| scope.spawn(|| take(generator.clone())));
        for thread in threads {
            let ids = thread.join().unwrap();
            assert!(ids.is_sorted_by(|a, b| a < b));
            assert!(ids.into_iter().all(|id| seen.insert(id)));
        }
    });
    assert_eq!(seen.len(), 60_001);
    assert!(generator.metrics().issued() >= 60_001);
}

#[tokio::test]
async fn waiters_share_one_fetch_and_a_cancelled_one_lets_others_go_on() {
    let (source, generator) = generator(100, 0);
    assert_eq!(generator.try_next(), None);
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let generator = generator.clone();
            tokio::spawn(async move { generator.next().await.unwrap() })
        })
        .collect();
    until(|| source.fetches() > 0).await;
    waiting[0].abort();
    source.gate.add_permits(1);
    let mut ids = HashSet::new();
    for task in waiting.into_iter().skip(1) {
        assert!(ids.insert(task.await.unwrap()));
    }
    assert_eq!(source.fetches(), 1);
    assert_eq!(generator.metrics().waits(), 10, "the cancelled one too");
}

#[tokio::test]
async fn a_block_is_dealt_in_order() {
    let (source, generator) = generator(4, 1);
    assert_eq!(
        counters(&generator.take(6).await.unwrap()),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(source.fetches(), 1, "asked for all six at once");
    assert_eq!(generator.take(0).await.unwrap(), []);
    assert_eq!(generator.next().await.unwrap().counter(), 7);
}

#[tokio::test]
async fn ids_that_are_taken_together_are_consecutive_where_they_can_be() {
    let (source, ours) = generator(8, 1);
    let theirs = of(&source, 8);
    for _ in 0..50 {
        theirs.take(3).await.unwrap();
        let ids = counters(&ours.take(20).await.unwrap());
        assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    }
    let many = ours.take(5_000).await.unwrap();
    assert!(many.is_sorted_by(|a, b| a < b) && many.len() == 5_000);
}

#[tokio::test]
async fn a_cancelled_take_loses_ids_but_issues_none_twice() {
    let (source, generator) = generator(4, 1);
    assert_eq!(generator.next().await.unwrap().counter(), 1);
    source.gate.forget_permits(1);
    let mut call = Box::pin(generator.take(5));
    assert!(poll_once(&mut call).is_none(), "2, 3 and 4 are taken");
    drop(call);
    source.gate.add_permits(1);
    assert_eq!(generator.next().await.unwrap().counter(), 5);
}

#[tokio::test]
async fn the_next_block_is_there_before_it_is_needed() {
    let (source, generator) = generator(8, 1);
    for counter in 1..=1_000 {
        assert_eq!(generator.next().await.unwrap().counter(), counter);
        // The low-water mark is low enough for one that answers at once.
        tokio::task::yield_now().await;
        until(|| generator.metrics().remaining() > 0).await;
    }
    assert_eq!(generator.metrics().waits(), 1, "for the first block");
    assert!(source.fetches() < 60, "blocks grow: {}", source.fetches());
}

#[tokio::test]
async fn a_slow_authority_is_waited_for() {
    let (source, generator) = generator(4, 0);
    let waiting = tokio::spawn({
        let generator = generator.clone();
        async move { generator.take(9).await.unwrap() }
    });
    until(|| source.fetches() == 1).await;
    assert!(!waiting.is_finished());
    source.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().len(), 9);
    let metrics = generator.metrics();
    assert!(metrics.waits() == 1 && metrics.waited() > Duration::ZERO);
}
