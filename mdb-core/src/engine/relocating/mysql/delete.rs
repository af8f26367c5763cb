//! Deleting the rows of a move, some at a time.

use mdb_gdid::Gdid;
use sqlx::mysql::MySqlConnection;
use sqlx::{Executor, MySql, Row};

use super::{from_keys, id_of, ids, keys_as_numbered, quoted, rows_of, run, same_key};
use crate::engine::Engine;
use crate::engine::relocating::{
    Manifest, MoveId, MovedReach, MovedTable, Relocating, Span, StepError,
};

/// How many briefcases are looked for at once.
const FOUND_AT_ONCE: u32 = 64;

/// How many of them are counted together, when it is not known how many rows they are likely to have.
const COUNTED_AT_ONCE: u64 = 16;

/// How many rows one is taken to have then.
const FEW_ROWS: u64 = 64;

/// Whole briefcases, as many as fit; of one that has more rows than that, children first.
///
/// Rows are counted before: a `DELETE` without a limit takes half the time of one that has to find its rows first.
pub(super) async fn delete_some(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    limit: u32,
) -> Result<u64, StepError> {
    let Some(find) = find(manifest, id) else {
        return Ok(0);
    };
    let limit = u64::from(limit);
    let (mut deleted, mut emptied) = (0, 0);
    while deleted < limit {
        let found = run(connection, &find).await?;
        let found: Result<Vec<Gdid>, _> = found.iter().map(id_of).collect();
        let found = found?;
        let before = deleted;
        let mut rest = found.as_slice();
        while !rest.is_empty() && deleted < limit {
            let left = limit - deleted;
            let mut many = likely(left, deleted, emptied).clamp(1, rest.len());
            let (keys, rows) = loop {
                let keys = stretch(id, &rest[..many]);
                let rows = count(connection, manifest, &keys, left).await?;
                if many == 1 || rows.iter().sum::<u64>() <= left {
                    break (keys, rows);
                }
                many /= 2;
            };
            let delete = delete(manifest, &keys, &rows, left);
            if !delete.is_empty() {
                deleted += connection.execute(delete.as_str()).await?.rows_affected();
            }
            emptied += many as u64;
            rest = &rest[many..];
        }
        if deleted == before {
            if found.is_empty() {
                break;
            }
            return Err(manifest.kept::<MySql>(connection, id).await?);
        }
    }
    Ok(deleted)
}

/// Whole briefcases, in one text.
pub(super) async fn delete_all(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    briefcases: &[Gdid],
) -> Result<(), sqlx::Error> {
    if briefcases.is_empty() || manifest.tables().is_empty() {
        return Ok(());
    }
    let keys = stretch(id, briefcases);
    let (mut deletes, mut last) = (Vec::new(), None);
    for table in manifest.tables().iter().rev() {
        deletes.extend(delete_again_below(manifest, table, last, &keys));
        deletes.push(delete_table(manifest, table, &keys));
        last = Some(table);
    }
    let deletes = deletes.join("; ");
    connection.execute(deletes.as_str()).await.map(drop)
}

/// How many briefcases are likely to have no more than `left` rows, as those had that were emptied.
fn likely(left: u64, deleted: u64, emptied: u64) -> usize {
    let many = match deleted {
        0 => (left / FEW_ROWS).min(COUNTED_AT_ONCE),
        _ => left.saturating_mul(emptied) / deleted,
    };
    usize::try_from(many).unwrap_or(usize::MAX)
}

/// A query of briefcases that have rows left, in the order of their ids. Rows below others go before those.
///
/// No `EXISTS`: the server may make it an `IN`, and read the whole table for that.
pub(super) fn find(manifest: &Manifest, id: &MoveId) -> Option<String> {
    let keyed: Vec<String> = manifest
        .tables()
        .iter()
        .filter_map(|table| match &table.reach {
            MovedReach::Key { column } => Some(format!(
                "(SELECT 1 FROM {} t{} WHERE t.{} = f.gdid LIMIT 1) IS NOT NULL",
                quoted(table),
                MySql::by_index(table),
                MySql::quote(column)
            )),
            MovedReach::Parent { .. } => None,
        })
        .collect();
    (!keyed.is_empty()).then(|| {
        format!(
            "SELECT f.gdid FROM ({}) f WHERE {} ORDER BY f.gdid LIMIT {FOUND_AT_ONCE}",
            ids(id),
            keyed.join(" OR ")
        )
    })
}

/// The move's briefcases from the first to the last of `found`, as a query.
fn stretch(id: &MoveId, found: &[Gdid]) -> String {
    let span = Span::split(found, 1).pop().unwrap_or(Span::ALL);
    let [first, last] = span.digits();
    format!("{} AND gdid BETWEEN x'{first}' AND x'{last}'", ids(id))
}

/// How many rows each table has of the briefcases that `keys` selects; more than `left` are not told apart.
async fn count(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    keys: &str,
    left: u64,
) -> Result<Vec<u64>, sqlx::Error> {
    let most = left + 1;
    let tables = manifest.tables().iter();
    let counts = tables.map(|table| {
        let rows = rows_of(manifest, table, "t", keys);
        let number = table.number;
        format!("SELECT {number} AS number, COUNT(*) FROM (SELECT 1 {rows} LIMIT {most}) x{number}")
    });
    let counts: Vec<String> = counts.collect();
    let query = format!("{} ORDER BY number", counts.join(" UNION ALL "));
    let rows = run(connection, &query).await?;
    rows.iter()
        .map(|row| Ok(row.try_get::<i64, _>(1)?.unsigned_abs()))
        .collect()
}

/// Statements that delete up to `left` of the counted rows.
fn delete(manifest: &Manifest, keys: &str, counted: &[u64], mut left: u64) -> String {
    let (mut deletes, mut last) = (Vec::new(), None);
    for (table, rows) in manifest.tables().iter().zip(counted).rev() {
        if *rows > 0 && left > 0 {
            deletes.extend(delete_again_below(manifest, table, last, keys));
            last = Some(table);
            deletes.push(if *rows <= left {
                delete_table(manifest, table, keys)
            } else {
                delete_rows(manifest, table, keys, left)
            });
            left -= (*rows).min(left);
        }
    }
    deletes.join("; ")
}

/// Before rows of `table` go: those below them that a trigger of the user's has written while others went. Nobody finds them
/// afterwards. No trigger of the table from which rows went `last` can have written to that one.
fn delete_again_below(
    manifest: &Manifest,
    table: &MovedTable,
    last: Option<&MovedTable>,
    keys: &str,
) -> Vec<String> {
    let mut deletes = Vec::new();
    for below in manifest.descendants(table).into_iter().rev() {
        if last.is_none_or(|last| last.number != below.number) {
            deletes.push(delete_table(manifest, below, keys));
        }
    }
    deletes
}

/// The rows are found first and deleted then: a `DELETE` alone would look at every row of the table.
pub(super) fn delete_rows(
    manifest: &Manifest,
    table: &MovedTable,
    keys: &str,
    limit: u64,
) -> String {
    format!(
        "DELETE t FROM (SELECT {} {} LIMIT {limit}) h STRAIGHT_JOIN {} t ON {}",
        keys_as_numbered(table, "d"),
        rows_of(manifest, table, "d", keys),
        quoted(table),
        same_key(table, "t", "h"),
    )
}

/// Without a limit the server deletes the rows as it finds them, in half the time.
pub(super) fn delete_table(manifest: &Manifest, table: &MovedTable, keys: &str) -> String {
    match from_keys(manifest, table, "t", keys) {
        Some(tables) => format!("DELETE t FROM {tables}"),
        None => delete_rows(manifest, table, keys, u64::from(u32::MAX)),
    }
}
