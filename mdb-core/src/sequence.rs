//! The store's sequences: ids from an authority that keeps its count in CENTRAL.
//!
//! One row per (scope, sequence, authority) on CENTRAL's first shard holds how far the authority
//! is. A block is taken by reading the row and then changing it only if it is still as it was read,
//! so any number of processes can share an authority and none of them holds a lock in between.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mdb_gdid::{
    AllocateFuture, AuthorityError, AuthorityId, Block, BlockSize, BlockSource, Gdid, Place,
    RangeKey, ScopeName, Sequence, SequenceName, SequenceState, StatusFuture,
};

use crate::config::SequenceConfig;
use crate::engine::Value;
use crate::servers::{AnyPool, Servers};
use crate::topology::ShardId;

/// How often a block is tried for before the others' hurry counts as a failure.
const ATTEMPTS: u32 = 100;

/// The sequences of a configuration.
#[derive(Debug)]
pub(crate) struct Sequences {
    by_name: HashMap<String, Sequence>,
}

impl Sequences {
    pub(crate) fn new(config: &SequenceConfig, servers: Servers) -> Self {
        let source: Arc<dyn BlockSource> = Arc::new(CentralAuthority {
            authority: config.authority(),
            servers,
        });
        let by_name = config
            .declared()
            .iter()
            .map(|declared| {
                let sequence = Sequence::new(
                    Arc::clone(&source),
                    declared.scope().clone(),
                    declared.name().clone(),
                    config.block_size(),
                );
                (declared.name().to_string(), sequence)
            })
            .collect();
        Self { by_name }
    }

    pub(crate) fn get(&self, name: &str) -> StoreSequence {
        let known = name.to_ascii_lowercase();
        StoreSequence {
            inner: self.by_name.get(&known).cloned().ok_or_else(|| name.into()),
        }
    }
}

/// A sequence of the store; made by [`Mdb::sequence`](crate::Mdb::sequence). Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreSequence {
    inner: Result<Sequence, Arc<str>>,
}

/// Why no id was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceError {
    /// The configuration has no such sequence.
    #[error(
        "there is no sequence called `{name}` in the configuration; declare it as [[sequence]]"
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The authority handed out no block.
    #[error(transparent)]
    Allocate(#[from] AuthorityError),
}

impl SequenceError {
    /// Whether the same call may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unknown { .. } => false,
            Self::Allocate(error) => error.is_transient(),
        }
    }
}

impl StoreSequence {
    fn sequence(&self) -> Result<&Sequence, SequenceError> {
        self.inner.as_ref().map_err(|name| SequenceError::Unknown {
            name: name.to_string(),
        })
    }

    /// A fresh id, from memory nearly always; else a block is fetched from CENTRAL.
    ///
    /// # Errors
    ///
    /// - [`SequenceError::Unknown`]: there is no such sequence.
    /// - [`SequenceError::Allocate`]: the authority gave no block.
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is issued twice.
    ///
    /// # Durability
    ///
    /// The block that the id is from was committed in CENTRAL before; no crash makes it come again.
    pub async fn next(&self) -> Result<Gdid, SequenceError> {
        Ok(self.sequence()?.next().await?)
    }

    /// A fresh id if one is in memory; never waits.
    pub fn try_next(&self) -> Option<Gdid> {
        self.inner.as_ref().ok()?.try_next()
    }

    /// `count` fresh ids, ascending, and consecutive as far as one block reaches.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next); the ids taken so far are lost.
    pub async fn take(&self, count: usize) -> Result<Vec<Gdid>, SequenceError> {
        Ok(self.sequence()?.take(count).await?)
    }
}

/// An authority that keeps its count in CENTRAL's first shard.
struct CentralAuthority {
    authority: AuthorityId,
    servers: Servers,
}

impl fmt::Debug for CentralAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CentralAuthority")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl BlockSource for CentralAuthority {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(self.take_block(scope, sequence, size))
    }

    fn raise<'a>(&'a self, _: &'a ScopeName, _: &'a SequenceName, _: RangeKey) -> StatusFuture<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn status<'a>(&'a self, _: &'a ScopeName, _: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// What has no other name: everybody else was faster, a hundred times.
#[derive(Debug, thiserror::Error)]
#[error("{ATTEMPTS} attempts to take a block met other processes that were faster")]
struct Contended;

impl CentralAuthority {
    async fn take_block(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        size: BlockSize,
    ) -> Result<Block, AuthorityError> {
        let unavailable =
            |source: Box<dyn std::error::Error + Send + Sync>| AuthorityError::Unavailable {
                place: Place::new("CENTRAL"),
                sequence: sequence.clone(),
                source: source.into(),
            };
        let row = Row {
            pool: self.servers.pool(self.home()),
            scope,
            sequence,
            authority: self.authority,
        };
        for _ in 0..ATTEMPTS {
            let Some(before) = row
                .read()
                .await
                .map_err(|error| unavailable(error.into()))?
            else {
                row.begin()
                    .await
                    .map_err(|error| unavailable(error.into()))?;
                continue;
            };
            let corrupt = || AuthorityError::Corrupt {
                place: Place::new("CENTRAL"),
                sequence: sequence.clone(),
                source: sqlx::Error::RowNotFound.into(),
            };
            let before = before.ok_or_else(corrupt)?;
            let (block, after) = before.advance(self.authority, size).map_err(|source| {
                AuthorityError::Exhausted {
                    place: Place::new("CENTRAL"),
                    sequence: sequence.clone(),
                    source,
                }
            })?;
            if row
                .replace(before, after)
                .await
                .map_err(|error| unavailable(error.into()))?
            {
                return Ok(block);
            }
        }
        Err(unavailable(Contended.into()))
    }

    /// The shard that keeps the count: always the first, so that it is never looked for elsewhere.
    fn home(&self) -> ShardId {
        self.servers.topology().central().shards()[0]
    }
}

/// The row of one sequence and authority.
struct Row<'a> {
    pool: &'a AnyPool,
    scope: &'a ScopeName,
    sequence: &'a SequenceName,
    authority: AuthorityId,
}

impl Row<'_> {
    fn key(&self) -> [Value; 3] {
        [
            Value::from(self.scope.as_str()),
            Value::from(self.sequence.as_str()),
            Value::from(i64::from(self.authority.get())),
        ]
    }

    /// The stored state: `None` when there is no row, `Some(None)` when it is no state.
    async fn read(&self) -> Result<Option<Option<SequenceState>>, sqlx::Error> {
        let query =
            "SELECT era, counter FROM mdb_sequence WHERE scope = ? AND name = ? AND authority = ?";
        let rows = self.pool.query(query, &self.key()).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (era, counter) = (
            u32::try_from(row.integer(0)?),
            u64::try_from(row.integer(1)?),
        );
        Ok(Some(era.ok().zip(counter.ok()).and_then(
            |(era, counter)| SequenceState::new(era, counter),
        )))
    }

    /// Adds the row of a sequence that nobody has used.
    async fn begin(&self) -> Result<(), sqlx::Error> {
        let insert = "INSERT INTO mdb_sequence (scope, name, authority, era, counter) VALUES (?, ?, ?, 0, 0)";
        self.pool
            .execute(&self.pool.insert_if_absent(insert, "era"), &self.key())
            .await
            .map(drop)
    }

    /// Changes the state, if it is still `before`.
    async fn replace(
        &self,
        before: SequenceState,
        after: SequenceState,
    ) -> Result<bool, sqlx::Error> {
        let stored =
            |counter: u64| Value::from(i64::try_from(counter).expect("a counter has 60 bits"));
        let mut values = vec![Value::from(i64::from(after.era())), stored(after.counter())];
        values.extend(self.key());
        values.extend([
            Value::from(i64::from(before.era())),
            stored(before.counter()),
        ]);
        let update = "UPDATE mdb_sequence SET era = ?, counter = ? \
                      WHERE scope = ? AND name = ? AND authority = ? AND era = ? AND counter = ?";
        Ok(self.pool.execute(update, &values).await? == 1)
    }
}
