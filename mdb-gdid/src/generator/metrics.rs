//! What a generator has done so far.

use std::time::Duration;

use crate::authority::AuthorityError;

/// What a [`Generator`](super::Generator) and its clones have done so far, at one moment.
#[derive(Clone, Debug)]
pub struct GeneratorMetrics {
    pub(super) issued: u64,
    pub(super) remaining: u64,
    pub(super) blocks: u64,
    pub(super) fetch_failures: u64,
    pub(super) waits: u64,
    pub(super) waited: Duration,
    pub(super) near_the_end: bool,
    pub(super) last_failure: Option<AuthorityError>,
}

impl GeneratorMetrics {
    /// How many ids were issued. Those count that threads and [handles](super::GeneratorHandle) have taken
    /// for later, up to 64 and 256 each; some of them are never seen.
    pub fn issued(&self) -> u64 {
        self.issued
    }

    /// How many ids are in memory.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// How many blocks came.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many fetches of a block failed.
    pub fn fetch_failures(&self) -> u64 {
        self.fetch_failures
    }

    /// How many calls found too few ids in memory and waited.
    pub fn waits(&self) -> u64 {
        self.waits
    }

    /// How long they waited, all together.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Whether the eras of the sequence are running out: 16 or fewer are left.
    pub fn is_near_the_end(&self) -> bool {
        self.near_the_end
    }

    /// Why the last fetch failed; `None` once a block has come again.
    pub fn last_failure(&self) -> Option<&AuthorityError> {
        self.last_failure.as_ref()
    }
}
