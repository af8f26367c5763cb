//! Deleting the rows of a move, some at a time.

use sqlx::mysql::MySqlConnection;
use sqlx::{Executor, Row};

use super::{from_keys, ids, keys_as_numbered, quoted, rows_of, run, same_key};
use crate::engine::relocating::{Manifest, MoveId, MovedTable};

/// Counts the rows in one round trip, and deletes in another one, children first, in one statement for
/// each table.
pub(super) async fn delete_some(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    // One more than may be deleted shows that there is more.
    let counted = u64::from(limit) + 1;
    let counts: Vec<String> = manifest
        .tables()
        .iter()
        .map(|table| {
            let rows = rows_of(manifest, table, "t", &ids(id));
            let number = table.number;
            format!(
                "SELECT {number} AS number, COUNT(*) FROM (SELECT 1 {rows} LIMIT {counted}) x{number}"
            )
        })
        .collect();
    if counts.is_empty() {
        return Ok(0);
    }
    let count = format!("{} ORDER BY number DESC", counts.join(" UNION ALL "));
    let mut left = u64::from(limit);
    let mut deletes = Vec::new();
    for row in run(connection, &count).await? {
        let number = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default();
        let table = &manifest.tables()[number];
        let rows = row.try_get::<i64, _>(1)?.unsigned_abs();
        if rows > 0 && left > 0 {
            deletes.push(if rows <= left {
                delete_all(manifest, table, id)
            } else {
                delete_rows(manifest, table, id, left)
            });
            left -= rows.min(left);
        }
    }
    if deletes.is_empty() {
        return Ok(0);
    }
    let delete = deletes.join("; ");
    Ok(connection.execute(delete.as_str()).await?.rows_affected())
}

/// The rows are found first and deleted then: a `DELETE` alone would look at every row of the table.
pub(super) fn delete_rows(
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    limit: u64,
) -> String {
    format!(
        "DELETE t FROM (SELECT {} {} LIMIT {limit}) h STRAIGHT_JOIN {} t ON {}",
        keys_as_numbered(table, "d"),
        rows_of(manifest, table, "d", &ids(id)),
        quoted(table),
        same_key(table, "t", "h"),
    )
}

/// Without a limit the server deletes the rows as it finds them, in half the time.
pub(super) fn delete_all(manifest: &Manifest, table: &MovedTable, id: &MoveId) -> String {
    match from_keys(manifest, table, "t", &ids(id)) {
        Some(tables) => format!("DELETE t FROM {tables}"),
        None => delete_rows(manifest, table, id, u64::from(u32::MAX)),
    }
}
