//! Ids of a single process, without an authority.
//!
//! An id's counter is a **stamp**, the seconds since 2020-01-01 in UTC, and a number within that
//! stamp, from 0 on: `stamp << 28 | number`. No file or server remembers them; that they never repeat rests on
//! the clock, and [`LocalGenerator`] says how far.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::authority::{AuthorityId, BlockSize};
use crate::gdid::Gdid;
use crate::names::{ScopeName, SequenceName};

/// 2020-01-01 in UTC, since 1970.
const BEGINNING: Duration = Duration::from_hours(18_262 * 24);
const NUMBER_BITS: u32 = 28;
const NUMBERS: u64 = 1 << NUMBER_BITS;
/// How many ids there are in one second.
const PER_STAMP: u64 = 268_000_000;
/// The stamp that no counter has room for.
const STAMPS: u64 = 1 << 32;
/// How long the first call waits.
const FIRST_WAIT: Duration = Duration::from_millis(1_500);
/// How long a call waits for a later second.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often it looks at the clock meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Ids of one sequence for a single process, without an authority, from the clock and a number. Cheap
/// to clone; all that are made in a process for one sequence, era and authority number share their
/// count. Ids ascend.
///
/// It is for tests, tools and single nodes. Its authority number must be one that no authority issues
/// ids with.
///
/// # When ids never repeat
///
/// - In one process never, whatever the clock does: it counts on where it was when the clock jumps
///   back, up to 268,000,000 ids; then it waits for a later second.
/// - Not in the next process either, as long as the clock is not set back in between: the first call waits
///   for 1.5 seconds, and then uses no second that had begun before.
/// - **They may repeat** when two processes use a sequence at the same time, on one host or on
///   several, and when the clock is set back between two runs by more than the time between them.
///   Where that can happen, use an authority that counts in files instead: it needs no server either.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mdb_gdid::{AuthorityId, LocalGenerator};
///
/// # async fn ids() -> Result<(), Box<dyn std::error::Error>> {
/// let authority = AuthorityId::new(15).expect("below 16");
/// let orders = LocalGenerator::new("shop.test".parse()?, "order".parse()?, 0, authority);
/// let first = orders.next().await?;
/// assert!(first < orders.next().await?);
/// # Ok(())
/// # }
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(ids())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LocalGenerator {
    inner: Arc<Inner>,
}

/// Why a [`LocalGenerator`] gave no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// All ids of the last second that was used are taken, and the clock did not come to a later one.
    #[error(
        "sequence `{sequence}` has no ids left up to second {stamp} of its time, and the clock, at second {now}, \
         did not pass it within 5 s; set the clock right"
    )]
    ClockDrift {
        /// The sequence.
        sequence: SequenceName,
        /// The last second that was used, since 2020-01-01.
        stamp: u64,
        /// The second that it is by the clock.
        now: u64,
    },
    /// The clock is before 2020 at the first use, or after 2156.
    #[error("ids of sequence `{sequence}` need a clock between 2020 and 2156; set the clock right")]
    ClockOutOfRange {
        /// The sequence.
        sequence: SequenceName,
    },
    /// More ids at once than there may be.
    #[error("{count} ids of sequence `{sequence}` at once are too many: take at most 1024")]
    TooMany {
        /// The sequence.
        sequence: SequenceName,
        /// How many were to be taken.
        count: usize,
    },
}

impl LocalError {
    /// Whether the same call may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // A clock that was set back comes to the later second in the end.
            Self::ClockDrift { .. } => true,
            Self::ClockOutOfRange { .. } | Self::TooMany { .. } => false,
        }
    }
}

/// Tells the time of day.
trait WallClock: Send + Sync + fmt::Debug {
    fn now(&self) -> SystemTime;
}

#[derive(Debug)]
struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

#[derive(Debug)]
struct Inner {
    key: Key,
    clock: Box<dyn WallClock>,
    first_use: OnceLock<FirstUse>,
    /// The last counter that was given away.
    last: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    scope: ScopeName,
    name: SequenceName,
    era: u32,
    authority: AuthorityId,
}

#[derive(Clone, Copy, Debug)]
struct FirstUse {
    at: Instant,
    stamp: u64,
}

/// All of this process, so that two that are made for the same ids share their count.
static ALL: LazyLock<Mutex<HashMap<Key, LocalGenerator>>> = LazyLock::new(Mutex::default);

impl LocalGenerator {
    /// Ids of the sequence `name` in `scope`, with this era and authority number.
    pub fn new(scope: ScopeName, name: SequenceName, era: u32, authority: AuthorityId) -> Self {
        let key = Key {
            scope,
            name,
            era,
            authority,
        };
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(key)
            .or_insert_with_key(|key| Self::with_clock(key.clone(), Box::new(SystemClock)))
            .clone()
    }

    fn with_clock(key: Key, clock: Box<dyn WallClock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                key,
                clock,
                first_use: OnceLock::new(),
                last: AtomicU64::new(0),
            }),
        }
    }

    /// The sequence's name.
    pub fn name(&self) -> &SequenceName {
        &self.inner.key.name
    }

    /// The scope that the sequence is in.
    pub fn scope(&self) -> &ScopeName {
        &self.inner.key.scope
    }

    /// The next id, unless it had to be waited for: `None` for 1.5 seconds from the first use on, when
    /// the ids of a second are used up, and where [`next`](Self::next) would fail. Takes no lock.
    pub fn try_next(&self) -> Option<Gdid> {
        let counter = self.reserve(1).ok()??;
        Some(self.id(counter))
    }

    /// The next id.
    ///
    /// # Errors
    ///
    /// - [`LocalError::ClockDrift`]: the ids of a second are used up, and the clock does not go on.
    /// - [`LocalError::ClockOutOfRange`]: the clock is before 2020 at the first use, or after 2156.
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is lost by it, none is issued twice.
    pub async fn next(&self) -> Result<Gdid, LocalError> {
        Ok(self.id(self.wait_for(1).await?))
    }

    /// The next `count` ids, consecutive; at most 1,024.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and [`LocalError::TooMany`].
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is lost by it, none is issued twice.
    pub async fn take(&self, count: usize) -> Result<Vec<Gdid>, LocalError> {
        if count > usize::from(BlockSize::MAX.get()) {
            return Err(LocalError::TooMany {
                sequence: self.name().clone(),
                count,
            });
        }
        let count = count as u64;
        if count == 0 {
            return Ok(Vec::new());
        }
        let first = self.wait_for(count).await?;
        Ok((first..first + count)
            .map(|counter| self.id(counter))
            .collect())
    }

    fn id(&self, counter: u64) -> Gdid {
        let Key { era, authority, .. } = self.inner.key;
        Gdid::from_era_and_id(era, u64::from(authority.get()) << 60 | counter)
    }

    /// The second that it is, and how it was at first use. A clock that was set to before 2020 later is
    /// one that jumped back.
    fn time(&self) -> Result<(u64, FirstUse), LocalError> {
        let since_1970 = self
            .inner
            .clock
            .now()
            .duration_since(SystemTime::UNIX_EPOCH);
        let since_2020 = since_1970.unwrap_or_default().saturating_sub(BEGINNING);
        let stamp = since_2020.as_secs();
        let first_use = &self.inner.first_use;
        if stamp >= STAMPS || (stamp == 0 && first_use.get().is_none()) {
            return Err(LocalError::ClockOutOfRange {
                sequence: self.name().clone(),
            });
        }
        let now = || FirstUse {
            at: Instant::now(),
            stamp,
        };
        Ok((stamp, *first_use.get_or_init(now)))
    }

    /// The first of `count` consecutive counters, which belong to the caller from now on; `None` when
    /// it has to wait.
    fn reserve(&self, count: u64) -> Result<Option<u64>, LocalError> {
        let (stamp, first_use) = self.time()?;
        if first_use.at.elapsed() < FIRST_WAIT {
            return Ok(None);
        }
        // Whoever ran before may have used the second in which this process began.
        let used_before = (first_use.stamp << NUMBER_BITS) | (NUMBERS - 1);
        let now = stamp << NUMBER_BITS;
        let next = |last: u64| {
            let last = last.max(used_before);
            if now > last {
                return Some(now);
            }
            let number = last % NUMBERS + 1;
            (number + count <= PER_STAMP).then_some(last + 1)
        };
        let last = |last| next(last).map(|first| first + count - 1);
        let before = self
            .inner
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, last);
        Ok(before.ok().and_then(next))
    }

    async fn wait_for(&self, count: u64) -> Result<u64, LocalError> {
        let mut until = None;
        loop {
            if let Some(first) = self.reserve(count)? {
                return Ok(first);
            }
            let (stamp, first_use) = self.time()?;
            let ready_at = first_use.at + FIRST_WAIT;
            let now = Instant::now();
            if now < ready_at {
                tokio::time::sleep_until(ready_at).await;
                continue;
            }
            if now >= *until.get_or_insert(now + LONGEST_WAIT) {
                let used = self.inner.last.load(Ordering::Relaxed) >> NUMBER_BITS;
                return Err(LocalError::ClockDrift {
                    sequence: self.name().clone(),
                    stamp: used.max(first_use.stamp),
                    now: stamp,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests;
