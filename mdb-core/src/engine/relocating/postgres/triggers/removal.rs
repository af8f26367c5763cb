//! What is installed: listing it, and having it fire no more or removing it.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::super::run;
use super::at_once;
use crate::engine::relocating::{Installed, StepError, TriggerState};

/// Something that [`arm`](super::arm) made.
pub(super) struct Object {
    /// The table, of a trigger.
    pub(super) table: Option<String>,
    /// Whether it is a trigger that fires.
    fires: bool,
    /// A condition: it is a trigger that fires.
    pub(super) in_force: String,
    /// The statements that remove it, and that have a trigger fire no more.
    pub(super) remove: String,
    disable: String,
    name: String,
}

/// Triggers come first, table by table.
pub(super) async fn objects(connection: &mut PgConnection) -> Result<Vec<Object>, sqlx::Error> {
    let sql = "SELECT c.relname::text AS on_table, t.tgenabled <> 'D' AS fires, \
            format('DROP TRIGGER %I ON %s', t.tgname, c.oid::regclass) AS remove, \
            format('ALTER TABLE %s DISABLE TRIGGER %I', c.oid::regclass, t.tgname) AS disable, \
            format('EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %s AND tgname = %L AND tgenabled <> ''D'')', c.oid, t.tgname) AS in_force, \
            t.tgname || ' on ' || c.relname AS name \
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
        WHERE t.tgname IN ('mdb_capture', 'mdb_capture_truncate') AND t.tgparentid = 0 \
          AND c.relnamespace = quote_ident(current_schema())::regnamespace \
        UNION ALL \
        SELECT NULL, false, format('DROP TABLE IF EXISTS %I', c.relname), '', 'false', c.relname::text FROM pg_class c \
        WHERE c.relname ~ '^mdb_change_[0-9]+$' AND c.relkind = 'r' AND c.relnamespace = quote_ident(current_schema())::regnamespace \
        UNION ALL \
        SELECT NULL, false, format('DROP FUNCTION IF EXISTS %I()', p.proname), '', 'false', p.proname::text FROM pg_proc p \
        WHERE p.proname ~ '^mdb_capture_[0-9]+_' AND p.pronamespace = quote_ident(current_schema())::regnamespace \
        ORDER BY on_table, name";
    let rows = run(connection, sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Object {
                table: row.try_get("on_table")?,
                fires: row.try_get("fires")?,
                remove: row.try_get("remove")?,
                disable: row.try_get("disable")?,
                in_force: row.try_get("in_force")?,
                name: row.try_get("name")?,
            })
        })
        .collect()
}

pub(in super::super) async fn installed(
    connection: &mut PgConnection,
) -> Result<Installed, sqlx::Error> {
    let objects = objects(connection).await?;
    let has_triggers = objects.iter().any(|object| object.table.is_some());
    let lies_still = has_triggers && !objects.iter().any(|object| object.fires);
    Ok(Installed {
        names: objects.into_iter().map(|object| object.name).collect(),
        state: if lies_still {
            TriggerState::Disabled
        } else {
            TriggerState::Enabled
        },
    })
}

/// Has the triggers fire no more, where no fence needs them: a transaction for each table.
pub(in super::super) async fn disarm(
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<(), StepError> {
    let mut objects = objects(connection).await?;
    objects.retain(|object| object.fires);
    for group in objects.chunk_by(|a, b| a.table == b.table) {
        let disable = group.iter().map(|object| object.disable.as_str());
        unless_fenced(connection, disable, limit).await?;
    }
    Ok(())
}

/// Removes everything: a transaction for each table, and one for all that no trigger needs any more.
pub(in super::super) async fn uninstall(
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<(), StepError> {
    let objects = objects(connection).await?;
    for group in objects.chunk_by(|a, b| a.table == b.table) {
        let remove = group.iter().map(|object| object.remove.as_str());
        unless_fenced(connection, remove, limit).await?;
    }
    Ok(())
}

/// Another move may have fenced briefcases since somebody looked, and rely on its triggers.
async fn unless_fenced<'s>(
    connection: &mut PgConnection,
    statements: impl Iterator<Item = &'s str>,
    limit: Duration,
) -> Result<(), StepError> {
    let statements: Vec<&str> = statements.collect();
    let sql = format!(
        "DO $mdb$ BEGIN IF NOT EXISTS (SELECT FROM mdb_fence) THEN {}; END IF; END $mdb$",
        statements.join("; ")
    );
    at_once(connection, &sql, limit).await
}
