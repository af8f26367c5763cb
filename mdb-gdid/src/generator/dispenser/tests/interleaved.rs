//! Every interleaving of few takers with the hand-over of few blocks, as the memory model allows it.
//!
//! Two slots are used in turn, so that a third block takes the slot of the first.

use loom::sync::Arc;
use loom::sync::atomic::AtomicBool;
use loom::thread;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::*;
use crate::authority::BlockSize;
use crate::generator::lane::Lane;

type Two = Dispenser<2>;

/// Block `n` of `size` ids: its era is `n`, so that a mixture of two blocks is recognised.
fn block(n: u32, size: u16) -> Block {
    let first = Gdid::new(n, 3, u64::from(n) * 100 + 1).unwrap();
    Block::new(first, BlockSize::new(size).unwrap()).unwrap()
}

/// Ids that one thread takes, one after the other.
fn takes(dispenser: &Two, times: usize) -> (Vec<Gdid>, u64) {
    let (mut ids, mut lost) = (Vec::new(), 0);
    for _ in 0..times {
        match dispenser.next() {
            Take::Got(taken) => ids.push(taken.gdid()),
            Take::Lost(count) => lost += count,
            Take::Empty => {}
        }
    }
    (ids, lost)
}

fn runs(dispenser: &Two, wanted: u64) -> (Vec<Gdid>, u64) {
    match dispenser.run(|_| wanted) {
        Take::Got(run) => {
            let ids = (0..run.count).map(|n| Gdid::from_era_and_id(run.era, run.first + n));
            (ids.collect(), 0)
        }
        Take::Lost(count) => (Vec::new(), count),
        Take::Empty => (Vec::new(), 0),
    }
}

/// Each of the ids is of one of the blocks, no two are equal, each thread's ascend, and none is missing but those
/// that were counted as lost or dropped.
fn check(blocks: &[Block], threads: &[(Vec<Gdid>, u64)], dropped: u64) {
    let dealt = threads.iter().flat_map(|(ids, _)| ids);
    for id in dealt.clone() {
        assert!(blocks.iter().any(|block| block.ids().any(|of| of == *id)));
    }
    let mut all: Vec<Gdid> = dealt.copied().collect();
    all.sort_unstable();
    assert!(all.is_sorted_by(|a, b| a < b), "an id twice: {all:?}");
    assert!(threads.iter().all(|(ids, _)| ids.is_sorted()));
    let published: u64 = blocks.iter().map(|block| u64::from(block.count())).sum();
    let lost: u64 = threads.iter().map(|(_, lost)| lost).sum();
    assert_eq!(all.len() as u64 + lost + dropped, published);
}

#[test]
fn loom_takers_and_three_blocks_on_two_slots() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let blocks = [block(1, 1), block(2, 2), block(3, 1)];
        let dispenser = Arc::new(Two::new());
        dispenser.publish(&blocks[0], 0);
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let dispenser = Arc::clone(&dispenser);
                thread::spawn(move || takes(&dispenser, 2))
            })
            .collect();
        let mut dropped = dispenser.publish(&blocks[1], 0);
        dropped += dispenser.publish(&blocks[2], 0);
        let results: Vec<_> = takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .collect();
        dropped += dispenser.stop();
        check(&blocks, &results, dropped);
    });
}

#[test]
fn loom_a_sleeper_never_mixes_blocks() {
    loom::model(|| {
        let blocks = [block(1, 1), block(2, 1), block(3, 1), block(4, 1)];
        let dispenser = Arc::new(Two::new());
        dispenser.publish(&blocks[0], 0);
        let sleeper = {
            let dispenser = Arc::clone(&dispenser);
            thread::spawn(move || takes(&dispenser, 1))
        };
        let mut dropped = 0;
        for block in &blocks[1..] {
            dropped += dispenser.publish(block, 0);
        }
        let result = sleeper.join().unwrap();
        dropped += dispenser.stop();
        check(&blocks, &[result], dropped);
    });
}

#[test]
fn loom_runs_and_single_ids_share_a_block() {
    loom::model(|| {
        let blocks = [block(1, 3), block(2, 1)];
        let dispenser = Arc::new(Two::new());
        dispenser.publish(&blocks[0], 0);
        let others = [
            {
                let dispenser = Arc::clone(&dispenser);
                thread::spawn(move || runs(&dispenser, 2))
            },
            {
                let dispenser = Arc::clone(&dispenser);
                thread::spawn(move || takes(&dispenser, 2))
            },
        ];
        let mut dropped = dispenser.publish(&blocks[1], 0);
        let results = others.map(|other| other.join().unwrap());
        dropped += dispenser.stop();
        check(&blocks, &results, dropped);
    });
}

/// Either a taker is told that it left no more than the mark says, or whoever moves the mark sees it.
#[test]
fn loom_a_moved_mark_is_missed_by_nobody() {
    loom::model(|| {
        let dispenser = Arc::new(Two::new());
        dispenser.publish(&block(1, 3), -1);
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let dispenser = Arc::clone(&dispenser);
                thread::spawn(move || {
                    matches!(dispenser.next(), Take::Got(Taken { at_mark: true, .. }))
                })
            })
            .collect();
        let left = dispenser.set_mark(1);
        let told = takers.into_iter().map(|taker| taker.join().unwrap());
        let told = told.filter(|told| *told).count();
        assert!(told <= 1);
        assert!(told == 1 || left <= 1, "left {left}, and nobody was told");
    });
}

/// Ids that were taken for later are not dealt once somebody knows that they have lapsed.
#[test]
fn loom_what_has_lapsed_is_not_dealt() {
    loom::model(|| {
        let dispenser = Arc::new(Two::new());
        dispenser.publish(&block(1, 2), 0);
        let known = Arc::new(AtomicBool::new(false));
        let holder = {
            let (dispenser, known) = (Arc::clone(&dispenser), Arc::clone(&known));
            thread::spawn(move || {
                let before = dispenser.lapses();
                let holds = matches!(dispenser.run(|_| 2), Take::Got(_));
                let is_known = known.load(Acquire);
                let deals = holds && dispenser.is_unlapsed(before);
                assert!(!(is_known && deals));
            })
        };
        dispenser.stop();
        dispenser.lapse();
        known.store(true, Release);
        holder.join().unwrap();
    });
}

/// An id that is taken after another thread told of its own is higher, though it was reserved before.
#[test]
fn loom_ids_that_a_thread_holds_are_dropped_once_a_higher_one_is_out() {
    loom::model(|| {
        let dispenser = Arc::new(Two::new());
        dispenser.publish(&block(1, 4), 0);
        let told = Arc::new(AtomicU64::new(0));
        let other = {
            let (dispenser, told) = (Arc::clone(&dispenser), Arc::clone(&told));
            thread::spawn(move || {
                let (ids, _) = takes(&dispenser, 1);
                told.store(ids[0].counter(), Release);
            })
        };
        let lane = Lane::new(0);
        let deal = || lane.deal(7, |ticket| dispenser.is_at(ticket));
        let mut highest = 0;
        for _ in 0..2 {
            let known = told.load(Acquire);
            let (_, id) = deal().unwrap_or_else(|| {
                lane.length(7, 1);
                let Take::Got(run) = dispenser.run(|_| 2) else {
                    panic!("four are enough");
                };
                lane.note(run.ticket + run.count, |_| true);
                lane.fill(&run);
                lane.deal(7, |_| true).unwrap()
            });
            let counter = id & Gdid::MAX_COUNTER;
            assert!(counter > known && counter > highest);
            highest = counter;
        }
        other.join().unwrap();
        assert_ne!(told.load(Acquire), highest);
    });
}

/// As above, for one whose block is stopped, though it was used up.
#[test]
fn loom_ids_that_a_thread_holds_are_dropped_when_their_block_is_stopped() {
    loom::model(|| {
        let dispenser = Arc::new(Two::new());
        dispenser.publish(&block(1, 2), 0);
        let known = Arc::new(AtomicBool::new(false));
        let holder = {
            let (dispenser, known) = (Arc::clone(&dispenser), Arc::clone(&known));
            thread::spawn(move || {
                let Take::Got(run) = dispenser.run(|_| 2) else {
                    return;
                };
                let is_known = known.load(Acquire);
                let deals = dispenser.is_at(run.ticket + run.count);
                assert!(!(is_known && deals));
            })
        };
        dispenser.stop();
        known.store(true, Release);
        holder.join().unwrap();
    });
}
