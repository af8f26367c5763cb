//! Whether triggers and foreign keys have to be looked at row by row.
//!
//! MDB's own triggers let its movers pass, and foreign keys that stay **inside** briefcases can't be broken by deleting
//! whole ones. Where there are no others, a mover's connection goes without them.

use std::collections::BTreeSet;

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::handle::{Triggers, set_triggers};
use crate::engine::relocating::{Manifest, Pair, Reference};
use crate::engine::{Engine, Values};

/// Has both connections leave out what makes no difference.
pub(super) async fn spare_checks(
    pair: &mut Pair<Sqlite>,
    manifest: &Manifest,
) -> Result<(), sqlx::Error> {
    let (source, target) = (&mut pair.source, &mut pair.target);
    let is_inside = has_only_inside(source, manifest).await?;
    let state = if is_inside { "OFF" } else { "ON" };
    Sqlite::execute_own(source, &format!("PRAGMA foreign_keys = {state}"), &[]).await?;
    let at_source = triggers(source, manifest).await?;
    // What a foreign key from elsewhere deletes may have triggers.
    let at_source = if is_inside { at_source } else { Triggers::Fire };
    set_triggers(source, at_source).await?;
    let at_target = triggers(target, manifest).await?;
    set_triggers(target, at_target).await?;
    Ok(())
}

/// Whether the user has some on the tables.
async fn triggers(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
) -> Result<Triggers, sqlx::Error> {
    let query = "SELECT tbl_name FROM main.sqlite_schema WHERE type = 'trigger' \
                 AND name NOT LIKE 'mdb\\_capture\\_%' ESCAPE '\\'";
    for row in Sqlite::query_own(connection, query, &[]).await? {
        if number_of(manifest, row.text(0)?).is_some() {
            return Ok(Triggers::Fire);
        }
    }
    Ok(Triggers::Rest)
}

/// Whether each foreign key of or to the tables stays inside briefcases.
async fn has_only_inside(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
) -> Result<bool, sqlx::Error> {
    // Without columns it refers to the primary key.
    let query = "SELECT m.name, f.id, f.\"table\", f.\"from\", coalesce(f.\"to\", \
                 (SELECT x.name FROM pragma_table_xinfo(f.\"table\") x WHERE x.pk = f.seq + 1), '') \
                 FROM main.sqlite_schema m, pragma_foreign_key_list(m.name) f \
                 WHERE m.type = 'table' ORDER BY m.name, f.id";
    let rows = Sqlite::query_own(connection, query, &[]).await?;
    let is_same = |a: &Values, b: &Values| {
        a.text(0)
            .is_ok_and(|name| b.text(0).is_ok_and(|b| b == name))
            && a.integer(1)
                .is_ok_and(|id| b.integer(1).is_ok_and(|b| b == id))
    };
    for rows in rows.chunk_by(is_same) {
        let (child, parent) = (
            number_of(manifest, rows[0].text(0)?),
            number_of(manifest, rows[0].text(2)?),
        );
        let (child, parent) = match (child, parent) {
            (Some(child), Some(parent)) => (child, parent),
            (None, None) => continue,
            (Some(_), None) | (None, Some(_)) => return Ok(false),
        };
        let columns: Result<BTreeSet<(String, String)>, sqlx::Error> = rows
            .iter()
            .map(|row| Ok((row.text(3)?.to_owned(), row.text(4)?.to_owned())))
            .collect();
        let reference = Reference {
            child,
            parent,
            columns: columns?,
        };
        if !reference.is_inside(manifest) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The table's place in the manifest; SQLite does not tell its capitals.
fn number_of(manifest: &Manifest, name: &str) -> Option<usize> {
    let mut tables = manifest.tables().iter();
    tables.position(|table| table.name.eq_ignore_ascii_case(name))
}
