//! Deleting the rows of a move, so many in a transaction.
//!
//! Looking for those that are left, from the beginning each time, would take longer than deleting them. So a
//! temporary table remembers, as a part of the transaction, up to where they have been deleted.

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::IDS;
use super::pieces::{Counted, Stretch, count_after, has_rows, is_indexed, stretch_ids};
use crate::engine::relocating::{Manifest, MoveId, MovedTable};
use crate::engine::{Engine, Value};

/// How many briefcases are counted before they are deleted.
const COUNTED_AT_ONCE: u32 = 32;

/// Up to where rows have been deleted. Nobody but a mover brings any there again.
#[derive(Clone, Default)]
struct Cursor {
    /// How many tables are done, from the last one.
    tables: usize,
    /// Up to which briefcase the next one is done.
    after: Vec<u8>,
}

pub(super) async fn delete_some(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let mut cursor = match load(connection, id).await? {
        Some(cursor) => cursor,
        None if is_indexed(connection, "main", manifest, id).await? => Cursor::default(),
        None => return delete_wherever(connection, manifest, id, limit).await,
    };
    let is_whole = cursor.tables == 0 && cursor.after.is_empty();
    let mut deleted = delete_from(connection, manifest, id, &mut cursor, limit).await?;
    if deleted < limit && !is_whole && has_rows(connection, manifest, id).await? {
        // Somebody wrote past the triggers.
        cursor = Cursor::default();
        let left = limit - deleted;
        deleted += delete_from(connection, manifest, id, &mut cursor, left).await?;
    }
    let next = (deleted >= limit).then_some(&cursor);
    store(connection, id, next).await?;
    Ok(deleted)
}

/// Deletes up to `limit` rows from `cursor` on, which goes along.
async fn delete_from(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    cursor: &mut Cursor,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let mut deleted = 0;
    // Children first.
    while let Some(table) = manifest.tables().iter().nth_back(cursor.tables) {
        let counted = count_after(
            connection,
            "main",
            manifest,
            std::slice::from_ref(table),
            id,
            &cursor.after,
            COUNTED_AT_ONCE,
        )
        .await?;
        if counted.is_empty() {
            cursor.tables += 1;
            cursor.after.clear();
            continue;
        }
        let left = limit - deleted;
        let fitting = fitting(&counted, left);
        if fitting > 0 {
            let stretch = Stretch::of(&counted, &(0..fitting), &cursor.after);
            if counted[..fitting]
                .iter()
                .any(|briefcase| briefcase.rows[0] > 0)
            {
                deleted += delete_stretch(connection, manifest, table, id, &stretch).await?;
            }
            cursor.after.clone_from(&stretch.last);
        }
        if fitting < counted.len() && deleted < limit {
            let stretch = Stretch::of(&counted, &(fitting..fitting + 1), &cursor.after);
            let left = limit - deleted;
            let part = delete_part(connection, manifest, table, id, &stretch, left).await?;
            if part == 0 {
                // Rows without a whole key can't be told apart.
                deleted += delete_stretch(connection, manifest, table, id, &stretch).await?;
            }
            deleted += part;
        }
        if deleted >= limit {
            break;
        }
    }
    Ok(deleted)
}

/// How many of the counted briefcases, from the first one, have at most `left` rows together.
fn fitting(counted: &[Counted], left: u64) -> usize {
    let sums = counted.iter().scan(0, |sum, briefcase| {
        *sum += briefcase.rows.iter().sum::<u64>();
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= left).count()
}

async fn delete_stretch(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    stretch: &Stretch,
) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "DELETE FROM {} AS t WHERE {}",
        table.quoted("main"),
        manifest.condition_in::<Sqlite>("main", table, "t", &stretch_ids("main")),
    );
    Sqlite::execute_own(connection, &sql, &stretch.values(id)).await
}

/// Up to `limit` rows of a stretch.
async fn delete_part(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    stretch: &Stretch,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let condition = manifest.condition_in::<Sqlite>("main", table, "t", &stretch_ids("main"));
    let sql = delete_limited(table, &condition, limit);
    Sqlite::execute_own(connection, &sql, &stretch.values(id)).await
}

/// As [`delete_some`], where each look for rows reads whole tables: so there are as few as can be.
async fn delete_wherever(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let mut deleted = 0;
    for table in manifest.tables().iter().rev() {
        if deleted == limit {
            break;
        }
        let condition = manifest.condition::<Sqlite>(table, "t", IDS);
        let sql = delete_limited(table, &condition, limit - deleted);
        deleted += Sqlite::execute_own(connection, &sql, &[id.into()]).await?;
    }
    Ok(deleted)
}

fn delete_limited(table: &MovedTable, condition: &str, limit: u64) -> String {
    format!(
        "DELETE FROM {name} WHERE ({}) IN (SELECT {} FROM {name} t WHERE {condition} LIMIT {limit})",
        table.key_list(""),
        table.key_list("t"),
        name = table.quoted("main"),
    )
}

async fn load(
    connection: &mut SqliteConnection,
    id: &MoveId,
) -> Result<Option<Cursor>, sqlx::Error> {
    let create = "CREATE TEMP TABLE IF NOT EXISTS mdb_deleted \
                  (move TEXT PRIMARY KEY, tables INTEGER NOT NULL, after BLOB NOT NULL)";
    Sqlite::execute_own(connection, create, &[]).await?;
    let query = "SELECT tables, after FROM temp.mdb_deleted WHERE move = ?";
    let rows = Sqlite::query_own(connection, query, &[id.into()]).await?;
    let cursor = rows.first().map(|row| {
        Ok(Cursor {
            tables: usize::try_from(row.integer(0)?).unwrap_or(0),
            after: row.bytes(1)?.to_vec(),
        })
    });
    cursor.transpose()
}

async fn store(
    connection: &mut SqliteConnection,
    id: &MoveId,
    cursor: Option<&Cursor>,
) -> Result<(), sqlx::Error> {
    let Some(Cursor { tables, after }) = cursor else {
        let forget = "DELETE FROM temp.mdb_deleted WHERE move = ?";
        Sqlite::execute_own(connection, forget, &[id.into()]).await?;
        return Ok(());
    };
    let keep = "INSERT OR REPLACE INTO temp.mdb_deleted (move, tables, after) VALUES (?, ?, ?)";
    let tables = Value::Integer(i64::try_from(*tables).unwrap_or(i64::MAX));
    let values = [id.into(), tables, Value::Bytes(after.clone())];
    Sqlite::execute_own(connection, keep, &values).await?;
    Ok(())
}
