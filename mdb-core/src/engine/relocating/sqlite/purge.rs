//! Deleting the rows of a move, so many in a transaction.
//!
//! Looking for those that are left, from the beginning each time, would take longer than deleting them. So a
//! temporary table remembers, as a part of the transaction, up to where they have been deleted.

use mdb_gdid::Gdid;
use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::IDS;
use super::pieces::{Counted, Stretch, count_after, has_rows, is_indexed, stretch_ids};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, StepError};
use crate::engine::{Engine, Value};

/// How many briefcases are counted before they are deleted, unless only a few rows of them are to go.
const COUNTED_AT_ONCE: u64 = 16;

/// How many rows a briefcase is taken to have, when it is not worth while to count more of them.
const FEW_ROWS: u64 = 64;

/// Up to which briefcase all rows have been deleted. Nobody but a mover brings any there again.
type Cursor = Vec<u8>;

pub(super) async fn delete_some(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    limit: u64,
) -> Result<u64, StepError> {
    let mut cursor = match load(connection, id).await? {
        Some(cursor) => cursor,
        None if !has_rows(connection, manifest, id).await? => return Ok(0),
        None if is_indexed(connection, "main", manifest, id).await? => Cursor::default(),
        None => {
            let deleted = delete_wherever(connection, manifest, id, limit).await?;
            return unless_kept(connection, manifest, id, deleted, limit).await;
        }
    };
    let is_whole = cursor.is_empty();
    let mut deleted = delete_from(connection, manifest, id, &mut cursor, limit).await?;
    if deleted < limit && !is_whole && has_rows(connection, manifest, id).await? {
        // Somebody wrote past the triggers.
        cursor = Cursor::default();
        let left = limit - deleted;
        deleted += delete_from(connection, manifest, id, &mut cursor, left).await?;
    }
    let next = (deleted >= limit).then_some(&cursor);
    store(connection, id, next).await?;
    unless_kept(connection, manifest, id, deleted, limit).await
}

/// How many were deleted, unless these are fewer than could be and some are left all the same.
async fn unless_kept(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    deleted: u64,
    limit: u64,
) -> Result<u64, StepError> {
    if deleted < limit && has_rows(connection, manifest, id).await? {
        return Err(manifest.kept::<Sqlite>(connection, id).await?);
    }
    Ok(deleted)
}

/// Whole briefcases.
pub(super) async fn delete_all(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    briefcases: &[Gdid],
) -> Result<(), sqlx::Error> {
    let (Some(first), Some(last)) = (briefcases.first(), briefcases.last()) else {
        return Ok(());
    };
    let ids = "SELECT gdid FROM main.mdb_fence WHERE move = ?1 AND gdid >= ?2 AND gdid <= ?3";
    let values = [id.into(), (*first).into(), (*last).into()];
    let delete = deletes(manifest, manifest.tables(), ids);
    Sqlite::execute_own(connection, &delete, &values).await?;
    Ok(())
}

/// Deletes up to `limit` rows of the briefcases after `cursor`, which goes along.
async fn delete_from(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    cursor: &mut Cursor,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let tables = manifest.tables();
    let at_once = u32::try_from((limit / FEW_ROWS).clamp(1, COUNTED_AT_ONCE)).unwrap_or(1);
    let mut deleted = 0;
    while deleted < limit {
        let left = limit - deleted;
        let counted = count_after(
            connection, "main", manifest, tables, id, cursor, at_once, left,
        )
        .await?;
        if counted.is_empty() {
            break;
        }
        let fitting = fitting(&counted, left);
        if fitting > 0 {
            let stretch = Stretch::of(&counted, &(0..fitting), cursor);
            deleted += delete_stretch(connection, manifest, tables, id, &stretch).await?;
            cursor.clone_from(&stretch.last);
        }
        if let Some(next) = counted.get(fitting)
            && deleted < limit
        {
            let stretch = Stretch::of(&counted, &(fitting..fitting + 1), cursor);
            let left = limit - deleted;
            let part = delete_part(connection, manifest, id, next, &stretch, left).await?;
            if part == 0 {
                // A trigger of the user's keeps what is left.
                break;
            }
            deleted += part;
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

/// Deletes all that a stretch has in some tables: children first, and everything in one call.
async fn delete_stretch(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    tables: &[MovedTable],
    id: &MoveId,
    stretch: &Stretch,
) -> Result<u64, sqlx::Error> {
    let delete = deletes(manifest, tables, &stretch_ids("main"));
    Sqlite::execute_own(connection, &delete, &stretch.values(id)).await
}

/// Statements that delete what some tables have of the briefcases that `ids` selects.
fn deletes(manifest: &Manifest, tables: &[MovedTable], ids: &str) -> String {
    let deletes: Vec<String> = tables
        .iter()
        .rev()
        .map(|table| {
            format!(
                "DELETE FROM {} AS t WHERE {}",
                table.quoted("main"),
                manifest.condition_in::<Sqlite>("main", table, "t", ids),
            )
        })
        .collect();
    deletes.join("; ")
}

/// Deletes up to `limit` rows of a stretch of one briefcase, `counted`, which has more.
async fn delete_part(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    counted: &Counted,
    stretch: &Stretch,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let mut deleted = 0;
    for (table, rows) in manifest.tables().iter().zip(&counted.rows).rev() {
        if deleted >= limit {
            break;
        }
        if *rows == 0 {
            continue;
        }
        let condition = manifest.condition_in::<Sqlite>("main", table, "t", &stretch_ids("main"));
        let sql = delete_limited(table, &condition, limit - deleted);
        let part = Sqlite::execute_own(connection, &sql, &stretch.values(id)).await?;
        deleted += if part < (limit - deleted).min(*rows) {
            // Rows without a whole key can't be told apart.
            let table = std::slice::from_ref(table);
            part + delete_stretch(connection, manifest, table, id, stretch).await?
        } else {
            part
        };
    }
    Ok(deleted)
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
        if deleted < limit && table.may_lack_keys() {
            let rest = format!(
                "DELETE FROM {} AS t WHERE {condition}",
                table.quoted("main")
            );
            deleted += Sqlite::execute_own(connection, &rest, &[id.into()]).await?;
        }
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
    let query = "CREATE TEMP TABLE IF NOT EXISTS mdb_deleted (move TEXT PRIMARY KEY, after BLOB NOT NULL); \
                 SELECT after FROM temp.mdb_deleted WHERE move = ?";
    let rows = Sqlite::query_own(connection, query, &[id.into()]).await?;
    let cursor = rows.first().map(|row| Ok(row.bytes(0)?.to_vec()));
    cursor.transpose()
}

async fn store(
    connection: &mut SqliteConnection,
    id: &MoveId,
    cursor: Option<&Cursor>,
) -> Result<(), sqlx::Error> {
    let Some(after) = cursor else {
        let forget = "DELETE FROM temp.mdb_deleted WHERE move = ?";
        Sqlite::execute_own(connection, forget, &[id.into()]).await?;
        return Ok(());
    };
    let keep = "INSERT OR REPLACE INTO temp.mdb_deleted (move, after) VALUES (?, ?)";
    let values = [id.into(), Value::Bytes(after.clone())];
    Sqlite::execute_own(connection, keep, &values).await?;
    Ok(())
}
