//! A named index: unique keys to ids.

use std::collections::HashMap;
use std::sync::Arc;

use mdb_gdid::Gdid;

use super::Place;
use super::cache::{Found, IndexCache, Keep};
use super::entry::{Entries, Entry, State};
use super::error::IndexError;
use super::key::IndexKey;
use crate::config::{CacheConfig, IndexConfig};

/// How many keys one query of [`Index::get_many`] asks for.
const KEYS_PER_QUERY: usize = 128;

/// How often a lookup follows an entry that changes while it is being looked at.
const FOLLOWS: u32 = 8;

/// A named index of CENTRAL. Cheap to clone; clones share one cache.
///
/// ```
/// # async fn example(mdb: &mdb_core::Mdb) -> Result<(), Box<dyn std::error::Error>> {
/// let emails = mdb.central().index("user_email");
/// let id = mdb.sequence("user").next().await?;
/// emails.insert("ann@example.org", id).await?;
/// assert_eq!(emails.get("Ann@Example.org").await?, Some(id), "keys of this index are case-folded");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Index {
    inner: Result<Arc<Inner>, Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) entries: Entries,
    pub(super) cache: IndexCache,
}

impl Index {
    pub(super) fn new(config: &IndexConfig, cache: &CacheConfig, place: Place) -> Self {
        let entries = Entries {
            name: config.name().to_string(),
            config: config.clone(),
            place,
        };
        Self {
            inner: Ok(Arc::new(Inner {
                entries,
                cache: IndexCache::new(cache),
            })),
        }
    }

    pub(super) fn unknown(name: &str) -> Self {
        Self {
            inner: Err(name.into()),
        }
    }

    pub(super) fn inner(&self) -> Result<&Inner, IndexError> {
        match &self.inner {
            Ok(inner) => Ok(inner),
            Err(name) => Err(IndexError::Unknown {
                name: name.to_string(),
            }),
        }
    }

    /// The id that holds `key`, if one does; from the cache where that is fresh.
    ///
    /// An answer of the cache can be behind other processes' writes by the cache's time to live,
    /// never behind this process' own. Many callers that miss one key at once cause one query.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Unknown`], [`IndexError::Key`]: nothing was asked.
    /// - [`IndexError::Database`]: CENTRAL's shard failed; that is not cached.
    ///
    /// # Cancel safety
    ///
    /// Safe: another caller that waits for the same key loads it instead.
    pub async fn get<'k>(&self, key: impl Into<IndexKey<'k>>) -> Result<Option<Gdid>, IndexError> {
        let inner = self.inner()?;
        let key = inner.entries.key(key.into())?;
        if let Some(holder) = inner.cache.get(&key).await {
            return Ok(holder);
        }
        inner.cache.get_or_load(&key, || inner.look_up(&key)).await
    }

    /// As [`get`](Self::get), past the cache: what CENTRAL says at this moment.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_uncached<'k>(
        &self,
        key: impl Into<IndexKey<'k>>,
    ) -> Result<Option<Gdid>, IndexError> {
        let inner = self.inner()?;
        let key = inner.entries.key(key.into())?;
        Ok(inner.look_up(&key).await?.holder)
    }

    /// The ids that hold `keys`, in their order; what the cache lacks is fetched shard by shard.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); one key that is not a key of this index fails the whole.
    pub async fn get_many<'k, K: Into<IndexKey<'k>>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Gdid>>, IndexError> {
        let inner = self.inner()?;
        let keys = keys
            .into_iter()
            .map(|key| inner.entries.key(key.into()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut holders = vec![None; keys.len()];
        let mut missing: HashMap<_, Vec<(usize, u64)>> = HashMap::new();
        for (place, key) in keys.iter().enumerate() {
            if let Some(holder) = inner.cache.get(key).await {
                holders[place] = holder;
            } else {
                let shard = inner.entries.shard(key)?;
                missing
                    .entry(shard)
                    .or_default()
                    .push((place, inner.cache.begin(key)));
            }
        }
        for (shard, places) in missing {
            for places in places.chunks(KEYS_PER_QUERY) {
                let wanted: Vec<&[u8]> = places.iter().map(|(place, _)| &*keys[*place]).collect();
                let rows: HashMap<_, _> = inner
                    .entries
                    .find_many(shard, &wanted)
                    .await?
                    .into_iter()
                    .collect();
                for &(place, writes) in places {
                    let key = &*keys[place];
                    let found = inner.judge(key, rows.get(key).cloned()).await?;
                    inner.cache.keep(key, found, writes).await;
                    holders[place] = found.holder;
                }
            }
        }
        Ok(holders)
    }

    /// Makes `id` the holder of `key`. Repeating it with the same id changes nothing.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Taken`], [`IndexError::Claimed`], [`IndexError::Renaming`]: the key is not free.
    /// - [`IndexError::ZeroId`], [`IndexError::Unknown`], [`IndexError::Key`]: nothing was written.
    /// - [`IndexError::Database`]: CENTRAL's shard failed. When its connection was lost, the entry may
    ///   have been written: repeat the call with the same id.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the entry may have been written or not.
    pub async fn insert<'k>(
        &self,
        key: impl Into<IndexKey<'k>>,
        id: Gdid,
    ) -> Result<(), IndexError> {
        let inner = self.inner()?;
        let key = inner.entries.key(key.into())?;
        match inner.take(&key, id, None).await {
            Err(IndexError::Taken { holder, .. }) if holder == id => Ok(()),
            result => result,
        }
    }

    /// Frees `key`; says who held it, if anybody did.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Claimed`], [`IndexError::Renaming`]: the key is about to change; nothing was removed.
    /// - [`IndexError::Unknown`], [`IndexError::Key`], [`IndexError::Database`]: as for
    ///   [`insert`](Self::insert).
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the entry may have been removed or not.
    pub async fn remove<'k>(
        &self,
        key: impl Into<IndexKey<'k>>,
    ) -> Result<Option<Gdid>, IndexError> {
        let inner = self.inner()?;
        let key = inner.entries.key(key.into())?;
        let _writing = inner.cache.writing(&key);
        for _ in 0..FOLLOWS {
            let Some(entry) = inner.entries.find(&key).await? else {
                return Ok(None);
            };
            match entry.state {
                State::Active => {
                    if inner.entries.delete_active(&key, entry.holder).await? {
                        return Ok(Some(entry.holder));
                    }
                }
                _ => inner.clear_the_way(&key, &entry).await?,
            }
        }
        Err(inner.busy())
    }
}

impl Inner {
    /// What CENTRAL says of a key.
    pub(super) async fn look_up(&self, key: &[u8]) -> Result<Found, IndexError> {
        let entry = self.entries.find(key).await?;
        self.judge(key, entry).await
    }

    /// Whether a row means that the key is found.
    async fn judge(&self, key: &[u8], mut entry: Option<Entry>) -> Result<Found, IndexError> {
        for _ in 0..FOLLOWS {
            let Some(row) = entry else {
                return Ok(Found {
                    holder: None,
                    keep: Keep::ForItsTime,
                });
            };
            let (State::RenameTarget, Some(operation), Some(old_key)) =
                (row.state, &row.operation, &row.peer)
            else {
                let (holder, keep) = match row.state {
                    State::Active => (Some(row.holder), Keep::ForItsTime),
                    State::RenameSource => (Some(row.holder), Keep::No),
                    State::Claimed | State::Renamed | State::RenameTarget => (None, Keep::No),
                };
                return Ok(Found { holder, keep });
            };
            // The old key's row decides, as long as it is there.
            if let Some(old) = self
                .entries
                .find(old_key)
                .await?
                .filter(|old| old.is_of(operation))
            {
                let holder = (old.state == State::Renamed).then_some(row.holder);
                return Ok(Found {
                    holder,
                    keep: Keep::No,
                });
            }
            // It is gone or was turned back, so this row is about to be finished too.
            let again = self.entries.find(key).await?;
            if again.as_ref().is_some_and(|again| again.is_of(operation)) {
                return Ok(Found {
                    holder: None,
                    keep: Keep::No,
                });
            }
            entry = again;
        }
        Err(self.busy())
    }

    /// Adds an active row, or a claim, for a free key.
    pub(super) async fn take(
        &self,
        key: &[u8],
        id: Gdid,
        claim: Option<&super::entry::Token>,
    ) -> Result<(), IndexError> {
        if id.is_zero() {
            return Err(IndexError::ZeroId {
                index: self.entries.name.clone(),
            });
        }
        let state = if claim.is_some() {
            State::Claimed
        } else {
            State::Active
        };
        let _writing = self.cache.writing(key);
        for _ in 0..FOLLOWS {
            if self.entries.add(key, id, state, claim, None).await? {
                return Ok(());
            }
            if let Some(entry) = self.entries.find(key).await? {
                self.clear_the_way(key, &entry).await?;
            }
        }
        Err(self.busy())
    }

    /// Finishes what may be finished of a row that stands in the way, so that it can be tried again.
    pub(super) async fn clear_the_way(&self, key: &[u8], entry: &Entry) -> Result<(), IndexError> {
        let index = self.entries.name.clone();
        match entry.state {
            State::Active => Err(IndexError::Taken {
                index,
                holder: entry.holder,
            }),
            State::Claimed => Err(IndexError::Claimed {
                index,
                holder: entry.holder,
                age: entry.age,
            }),
            State::RenameTarget | State::RenameSource | State::Renamed => {
                if self.settle_rename(key, entry).await?.is_none() {
                    return Err(IndexError::Renaming {
                        index,
                        age: entry.age,
                    });
                }
                Ok(())
            }
        }
    }

    /// A key that kept changing while it was looked at.
    pub(super) fn busy(&self) -> IndexError {
        IndexError::Renaming {
            index: self.entries.name.clone(),
            age: std::time::Duration::ZERO,
        }
    }
}
