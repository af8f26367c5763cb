//! Catching up with what the triggers recorded.
//!
//! A **hit** is a row that a record names, or that is below one whose record is *deep*: the row came, went, or belongs
//! elsewhere, or a `REPLACE` put it in the place of another, without a trigger of that one's. What a transaction on the target sees of the
//! source is one state, with all records of it; so unique values can't be taken but by rows that have gone without a
//! record, which are replaced, or by rows of **neighbours**: briefcases of the target, which are left alone.

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::copy::attach;
use super::handle::{Triggers, set_triggers};
use super::{IDS, at_target, begin_as_mover, end, joined, keys_of, parent_is_here, run};
use crate::engine::relocating::{
    Amount, Manifest, MoveId, MovedReach, MovedTable, OwnerToken, Pace, Pair, QUERIES_AT_ONCE,
    StepError, Taken, Touched, changed, pause,
};
use crate::engine::{Engine, Value};

/// A table of the mover's session: while there is a row in it, what goes takes no rows below it along.
const ALONE: &str = "mdb_alone";

/// The error that keeps a neighbour's row.
const TAKEN: &str = "another briefcase has the key or unique value";

/// Whether a row could not come because a neighbour has its key or a unique value.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.is_unique_violation() || error.message().starts_with(TAKEN)
        }
        _ => false,
    }
}

pub(super) async fn pending(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<u64, sqlx::Error> {
    let recorded = recorded(connection, "main", manifest, id).await?;
    Ok(recorded.iter().map(|(count, _)| count).sum())
}

/// How many changes of the move are recorded, and the highest number of one, table by table.
async fn recorded(
    connection: &mut SqliteConnection,
    schema: &str,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<Vec<(u64, i64)>, sqlx::Error> {
    let tables = manifest.tables().iter().map(|table| {
        format!(
            "SELECT {} place, count(*), coalesce(max(seq), 0) FROM {schema}.{} \
             WHERE gdid IN (SELECT gdid FROM {schema}.mdb_fence WHERE move = ?1)",
            table.number,
            table.change_table(),
        )
    });
    let tables: Vec<String> = tables.collect();
    let mut recorded = Vec::with_capacity(tables.len());
    for tables in tables.chunks(QUERIES_AT_ONCE) {
        let query = format!("{} ORDER BY place", tables.join(" UNION ALL "));
        for row in Sqlite::query_own(connection, &query, &[id.into()]).await? {
            recorded.push((row.integer(1)?.unsigned_abs(), row.integer(2)?));
        }
    }
    Ok(recorded)
}

/// Removes at most `limit` of the move's records of a table.
pub(super) async fn forget_some(
    connection: &mut SqliteConnection,
    table: &MovedTable,
    id: &MoveId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let changes = table.change_table();
    let sql = format!(
        "DELETE FROM {changes} WHERE seq IN (SELECT seq FROM {changes} WHERE gdid IN ({IDS}) LIMIT {limit})"
    );
    Sqlite::execute_own(connection, &sql, &[id.into()]).await
}

pub(super) async fn catch_up(
    pair: &mut Pair<Sqlite>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Taken, StepError> {
    if pending(&mut pair.source, manifest, id).await? == 0 {
        return Ok(Taken::nothing());
    }
    attach(pair).await?;
    for table in manifest.tables() {
        let name = hits(table);
        let drop = format!("DROP TABLE IF EXISTS {name}");
        run(&mut pair.target, &drop, &[]).await?;
        let create = format!(
            "CREATE TABLE {name} (deep INTEGER NOT NULL, {})",
            table.numbered_columns()
        );
        run(&mut pair.target, &create, &[]).await?;
    }
    let before = guard(&mut pair.target, manifest).await?;
    let applied = apply(&mut pair.target, manifest, id, owner).await;
    set_triggers(&mut pair.target, before).await?;
    let (recorded, rows) = applied.map_err(at_target)?;
    // Perhaps of some more, whose changes the next round takes.
    let touched = changed::<Sqlite>(&mut pair.source, manifest, id).await?;
    begin_as_mover(&mut pair.source, id, owner).await?;
    let result = forget(&mut pair.source, manifest, id, &recorded).await;
    end(&mut pair.source, id, result).await?;
    pause(pace, Amount { rows, bytes: 0 }, Sqlite::LANES).await?;
    Ok(Taken {
        records: recorded.iter().map(|(count, _)| count).sum(),
        touched: Touched::These(touched),
    })
}

/// Has no row of a neighbour be replaced or deleted in this connection's transactions as a mover from now on. Its triggers
/// fire for that; returns what they did before.
pub(super) async fn guard(
    target: &mut SqliteConnection,
    manifest: &Manifest,
) -> Result<Triggers, StepError> {
    let create = format!("CREATE TEMP TABLE IF NOT EXISTS {ALONE} (one)");
    run(target, &create, &[]).await?;
    for table in manifest.tables() {
        // What goes without a record takes the rows below it along, as it did at the source.
        let below: Vec<String> = manifest
            .children(table)
            .filter_map(|child| {
                let MovedReach::Parent { on, .. } = &child.reach else {
                    return None;
                };
                let child = Sqlite::quote(&child.name);
                let joined = joined::<Sqlite>(on, &child, "OLD");
                Some(format!(
                    "DELETE FROM {child} WHERE {joined} AND NOT EXISTS (SELECT 1 FROM temp.{ALONE}); "
                ))
            })
            .collect();
        let create = format!(
            "CREATE TEMP TRIGGER IF NOT EXISTS mdb_guard_{} BEFORE DELETE ON {} \
             WHEN EXISTS (SELECT 1 FROM main.mdb_guest) BEGIN SELECT RAISE(ABORT, '{TAKEN}') WHERE NOT {}; {}END",
            table.number,
            table.quoted("main"),
            is_own(manifest, table, "OLD"),
            below.concat(),
        );
        run(target, &create, &[]).await?;
    }
    // So that triggers see what a REPLACE deletes.
    run(target, "PRAGMA recursive_triggers = ON", &[]).await?;
    Ok(set_triggers(target, Triggers::Fire).await?)
}

/// A condition, inside a mover's transaction, that the row `alias` of the target belongs to the move.
fn is_own(manifest: &Manifest, table: &MovedTable, alias: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM main.mdb_fence f WHERE f.gdid IN ({}) AND f.move IN (SELECT move FROM main.mdb_guest))",
        keys_of(manifest, table, alias)
    )
}

/// Keys that were hit.
fn hits(table: &MovedTable) -> String {
    format!("temp.mdb_hit_{}", table.number)
}

/// Makes the rows that were hit equal to the source's. Returns what was recorded, as
/// [`recorded`] does, and how many rows came.
async fn apply(
    target: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<(Vec<(u64, i64)>, u64), StepError> {
    begin_as_mover(target, id, owner).await?;
    let applied = async {
        let recorded = recorded(target, "source", manifest, id).await?;
        let rows = replace_hits(target, manifest, id).await?;
        Ok((recorded, rows))
    };
    let applied = applied.await;
    end(target, id, applied).await
}

async fn replace_hits(
    target: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<u64, StepError> {
    let ids = "SELECT gdid FROM source.mdb_fence WHERE move = ?1";
    for table in manifest.tables() {
        let hits = hits(table);
        let named = format!(
            "INSERT INTO {hits} SELECT c.deep, {} FROM source.{} c WHERE c.gdid IN ({ids})",
            table.numbered_list("c"),
            table.change_table(),
        );
        run(target, &named, &[id.into()]).await?;
        // A row that is here, or there, no longer went without a record, with those below it.
        let (here, there) = (table.quoted("main"), table.quoted("source"));
        let same = table.same_key("t", "h");
        let gone = format!(
            "UPDATE {hits} AS h SET deep = 1 WHERE NOT deep AND NOT (EXISTS (SELECT 1 FROM {here} t WHERE {same}) \
             AND EXISTS (SELECT 1 FROM {there} t WHERE {same}))"
        );
        run(target, &gone, &[]).await?;
        if let MovedReach::Parent { parent, on } = &table.reach {
            let parent = &manifest.tables()[*parent];
            // The parent's row as it was here, and as it is there: its children may differ.
            for schema in ["main", "source"] {
                let below = format!(
                    "INSERT INTO {hits} SELECT 1, {} FROM temp.mdb_hit_{} h CROSS JOIN {} p ON {} \
                     CROSS JOIN {} t ON {} WHERE h.deep",
                    table.key_list("t"),
                    parent.number,
                    parent.quoted(schema),
                    parent.same_key("p", "h"),
                    table.quoted(schema),
                    joined::<Sqlite>(on, "t", "p"),
                );
                run(target, &below, &[]).await?;
            }
        }
    }
    // All that may have changed goes before anything comes, so that unique values can change places. Rows below stay, or
    // are hit themselves.
    run(target, &format!("INSERT INTO temp.{ALONE} VALUES (1)"), &[]).await?;
    for table in manifest.tables().iter().rev() {
        delete_hits(target, manifest, table).await?;
    }
    run(target, &format!("DELETE FROM temp.{ALONE}"), &[]).await?;
    let mut rows = 0;
    for table in manifest.tables() {
        let insert = format!(
            "INSERT OR REPLACE INTO {} ({}) SELECT {} FROM (SELECT DISTINCT {} FROM {} h) h \
             CROSS JOIN {} t ON {} WHERE {} AND {}",
            table.quoted("main"),
            table.column_list(""),
            table.column_list("t"),
            table.numbered_list("h"),
            hits(table),
            table.quoted("source"),
            table.same_key("t", "h"),
            manifest.condition_in::<Sqlite>("source", table, "t", ids),
            parent_is_here(manifest, table, "t"),
        );
        rows += run(target, &insert, &[id.into()]).await?;
    }
    Ok(rows)
}

/// Deletes the rows that were hit, but neighbours' ones: each is found by its key, and never all rows looked at.
async fn delete_hits(
    target: &mut SqliteConnection,
    manifest: &Manifest,
    table: &MovedTable,
) -> Result<(), StepError> {
    let (name, hits) = (table.quoted("main"), hits(table));
    let delete = format!(
        "DELETE FROM {name} AS t WHERE ({}) IN (SELECT {} FROM {hits} h) AND {}",
        table.key_list("t"),
        table.numbered_list("h"),
        is_own(manifest, table, "t"),
    );
    run(target, &delete, &[]).await?;
    // A key with NULL in it is in no list. Tables that can have one have numbered rows.
    let is_null = table.lacks_key("h");
    let query = format!("SELECT 1 FROM {hits} h WHERE {is_null} LIMIT 1");
    if !Sqlite::query_own(target, &query, &[]).await?.is_empty() {
        let delete = format!(
            "DELETE FROM {name} WHERE rowid IN (SELECT t.rowid FROM {hits} h CROSS JOIN {name} t ON {} \
             WHERE ({is_null}) AND {})",
            table.same_key("t", "h"),
            is_own(manifest, table, "t"),
        );
        run(target, &delete, &[]).await?;
    }
    Ok(())
}

/// Removes the records that were applied.
async fn forget(
    source: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    recorded: &[(u64, i64)],
) -> Result<(), StepError> {
    for (table, (_, last)) in manifest.tables().iter().zip(recorded) {
        let delete = format!(
            "DELETE FROM {} WHERE gdid IN ({}) AND seq <= ?2",
            table.change_table(),
            IDS
        );
        run(source, &delete, &[id.into(), Value::Integer(*last)]).await?;
    }
    Ok(())
}
