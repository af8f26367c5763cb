//! Triggers that record changes or refuse them, and catching up with what they recorded.

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::copy::attach;
use super::{begin_as_mover, end, joined, parent_is_here, run};
use crate::engine::relocating::{
    Amount, Manifest, MoveId, MovedReach, MovedTable, OwnerToken, Pace, Pair, StepError, Taken,
    Touched, begin, changed,
};
use crate::engine::{Engine, Value};

/// The objects that [`arm`] makes: their kinds and names.
pub(super) async fn installed(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let query = "SELECT type, name FROM sqlite_schema WHERE (type = 'trigger' AND name LIKE 'mdb\\_capture\\_%' ESCAPE '\\') \
                 OR (type = 'table' AND name LIKE 'mdb\\_change\\_%' ESCAPE '\\') ORDER BY type DESC, name";
    let rows = Sqlite::query_own(connection, query, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())))
        .collect()
}

pub(super) async fn arm(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
) -> Result<(), StepError> {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for table in manifest.tables() {
        let name = table.change_table();
        let create = format!(
            "CREATE TABLE {name} (seq INTEGER PRIMARY KEY, gdid BLOB NOT NULL, {})",
            table.numbered_columns()
        );
        wanted.push((name, create));
        wanted.extend(triggers(manifest, table));
    }
    let query = "SELECT name, sql FROM sqlite_schema";
    let found = Sqlite::query_own(connection, query, &[]).await?;
    let is_there = |name: &str, sql: &str| {
        found
            .iter()
            .any(|row| row.text(0).is_ok_and(|n| n == name) && row.text(1).is_ok_and(|s| s == sql))
    };
    wanted.retain(|(name, sql)| !is_there(name, sql));
    if wanted.is_empty() {
        return Ok(());
    }
    begin::<Sqlite>(connection).await?;
    let result = async {
        for (name, sql) in &wanted {
            let kind = if sql.starts_with("CREATE TABLE") {
                "TABLE"
            } else {
                "TRIGGER"
            };
            run(connection, &format!("DROP {kind} IF EXISTS {name}"), &[]).await?;
            run(connection, sql, &[]).await?;
        }
        Ok(())
    };
    let result = result.await;
    finish(connection, result).await
}

pub(super) async fn disarm(connection: &mut SqliteConnection) -> Result<(), StepError> {
    begin::<Sqlite>(connection).await?;
    let result = async {
        let fence = "SELECT 1 FROM mdb_fence LIMIT 1";
        if !Sqlite::query_own(connection, fence, &[]).await?.is_empty() {
            // Another move may have fenced briefcases since somebody looked, and rely on its triggers.
            return Ok(());
        }
        for (kind, name) in installed(connection).await? {
            let name = Sqlite::quote(&name);
            run(connection, &format!("DROP {kind} {name}"), &[]).await?;
        }
        Ok(())
    };
    let result = result.await;
    finish(connection, result).await
}

async fn finish(
    connection: &mut SqliteConnection,
    result: Result<(), StepError>,
) -> Result<(), StepError> {
    match result {
        Ok(()) => Sqlite::commit(connection).await.map_err(super::busy),
        Err(error) => {
            Sqlite::rollback(connection).await?;
            Err(error)
        }
    }
}

/// The three triggers of a table, by name.
fn triggers(manifest: &Manifest, table: &MovedTable) -> Vec<(String, String)> {
    let events = [
        ("insert", vec!["NEW"]),
        ("update", vec!["OLD", "NEW"]),
        ("delete", vec!["OLD"]),
    ];
    events
        .into_iter()
        .map(|(event, rows)| {
            let name = format!("mdb_capture_{}_{event}", table.number);
            let keys: Vec<String> = rows
                .iter()
                .map(|row| keys_of(manifest, table, row))
                .collect();
            let records: Vec<String> = rows
                .iter()
                .zip(&keys)
                .map(|(row, keys)| {
                    format!(
                        "SELECT f.gdid, {} FROM mdb_fence f WHERE f.gdid IN ({keys}) \
                         AND (f.state = 1 OR f.state = 2 AND f.deadline <= {now})",
                        table.key_list(row),
                        now = Sqlite::now(),
                    )
                })
                .collect();
            let sql = format!(
                "CREATE TRIGGER {name} AFTER {event} ON {} WHEN {NOT_MOVER} BEGIN \
                 SELECT RAISE(ABORT, 'mdb: the briefcase is being moved') WHERE EXISTS (\
                 SELECT 1 FROM mdb_fence f WHERE f.gdid IN ({}) \
                 AND (f.state >= 3 OR f.state = 2 AND f.deadline > {now})); \
                 INSERT INTO {} (gdid, {}) {}; END",
                Sqlite::quote(&table.name),
                keys.join(" UNION "),
                table.change_table(),
                numbered_names(table),
                records.join(" UNION "),
                now = Sqlite::now(),
            );
            (name, sql)
        })
        .collect()
}

/// Rows that a mover writes are neither refused nor recorded: they are its own briefcases'. Nobody else sees its
/// guest row.
const NOT_MOVER: &str = "NOT EXISTS (SELECT 1 FROM mdb_guest)";

/// A query of the briefcase keys that `row`, `OLD` or `NEW`, belongs to.
fn keys_of(manifest: &Manifest, table: &MovedTable, row: &str) -> String {
    match &table.reach {
        MovedReach::Key { column } => format!("SELECT {row}.{}", Sqlite::quote(column)),
        MovedReach::Parent { parent, on } => {
            let mut tables = Vec::new();
            let mut conditions = Vec::new();
            let (mut child, mut step) = (row.to_owned(), (*parent, on));
            loop {
                let parent = &manifest.tables()[step.0];
                let alias = format!("p{}", parent.number);
                tables.push(format!("{} {alias}", Sqlite::quote(&parent.name)));
                conditions.extend(step.1.iter().map(|(own, parents)| {
                    format!(
                        "{alias}.{} = {child}.{}",
                        Sqlite::quote(parents),
                        Sqlite::quote(own)
                    )
                }));
                match &parent.reach {
                    MovedReach::Key { column } => {
                        return format!(
                            "SELECT {alias}.{} FROM {} WHERE {}",
                            Sqlite::quote(column),
                            tables.join(", "),
                            conditions.join(" AND ")
                        );
                    }
                    MovedReach::Parent { parent, on } => {
                        child = alias;
                        step = (*parent, on);
                    }
                }
            }
        }
    }
}

fn numbered_names(table: &MovedTable) -> String {
    let names: Vec<String> = (1..=table.primary_key.len())
        .map(|place| format!("k{place}"))
        .collect();
    names.join(", ")
}

pub(super) async fn pending(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<u64, sqlx::Error> {
    let recorded = recorded(connection, manifest, id).await?;
    Ok(recorded.iter().map(|(count, _)| count).sum())
}

/// How many changes of the move are recorded, and the highest number of one, table by table.
async fn recorded(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<Vec<(u64, i64)>, sqlx::Error> {
    let tables = manifest.tables().iter().map(|table| {
        format!(
            "SELECT {} place, count(*), coalesce(max(seq), 0) FROM {} WHERE gdid IN ({})",
            table.number,
            table.change_table(),
            super::IDS
        )
    });
    let tables: Vec<String> = tables.collect();
    let mut recorded = Vec::with_capacity(tables.len());
    // SQLite takes 500 of them in a statement.
    for tables in tables.chunks(100) {
        let query = format!("{} ORDER BY place", tables.join(" UNION ALL "));
        for row in Sqlite::query_own(connection, &query, &[id.into()]).await? {
            recorded.push((row.integer(1)?.unsigned_abs(), row.integer(2)?));
        }
    }
    Ok(recorded)
}

pub(super) async fn catch_up(
    pair: &mut Pair<Sqlite>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Taken, StepError> {
    // One writer at a time: who has a number up to the last one has committed.
    let recorded = recorded(&mut pair.source, manifest, id).await?;
    let taken = recorded.iter().map(|(count, _)| count).sum();
    if taken == 0 {
        return Ok(Taken::nothing());
    }
    // Perhaps of some more, whose changes the next round takes.
    let touched = changed::<Sqlite>(&mut pair.source, manifest, id).await?;
    let last: Vec<i64> = recorded.iter().map(|(_, last)| *last).collect();
    attach(pair).await?;
    for table in manifest.tables() {
        let name = format!("mdb_hit_{}", table.number);
        run(
            &mut pair.target,
            &format!("DROP TABLE IF EXISTS temp.{name}"),
            &[],
        )
        .await?;
        let create = format!("CREATE TEMP TABLE {name} ({})", table.numbered_columns());
        run(&mut pair.target, &create, &[]).await?;
    }
    begin_as_mover(&mut pair.target, id, owner).await?;
    let result = apply(&mut pair.target, manifest, id, &last).await;
    let rows = end(&mut pair.target, id, result).await?;
    begin_as_mover(&mut pair.source, id, owner).await?;
    let result = forget(&mut pair.source, manifest, id, &last).await;
    end(&mut pair.source, id, result).await?;
    tokio::time::sleep(pace.taken(Amount { rows, bytes: 0 })).await;
    Ok(Taken {
        records: taken,
        touched: Touched::These(touched),
    })
}

/// Makes the rows that were hit, and all rows below them, equal to the source's.
async fn apply(
    target: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    last: &[i64],
) -> Result<u64, StepError> {
    for (table, last) in manifest.tables().iter().zip(last) {
        let hits = format!("temp.mdb_hit_{}", table.number);
        let recorded = format!(
            "INSERT INTO {hits} SELECT {} FROM source.{} c WHERE c.seq <= ? \
             AND c.gdid IN (SELECT gdid FROM source.mdb_fence WHERE move = ?)",
            table.numbered_list("c"),
            table.change_table(),
        );
        run(target, &recorded, &[Value::Integer(*last), id.into()]).await?;
        if let MovedReach::Parent { parent, on } = &table.reach {
            let parent = &manifest.tables()[*parent];
            // The parent's row as it was here, and as it is there: its children may differ.
            for schema in ["main", "source"] {
                let below = format!(
                    "INSERT INTO {hits} SELECT {} FROM temp.mdb_hit_{} h CROSS JOIN {} p ON {} \
                     CROSS JOIN {} t ON {}",
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
    // All that may have changed goes before anything comes, so that unique values can change places.
    for table in manifest.tables().iter().rev() {
        delete_hits(target, table).await?;
    }
    let ids = "SELECT gdid FROM source.mdb_fence WHERE move = ?";
    let mut rows = 0;
    for table in manifest.tables() {
        let insert = format!(
            "INSERT OR REPLACE INTO {} ({}) SELECT {} FROM (SELECT DISTINCT * FROM temp.mdb_hit_{}) h \
             CROSS JOIN {} t ON {} WHERE {} AND {}",
            table.quoted("main"),
            table.column_list(""),
            table.column_list("t"),
            table.number,
            table.quoted("source"),
            table.same_key("t", "h"),
            manifest.condition_in::<Sqlite>("source", table, "t", ids),
            parent_is_here(manifest, table, "t"),
        );
        rows += run(target, &insert, &[id.into()]).await?;
    }
    Ok(rows)
}

/// Deletes the rows that were hit: each is found by its key, and never all rows looked at.
async fn delete_hits(target: &mut SqliteConnection, table: &MovedTable) -> Result<(), StepError> {
    let (name, hits) = (
        table.quoted("main"),
        format!("temp.mdb_hit_{}", table.number),
    );
    let delete = format!(
        "DELETE FROM {name} WHERE ({}) IN (SELECT {} FROM {hits} h)",
        table.key_list(""),
        table.numbered_list("h"),
    );
    run(target, &delete, &[]).await?;
    // A key with NULL in it is in no list. Tables that can have one have numbered rows.
    let is_null: Vec<String> = (1..=table.primary_key.len())
        .map(|place| format!("h.k{place} IS NULL"))
        .collect();
    let is_null = is_null.join(" OR ");
    let query = format!("SELECT 1 FROM {hits} h WHERE {is_null} LIMIT 1");
    if !Sqlite::query_own(target, &query, &[]).await?.is_empty() {
        let delete = format!(
            "DELETE FROM {name} WHERE rowid IN (SELECT t.rowid FROM {hits} h CROSS JOIN {name} t ON {} WHERE {is_null})",
            table.same_key("t", "h"),
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
    last: &[i64],
) -> Result<(), StepError> {
    for (table, last) in manifest.tables().iter().zip(last) {
        let delete = format!(
            "DELETE FROM {} WHERE gdid IN ({}) AND seq <= ?2",
            table.change_table(),
            super::IDS
        );
        run(source, &delete, &[id.into(), Value::Integer(*last)]).await?;
    }
    Ok(())
}
