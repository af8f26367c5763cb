//! How fast rows flow.

use std::time::Duration;

/// How much was copied or applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// What is told, and asked, while rows flow in chunks.
pub(crate) trait Pace: Send + Sync {
    /// How many rows a chunk is to have: fewer than `most` where rows flow slowly, lest they come in bursts.
    fn chunk(&self, most: u64) -> u64 {
        most
    }

    /// Counts a chunk, and returns how long to wait before the next one.
    fn taken(&self, chunk: Amount) -> Duration;

    /// Whether no more chunks are wanted.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Whether services wait for the end of the work.
    fn is_hurried(&self) -> bool {
        false
    }
}
