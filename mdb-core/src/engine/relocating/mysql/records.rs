//! Counting what the triggers recorded, and removing it.

use std::fmt::Write;

use futures_util::TryStreamExt;
use sqlx::mysql::MySqlConnection;
use sqlx::{Executor, Row};

use super::{LEAVE, busy, error_number, ids, is_owner, mover_settings, run, select_owner};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, OwnerToken, StepError};

/// How many records one statement removes: few enough for the stack of any server.
const REMOVED_AT_ONCE: usize = 100;

/// Of how many records a round has the numbers in memory. Whoever asks for the next ones passes by those that are gone.
pub(super) const FORGOTTEN_AT_ONCE: u32 = 1_000_000;

/// How many changes of one table are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) all: u64,
    pub(super) deep: u64,
    pub(super) whole: u64,
}

pub(super) async fn recorded(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<Vec<Recorded>, sqlx::Error> {
    let nothing = Recorded {
        all: 0,
        deep: 0,
        whole: 0,
    };
    if !has_records(connection, manifest).await? {
        return Ok(vec![nothing; manifest.tables().len()]);
    }
    let counts: Vec<String> = manifest
        .tables()
        .iter()
        .map(|table| {
            format!(
                "SELECT {} AS number, COUNT(*), CAST(COALESCE(SUM(c.deep), 0) AS SIGNED), \
                 CAST(COALESCE(SUM(c.k1 IS NULL), 0) AS SIGNED) FROM {}",
                table.number,
                records(table, id)
            )
        })
        .collect();
    let query = format!("{} ORDER BY number", counts.join(" UNION ALL "));
    let rows = run(connection, &query).await?;
    rows.iter()
        .map(|row| {
            let count =
                |place: usize| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(place)?.unsigned_abs());
            Ok(Recorded {
                all: count(1)?,
                deep: count(2)?,
                whole: count(3)?,
            })
        })
        .collect()
}

/// The tables with records of changes that were refused: a trigger makes the record before it refuses, and the server takes
/// back both, unless a handler of the user's catches that.
pub(super) async fn written_past(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<Vec<MovedTable>, sqlx::Error> {
    /// Whoever has resumed the move may find the change tables gone: with the fences, after everything was deleted.
    const NO_SUCH_TABLE: u16 = 1146;
    let counts = match recorded(connection, manifest, id).await {
        Err(error) if error_number(&error) == Some(NO_SUCH_TABLE) => return Ok(Vec::new()),
        counts => counts?,
    };
    let tables = manifest.tables().iter().zip(counts);
    let recorded = tables.filter(|(_, recorded)| recorded.all > 0);
    Ok(recorded.map(|(table, _)| table.clone()).collect())
}

/// Whether anything is recorded, of whichever move: a look at the ends of the tables.
async fn has_records(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<bool, sqlx::Error> {
    let tables = manifest.tables().iter();
    let last = tables.map(|table| format!("(SELECT MAX(seq) FROM {})", table.change_table()));
    let last: Vec<String> = last.collect();
    if last.is_empty() {
        return Ok(false);
    }
    let query = format!("SELECT {}", last.join(", "));
    let rows = run(connection, &query).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    for place in 0..row.len() {
        if row
            .try_get::<Option<i64>, _>(place)?
            .is_some_and(|seq| seq > 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `FROM` this: the records `c` of the move.
pub(super) fn records(table: &MovedTable, id: &MoveId) -> String {
    format!(
        "({}) f STRAIGHT_JOIN {} c ON c.gdid = f.gdid",
        ids(id),
        table.change_table()
    )
}

/// Removes the records that this transaction's snapshot has, of as many as were counted in it, and ends it: so many numbers
/// are in memory at once.
pub(super) async fn forget(
    source: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    counts: &[Recorded],
    at_once: u32,
) -> Result<(), StepError> {
    let begin = format!(
        "{}; {} LOCK IN SHARE MODE",
        mover_settings(id),
        select_owner(id)
    );
    is_owner(&run(source, &begin).await.map_err(busy)?, owner)?;
    for (table, recorded) in manifest.tables().iter().zip(counts) {
        let mut left = recorded.all;
        while left > 0 {
            let forgotten = forget_some(source, table, id, at_once).await;
            match forgotten.map_err(busy)? {
                0 => break,
                forgotten => left = left.saturating_sub(forgotten),
            }
        }
    }
    let end = format!("COMMIT; {LEAVE}");
    run(source, &end).await.map(drop).map_err(busy)
}

/// Removes records by their numbers, each of which is looked up by itself.
///
/// Given a list of them (`IN`), the server may read the whole table, whatever index it is told to use: it then waits for
/// records that are just being made, and locks the gap in which the next one is to come.
fn remove_these(table: &MovedTable, numbers: &[i64]) -> String {
    let mut seq = String::new();
    for (place, number) in numbers.iter().enumerate() {
        let union = if place == 0 { "" } else { " UNION ALL " };
        let _ = write!(seq, "{union}SELECT {number} AS seq");
    }
    format!(
        "DELETE c FROM ({seq}) n STRAIGHT_JOIN {} c FORCE INDEX (PRIMARY) ON c.seq = n.seq",
        table.change_table()
    )
}

/// Removes at most `limit` of the move's records of a table.
pub(super) async fn forget_some(
    connection: &mut MySqlConnection,
    table: &MovedTable,
    id: &MoveId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let query = format!("SELECT c.seq FROM {} LIMIT {limit}", records(table, id));
    let mut numbers: Vec<i64> = Vec::new();
    let mut rows = connection.fetch(query.as_str());
    while let Some(row) = rows.try_next().await? {
        numbers.push(row.try_get(0)?);
    }
    drop(rows);
    for numbers in numbers.chunks(REMOVED_AT_ONCE) {
        run(connection, &remove_these(table, numbers)).await?;
    }
    Ok(numbers.len() as u64)
}
