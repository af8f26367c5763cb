//! Claims, and finding and settling what was left unfinished.

use std::time::Duration;

use mdb_gdid::Gdid;

use super::entry::{Entry, State, Token, new_token};
use super::error::IndexError;
use super::index::Index;
use super::key::{IndexKey, display};

/// A key that is taken for an id, but not found yet; see [`Index::claim`].
///
/// Dropping it does nothing: the key stays taken until it is confirmed or released.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a claim that is neither confirmed nor released keeps its key taken"]
pub struct Claim {
    key: Vec<u8>,
    id: Gdid,
    token: Token,
}

impl Claim {
    /// The id that the key is claimed for.
    pub fn id(&self) -> Gdid {
        self.id
    }
}

/// What kind of work was left unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnfinishedKind {
    /// A claim. Whether its briefcase was created, its own shard says.
    Claim,
    /// A rename before its commit point: the old key is found.
    RenameBegun,
    /// A rename after its commit point: the new key is found.
    RenameCommitted,
    /// The new key of a rename; the old key's entry decides.
    RenameTarget,
}

/// An entry that a claim or a rename has left in between.
#[derive(Clone, Debug)]
pub struct Unfinished {
    key: Vec<u8>,
    display: String,
    entry: Entry,
}

impl Unfinished {
    /// The key, as people read it: text as it is, integers in decimal, bytes in hexadecimal.
    pub fn key(&self) -> &str {
        &self.display
    }

    /// The id that the key is for.
    pub fn id(&self) -> Gdid {
        self.entry.holder
    }

    /// How long it has been like that, by CENTRAL's clock.
    pub fn age(&self) -> Duration {
        self.entry.age
    }

    /// What it is.
    pub fn kind(&self) -> UnfinishedKind {
        match self.entry.state {
            State::Active | State::Claimed => UnfinishedKind::Claim,
            State::RenameSource => UnfinishedKind::RenameBegun,
            State::Renamed => UnfinishedKind::RenameCommitted,
            State::RenameTarget => UnfinishedKind::RenameTarget,
        }
    }
}

/// What became of something unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settled {
    /// It was brought to its end.
    Completed,
    /// It was undone.
    Undone,
    /// It is a rename too young to be taken for abandoned, or somebody else has settled it meanwhile.
    Left,
}

impl Index {
    /// Takes `key` for `id` without letting it be found yet; the first of three steps that create
    /// a briefcase together with its entry.
    ///
    /// ```
    /// # async fn example(mdb: &mdb_core::Mdb) -> Result<(), Box<dyn std::error::Error>> {
    /// # use sqlx::Sqlite;
    /// let emails = mdb.central().index("user_email");
    /// let id = mdb.sequence("user").next().await?;
    ///
    /// let claim = emails.claim("ann@example.org", id).await?;
    /// mdb.area::<Sqlite>("user")?
    ///     .briefcase(id)?
    ///     .transact(async |tx| {
    ///         sqlx::query("INSERT INTO account (g_user) VALUES (?)").bind(id).execute(&tx).await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// emails.confirm(&claim).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); but a key that the same id holds already counts as taken.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the key may have been claimed: it is found as unfinished then.
    pub async fn claim<'k>(
        &self,
        key: impl Into<IndexKey<'k>>,
        id: Gdid,
    ) -> Result<Claim, IndexError> {
        let inner = self.inner()?;
        let key = inner.entries.key(key.into())?.into_owned();
        let token = new_token();
        inner.take(&key, id, Some(&token)).await?;
        Ok(Claim { key, id, token })
    }

    /// Lets a claimed key be found. Repeating it changes nothing.
    ///
    /// # Errors
    ///
    /// - [`IndexError::ClaimLost`]: the claim was released meanwhile; the key may be another's.
    /// - [`IndexError::Database`]: CENTRAL's shard failed; repeat the call.
    ///
    /// # Durability
    ///
    /// When it returns `Ok`, the entry is found after any crash.
    pub async fn confirm(&self, claim: &Claim) -> Result<(), IndexError> {
        let inner = self.inner()?;
        let _writing = inner.cache.writing(&claim.key);
        let turned = inner
            .entries
            .turn(&claim.key, &claim.token, (State::Claimed, State::Active))
            .await?;
        if turned {
            return Ok(());
        }
        match inner.entries.find(&claim.key).await? {
            Some(entry) if entry.state == State::Active && entry.holder == claim.id => Ok(()),
            _ => Err(IndexError::ClaimLost {
                index: inner.entries.name.clone(),
            }),
        }
    }

    /// Frees a claimed key again; says whether the claim was still there.
    ///
    /// # Errors
    ///
    /// [`IndexError::Database`]: CENTRAL's shard failed; repeat the call.
    pub async fn release(&self, claim: &Claim) -> Result<bool, IndexError> {
        let inner = self.inner()?;
        let _writing = inner.cache.writing(&claim.key);
        inner
            .entries
            .delete_of(&claim.key, &claim.token, State::Claimed)
            .await
    }

    /// What claims and renames have left in between for at least `age`, over all of CENTRAL's
    /// shards, the oldest of each shard first. `age` zero lists what is under way just now as well.
    ///
    /// # Errors
    ///
    /// [`IndexError::Database`]: a shard failed.
    pub async fn unfinished(&self, age: Duration) -> Result<Vec<Unfinished>, IndexError> {
        let inner = self.inner()?;
        let mut all = Vec::new();
        for pool in inner.entries.place.pools() {
            let rows = inner.entries.find_unfinished(pool, age).await?;
            all.extend(rows.into_iter().map(|(key, entry)| Unfinished {
                display: display(&key, inner.entries.kind()),
                key,
                entry,
            }));
        }
        Ok(all)
    }

    /// The age from which on this index takes unfinished work for abandoned.
    ///
    /// # Errors
    ///
    /// [`IndexError::Unknown`]: there is no such index.
    pub fn claim_ttl(&self) -> Result<Duration, IndexError> {
        Ok(self.inner()?.entries.config.claim_ttl())
    }

    /// Brings something unfinished to an end, where that is safe whoever is still alive.
    ///
    /// A committed rename is completed; one that was begun and is as old as
    /// [`claim_ttl`](Self::claim_ttl) is undone. A claim is confirmed or released as `briefcase`
    /// says, at any age: whether the briefcase was created is known on its own shard only, and may
    /// change while whoever claimed the key is alive. So don't say [`BriefcaseFound::No`] of a young
    /// one; its owner finds out by [`IndexError::ClaimLost`].
    ///
    /// # Errors
    ///
    /// [`IndexError::Database`]: a shard failed; repeat the call.
    pub async fn settle(
        &self,
        unfinished: &Unfinished,
        briefcase: BriefcaseFound,
    ) -> Result<Settled, IndexError> {
        let inner = self.inner()?;
        let Unfinished { key, entry, .. } = unfinished;
        if entry.state != State::Claimed {
            return Ok(inner
                .settle_rename(key, entry)
                .await?
                .unwrap_or(Settled::Left));
        }
        let Some(token) = &entry.operation else {
            return Ok(Settled::Left);
        };
        let _writing = inner.cache.writing(key);
        let (done, settled) = match briefcase {
            BriefcaseFound::Yes => (
                inner
                    .entries
                    .turn(key, token, (State::Claimed, State::Active))
                    .await,
                Settled::Completed,
            ),
            BriefcaseFound::No => (
                inner.entries.delete_of(key, token, State::Claimed).await,
                Settled::Undone,
            ),
        };
        Ok(if done? { settled } else { Settled::Left })
    }
}

/// Whether the briefcase that a claim was made for exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BriefcaseFound {
    /// It does: the claim is to be confirmed.
    Yes,
    /// It does not: the claim is to be released.
    No,
}
