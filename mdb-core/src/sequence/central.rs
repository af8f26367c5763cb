//! Authorities that count in rows of one of CENTRAL's shards.
//!
//! One row per (scope, sequence, authority) holds the authority's [`Ledger`]. A block is taken by one
//! statement that adds its size to the counter and answers with the sum, so any number of processes
//! can share an authority: each statement waits for the one before it, and none is ever in vain.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use mdb_gdid::{
    AllocateFuture, AuthorityError, AuthorityId, AuthorityIds, AuthorityStatus, Block, BlockLife,
    BlockSize, BlockSource, Cause, Gdid, Ledger, Place, RangeKey, ScopeName, SequenceName,
    SequenceState, StatusFuture, UnixMillis,
};

use crate::config::AuthorityConfig;
use crate::engine::{Step, Value, Values};
use crate::servers::{AnyPool, Servers};
use crate::topology::ShardId;

/// How often the row is looked at, because it was not as expected, before that counts as a failure.
/// Each look but the first means that an era has turned meanwhile.
const LOOKS: u32 = 16;

/// Authorities that count on one of CENTRAL's shards.
pub(super) struct CentralAuthority {
    place: Place,
    ids: AuthorityIds,
    shard: ShardId,
    life: BlockLife,
    servers: Servers,
    /// How far each was when this process last heard of it. What is behind that was restored from an
    /// older copy.
    seen: Mutex<HashMap<(ScopeName, SequenceName, AuthorityId), SequenceState>>,
}

impl fmt::Debug for CentralAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CentralAuthority")
            .field("place", &self.place)
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}

/// What is stored is no count.
#[derive(Debug, thiserror::Error)]
#[error("the row in `mdb_sequence` has era {era} and counter {counter}")]
struct NoCount {
    era: i64,
    counter: i64,
}

impl CentralAuthority {
    pub(super) fn new(
        config: &AuthorityConfig,
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
            shard,
            life,
            servers,
            seen: Mutex::new(HashMap::new()),
        }
    }

    fn pool(&self) -> &AnyPool {
        self.servers.pool(self.shard)
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
            life: self.life,
        };
        let key = (scope.clone(), sequence.clone(), authority);
        // Known before the statement is sent: what others are given meanwhile is above it.
        let seen = self
            .seen()
            .get(&key)
            .copied()
            .unwrap_or(SequenceState::START);
        let unavailable = |error: sqlx::Error| self.unavailable(sequence, error);
        let mut era = seen.era();
        for _ in 0..LOOKS {
            let least = if era == seen.era() { seen.counter() } else { 0 };
            if let Some(last) = row.take(era, least, size).await.map_err(unavailable)? {
                return self.block(&key, era, last, size);
            }
            let Some(found) = row.read().await.map_err(unavailable)? else {
                if seen > SequenceState::START {
                    return Err(self.went_back(&key, SequenceState::START, seen));
                }
                row.begin().await.map_err(unavailable)?;
                continue;
            };
            let state = found
                .map_err(|error| self.corrupt(sequence, error))?
                .state();
            if state < seen {
                return Err(self.went_back(&key, state, seen));
            }
            // One that would come too near to the end turns the era.
            if let Err(source) = state.advance(authority, size) {
                return Err(AuthorityError::Exhausted {
                    place: self.place.clone(),
                    sequence: sequence.clone(),
                    source,
                });
            }
            era = state.era();
            if state.counter() >= limit(size) {
                row.turn(era, limit(size)).await.map_err(unavailable)?;
                era += 1;
            }
        }
        Err(self.unavailable(sequence, "the row changes faster than it can be read"))
    }

    /// The block that ends with the counter `last`.
    fn block(
        &self,
        key: &(ScopeName, SequenceName, AuthorityId),
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
        let mut seen = self.seen();
        let known = seen.entry(key.clone()).or_insert(after);
        *known = (*known).max(after);
        drop(seen);
        if after.is_near_the_end() {
            tracing::warn!(place = %self.place, %sequence, %authority, era, "the eras of a sequence are nearly used up");
        }
        Ok(block)
    }

    fn seen(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(ScopeName, SequenceName, AuthorityId), SequenceState>>
    {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
        (_, sequence, authority): &(ScopeName, SequenceName, AuthorityId),
        found: SequenceState,
        seen: SequenceState,
    ) -> AuthorityError {
        AuthorityError::WentBack {
            place: self.place.clone(),
            authority: *authority,
            sequence: sequence.clone(),
            found: found.next(),
            seen: seen.next(),
        }
    }

    async fn statuses(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        let query = format!(
            "SELECT {COLUMNS}, {}, authority FROM mdb_sequence WHERE scope = ? AND name = ? ORDER BY authority",
            self.pool().now()
        );
        let values = [Value::from(scope.as_str()), Value::from(sequence.as_str())];
        let unavailable = |error: sqlx::Error| self.unavailable(sequence, error);
        let rows = self
            .pool()
            .query(&query, &values)
            .await
            .map_err(unavailable)?;
        let mut statuses = Vec::new();
        for row in &rows {
            let ledger = read_ledger(row).map_err(unavailable)?;
            let ledger = ledger.map_err(|error| self.corrupt(sequence, error))?;
            let now = UnixMillis::new(row.integer(7).map_err(unavailable)?.unsigned_abs());
            let number = row.integer(8).map_err(unavailable)?;
            let authority = u8::try_from(number).ok().and_then(AuthorityId::new);
            let Some(authority) = authority else { continue };
            let mut status = AuthorityStatus::of(authority, &ledger, now, self.life);
            if ledger.state().is_near_the_end() {
                status = status.with_note("the eras are nearly used up");
            }
            if !self.ids.as_slice().contains(&authority) {
                status = status.with_note("not in the configuration any more");
            }
            statuses.push(status);
        }
        for id in self.ids.as_slice() {
            if statuses.iter().all(|status| status.authority() != *id) {
                let (now, life) = (UnixMillis::EPOCH, self.life);
                statuses.push(AuthorityStatus::of(*id, &Ledger::START, now, life));
            }
        }
        Ok(statuses)
    }

    async fn raise_all(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        floor: RangeKey,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        let state = SequenceState::before(floor);
        let rows = self.ids.as_slice().iter().map(|authority| Row {
            pool: self.pool(),
            scope,
            sequence,
            authority: *authority,
            life: self.life,
        });
        let mut steps: Vec<Step> = rows.map(|row| row.begin_step()).collect();
        // Also those that the configuration no longer has.
        steps.push(Step::new(
            "UPDATE mdb_sequence SET era = ?, counter = ? \
             WHERE scope = ? AND name = ? AND (era < ? OR (era = ? AND counter < ?))",
            [
                Value::from(i64::from(state.era())),
                stored(state.counter()),
                Value::from(scope.as_str()),
                Value::from(sequence.as_str()),
                Value::from(i64::from(state.era())),
                Value::from(i64::from(state.era())),
                stored(state.counter()),
            ],
        ));
        let raised = self.pool().together(&steps).await;
        raised.map_err(|error| self.unavailable(sequence, error))?;
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

/// The counter from which on a block of that size begins the next era.
fn limit(size: BlockSize) -> u64 {
    Gdid::MAX_COUNTER - (u64::from(size.get()) + 1)
}

fn stored(counter: u64) -> Value {
    Value::from(i64::try_from(counter).expect("a counter has 60 bits"))
}

const COLUMNS: &str = "era, counter, blocks, last_at, window_at, window_blocks, earlier_blocks";

/// The ledger in a row's first columns.
fn read_ledger(row: &Values) -> Result<Result<Ledger, NoCount>, sqlx::Error> {
    let (era, counter) = (row.integer(0)?, row.integer(1)?);
    let number = |place| Ok::<_, sqlx::Error>(row.integer(place)?.unsigned_abs());
    let (blocks, last_at, window_at) = (number(2)?, number(3)?, number(4)?);
    let state = u32::try_from(era)
        .ok()
        .zip(u64::try_from(counter).ok())
        .and_then(|(era, counter)| SequenceState::new(era, counter));
    let ledger = state.and_then(|state| {
        // The clock may have ticked between the two columns.
        let last_at = UnixMillis::new(last_at.max(window_at));
        let window_at = UnixMillis::new(window_at);
        Ledger::new(
            state,
            blocks,
            last_at,
            window_at,
            number(5).ok()?,
            number(6).ok()?,
        )
    });
    Ok(ledger.ok_or(NoCount { era, counter }))
}

/// The row of one sequence and authority.
struct Row<'a> {
    pool: &'a AnyPool,
    scope: &'a ScopeName,
    sequence: &'a SequenceName,
    authority: AuthorityId,
    life: BlockLife,
}

const KEY: &str = "scope = ? AND name = ? AND authority = ?";

impl Row<'_> {
    fn key(&self) -> [Value; 3] {
        [
            Value::from(self.scope.as_str()),
            Value::from(self.sequence.as_str()),
            Value::from(i64::from(self.authority.get())),
        ]
    }

    /// The stored ledger: `None` when there is no row.
    async fn read(&self) -> Result<Option<Result<Ledger, NoCount>>, sqlx::Error> {
        let query = format!("SELECT {COLUMNS} FROM mdb_sequence WHERE {KEY}");
        let rows = self.pool.query(&query, &self.key()).await?;
        rows.first().map(read_ledger).transpose()
    }

    fn begin_step(&self) -> Step {
        let insert = "INSERT INTO mdb_sequence (scope, name, authority, era, counter, blocks, last_at, window_at, \
                      window_blocks, earlier_blocks) VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0)";
        Step::new(self.pool.insert_if_absent(insert, "era"), self.key())
    }

    /// Adds the row of a sequence that nobody has used.
    async fn begin(&self) -> Result<(), sqlx::Error> {
        self.pool.together(&[self.begin_step()]).await.map(drop)
    }

    /// Takes `size` counters and says which is the last; `None`, with nothing changed, when the row is
    /// not in that era, is below `least`, or too near to the era's end.
    ///
    /// The other columns follow [`Ledger::issue`]. Each is set from those that are set after it, since
    /// MySQL sees the new values of those before.
    async fn take(
        &self,
        era: u32,
        least: u64,
        size: BlockSize,
    ) -> Result<Option<i64>, sqlx::Error> {
        let life = self.life.get().as_millis();
        let now = self.pool.greatest(self.pool.now(), "last_at");
        let is_over = format!("{now} >= window_at + {life}");
        let update = format!(
            "UPDATE mdb_sequence SET \
             earlier_blocks = CASE WHEN {is_over} THEN window_blocks ELSE earlier_blocks END, \
             window_blocks = CASE WHEN {is_over} THEN blocks ELSE window_blocks END, \
             window_at = CASE WHEN {is_over} THEN {now} ELSE window_at END, \
             last_at = {now}, blocks = blocks + 1, counter = {{sum}} \
             WHERE {KEY} AND era = ? AND counter >= ? AND counter < ?"
        );
        let mut values = vec![Value::from(i64::from(size.get()))];
        values.extend(self.key());
        values.extend([
            Value::from(i64::from(era)),
            stored(least),
            stored(limit(size)),
        ]);
        self.pool.add(&update, "counter", &values).await
    }

    /// Begins the next era, unless somebody else has.
    async fn turn(&self, era: u32, limit: u64) -> Result<(), sqlx::Error> {
        let update = format!(
            "UPDATE mdb_sequence SET era = era + 1, counter = 0 WHERE {KEY} AND era = ? AND counter >= ?"
        );
        let mut values = self.key().to_vec();
        values.extend([Value::from(i64::from(era)), stored(limit)]);
        self.pool.execute(&update, &values).await.map(drop)
    }
}
