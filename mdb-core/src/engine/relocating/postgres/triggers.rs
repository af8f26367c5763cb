//! Triggers that record changes or refuse them.
//!
//! They fire *after* each row: then the row is what it will be, whatever other triggers made of it.
//! They are no constraint triggers, so nobody can defer them, and they fire for replicated changes
//! too. The mover's own writes don't queue them at all.
//!
//! When no move needs them any more they are disabled, and stay: a session keeps what PL/pgSQL has compiled for a trigger
//! for as long as it lives, also when that one is dropped, so each new one would leave a little more in the
//! sessions of services. Neither does a trigger that is disabled keep readers waiting, as one that is dropped.
//!
//! What makes them certain:
//!
//! - The lock of the briefcase is shared first, and then, in a statement of its own that sees what
//!   was committed meanwhile, its fence is read.
//! - A transaction that keeps to an older snapshot also locks the briefcase's stripe, which every
//!   change of a fence has updated, and fails instead of reading an old fence.
//! - A row below a parent is looked up again once the lock is held, until the parent stays in the same
//!   briefcase. A row that takes others along to another briefcase locks out the writers of the one that it
//!   leaves, who may have looked it up there.

mod functions;
mod removal;

use std::fmt::Write;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Row};
use xxhash_rust::xxh3::xxh3_64;

use super::{busy, is_code, literal, quoted, rollback, run};
use crate::engine::Engine;
use crate::engine::relocating::{
    ADVISORY_CLASS, Manifest, MoveId, MovedTable, StepError, others_rely,
};
use removal::objects;
pub(super) use removal::{disarm, installed, uninstall};

/// The name of the row triggers, and what those against TRUNCATE add to it.
const TRIGGER: &str = "mdb_capture";
const TRUNCATE: &str = "_truncate";

/// The second number of the advisory lock under which triggers change: no briefcase's.
const ARMING: i32 = -1;

/// What [`refuse`] fails with.
const OTHERS: &str = "MDB02";

/// From how many bytes on a change table is emptied by making its file anew.
const EMPTIED: u32 = 1 << 20;

/// Where tables and functions are looked for and made.
struct Place {
    schema: String,
    /// The search path, for functions that run in others' sessions.
    path: String,
}

/// What a table's triggers are made of. The functions' names end with a hash of their text, so a
/// function is never another one all of a sudden. A change table says in its comment which one writes to it: by its number
/// alone it may be that of a table which had this place in an earlier manifest.
struct Wanted<'m> {
    table: &'m MovedTable,
    /// The table and its change table, as SQL names them.
    relation: String,
    changes: String,
    row_function: String,
    truncate_function: String,
    /// The arguments, language and body of both.
    row_body: String,
    truncate_body: String,
}

/// Where names without a schema lead.
async fn place(connection: &mut PgConnection) -> Result<Place, sqlx::Error> {
    let found = run(
        connection,
        "SELECT current_schema()::text AS schema, \
         (SELECT string_agg(quote_ident(s), ', ') FROM unnest(current_schemas(false)) AS s) AS path",
    )
    .await?;
    let place = found.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Place {
        schema: Postgres::quote(place.try_get("schema")?),
        path: place.try_get("path")?,
    })
}

pub(super) async fn is_armed(
    connection: &mut PgConnection,
    manifest: &Manifest,
) -> Result<bool, StepError> {
    let place = place(connection).await?;
    let wanted = Wanted::all(manifest, &place);
    Ok(missing(connection, &wanted).await?.is_empty())
}

pub(super) async fn arm(
    connection: &mut PgConnection,
    manifest: &Manifest,
    by: Option<&MoveId>,
    limit: Duration,
) -> Result<(), StepError> {
    let place = place(connection).await?;
    let wanted = Wanted::all(manifest, &place);
    let_others_end(connection, limit).await?;
    let missing = missing(connection, &wanted).await?;
    if !missing.is_empty() {
        drop_strangers(connection, manifest, by, limit).await?;
    }
    for table in &wanted {
        if missing.contains(&table.number()) {
            at_once(connection, &table.install(&place, by), limit).await?;
        }
    }
    Ok(())
}

/// The numbers of the tables on which something is not as it should be.
///
/// Each batch asks three times, and planning this takes far longer than running it: so it is one statement that the
/// session keeps.
async fn missing(
    connection: &mut PgConnection,
    wanted: &[Wanted<'_>],
) -> Result<Vec<i64>, sqlx::Error> {
    let query = "SELECT w.number FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]) \
            AS w (number, relation, changes, row_function, truncate_function) \
        WHERE obj_description(to_regclass(w.changes), 'pg_class') IS DISTINCT FROM w.row_function \
          OR EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass(w.changes) AND c.relreplident NOT IN ('f', 'i')) \
          OR 2 > (SELECT count(*) \
            FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid \
            WHERE t.tgrelid = w.relation::regclass AND t.tgenabled = 'A' \
              AND (t.tgname, p.proname) IN (($6, w.row_function), ($7, w.truncate_function)))";
    let texts =
        |text: fn(&Wanted<'_>) -> String| -> Vec<String> { wanted.iter().map(text).collect() };
    sqlx::query_scalar(query)
        .bind(wanted.iter().map(Wanted::number).collect::<Vec<_>>())
        .bind(texts(|w| w.relation.clone()))
        .bind(texts(|w| w.changes.clone()))
        .bind(texts(|w| w.row_function.clone()))
        .bind(texts(|w| w.truncate_function.clone()))
        .bind(TRIGGER)
        .bind(format!("{TRIGGER}{TRUNCATE}"))
        .fetch_all(connection)
        .await
}

/// Drops the triggers of tables that an earlier manifest had: their change tables may be others' now.
async fn drop_strangers(
    connection: &mut PgConnection,
    manifest: &Manifest,
    by: Option<&MoveId>,
    limit: Duration,
) -> Result<(), StepError> {
    for object in objects(connection).await? {
        if let Some(name) = &object.table
            && !manifest.tables().iter().any(|table| table.name == *name)
        {
            let remove = literal(&format!(
                "BEGIN {} {}; END",
                refuse(&object.in_force, by),
                object.remove
            ));
            at_once(connection, &format!("DO {remove}"), limit).await?;
        }
    }
    Ok(())
}

/// Waits until nobody disables or removes triggers who has looked for fences before now: he may have seen none, and yet
/// wait for a table. A statement that begins afterwards sees what he did; and whoever comes later sees the fences of now.
async fn let_others_end(connection: &mut PgConnection, limit: Duration) -> Result<(), StepError> {
    let wait = format!("SELECT pg_advisory_xact_lock_shared({ADVISORY_CLASS}, {ARMING})");
    bounded(connection, &wait, limit).await
}

/// A whole transaction as one text: the server does not wait for us while it holds locks. Others change no triggers
/// meanwhile.
async fn at_once(
    connection: &mut PgConnection,
    statements: &str,
    limit: Duration,
) -> Result<(), StepError> {
    let alone = format!("SELECT pg_advisory_xact_lock({ADVISORY_CLASS}, {ARMING}); {statements}");
    bounded(connection, &alone, limit).await
}

/// Each statement sees what was committed before it, whatever the database's default is.
async fn bounded(
    connection: &mut PgConnection,
    statements: &str,
    limit: Duration,
) -> Result<(), StepError> {
    let limit = limit.as_millis().max(1);
    let sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {limit}; \
         SET LOCAL statement_timeout = {limit}; {statements}; COMMIT"
    );
    match run(connection, &sql).await {
        Ok(_) => Ok(()),
        Err(error) => {
            rollback(connection).await?;
            Err(if is_code(&error, OTHERS) {
                StepError::OtherTables
            } else {
                busy(error)
            })
        }
    }
}

/// In PL/pgSQL: has the rows of a change table be deleted, by what they hold, also while a publication of all tables publishes
/// that: it has no key, for none would be looked up by it.
fn identify(changes: &str) -> String {
    format!(
        "IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass({}) AND relreplident NOT IN ('f', 'i')) THEN \
         ALTER TABLE {changes} REPLICA IDENTITY FULL; END IF;",
        literal(changes)
    )
}

/// The same as a statement, for a change table that may have been made without.
pub(super) fn identify_rows(table: &MovedTable) -> String {
    let identify = identify(&table.change_table());
    format!("DO {}", literal(&format!("BEGIN {identify} END")))
}

/// In PL/pgSQL: fails with [`OTHERS`] where `condition` is true and other moves than `by` rely on what is there.
fn refuse(condition: &str, by: Option<&MoveId>) -> String {
    format!(
        "IF {condition} AND {} THEN RAISE EXCEPTION 'another move relies on other triggers' USING ERRCODE = '{OTHERS}'; \
         END IF;",
        others_rely(by)
    )
}

impl<'m> Wanted<'m> {
    fn all(manifest: &'m Manifest, place: &Place) -> Vec<Self> {
        let tables = manifest.tables().iter();
        tables
            .map(|table| Self::of(manifest, table, place))
            .collect()
    }

    fn of(manifest: &Manifest, table: &'m MovedTable, place: &Place) -> Self {
        let row_body = functions::row(manifest, table, place);
        let truncate_body = functions::truncate(place);
        let name = |body: &str, middle: &str| {
            // The types are those of the change table.
            let types: Vec<&str> = table
                .key_columns()
                .map(|column| column.data_type.as_str())
                .collect();
            let hash = xxh3_64(format!("{body}{}", types.join(",")).as_bytes());
            format!("{TRIGGER}_{}{middle}_{hash:016x}", table.number)
        };
        let in_schema = |name: &str| format!("{}.{name}", place.schema);
        Self {
            table,
            relation: in_schema(&quoted(table)),
            changes: in_schema(&table.change_table()),
            row_function: name(&row_body, ""),
            truncate_function: name(&truncate_body, TRUNCATE),
            row_body,
            truncate_body,
        }
    }

    fn number(&self) -> i64 {
        i64::try_from(self.table.number).unwrap_or(i64::MAX)
    }

    /// A condition: everything is in place, whether the triggers fire or not.
    fn is_there(&self) -> String {
        self.triggers_are("")
    }

    /// A condition.
    fn is_installed(&self) -> String {
        format!(
            "{} AND EXISTS (SELECT FROM pg_class WHERE oid = to_regclass({}) AND relreplident IN ('f', 'i'))",
            self.triggers_are(" AND t.tgenabled = 'A'"),
            literal(&self.changes)
        )
    }

    /// A condition: triggers fire which are not those that are wanted, on this table or into its change table.
    fn is_other(&self, place: &Place) -> String {
        format!(
            "EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid \
             WHERE t.tgname IN ('{TRIGGER}', '{TRIGGER}{TRUNCATE}') AND t.tgenabled <> 'D' \
             AND p.pronamespace = {}::regnamespace AND p.proname NOT IN ('{}', '{}') \
             AND (t.tgrelid = {}::regclass OR p.proname ~ '^{TRIGGER}_{}_'))",
            literal(&place.schema),
            self.row_function,
            self.truncate_function,
            literal(&self.relation),
            self.table.number,
        )
    }

    /// A condition: the change table is the one that the triggers write to.
    fn is_kept(&self) -> String {
        format!(
            "coalesce(obj_description(to_regclass({}), 'pg_class') = '{}', false)",
            literal(&self.changes),
            self.row_function,
        )
    }

    fn triggers_are(&self, enabled: &str) -> String {
        let table = literal(&self.relation);
        let are = |name: &str, function: &str| {
            format!(
                "EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid \
                 WHERE t.tgrelid = {table}::regclass AND t.tgname = '{name}' AND p.proname = '{function}'{enabled})"
            )
        };
        format!(
            "{} AND {} AND {}",
            are(TRIGGER, &self.row_function),
            are(&format!("{TRIGGER}{TRUNCATE}"), &self.truncate_function),
            self.is_kept(),
        )
    }

    /// Statements that change nothing when another mover was faster. Locks on the table come last.
    fn install(&self, place: &Place, by: Option<&MoveId>) -> String {
        let schema = &place.schema;
        let (table, changes) = (&self.relation, &self.changes);
        let keys: Vec<String> = self
            .table
            .key_columns()
            .zip(1..)
            .map(|(column, place)| format!("t.{} AS k{place}", Postgres::quote(&column.name)))
            .collect();
        let make_changes = format!(
            "DROP TABLE IF EXISTS {changes}; \
             CREATE TABLE {changes} AS SELECT ''::bytea AS gdid, false AS deep, {} FROM {table} AS t WITH NO DATA; \
             COMMENT ON TABLE {changes} IS '{}';",
            keys.join(", "),
            self.row_function,
        );
        let mut steps = format!(
            "CREATE OR REPLACE FUNCTION {schema}.{}() {}; CREATE OR REPLACE FUNCTION {schema}.{}() {}; ",
            self.row_function, self.row_body, self.truncate_function, self.truncate_body,
        );
        for (trigger, event, function) in [
            (
                TRIGGER.to_owned(),
                "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW",
                &self.row_function,
            ),
            (
                format!("{TRIGGER}{TRUNCATE}"),
                "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT",
                &self.truncate_function,
            ),
        ] {
            let event = event.replace("{table}", table);
            let _ = write!(
                steps,
                "CREATE OR REPLACE TRIGGER {trigger} {event} \
                 WHEN (coalesce(current_setting('mdb.mover', true), '') = '') \
                 EXECUTE FUNCTION {schema}.{function}(); ",
            );
        }
        format!(
            "DO {} ",
            literal(&format!(
                "BEGIN IF NOT ({}) THEN {} \
                 IF NOT ({}) THEN {make_changes} \
                 ELSIF NOT {others} AND (EXISTS (SELECT FROM {changes}) OR pg_relation_size({}) > {EMPTIED}) THEN \
                 TRUNCATE {changes}; END IF; {identify} \
                 IF NOT ({}) THEN {steps} END IF; \
                 UPDATE {schema}.mdb_stripe SET version = version + 1; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER {TRIGGER}, ENABLE ALWAYS TRIGGER {TRIGGER}{TRUNCATE}; \
                 END IF; END",
                self.is_installed(),
                refuse(&self.is_other(place), by),
                self.is_kept(),
                literal(changes),
                self.is_there(),
                others = others_rely(by),
                identify = identify(changes),
            ))
        )
    }
}
