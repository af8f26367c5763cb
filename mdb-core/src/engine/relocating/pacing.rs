//! For tests: copies that nothing slows down, and copies in chunks that are counted.

use std::sync::Mutex;
use std::time::Duration;

use super::{Amount, Manifest, MoveId, OwnerToken, Pace, Pair, Relocating};

/// Nothing waits.
pub(crate) struct Unhurried;

impl Pace for Unhurried {
    fn taken(&self, _: Amount) -> Duration {
        Duration::ZERO
    }
}

/// Nothing waits but services.
pub(crate) struct Hurried;

impl Pace for Hurried {
    fn taken(&self, _: Amount) -> Duration {
        Duration::ZERO
    }

    fn is_hurried(&self) -> bool {
        true
    }
}

/// Wants chunks of so many rows, and notes what comes.
struct Counting {
    most: u64,
    chunks: Mutex<Vec<Amount>>,
}

impl Pace for Counting {
    fn chunk(&self, most: u64) -> u64 {
        self.most.min(most)
    }

    fn taken(&self, chunk: Amount) -> Duration {
        self.chunks.lock().unwrap().push(chunk);
        Duration::from_micros(1)
    }
}

/// Copies in chunks of up to `most` rows, which together are the `rows` that are copied.
pub(crate) async fn checked_copy<DB: Relocating>(
    pair: &mut Pair<DB>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    most: u64,
    rows: u64,
) -> Vec<Amount> {
    let chunks = Mutex::default();
    let pace = Counting { most, chunks };
    let copied = DB::copy(pair, manifest, id, owner, &pace).await.unwrap();
    let chunks = pace.chunks.into_inner().unwrap();
    assert_eq!(copied.rows, rows);
    assert_eq!(chunks.iter().map(|chunk| chunk.rows).sum::<u64>(), rows);
    let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
    assert_eq!(bytes, copied.bytes);
    assert!(chunks.iter().all(|chunk| chunk.rows <= most), "{chunks:?}");
    chunks
}
