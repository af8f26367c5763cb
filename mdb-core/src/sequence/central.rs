//! Authorities that count in rows of one of CENTRAL's shards.
//!
//! One row per (scope, sequence, authority) holds the authority's [`Ledger`]. A block is taken by one
//! statement that adds its size to the counter and answers with the sum, so any number of processes
//! can share an authority: each statement waits for the one before it, and none is ever in vain.
//!
//! A process remembers its **mark**, how far each row was when it last heard of it, and takes nothing
//! from a row that is behind. So it notices a database that was restored from an older copy, or a
//! replica that took over without the last rows. A process that starts afterwards has no mark yet and
//! can't notice: raise the sequence before it starts.

mod row;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use mdb_gdid::{
    AllocateFuture, AuthorityError, AuthorityId, AuthorityIds, AuthorityStatus, Block, BlockLife,
    BlockSize, BlockSource, Cause, Gdid, Ledger, Place, RangeKey, ScopeName, SequenceName,
    SequenceState, StatusFuture, UnixMillis,
};

use crate::config::AuthorityConfig;
use crate::servers::{AnyPool, Servers};
use crate::topology::ShardId;
use row::{Row, Rows};

/// How often the row is looked at, because it was not as expected, before that counts as a failure.
/// Each look but the first means that an era has turned meanwhile.
const LOOKS: u32 = 16;

/// Which row: its scope, sequence and authority.
type Key = (ScopeName, SequenceName, AuthorityId);

/// Authorities that count on one of CENTRAL's shards.
pub(super) struct CentralAuthority {
    place: Place,
    ids: AuthorityIds,
    /// Those that count on the same shard under another name.
    neighbours: Vec<AuthorityId>,
    shard: ShardId,
    life: BlockLife,
    servers: Servers,
    marks: Mutex<HashMap<Key, SequenceState>>,
}

impl fmt::Debug for CentralAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CentralAuthority")
            .field("place", &self.place)
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}

impl CentralAuthority {
    pub(super) fn new(
        config: &AuthorityConfig,
        neighbours: Vec<AuthorityId>,
        shard: ShardId,
        life: BlockLife,
        servers: Servers,
    ) -> Self {
        let home = servers.topology().shard(shard);
        let place = format!(
            "`{}` (database `{}` on server `{}`)",
            config.name(),
            home.database(),
            home.server()
        );
        Self {
            place: Place::new(place),
            ids: config.ids().clone(),
            neighbours,
            shard,
            life,
            servers,
            marks: Mutex::new(HashMap::new()),
        }
    }

    fn pool(&self) -> &AnyPool {
        self.servers.pool(self.shard)
    }

    fn rows<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> Rows<'a> {
        Rows {
            pool: self.pool(),
            scope,
            sequence,
        }
    }

    async fn take_block(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        size: BlockSize,
    ) -> Result<Block, AuthorityError> {
        let authority = self.ids.at(SystemTime::now());
        let row = Row {
            pool: self.pool(),
            scope,
            sequence,
            authority,
        };
        let key = (scope.clone(), sequence.clone(), authority);
        let unavailable = |error: sqlx::Error| self.unavailable(sequence, error);
        let mut era = 0;
        for _ in 0..LOOKS {
            // Known before a statement is sent: whatever others are given meanwhile is above it.
            let mark = self.mark(&key);
            era = mark.era().max(era);
            let least = if era == mark.era() { mark.counter() } else { 0 };
            if era <= SequenceState::LAST_ERA {
                let taken = row.take(era, least, size, self.life).await;
                if let Some(last) = taken.map_err(unavailable)? {
                    return self.block(&key, era, last, size);
                }
            }
            let Some(found) = row.read().await.map_err(unavailable)? else {
                if mark > SequenceState::START {
                    return Err(self.went_back(&key, SequenceState::START, mark));
                }
                row.begin().await.map_err(unavailable)?;
                continue;
            };
            let ledger = found.map_err(|error| self.corrupt(sequence, error))?;
            let state = ledger.state();
            if state < mark {
                return Err(self.went_back(&key, state, mark));
            }
            if let Err(source) = state.advance(authority, size) {
                return Err(AuthorityError::Exhausted {
                    place: self.place.clone(),
                    sequence: sequence.clone(),
                    source,
                });
            }
            era = state.era();
            if state.counter() >= row::limit(size) {
                let turned = row.turn(era, row::limit(size)).await;
                turned.map_err(unavailable)?;
                era += 1;
            }
        }
        Err(self.unavailable(sequence, "the row changes faster than it can be read"))
    }

    /// The block that ends with the counter `last`.
    fn block(
        &self,
        key: &Key,
        era: u32,
        last: i64,
        size: BlockSize,
    ) -> Result<Block, AuthorityError> {
        let (_, sequence, authority) = key;
        let corrupt = |error: Cause| self.corrupt(sequence, error);
        let last = u64::try_from(last).map_err(|error| corrupt(error.into()))?;
        let first = last.saturating_sub(u64::from(size.get()) - 1);
        let first =
            Gdid::new(era, authority.get(), first).map_err(|error| corrupt(error.into()))?;
        let block = Block::new(first, size).map_err(|error| corrupt(error.into()))?;
        let after = block.state_after();
        self.heard_of(key.clone(), after);
        if after.is_near_the_end() {
            tracing::warn!(place = %self.place, %sequence, %authority, era, "the eras of a sequence are nearly used up");
        }
        Ok(block)
    }

    fn marks(&self) -> MutexGuard<'_, HashMap<Key, SequenceState>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, key: &Key) -> SequenceState {
        let mark = self.marks().get(key).copied();
        mark.unwrap_or(SequenceState::START)
    }

    /// Raises the mark to what the row was seen at, and says where it was before.
    fn heard_of(&self, key: Key, state: SequenceState) -> SequenceState {
        let mut marks = self.marks();
        let mark = marks.entry(key).or_insert(SequenceState::START);
        let before = *mark;
        *mark = before.max(state);
        before
    }

    fn unavailable(&self, sequence: &SequenceName, source: impl Into<Cause>) -> AuthorityError {
        AuthorityError::Unavailable {
            place: self.place.clone(),
            sequence: sequence.clone(),
            source: source.into(),
        }
    }

    fn corrupt(&self, sequence: &SequenceName, source: impl Into<Cause>) -> AuthorityError {
        AuthorityError::Corrupt {
            place: self.place.clone(),
            sequence: sequence.clone(),
            source: source.into(),
        }
    }

    fn went_back(
        &self,
        (_, sequence, authority): &Key,
        found: SequenceState,
        mark: SequenceState,
    ) -> AuthorityError {
        AuthorityError::WentBack {
            place: self.place.clone(),
            authority: *authority,
            sequence: sequence.clone(),
            found: found.next(),
            seen: mark.next(),
        }
    }

    async fn statuses(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        // As for a block: what others are given while the rows are read is above it.
        let marks = self.marks().clone();
        let read = self.rows(scope, sequence).read().await;
        let counted = read.map_err(|error| self.unavailable(sequence, error))?;
        let counted = counted.map_err(|error| self.corrupt(sequence, error))?;
        let unused = |authority| (authority, Ledger::START, UnixMillis::EPOCH);
        let ids = self.ids.as_slice();
        let absent = ids
            .iter()
            .filter(|id| counted.iter().all(|row| row.authority != **id));
        let absent: Vec<_> = absent.map(|id| unused(*id)).collect();
        let all = counted
            .iter()
            .map(|row| (row.authority, row.ledger, row.now))
            .filter(|(authority, ..)| !self.neighbours.contains(authority))
            .chain(absent);
        let statuses = all.map(|(authority, ledger, now)| {
            let mut status = AuthorityStatus::of(authority, &ledger, now, self.life);
            let key = (scope.clone(), sequence.clone(), authority);
            let mark = marks.get(&key).copied();
            self.heard_of(key, ledger.state());
            if let Some(mark) = mark.filter(|mark| ledger.state() < *mark) {
                status = status.with_note(format!(
                    "it has gone back: it was at {} before; raise it above",
                    mark.next()
                ));
            }
            if ledger.state().is_near_the_end() {
                status = status.with_note("the eras are nearly used up");
            }
            if !ids.contains(&authority) {
                status = status.with_note("not in the configuration any more");
            }
            status
        });
        Ok(statuses.collect())
    }

    async fn raise_all(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        floor: RangeKey,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        let rows = self.rows(scope, sequence);
        rows.raise(self.ids.as_slice(), SequenceState::before(floor))
            .await
            .map_err(|error| self.unavailable(sequence, error))?;
        self.statuses(scope, sequence).await
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

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        Box::pin(self.raise_all(scope, sequence, floor))
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(self.statuses(scope, sequence))
    }
}
