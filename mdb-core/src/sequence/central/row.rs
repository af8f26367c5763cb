//! The row in which one authority counts one sequence, and the statements that change it.
//!
//! Every statement says in its `WHERE` what it relies on, so it does its work or nothing, whatever
//! others do meanwhile. None takes a counter or an era back.

use std::future::Future;

use mdb_gdid::{
    AuthorityId, BlockLife, BlockSize, Gdid, Ledger, ScopeName, SequenceName, SequenceState,
    UnixMillis,
};

use crate::engine::{Step, Value, Values};
use crate::servers::AnyPool;

/// The columns of a ledger, in the order in which [`read_ledger`] takes them.
pub(super) const COLUMNS: &str =
    "era, counter, blocks, last_at, window_at, window_blocks, earlier_blocks";

const KEY: &str = "scope = ? AND name = ? AND authority = ?";

/// What is stored is no count.
#[derive(Debug, thiserror::Error)]
#[error(
    "a row of `mdb_sequence` has era {era} and counter {counter}, after {blocks} blocks; \
     one of them, or a column beside them, can't be"
)]
pub(super) struct NoCount {
    era: i64,
    counter: i64,
    blocks: i64,
}

/// The ledger in a row's first columns.
pub(super) fn read_ledger(row: &Values) -> Result<Result<Ledger, NoCount>, sqlx::Error> {
    let mut columns = [0; 7];
    for (place, column) in columns.iter_mut().enumerate() {
        *column = row.integer(place)?;
    }
    let [era, counter, blocks, ..] = columns;
    Ok(ledger(columns).ok_or(NoCount {
        era,
        counter,
        blocks,
    }))
}

fn ledger([era, counter, rest @ ..]: [i64; 7]) -> Option<Ledger> {
    let state = SequenceState::new(era.try_into().ok()?, counter.try_into().ok()?)?;
    let mut numbers = [0; 5];
    for (number, column) in numbers.iter_mut().zip(rest) {
        *number = u64::try_from(column).ok()?;
    }
    let [blocks, last_at, window_at, window_blocks, earlier_blocks] = numbers;
    let (last_at, window_at) = (UnixMillis::new(last_at), UnixMillis::new(window_at));
    Ledger::new(
        state,
        blocks,
        last_at,
        window_at,
        window_blocks,
        earlier_blocks,
    )
}

/// The counter from which on a block of that size begins the next era, as
/// [`SequenceState::advance`] has it.
pub(super) fn limit(size: BlockSize) -> u64 {
    Gdid::MAX_COUNTER - (u64::from(size.get()) + 1)
}

fn stored(counter: u64) -> Value {
    Value::from(i64::try_from(counter).expect("a counter has 60 bits"))
}

/// Passes a statement that changes rows.
async fn change<T>(
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    #[cfg(feature = "failpoints")]
    let statement = crate::failpoint::pass(statement);
    statement.await
}

/// The row of one sequence and authority.
pub(super) struct Row<'a> {
    pub(super) pool: &'a AnyPool,
    pub(super) scope: &'a ScopeName,
    pub(super) sequence: &'a SequenceName,
    pub(super) authority: AuthorityId,
}

impl Row<'_> {
    fn key(&self) -> [Value; 3] {
        [
            Value::from(self.scope.as_str()),
            Value::from(self.sequence.as_str()),
            Value::from(i64::from(self.authority.get())),
        ]
    }

    /// The stored ledger: `None` when there is no row.
    pub(super) async fn read(&self) -> Result<Option<Result<Ledger, NoCount>>, sqlx::Error> {
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
    pub(super) async fn begin(&self) -> Result<(), sqlx::Error> {
        change(self.pool.together(&[self.begin_step()]))
            .await
            .map(drop)
    }

    /// Takes `size` counters and says which is the last; `None`, with nothing changed, when the row is
    /// not in that era, is below `least`, or too near to the era's end.
    ///
    /// The other columns follow [`Ledger::issue`]. Each is set from those that are set after it, since
    /// MySQL sees the new values of those before.
    pub(super) async fn take(
        &self,
        era: u32,
        least: u64,
        size: BlockSize,
        life: BlockLife,
    ) -> Result<Option<i64>, sqlx::Error> {
        let life = life.get().as_millis();
        let now = self.pool.greatest(self.pool.statement_now(), "last_at");
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
        change(self.pool.add(&update, "counter", &values)).await
    }

    /// Begins the next era, unless somebody else has.
    pub(super) async fn turn(&self, era: u32, limit: u64) -> Result<(), sqlx::Error> {
        let update = format!(
            "UPDATE mdb_sequence SET era = era + 1, counter = 0 WHERE {KEY} AND era = ? AND counter >= ?"
        );
        let mut values = self.key().to_vec();
        values.extend([Value::from(i64::from(era)), stored(limit)]);
        change(self.pool.execute(&update, &values)).await.map(drop)
    }
}

/// The rows of a sequence, of all authorities that have ever counted here.
pub(super) struct Rows<'a> {
    pub(super) pool: &'a AnyPool,
    pub(super) scope: &'a ScopeName,
    pub(super) sequence: &'a SequenceName,
}

/// A row as it was read.
pub(super) struct Counted {
    pub(super) authority: AuthorityId,
    pub(super) ledger: Ledger,
    pub(super) now: UnixMillis,
}

impl Rows<'_> {
    /// What is stored, by authority, with the server's clock.
    pub(super) async fn read(&self) -> Result<Result<Vec<Counted>, NoCount>, sqlx::Error> {
        let query = format!(
            "SELECT {COLUMNS}, {}, authority FROM mdb_sequence WHERE scope = ? AND name = ? ORDER BY authority",
            self.pool.now()
        );
        let values = [
            Value::from(self.scope.as_str()),
            Value::from(self.sequence.as_str()),
        ];
        let mut counted = Vec::new();
        for row in &self.pool.query(&query, &values).await? {
            let (now, number) = (row.integer(7)?, row.integer(8)?);
            // Nobody has ever asked for a number above 15.
            let authority = u8::try_from(number).ok().and_then(AuthorityId::new);
            let Some(authority) = authority else { continue };
            match read_ledger(row)? {
                Ok(ledger) => counted.push(Counted {
                    authority,
                    ledger,
                    now: UnixMillis::new(u64::try_from(now).unwrap_or(0)),
                }),
                Err(no_count) => return Ok(Err(no_count)),
            }
        }
        Ok(Ok(counted))
    }

    /// Raises all rows to `state`, those of `authorities` also where there are none yet. A row that
    /// holds no count is left for somebody to look at.
    pub(super) async fn raise(
        &self,
        authorities: &[AuthorityId],
        state: SequenceState,
    ) -> Result<(), sqlx::Error> {
        let rows = authorities.iter().map(|authority| Row {
            pool: self.pool,
            scope: self.scope,
            sequence: self.sequence,
            authority: *authority,
        });
        let mut steps: Vec<Step> = rows.map(|row| row.begin_step()).collect();
        let era = || Value::from(i64::from(state.era()));
        steps.push(Step::new(
            "UPDATE mdb_sequence SET era = ?, counter = ? WHERE scope = ? AND name = ? \
             AND era >= 0 AND counter BETWEEN 0 AND ? AND (era < ? OR (era = ? AND counter < ?))",
            [
                era(),
                stored(state.counter()),
                Value::from(self.scope.as_str()),
                Value::from(self.sequence.as_str()),
                stored(Gdid::MAX_COUNTER),
                era(),
                era(),
                stored(state.counter()),
            ],
        ));
        change(self.pool.together(&steps)).await.map(drop)
    }
}
