//! Many tasks on one sequence, with a source that waits or fails when it is told to.

use super::*;
use crate::authority::{AllocateFuture, AuthorityId, Place, SequenceState, StatusFuture};
use std::collections::HashSet;
use std::error::Error;
use std::sync::atomic::AtomicUsize;
use tokio::sync::Semaphore;

/// An authority that answers once its gate is open, and fails as often as it is told to.
#[derive(Debug)]
struct Counted {
    state: Mutex<SequenceState>,
    fetches: AtomicUsize,
    failures_to_come: AtomicUsize,
    gate: Semaphore,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody is there")]
struct NobodyThere;

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
            let authority = AuthorityId::new(1).unwrap();
            let fails = |left: usize| left.checked_sub(1);
            if self
                .failures_to_come
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails)
                .is_ok()
            {
                return Err(AuthorityError::Unavailable {
                    place: Place::new("CENTRAL"),
                    sequence: sequence.clone(),
                    source: NobodyThere.into(),
                });
            }
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

fn sequence(size: u16, permits: usize) -> (Arc<Counted>, Sequence) {
    let source = Arc::new(Counted {
        state: Mutex::new(SequenceState::START),
        fetches: AtomicUsize::new(0),
        failures_to_come: AtomicUsize::new(0),
        gate: Semaphore::new(permits),
    });
    let sequence = Sequence::new(
        Arc::clone(&source) as Arc<dyn BlockSource>,
        "shop.main".parse().unwrap(),
        "user".parse().unwrap(),
        BlockSize::new(size).unwrap(),
    );
    (source, sequence)
}

#[tokio::test]
async fn many_tasks_never_get_one_id_twice() {
    let (_, sequence) = sequence(7, 1);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let sequence = sequence.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..250 {
                    ids.push(sequence.next().await.unwrap());
                    ids.extend(sequence.take(3).await.unwrap());
                }
                ids
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        let ids = task.await.unwrap();
        assert!(ids.is_sorted(), "each task sees ids ascend");
        assert!(ids.into_iter().all(|id| seen.insert(id)));
    }
    assert_eq!(seen.len(), 8 * 250 * 4);
}

#[tokio::test]
async fn waiters_share_one_fetch_and_a_cancelled_one_lets_others_go_on() {
    let (source, sequence) = sequence(100, 0);
    assert_eq!(sequence.try_next(), None);
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let sequence = sequence.clone();
            tokio::spawn(async move { sequence.next().await.unwrap() })
        })
        .collect();
    while source.fetches.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    waiting[0].abort();
    source.gate.add_permits(1);
    let mut ids = HashSet::new();
    for task in waiting.into_iter().skip(1) {
        assert!(ids.insert(task.await.unwrap()));
    }
    assert!(
        source.fetches.load(Ordering::SeqCst) <= 2,
        "one cancelled fetch, and one for all others"
    );
}

#[tokio::test]
async fn a_block_is_dealt_in_order() {
    let (source, sequence) = sequence(4, 1);
    let ids = sequence.take(6).await.unwrap();
    let counters: Vec<u64> = ids.iter().map(|id| id.counter()).collect();
    assert_eq!(counters, [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        source.fetches.load(Ordering::SeqCst),
        1,
        "asked for all six at once"
    );
    assert_eq!(sequence.try_next(), None);
}

#[tokio::test]
async fn those_who_wait_share_one_failure_and_the_next_call_tries_again() {
    let (source, sequence) = sequence(10, 0);
    source.failures_to_come.store(1, Ordering::SeqCst);
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let sequence = sequence.clone();
            Box::pin(async move { sequence.next().await })
        })
        .collect();
    // Each is polled once: the first fetches, the others queue behind it.
    for call in &mut waiting {
        assert!(poll_once(call).is_none());
    }
    source.gate.add_permits(1);
    for call in waiting {
        let error = call.await.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(
            error.to_string(),
            "CENTRAL can't be asked about ids of sequence `user` just now"
        );
        let mut causes = std::iter::successors(error.source(), |error| (*error).source());
        assert!(causes.any(|cause| cause.downcast_ref() == Some(&NobodyThere)));
    }
    assert_eq!(source.fetches.load(Ordering::SeqCst), 1);
    assert_eq!(sequence.next().await.unwrap().counter(), 1);
    assert_eq!(source.fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_cancelled_take_loses_ids_but_issues_none_twice() {
    let (source, sequence) = sequence(4, 1);
    assert_eq!(sequence.next().await.unwrap().counter(), 1);
    source.gate.forget_permits(1);
    let mut call = Box::pin(sequence.take(6));
    assert!(poll_once(&mut call).is_none(), "2, 3 and 4 are taken");
    drop(call);
    source.gate.add_permits(1);
    assert_eq!(sequence.next().await.unwrap().counter(), 5);
}

#[tokio::test]
async fn the_end_of_the_eras_is_final() {
    let (source, sequence) = sequence(4, 1);
    *source.state.lock().unwrap() =
        SequenceState::new(SequenceState::LAST_ERA, Gdid::MAX_COUNTER).unwrap();
    for _ in 0..2 {
        let error = sequence.take(3).await.unwrap_err();
        assert!(matches!(error, AuthorityError::Exhausted { .. }));
        assert!(!error.is_transient());
    }
    assert_eq!(sequence.take(0).await.unwrap(), []);
}

/// Polls a future once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
