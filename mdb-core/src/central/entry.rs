//! The rows behind an index, and the statements on them. Nothing here is cached.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use mdb_gdid::Gdid;

use super::Place;
use super::error::IndexError;
use super::key::{IndexKey, normal_form, shard_key};
use crate::config::{IndexConfig, KeyKind};
use crate::engine::{Value, Values};
use crate::servers::{AcquireError, AnyPool, cause_of};
use crate::topology::ShardId;

/// What an entry's row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is found.
    Active,
    /// Taken, but not found yet.
    Claimed,
    /// The new key of a rename: found if the old key's row says so.
    RenameTarget,
    /// The old key of a rename before the commit point: found.
    RenameSource,
    /// The old key of a rename after the commit point: not found.
    Renamed,
}

impl State {
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Active => 0,
            Self::Claimed => 1,
            Self::RenameTarget => 2,
            Self::RenameSource => 3,
            Self::Renamed => 4,
        }
    }

    fn of_code(code: i64) -> Result<Self, sqlx::Error> {
        [
            Self::Active,
            Self::Claimed,
            Self::RenameTarget,
            Self::RenameSource,
            Self::Renamed,
        ]
        .into_iter()
        .find(|state| state.code() == code)
        .ok_or_else(|| {
            sqlx::Error::Decode(format!("index entry with the unknown state {code}").into())
        })
    }
}

/// A claim's or rename's own mark, by which it knows its rows again.
pub(super) type Token = [u8; 16];

pub(super) fn new_token() -> Token {
    fastrand::u128(..).to_be_bytes()
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) holder: Gdid,
    pub(super) state: State,
    pub(super) operation: Option<Vec<u8>>,
    pub(super) peer: Option<Vec<u8>>,
    pub(super) age: Duration,
}

/// The columns that [`Entry::read`] reads; `now` is the server's clock.
fn columns(pool: &AnyPool) -> String {
    format!("gdid, state, operation, peer, {} - changed_ms", pool.now())
}

impl Entry {
    fn read(row: &Values, from: usize) -> Result<Self, sqlx::Error> {
        Ok(Self {
            holder: row.id(from)?,
            state: State::of_code(row.integer(from + 1)?)?,
            operation: row.optional_bytes(from + 2)?.map(<[u8]>::to_vec),
            peer: row.optional_bytes(from + 3)?.map(<[u8]>::to_vec),
            age: Duration::from_millis(row.integer(from + 4)?.try_into().unwrap_or(0)),
        })
    }

    pub(super) fn is_of(&self, operation: &[u8]) -> bool {
        self.operation.as_deref() == Some(operation)
    }
}

/// The table of one index over CENTRAL's shards.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) name: String,
    pub(super) config: IndexConfig,
    pub(super) place: Place,
}

impl Entries {
    /// A key's normal form.
    pub(super) fn key<'k>(&self, key: IndexKey<'k>) -> Result<Cow<'k, [u8]>, IndexError> {
        normal_form(key, self.config.key(), self.config.normalization()).map_err(|source| {
            IndexError::Key {
                index: self.name.clone(),
                source,
            }
        })
    }

    pub(super) fn kind(&self) -> KeyKind {
        self.config.key()
    }

    /// The shard of a normal form.
    pub(super) fn shard(&self, key: &[u8]) -> Result<ShardId, IndexError> {
        let key = shard_key(key, self.kind()).map_err(|source| IndexError::Key {
            index: self.name.clone(),
            source,
        })?;
        Ok(self.place.of(&key).shard_id())
    }

    pub(super) fn pool(&self, key: &[u8]) -> Result<&AnyPool, IndexError> {
        Ok(self.place.servers.pool(self.shard(key)?))
    }

    pub(super) fn failed(
        &self,
        pool: &AnyPool,
        action: &'static str,
    ) -> impl FnOnce(sqlx::Error) -> IndexError {
        let pool = pool.clone();
        move |source| IndexError::Database {
            index: self.name.clone(),
            action,
            transient: pool.is_transient(&source),
            source: Arc::new(source),
        }
    }

    /// Runs a statement that changes rows; says how many.
    async fn change(pool: &AnyPool, statement: &str, values: &[Value]) -> Result<u64, sqlx::Error> {
        let changed = pool.execute(statement, values);
        #[cfg(feature = "failpoints")]
        let changed = crate::failpoint::pass(changed);
        changed.await
    }

    /// Runs a query.
    ///
    /// Asking again is harmless, so a connection that was lost is nobody's concern. But one that
    /// could not be had was waited for, and is not waited for twice.
    async fn ask(
        pool: &AnyPool,
        query: &str,
        values: &[Value],
    ) -> Result<Vec<Values>, sqlx::Error> {
        match pool.query(query, values).await {
            Err(error)
                if pool.is_transient(&error) && cause_of::<AcquireError>(&error).is_none() =>
            {
                pool.query(query, values).await
            }
            rows => rows,
        }
    }

    /// A key's row.
    pub(super) async fn find(&self, key: &[u8]) -> Result<Option<Entry>, IndexError> {
        let pool = self.pool(key)?;
        let query = format!(
            "SELECT {} FROM mdb_index WHERE index_name = ? AND key_bytes = ?",
            columns(pool)
        );
        let values = [Value::from(self.name.as_str()), Value::from(key)];
        let rows = Self::ask(pool, &query, &values).await;
        let failed = self.failed(pool, "look a key up");
        let entry = rows.and_then(|rows| rows.first().map(|row| Entry::read(row, 0)).transpose());
        entry.map_err(failed)
    }

    /// The rows of several keys of one shard, as (key, row).
    pub(super) async fn find_many(
        &self,
        shard: ShardId,
        keys: &[&[u8]],
    ) -> Result<Vec<(Vec<u8>, Entry)>, IndexError> {
        let pool = self.place.servers.pool(shard);
        // The number of places is rounded up, so that few different statements are prepared.
        let places = keys.len().next_power_of_two();
        let marks = vec!["?"; places].join(", ");
        let query = format!(
            "SELECT key_bytes, {} FROM mdb_index WHERE index_name = ? AND key_bytes IN ({marks})",
            columns(pool)
        );
        let mut values = vec![Value::from(self.name.as_str())];
        let filled = keys
            .iter()
            .chain(std::iter::repeat_n(&keys[0], places - keys.len()));
        values.extend(filled.map(|key| Value::from(*key)));
        let failed = self.failed(pool, "look keys up");
        let read = |row: &Values| Ok((row.bytes(0)?.to_vec(), Entry::read(row, 1)?));
        let rows = Self::ask(pool, &query, &values).await;
        rows.and_then(|rows| rows.iter().map(read).collect())
            .map_err(failed)
    }

    /// The rows of one shard that a claim or a rename left in between for longer than `age`.
    pub(super) async fn find_unfinished(
        &self,
        pool: &AnyPool,
        age: Duration,
    ) -> Result<Vec<(Vec<u8>, Entry)>, IndexError> {
        let now = pool.now();
        let query = format!(
            "SELECT key_bytes, {} FROM mdb_index WHERE index_name = ? AND state <> 0 \
             AND {now} - changed_ms >= ? ORDER BY changed_ms",
            columns(pool)
        );
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let values = [Value::from(self.name.as_str()), Value::from(age)];
        let read = |row: &Values| Ok((row.bytes(0)?.to_vec(), Entry::read(row, 1)?));
        let rows = Self::ask(pool, &query, &values).await;
        rows.and_then(|rows| rows.iter().map(read).collect())
            .map_err(self.failed(pool, "list unfinished entries"))
    }

    /// Adds a row; says whether the key was free.
    pub(super) async fn add(
        &self,
        key: &[u8],
        holder: Gdid,
        state: State,
        operation: Option<&Token>,
        peer: Option<&[u8]>,
    ) -> Result<bool, IndexError> {
        let pool = self.pool(key)?;
        let statement = format!(
            "INSERT INTO mdb_index (index_name, key_bytes, gdid, state, operation, peer, changed_ms) \
             VALUES (?, ?, ?, ?, ?, ?, {})",
            pool.now()
        );
        let bytes = |value: Option<&[u8]>| value.map_or(Value::NullBytes, Value::from);
        let values = [
            Value::from(self.name.as_str()),
            Value::from(key),
            Value::from(holder),
            Value::from(state.code()),
            bytes(operation.map(<[u8; 16]>::as_slice)),
            bytes(peer),
        ];
        match Self::change(pool, &statement, &values).await {
            Ok(_) => Ok(true),
            Err(error) if pool.is_unique_violation(&error) => Ok(false),
            Err(error) => Err(self.failed(pool, "add a key")(error)),
        }
    }

    /// Turns a row of `operation` from one state into another; says whether it was there like that.
    pub(super) async fn turn(
        &self,
        key: &[u8],
        operation: &[u8],
        (from, to): (State, State),
    ) -> Result<bool, IndexError> {
        let pool = self.pool(key)?;
        let cleared = if to == State::Active {
            ", operation = NULL, peer = NULL"
        } else {
            ""
        };
        let statement = format!(
            "UPDATE mdb_index SET state = ?, changed_ms = {}{cleared} \
             WHERE index_name = ? AND key_bytes = ? AND state = ? AND operation = ?",
            pool.now()
        );
        let values = [
            Value::from(to.code()),
            Value::from(self.name.as_str()),
            Value::from(key),
            Value::from(from.code()),
            Value::from(operation),
        ];
        let changed = Self::change(pool, &statement, &values)
            .await
            .map_err(self.failed(pool, "change a key's state"))?;
        Ok(changed == 1)
    }

    /// Marks an active row as the source of a rename; says whether it was active and `holder`'s.
    pub(super) async fn mark_source(
        &self,
        key: &[u8],
        holder: Gdid,
        operation: &Token,
        peer: &[u8],
    ) -> Result<bool, IndexError> {
        let pool = self.pool(key)?;
        let statement = format!(
            "UPDATE mdb_index SET state = ?, operation = ?, peer = ?, changed_ms = {} \
             WHERE index_name = ? AND key_bytes = ? AND state = 0 AND gdid = ?",
            pool.now()
        );
        let values = [
            Value::from(State::RenameSource.code()),
            Value::from(operation.as_slice()),
            Value::from(peer),
            Value::from(self.name.as_str()),
            Value::from(key),
            Value::from(holder),
        ];
        let changed = Self::change(pool, &statement, &values)
            .await
            .map_err(self.failed(pool, "begin a rename"))?;
        Ok(changed == 1)
    }

    /// Gives an active row another key on the same shard; `Ok(None)` when the new key is taken.
    pub(super) async fn rekey(
        &self,
        from: &[u8],
        to: &[u8],
        holder: Gdid,
    ) -> Result<Option<bool>, IndexError> {
        let pool = self.pool(from)?;
        let statement = format!(
            "UPDATE mdb_index SET key_bytes = ?, changed_ms = {} \
             WHERE index_name = ? AND key_bytes = ? AND state = 0 AND gdid = ?",
            pool.now()
        );
        let values = [
            Value::from(to),
            Value::from(self.name.as_str()),
            Value::from(from),
            Value::from(holder),
        ];
        match Self::change(pool, &statement, &values).await {
            Ok(changed) => Ok(Some(changed == 1)),
            Err(error) if pool.is_unique_violation(&error) => Ok(None),
            Err(error) => Err(self.failed(pool, "rename a key")(error)),
        }
    }

    /// Deletes a row of `operation` in `state`; says whether it was there.
    pub(super) async fn delete_of(
        &self,
        key: &[u8],
        operation: &[u8],
        state: State,
    ) -> Result<bool, IndexError> {
        let pool = self.pool(key)?;
        let statement = "DELETE FROM mdb_index WHERE index_name = ? AND key_bytes = ? AND state = ? AND operation = ?";
        let values = [
            Value::from(self.name.as_str()),
            Value::from(key),
            Value::from(state.code()),
            Value::from(operation),
        ];
        let deleted = Self::change(pool, statement, &values)
            .await
            .map_err(self.failed(pool, "delete a key"))?;
        Ok(deleted == 1)
    }

    /// Deletes an active row of `holder`; says whether it was there.
    pub(super) async fn delete_active(&self, key: &[u8], holder: Gdid) -> Result<bool, IndexError> {
        let pool = self.pool(key)?;
        let statement = "DELETE FROM mdb_index WHERE index_name = ? AND key_bytes = ? AND state = 0 AND gdid = ?";
        let values = [
            Value::from(self.name.as_str()),
            Value::from(key),
            Value::from(holder),
        ];
        let deleted = Self::change(pool, statement, &values)
            .await
            .map_err(self.failed(pool, "remove a key"))?;
        Ok(deleted == 1)
    }
}
