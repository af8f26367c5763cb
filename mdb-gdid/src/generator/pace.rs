//! How large the next block is and when it is asked for, from how fast ids are taken and how long
//! fetches take. Pure: whoever uses it reads the clock.
//!
//! The **rate** is how many ids were taken in the last three intervals between fetches. A block holds
//! about 16 seconds' worth of ids, within the limits.

use std::time::Duration;

use super::options::GeneratorOptions;
use crate::authority::BlockSize;

/// How much time's worth of ids a block holds, in seconds.
const BLOCK_SECONDS: f64 = 16.0;
/// What is asked for besides, so that a block is never empty.
const BLOCK_IDS: f64 = 2.0;
/// How much longer than fetches take, the ids at the low-water mark last.
const SAFETY: f64 = 2.0;
/// How long it takes besides until the filler runs, and until those who take ids do.
const WAKING: Duration = Duration::from_millis(1);
/// How many blocks are held at most, for a slow authority.
const MOST_BLOCKS: u64 = 16;
/// Intervals and fetches that are remembered.
const REMEMBERED: usize = 3;
/// The shortest interval that a rate is taken from.
const SHORTEST: Duration = Duration::from_micros(1);

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Pace {
    options: GeneratorOptions,
    /// When the last fetch began, and how many ids had been taken by then.
    last: Option<(Duration, u64)>,
    intervals: Recent<(Duration, u64)>,
    latencies: Recent<Duration>,
}

/// The last few of a kind.
#[derive(Clone, Debug)]
struct Recent<T> {
    values: [Option<T>; REMEMBERED],
    next: usize,
}

impl<T: Copy> Recent<T> {
    const NONE: Self = Self {
        values: [None; REMEMBERED],
        next: 0,
    };

    fn push(&mut self, value: T) {
        self.values[self.next] = Some(value);
        self.next = (self.next + 1) % REMEMBERED;
    }

    fn iter(&self) -> impl Iterator<Item = T> {
        self.values.iter().flatten().copied()
    }
}

impl Pace {
    pub(super) const fn new(options: GeneratorOptions) -> Self {
        Self {
            options,
            last: None,
            intervals: Recent::NONE,
            latencies: Recent::NONE,
        }
    }

    /// A fetch begins at `at`, on any clock that does not go back, and `taken` ids have been taken
    /// so far.
    pub(super) fn fetch_begins(&mut self, at: Duration, taken: u64) {
        if let Some((last_at, last_taken)) = self.last {
            let interval = at.saturating_sub(last_at).max(SHORTEST);
            self.intervals
                .push((interval, taken.saturating_sub(last_taken)));
        }
        self.last = Some((at, taken));
    }

    /// A block has come, `latency` after it was asked for.
    pub(super) fn block_came(&mut self, latency: Duration) {
        self.latencies.push(latency);
    }

    /// How many ids are taken in a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    fn rate(&self) -> f64 {
        let time: Duration = self.intervals.iter().map(|(time, _)| time).sum();
        let ids: u64 = self.intervals.iter().map(|(_, ids)| ids).sum();
        if time.is_zero() {
            0.0
        } else {
            ids as f64 / time.as_secs_f64()
        }
    }

    /// How many ids the next block should have.
    pub(super) fn size(&self) -> BlockSize {
        let wanted = to_count(BLOCK_IDS + BLOCK_SECONDS * self.rate());
        BlockSize::clamped(wanted)
            .unwrap_or(self.options.smallest())
            .clamp(self.options.smallest(), self.options.largest())
    }

    /// How many ids are left when the next block is asked for.
    pub(super) fn low_water(&self) -> u64 {
        let size = u64::from(self.size().get());
        let latency = self.latencies.iter().max().unwrap_or_default() + WAKING;
        let meanwhile = to_count(SAFETY * self.rate() * latency.as_secs_f64()) as u64;
        (size * u64::from(self.options.low_water().percent()) / 100)
            .max(meanwhile)
            .min(size * MOST_BLOCKS)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative; a large one becomes the largest"
)]
fn to_count(ids: f64) -> usize {
    ids.ceil() as usize
}

#[cfg(test)]
mod tests;
