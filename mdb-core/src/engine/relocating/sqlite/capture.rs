//! Triggers that record changes or refuse them.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::{keys_of, run};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MoveId, MovedTable, StepError, begin, others_rely};

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

pub(super) async fn is_armed(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
) -> Result<bool, StepError> {
    Ok(missing(connection, manifest).await?.is_empty())
}

/// The names and definitions of what is not as it should be.
async fn missing(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
) -> Result<Vec<(String, String)>, StepError> {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for table in manifest.tables() {
        let name = table.change_table();
        let create = format!(
            "CREATE TABLE {name} (seq INTEGER PRIMARY KEY, gdid BLOB NOT NULL, deep INTEGER NOT NULL, {})",
            table.numbered_columns()
        );
        wanted.push((name, create));
        wanted.extend(triggers(manifest, table));
    }
    // In one row: each would be handed from thread to thread.
    let query = "SELECT json_group_object(name, sql) FROM main.sqlite_schema WHERE name LIKE 'mdb\\_c%' ESCAPE '\\'";
    let found = Sqlite::query_own(connection, query, &[]).await?;
    let found = found.first().ok_or(sqlx::Error::RowNotFound)?.text(0)?;
    let found: BTreeMap<String, Option<String>> =
        serde_json::from_str(found).map_err(|error| sqlx::Error::Decode(error.into()))?;
    wanted.retain(|(name, sql)| found.get(name).and_then(Option::as_ref) != Some(sql));
    Ok(wanted)
}

pub(super) async fn arm(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    by: Option<&MoveId>,
) -> Result<(), StepError> {
    if missing(connection, manifest).await?.is_empty() {
        return Ok(());
    }
    begin::<Sqlite>(connection).await?;
    let result = install(connection, manifest, by).await;
    finish(connection, result).await
}

/// Inside a transaction: looks again, since another mover may have been faster.
async fn install(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    by: Option<&MoveId>,
) -> Result<(), StepError> {
    let wanted = missing(connection, manifest).await?;
    let names: BTreeSet<String> = installed(connection)
        .await?
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    if wanted.iter().any(|(name, _)| names.contains(name)) {
        let rely = format!("SELECT 1 WHERE {}", others_rely(by));
        if !Sqlite::query_own(connection, &rely, &[]).await?.is_empty() {
            return Err(StepError::OtherTables);
        }
    }
    for (name, sql) in &wanted {
        let kind = if sql.starts_with("CREATE TABLE") {
            "TABLE"
        } else {
            "TRIGGER"
        };
        // A source that is attached may have one of that name, which is found where this database has none.
        let drop = format!("DROP {kind} IF EXISTS main.{name}");
        run(connection, &drop, &[]).await?;
        run(connection, sql, &[]).await?;
    }
    Ok(())
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

/// Whether rows below a row that was changed stay what they are: SQL that says `1` where they may not. A row that comes may
/// have taken the place of another.
fn is_deep(manifest: &Manifest, table: &MovedTable, event: &str) -> String {
    if event != "update" {
        return "1".to_owned();
    }
    let same: Vec<String> = manifest
        .telling_columns(table)
        .into_iter()
        .map(|column| {
            let column = Sqlite::quote(column);
            // Byte by byte: the columns of rows below need not be compared as loosely.
            format!("OLD.{column} IS NEW.{column} COLLATE BINARY")
        })
        .collect();
    format!("NOT ({})", same.join(" AND "))
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
            let deep = is_deep(manifest, table, event);
            let keys: Vec<String> = rows
                .iter()
                .map(|row| keys_of(manifest, table, row))
                .collect();
            let records: Vec<String> = rows
                .iter()
                .zip(&keys)
                .map(|(row, keys)| {
                    format!(
                        "SELECT f.gdid, {deep}, {} FROM mdb_fence f WHERE f.gdid IN ({keys}) \
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
                 INSERT INTO {} (gdid, deep, {}) {}; END",
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

fn numbered_names(table: &MovedTable) -> String {
    let names: Vec<String> = (1..=table.primary_key.len())
        .map(|place| format!("k{place}"))
        .collect();
    names.join(", ")
}
