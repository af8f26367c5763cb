//! The cache of one index: bounded, with a time to live, and never older than one's own writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use mdb_gdid::Gdid;
use moka::Expiry;
use moka::future::Cache;
use xxhash_rust::xxh3::xxh3_64;

use super::error::IndexError;
use crate::config::CacheConfig;

/// Over how many counters the keys of one index are spread to tell which of them were written.
///
/// A write makes its whole stripe be looked up again, so there are many of them: half a megabyte.
const STRIPES: usize = 1 << 16;

/// What a lookup found, and what it is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) holder: Option<Gdid>,
    pub(crate) keep: Keep,
}

/// Whether a lookup's answer may be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    ForItsTime,
    /// The entry is about to change.
    No,
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    found: Found,
    /// How often the key's stripe had been written when the lookup began.
    writes: u64,
}

/// Lookups of one index.
///
/// An entry counts only if its key's stripe has not been written by this process since the lookup
/// began. So a lookup that was under way during a write can't leave its old answer behind.
#[derive(Debug)]
pub(crate) struct IndexCache {
    entries: Cache<Vec<u8>, Cached, RandomState>,
    writes: Box<[AtomicU64]>,
}

#[derive(Debug)]
struct Lifetimes {
    found: Duration,
    absent: Duration,
}

impl Expiry<Vec<u8>, Cached> for Lifetimes {
    fn expire_after_create(&self, _: &Vec<u8>, cached: &Cached, _: Instant) -> Option<Duration> {
        Some(match (cached.found.keep, cached.found.holder) {
            (Keep::No, _) => Duration::ZERO,
            (Keep::ForItsTime, Some(_)) => self.found,
            (Keep::ForItsTime, None) => self.absent,
        })
    }

    fn expire_after_update(
        &self,
        key: &Vec<u8>,
        cached: &Cached,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, cached, now)
    }
}

impl IndexCache {
    pub(crate) fn new(config: &CacheConfig) -> Self {
        let lifetimes = Lifetimes {
            found: config.ttl(),
            absent: config.negative_ttl(),
        };
        Self {
            entries: Cache::builder()
                .max_capacity(config.capacity())
                .expire_after(lifetimes)
                .build_with_hasher(RandomState::default()),
            writes: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn writes_of(&self, key: &[u8]) -> &AtomicU64 {
        &self.writes
            [usize::try_from(xxh3_64(key) % STRIPES as u64).expect("below the number of stripes")]
    }

    /// The cached answer for a key; `None` when it has to be looked up.
    #[inline]
    pub(crate) async fn get(&self, key: &[u8]) -> Option<Option<Gdid>> {
        let cached = self.entries.get(key).await?;
        (cached.writes == self.writes_of(key).load(Ordering::Acquire))
            .then_some(cached.found.holder)
    }

    /// The cached answer, or the one of `load`; many that miss one key at once load it once.
    ///
    /// A failure is handed to all who wait for it, and is not kept.
    pub(crate) async fn get_or_load<L>(
        &self,
        key: &[u8],
        load: impl Fn() -> L,
    ) -> Result<Option<Gdid>, IndexError>
    where
        L: Future<Output = Result<Found, IndexError>>,
    {
        let writes = self.writes_of(key);
        loop {
            let before = writes.load(Ordering::Acquire);
            let loaded = self
                .entries
                .try_get_with_by_ref(key, async {
                    load().await.map(|found| Cached {
                        found,
                        writes: before,
                    })
                })
                .await
                .map_err(std::sync::Arc::unwrap_or_clone)?;
            // Somebody else's load may have begun before a write that we have seen.
            if loaded.writes >= before {
                return Ok(loaded.found.holder);
            }
            self.entries.invalidate(key).await;
        }
    }

    /// Keeps an answer whose lookup began when [`begin`](Self::begin) gave `writes`.
    pub(crate) async fn keep(&self, key: &[u8], found: Found, writes: u64) {
        if found.keep == Keep::ForItsTime {
            self.entries
                .insert(key.into(), Cached { found, writes })
                .await;
        }
    }

    /// To be asked before a lookup whose answer will be [kept](Self::keep).
    pub(crate) fn begin(&self, key: &[u8]) -> u64 {
        self.writes_of(key).load(Ordering::Acquire)
    }

    /// To be held while a key is being written: what was known of it before counts no more then.
    pub(crate) fn writing(&self, key: &[u8]) -> Writing<'_> {
        Writing {
            writes: self.writes_of(key),
        }
    }
}

/// A write of a key under way. Dropped with the write's own future, it covers a cancelled one too,
/// which may have taken effect.
#[derive(Debug)]
#[must_use = "it counts when it is dropped, which has to be after the write"]
pub(crate) struct Writing<'c> {
    writes: &'c AtomicU64,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
    }
}
