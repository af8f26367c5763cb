//! The least that dealing ids out of blocks of 1,024 can cost: nothing is fetched, nothing lapses.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mdb_gdid::Gdid;

const BLOCK: u64 = 1_024;

/// One cursor for all threads; whoever finds the block used up adds the next.
pub(crate) struct BareBlock {
    cursor: Line,
    end: AtomicU64,
    refill: Mutex<()>,
}

#[repr(align(128))]
struct Line(AtomicU64);

impl BareBlock {
    pub(crate) fn new() -> Self {
        Self {
            cursor: Line(AtomicU64::new(1)),
            end: AtomicU64::new(1 + BLOCK),
            refill: Mutex::new(()),
        }
    }

    #[inline]
    pub(crate) fn next(&self) -> Gdid {
        let counter = self.cursor.0.fetch_add(1, Ordering::Relaxed);
        if counter >= self.end.load(Ordering::Relaxed) {
            self.refill(counter);
        }
        Gdid::from_era_and_id(0, counter)
    }

    #[cold]
    fn refill(&self, counter: u64) {
        let _one = self.refill.lock().unwrap();
        while counter >= self.end.load(Ordering::Relaxed) {
            self.end.fetch_add(BLOCK, Ordering::Relaxed);
        }
    }
}

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static OWN_BLOCK: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// The next id of this thread's own block.
#[inline]
pub(crate) fn next_of_thread() -> Gdid {
    let (next, end) = OWN_BLOCK.get();
    if next < end {
        OWN_BLOCK.set((next + 1, end));
        return Gdid::from_era_and_id(0, next);
    }
    fresh_block_of_thread()
}

#[cold]
fn fresh_block_of_thread() -> Gdid {
    let first = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
    OWN_BLOCK.set((first + 1, first + BLOCK));
    Gdid::from_era_and_id(0, first)
}
