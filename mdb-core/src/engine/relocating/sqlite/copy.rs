//! Copying rows from file to file, a few thousand in each transaction.

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::{begin_as_mover, end, parent_is_here, run};
use crate::engine::relocating::{
    Amount, Manifest, MoveId, MovedTable, OwnerToken, Pace, Pair, Relocating, StepError,
};
use crate::engine::{Engine, Value};

/// How many rows a transaction on the target has, or a few more. While it lasts, nobody else writes
/// there.
const CHUNK: i64 = 2_000;

/// Attaches the source to the target's connection, and leaves foreign keys alone there: parents may
/// come to the source while children are copied. What is equal on both sides is checked at the end.
pub(super) async fn attach(pair: &mut Pair<Sqlite>) -> Result<(), sqlx::Error> {
    let attached = "SELECT 1 FROM pragma_database_list WHERE name = 'source'";
    if !Sqlite::query_own(&mut pair.target, attached, &[])
        .await?
        .is_empty()
    {
        return Ok(());
    }
    let file = pair
        .source_file
        .as_deref()
        .and_then(std::path::Path::to_str)
        .ok_or_else(|| {
            sqlx::Error::Configuration("the source is no file with a plain name".into())
        })?;
    Sqlite::execute_own(&mut pair.target, "PRAGMA foreign_keys = OFF", &[]).await?;
    let attach = "ATTACH DATABASE ? AS source";
    Sqlite::execute_own(&mut pair.target, attach, &[Value::from(file)]).await?;
    Ok(())
}

pub(super) async fn copy(
    pair: &mut Pair<Sqlite>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Amount, StepError> {
    attach(pair).await?;
    let target = &mut pair.target;
    clear(target, manifest, id, owner).await?;
    let mut copied = 0;
    for table in manifest.tables() {
        let listed = list_rows(target, manifest, table, id).await?;
        // The keys come first, so that each row is found by its key.
        let insert = format!(
            "INSERT OR REPLACE INTO {} ({}) SELECT {} FROM temp.mdb_rows r CROSS JOIN {} t ON {} \
             WHERE r.rowid > ? AND r.rowid <= ? AND {}",
            table.quoted("main"),
            table.column_list(""),
            table.column_list("t"),
            table.quoted("source"),
            table.same_key("t", "r"),
            parent_is_here(manifest, table, "t"),
        );
        let mut from = 0;
        while from < listed {
            let chunk = [Value::Integer(from), Value::Integer(from + CHUNK)];
            begin_as_mover(target, id, owner).await?;
            let result = run(target, &insert, &chunk).await;
            let rows = end(target, id, result).await?;
            copied += rows;
            from += CHUNK;
            tokio::time::sleep(pace.taken(Amount { rows, bytes: 0 })).await;
        }
    }
    run(target, "DROP TABLE IF EXISTS temp.mdb_rows", &[]).await?;
    Ok(Amount {
        rows: copied,
        bytes: 0,
    })
}

/// Lists the keys of the move's rows in `temp.mdb_rows`, numbered from 1, and says how many there
/// are. Rows that come later are recorded by the triggers.
async fn list_rows(
    target: &mut SqliteConnection,
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
) -> Result<i64, StepError> {
    let ids = "SELECT gdid FROM source.mdb_fence WHERE move = ?";
    let columns = table.numbered_columns();
    run(target, "DROP TABLE IF EXISTS temp.mdb_rows", &[]).await?;
    run(
        target,
        &format!("CREATE TEMP TABLE mdb_rows ({columns})"),
        &[],
    )
    .await?;
    let fill = format!(
        "INSERT INTO temp.mdb_rows SELECT {} FROM {} t WHERE {}",
        table.key_list("t"),
        table.quoted("source"),
        manifest.condition_in::<Sqlite>("source", table, "t", ids),
    );
    let rows = run(target, &fill, &[id.into()]).await?;
    Ok(i64::try_from(rows).unwrap_or(i64::MAX))
}

/// Removes what an earlier attempt has copied.
async fn clear(
    target: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<(), StepError> {
    loop {
        begin_as_mover(target, id, owner).await?;
        let limit = u32::try_from(CHUNK).expect("a small number");
        let result = Sqlite::delete_some(target, manifest, id, limit).await;
        let deleted = end(target, id, result.map_err(StepError::Database)).await?;
        if deleted < u64::from(limit) {
            return Ok(());
        }
    }
}
