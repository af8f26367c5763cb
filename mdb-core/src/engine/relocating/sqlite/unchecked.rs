//! Whether triggers and foreign keys have to be looked at row by row.
//!
//! MDB's own triggers let its movers pass, and foreign keys that stay **inside** briefcases can't be broken by deleting
//! whole ones. Where there are no others, a mover's connection goes without them.

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::handle::{Triggers, set_triggers};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MoveId, Pair, Sparing, Standing};
use crate::engine::schema::foreign_keys;

impl Sparing for Sqlite {
    async fn spare_checks(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
    ) -> Result<(), sqlx::Error> {
        Self::spare_checks_of_deletions(&mut pair.source, manifest, id).await?;
        let target = &mut pair.target;
        let at_target = triggers(target, manifest).await?;
        set_triggers(target, at_target).await?;
        Ok(())
    }

    async fn spare_checks_of_deletions(
        connection: &mut SqliteConnection,
        manifest: &Manifest,
        _: &MoveId,
    ) -> Result<(), sqlx::Error> {
        let is_inside = has_only_inside(connection, manifest).await?;
        let state = if is_inside { "OFF" } else { "ON" };
        let foreign_keys = format!("PRAGMA foreign_keys = {state}");
        Self::execute_own(connection, &foreign_keys, &[]).await?;
        let found = triggers(connection, manifest).await?;
        // What a foreign key from elsewhere deletes may have triggers.
        let wanted = if is_inside { found } else { Triggers::Fire };
        set_triggers(connection, wanted).await?;
        Ok(())
    }
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
    for key in foreign_keys::<Sqlite>(connection).await? {
        match Standing::of(&key, manifest, Sqlite::NAMES) {
            Standing::Apart | Standing::Inside(_) => {}
            Standing::Across(_) | Standing::Outwards(_) | Standing::Inwards => return Ok(false),
        }
    }
    Ok(true)
}

/// The table's place in the manifest; SQLite does not tell its capitals.
fn number_of(manifest: &Manifest, name: &str) -> Option<usize> {
    let mut tables = manifest.tables().iter();
    tables.position(|table| table.name.eq_ignore_ascii_case(name))
}
