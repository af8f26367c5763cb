//! Many tasks on one sequence, with a source that waits or fails when it is told to.

use super::*;
use crate::authority::{AllocateFuture, AuthorityId, SequenceState};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

#[derive(Debug)]
struct Counted {
    state: Mutex<SequenceState>,
    fetches: AtomicUsize,
    gate: Semaphore,
}

impl BlockSource for Counted {
    fn allocate<'a>(
        &'a self,
        _: &'a ScopeName,
        _: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.acquire().await;
            let mut state = self.state.lock().unwrap();
            let (block, after) = state.advance(AuthorityId::new(1).unwrap(), size).unwrap();
            *state = after;
            Ok(block)
        })
    }
}

fn sequence(size: u16, permits: usize) -> (Arc<Counted>, Sequence) {
    let source = Arc::new(Counted {
        state: Mutex::new(SequenceState::START),
        fetches: AtomicUsize::new(0),
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
