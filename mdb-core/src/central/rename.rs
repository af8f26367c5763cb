//! Renaming a key, also between shards; see the [module above](super) for the protocol.

use mdb_gdid::Gdid;

use super::claims::Settled;
use super::entry::{Entry, State, new_token};
use super::error::IndexError;
use super::index::{Index, Inner};
use super::key::IndexKey;

/// How often a rename begins anew when somebody else's unfinished work stood in its way.
const ATTEMPTS: u32 = 4;

impl Index {
    /// Gives the entry of `from` the key `to`; says who holds it.
    ///
    /// # Errors
    ///
    /// - [`IndexError::NotFound`]: `from` has no entry.
    /// - [`IndexError::Taken`], [`IndexError::Claimed`]: `to` is not free; `from` is as it was.
    /// - [`IndexError::Renaming`]: another rename of one of the keys is under way.
    /// - [`IndexError::RenameStopped`]: somebody took this one for dead and undid it.
    /// - [`IndexError::Database`]: a shard failed. Exactly one of the keys is found; which one, a
    ///   lookup says, and [`settle`](Self::settle) (or `mdb central claims --settle`) cleans up.
    /// - [`IndexError::Unknown`], [`IndexError::Key`]: nothing was written.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, exactly one of the keys is found, as after an error.
    ///
    /// # Durability
    ///
    /// When it returns `Ok`, the new key is found and the old one is not.
    pub async fn rename<'f, 't>(
        &self,
        from: impl Into<IndexKey<'f>>,
        to: impl Into<IndexKey<'t>>,
    ) -> Result<Gdid, IndexError> {
        let inner = self.inner()?;
        let (from, to) = (
            inner.entries.key(from.into())?,
            inner.entries.key(to.into())?,
        );
        let _writing = (inner.cache.writing(&from), inner.cache.writing(&to));
        inner.rename(&from, &to).await
    }
}

impl Inner {
    async fn rename(&self, from: &[u8], to: &[u8]) -> Result<Gdid, IndexError> {
        for _ in 0..ATTEMPTS {
            let Some(old) = self.entries.find(from).await? else {
                return Err(IndexError::NotFound {
                    index: self.entries.name.clone(),
                });
            };
            match old.state {
                State::Active if from == to => return Ok(old.holder),
                State::Active => {}
                State::Claimed => {
                    return Err(IndexError::NotFound {
                        index: self.entries.name.clone(),
                    });
                }
                State::RenameTarget | State::RenameSource | State::Renamed => {
                    self.clear_the_way(from, &old).await?;
                    continue;
                }
            }
            let renamed = if self.entries.shard(from)? == self.entries.shard(to)? {
                self.rename_on_one_shard(from, to, old.holder).await?
            } else {
                self.rename_between_shards(from, to, old.holder).await?
            };
            if renamed {
                return Ok(old.holder);
            }
            // One of the rows changed under us, or something that can be finished is in the way.
            if let Some(entry) = self.entries.find(to).await? {
                self.clear_the_way(to, &entry).await?;
            }
        }
        Err(self.busy())
    }

    async fn rename_on_one_shard(
        &self,
        from: &[u8],
        to: &[u8],
        holder: Gdid,
    ) -> Result<bool, IndexError> {
        Ok(self.entries.rekey(from, to, holder).await?.unwrap_or(false))
    }

    async fn rename_between_shards(
        &self,
        from: &[u8],
        to: &[u8],
        holder: Gdid,
    ) -> Result<bool, IndexError> {
        let operation = new_token();
        if !self
            .entries
            .mark_source(from, holder, &operation, to)
            .await?
        {
            return Ok(false);
        }
        let taken = self
            .entries
            .add(
                to,
                holder,
                State::RenameTarget,
                Some(&operation),
                Some(from),
            )
            .await;
        if !matches!(taken, Ok(true)) {
            // Undone as far as possible. What is left after a second failure is still found by its
            // old key, and is settled later.
            let undone = self
                .entries
                .turn(from, &operation, (State::RenameSource, State::Active))
                .await;
            self.entries
                .delete_of(to, &operation, State::RenameTarget)
                .await?;
            undone?;
            return taken;
        }
        if !self
            .entries
            .turn(from, &operation, (State::RenameSource, State::Renamed))
            .await?
        {
            self.entries
                .delete_of(to, &operation, State::RenameTarget)
                .await?;
            return Err(IndexError::RenameStopped {
                index: self.entries.name.clone(),
            });
        }
        // The commit point is passed: what follows only tidies up, and anybody can do it.
        if let Err(error) = self.complete(from, to, &operation).await {
            tracing::warn!(index = self.entries.name, error = %error, "a finished rename is left to be tidied up");
        }
        Ok(true)
    }

    async fn complete(&self, from: &[u8], to: &[u8], operation: &[u8]) -> Result<(), IndexError> {
        self.entries
            .turn(to, operation, (State::RenameTarget, State::Active))
            .await?;
        self.entries
            .delete_of(from, operation, State::Renamed)
            .await?;
        Ok(())
    }

    /// Completes a rename that has passed its commit point, undoes one that was abandoned before.
    ///
    /// `None`: it is neither; whoever does it may still be alive.
    pub(super) async fn settle_rename(
        &self,
        key: &[u8],
        entry: &Entry,
    ) -> Result<Option<Settled>, IndexError> {
        let (Some(operation), Some(peer)) = (&entry.operation, &entry.peer) else {
            return Ok(None);
        };
        let (from, to): (&[u8], &[u8]) = if entry.state == State::RenameTarget {
            (peer, key)
        } else {
            (key, peer)
        };
        let _writing = (self.cache.writing(from), self.cache.writing(to));
        self.settle_between(from, to, operation, entry).await
    }

    async fn settle_between(
        &self,
        from: &[u8],
        to: &[u8],
        operation: &[u8],
        entry: &Entry,
    ) -> Result<Option<Settled>, IndexError> {
        let old = self
            .entries
            .find(from)
            .await?
            .filter(|old| old.is_of(operation));
        match old.map(|old| old.state) {
            Some(State::Renamed) => {
                self.complete(from, to, operation).await?;
                Ok(Some(Settled::Completed))
            }
            Some(State::RenameSource) => {
                if entry.age < self.entries.config.claim_ttl() {
                    return Ok(None);
                }
                // First the row that decides, so that whoever is merely slow can't commit any more.
                if !self
                    .entries
                    .turn(from, operation, (State::RenameSource, State::Active))
                    .await?
                {
                    return Ok(None);
                }
                self.entries
                    .delete_of(to, operation, State::RenameTarget)
                    .await?;
                Ok(Some(Settled::Undone))
            }
            // The old row is past this rename: if the new one is not, it was undone half-way.
            _ => {
                self.entries
                    .delete_of(to, operation, State::RenameTarget)
                    .await?;
                Ok(Some(Settled::Undone))
            }
        }
    }
}
