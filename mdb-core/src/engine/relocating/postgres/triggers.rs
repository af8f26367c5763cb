//! Triggers that record changes or refuse them.
//!
//! They fire *after* each row: then the row is what it will be, whatever other triggers made of it.
//! They are no constraint triggers, so nobody can defer them, and they fire for replicated changes
//! too. The mover's own writes don't queue them at all.
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

use std::fmt::Write;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Row};
use xxhash_rust::xxh3::xxh3_64;

use super::{busy, joined, keys, list, literal, numbered, quoted, rollback, run};
use crate::engine::Engine;
use crate::engine::relocating::{ADVISORY_CLASS, Manifest, MovedReach, MovedTable, StepError};

/// The name of the row triggers, and what those against TRUNCATE add to it.
const TRIGGER: &str = "mdb_capture";
const TRUNCATE: &str = "_truncate";

/// Where tables and functions are looked for and made.
struct Place {
    schema: String,
    /// The search path, for functions that run in others' sessions.
    path: String,
}

/// What a table's triggers are made of. The functions' names end with a hash of their text, so a
/// function is never another one all of a sudden.
struct Wanted<'m> {
    table: &'m MovedTable,
    row_function: String,
    truncate_function: String,
    /// The arguments, language and body of both.
    row_body: String,
    truncate_body: String,
}

pub(super) async fn arm(
    connection: &mut PgConnection,
    manifest: &Manifest,
    limit: Duration,
) -> Result<(), StepError> {
    let found = run(
        connection,
        "SELECT current_schema()::text AS schema, \
         (SELECT string_agg(quote_ident(s), ', ') FROM unnest(current_schemas(false)) AS s) AS path",
    )
    .await?;
    let place = found.first().ok_or(sqlx::Error::RowNotFound)?;
    let place = Place {
        schema: Postgres::quote(place.try_get("schema")?),
        path: place.try_get("path")?,
    };
    let mut checks = Vec::new();
    let mut wanted = Vec::new();
    for table in manifest.tables() {
        let table = Wanted::of(manifest, table, &place);
        checks.push(format!(
            "SELECT {}::bigint AS number WHERE NOT ({})",
            table.table.number,
            table.is_installed(&place)
        ));
        wanted.push(table);
    }
    if checks.is_empty() {
        return Ok(());
    }
    let missing = run(connection, &checks.join(" UNION ALL ")).await?;
    let missing: Vec<i64> = missing
        .iter()
        .map(|row| row.try_get("number"))
        .collect::<Result<_, _>>()?;
    if !missing.is_empty() {
        drop_strangers(connection, manifest, limit).await?;
    }
    for table in &wanted {
        let number = i64::try_from(table.table.number).unwrap_or(i64::MAX);
        if missing.contains(&number) {
            at_once(connection, &table.install(&place), limit).await?;
        }
    }
    Ok(())
}

/// Drops the triggers of tables that an earlier manifest had: their change tables may be others' now.
async fn drop_strangers(
    connection: &mut PgConnection,
    manifest: &Manifest,
    limit: Duration,
) -> Result<(), StepError> {
    for object in objects(connection).await? {
        if let Some(name) = &object.table
            && !manifest.tables().iter().any(|table| table.name == *name)
        {
            at_once(connection, &object.remove, limit).await?;
        }
    }
    Ok(())
}

/// A whole transaction as one text: the server does not wait for us while it holds locks.
async fn at_once(
    connection: &mut PgConnection,
    statements: &str,
    limit: Duration,
) -> Result<(), StepError> {
    let limit = limit.as_millis().max(1);
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = {limit}; SET LOCAL statement_timeout = {limit}; \
         SELECT pg_advisory_xact_lock({ADVISORY_CLASS}, -1); {statements}; COMMIT"
    );
    match run(connection, &sql).await {
        Ok(_) => Ok(()),
        Err(error) => {
            rollback(connection).await?;
            Err(busy(error))
        }
    }
}

impl<'m> Wanted<'m> {
    fn of(manifest: &Manifest, table: &'m MovedTable, place: &Place) -> Self {
        let row_body = function(place, &row_body(manifest, table, place));
        let truncate_body = function(place, &truncate_body(place));
        let name = |body: &str, middle: &str| {
            // The types are those of the change table.
            let types: Vec<&str> = table
                .key_columns()
                .map(|column| column.data_type.as_str())
                .collect();
            let hash = xxh3_64(format!("{body}{}", types.join(",")).as_bytes());
            format!("{TRIGGER}_{}{middle}_{hash:016x}", table.number)
        };
        Self {
            table,
            row_function: name(&row_body, ""),
            truncate_function: name(&truncate_body, TRUNCATE),
            row_body,
            truncate_body,
        }
    }

    /// A condition.
    fn is_installed(&self, place: &Place) -> String {
        let table = literal(&format!("{}.{}", place.schema, quoted(self.table)));
        let fires = |name: &str, function: &str| {
            format!(
                "EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid \
                 WHERE t.tgrelid = {table}::regclass AND t.tgname = '{name}' AND p.proname = '{function}' \
                 AND t.tgenabled = 'A')"
            )
        };
        format!(
            "{} AND {} AND to_regclass({}) IS NOT NULL",
            fires(TRIGGER, &self.row_function),
            fires(&format!("{TRIGGER}{TRUNCATE}"), &self.truncate_function),
            literal(&format!("{}.{}", place.schema, self.table.change_table())),
        )
    }

    /// Statements that change nothing when another mover was faster. Locks on the table come last.
    fn install(&self, place: &Place) -> String {
        let schema = &place.schema;
        let table = format!("{schema}.{}", quoted(self.table));
        let changes = format!("{schema}.{}", self.table.change_table());
        let keys: Vec<String> = self
            .table
            .key_columns()
            .zip(1..)
            .map(|(column, place)| format!("t.{} AS k{place}", Postgres::quote(&column.name)))
            .collect();
        let mut steps = format!(
            "CREATE OR REPLACE FUNCTION {schema}.{}() {}; CREATE OR REPLACE FUNCTION {schema}.{}() {}; \
             DROP TABLE IF EXISTS {changes}; \
             CREATE TABLE {changes} AS SELECT ''::bytea AS gdid, false AS deep, {} FROM {table} AS t WITH NO DATA; \
             UPDATE {schema}.mdb_stripe SET version = version + 1; ",
            self.row_function,
            self.row_body,
            self.truncate_function,
            self.truncate_body,
            keys.join(", "),
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
            let event = event.replace("{table}", &table);
            let _ = write!(
                steps,
                "CREATE OR REPLACE TRIGGER {trigger} {event} \
                 WHEN (coalesce(current_setting('mdb.mover', true), '') = '') \
                 EXECUTE FUNCTION {schema}.{function}(); \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}; ",
            );
        }
        format!(
            "DO {} ",
            literal(&format!(
                "BEGIN IF NOT ({}) THEN {steps} END IF; END",
                self.is_installed(place)
            ))
        )
    }
}

/// A trigger function that runs with the rights of its owner: who writes the table needs none on
/// MDB's own.
fn function(place: &Place, body: &str) -> String {
    format!(
        "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {}, pg_temp AS {}",
        place.path,
        literal(body)
    )
}

/// Whether this transaction keeps to the snapshot that it began with.
const KEEPS_SNAPSHOT: &str =
    "current_setting('transaction_isolation') IN ('repeatable read', 'serializable')";

fn row_body(manifest: &Manifest, table: &MovedTable, place: &Place) -> String {
    let Place { schema, .. } = place;
    let children: Vec<&MovedTable> = manifest.children(table).collect();
    // Columns that say which row it is, where it belongs, and what belongs to it.
    let mut telling: Vec<&str> = table.key_columns().map(|c| c.name.as_str()).collect();
    match &table.reach {
        MovedReach::Key { column } => telling.push(column),
        MovedReach::Parent { on, .. } => telling.extend(on.iter().map(|(own, _)| own.as_str())),
    }
    for child in &children {
        if let MovedReach::Parent { on, .. } = &child.reach {
            telling.extend(on.iter().map(|(_, parents)| parents.as_str()));
        }
    }
    telling.sort_unstable();
    telling.dedup();
    let telling = |row| list(telling.iter().copied(), row);
    let lock = format!(
        "number := coalesce((get_byte(key, 10) * 256 + get_byte(key, 11)) % {slots}, {slots}); \
         PERFORM pg_advisory_xact_lock_shared({ADVISORY_CLASS}, number); \
         IF {KEEPS_SNAPSHOT} THEN \
         PERFORM 1 FROM {schema}.mdb_stripe WHERE stripe = coalesce(get_byte(key, 11), 0) FOR SHARE; END IF;",
        slots = crate::engine::relocating::ADVISORY_SLOTS,
    );
    let find = match &table.reach {
        MovedReach::Key { column } => {
            format!(
                "key := {}; {lock}",
                id_of(&format!("image.{}", Postgres::quote(column)))
            )
        }
        MovedReach::Parent { .. } => format!(
            "looked := false; LOOP {} EXIT WHEN looked AND key IS NOT DISTINCT FROM locked; \
             {lock} locked := key; looked := true; END LOOP;",
            look_up(manifest, table, place)
        ),
    };
    let leave = if children.is_empty() {
        String::new()
    } else {
        format!(
            "IF TG_OP = 'UPDATE' AND key IS DISTINCT FROM old_key THEN \
             PERFORM pg_advisory_xact_lock({ADVISORY_CLASS}, old_number); \
             UPDATE {schema}.mdb_stripe SET version = version + 1 WHERE stripe = coalesce(get_byte(old_key, 11), 0); \
             END IF;"
        )
    };
    format!(
        "DECLARE image record; side text; key bytea; locked bytea; old_key bytea; looked boolean; \
         number integer; old_number integer; fence record; \
         kept boolean := TG_OP = 'UPDATE' AND ROW({old}) IS NOT DISTINCT FROM ROW({new}); \
         BEGIN \
         FOREACH side IN ARRAY ARRAY['OLD', 'NEW'] LOOP \
         IF side = 'OLD' THEN CONTINUE WHEN TG_OP = 'INSERT'; image := OLD; \
         ELSE EXIT WHEN TG_OP = 'DELETE' OR kept; image := NEW; END IF; \
         {find} \
         SELECT f.state, f.deadline INTO fence FROM {schema}.mdb_fence f WHERE f.gdid = key; \
         IF FOUND THEN \
         IF fence.state >= 3 OR fence.state = 2 AND fence.deadline > {now} THEN \
         RAISE EXCEPTION 'mdb: briefcase % is being moved', encode(key, 'hex') USING ERRCODE = 'MDB01'; \
         END IF; \
         INSERT INTO {schema}.{changes} (gdid, deep, {numbered}) VALUES (key, NOT kept, {keys}); \
         END IF; \
         IF side = 'OLD' THEN old_key := key; old_number := number; ELSE {leave} END IF; \
         END LOOP; \
         RETURN NULL; END",
        old = telling("OLD"),
        new = telling("NEW"),
        now = Postgres::now(),
        changes = table.change_table(),
        numbered = numbered(table, ""),
        keys = keys(table, "image"),
    )
}

/// An id, or NULL for what can't be one.
fn id_of(expression: &str) -> String {
    format!("CASE WHEN octet_length({expression}) = 12 THEN {expression} END")
}

/// Looks the key of the row `image` up through its parents.
fn look_up(manifest: &Manifest, table: &MovedTable, place: &Place) -> String {
    let mut tables = Vec::new();
    let mut conditions = Vec::new();
    let mut child = "image".to_owned();
    let mut reach = &table.reach;
    loop {
        match reach {
            MovedReach::Key { column } => {
                let key = id_of(&format!("{child}.{}", Postgres::quote(column)));
                return format!(
                    "SELECT {key} INTO key FROM {} WHERE {};",
                    tables.join(", "),
                    conditions.join(" AND ")
                );
            }
            MovedReach::Parent { parent, on } => {
                let parent = &manifest.tables()[*parent];
                let alias = format!("p{}", parent.number);
                tables.push(format!("{}.{} {alias}", place.schema, quoted(parent)));
                conditions.push(joined(on, &child, &alias));
                child = alias;
                reach = &parent.reach;
            }
        }
    }
}

/// Nobody empties a table while rows of it are copied or have just arrived.
fn truncate_body(place: &Place) -> String {
    let schema = &place.schema;
    format!(
        "BEGIN \
         IF {KEEPS_SNAPSHOT} THEN PERFORM 1 FROM {schema}.mdb_stripe FOR SHARE; END IF; \
         IF EXISTS (SELECT FROM {schema}.mdb_fence WHERE state <> 3) THEN \
         RAISE EXCEPTION 'mdb: briefcases of table % are being moved', TG_TABLE_NAME \
         USING ERRCODE = 'MDB01'; END IF; \
         RETURN NULL; END"
    )
}

/// Something that [`arm`] made.
struct Object {
    /// The table, of a trigger.
    table: Option<String>,
    /// The statement that removes it.
    remove: String,
    name: String,
}

/// Triggers come first, table by table.
async fn objects(connection: &mut PgConnection) -> Result<Vec<Object>, sqlx::Error> {
    let sql = "SELECT c.relname::text AS on_table, \
            format('DROP TRIGGER %I ON %s', t.tgname, c.oid::regclass) AS remove, t.tgname || ' on ' || c.relname AS name \
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
        WHERE t.tgname IN ('mdb_capture', 'mdb_capture_truncate') AND t.tgparentid = 0 \
          AND c.relnamespace = current_schema()::regnamespace \
        UNION ALL \
        SELECT NULL, format('DROP TABLE IF EXISTS %I', c.relname), c.relname::text FROM pg_class c \
        WHERE c.relname ~ '^mdb_change_[0-9]+$' AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace \
        UNION ALL \
        SELECT NULL, format('DROP FUNCTION IF EXISTS %I()', p.proname), p.proname::text FROM pg_proc p \
        WHERE p.proname ~ '^mdb_capture_[0-9]+_' AND p.pronamespace = current_schema()::regnamespace \
        ORDER BY on_table, name";
    let rows = run(connection, sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Object {
                table: row.try_get("on_table")?,
                remove: row.try_get("remove")?,
                name: row.try_get("name")?,
            })
        })
        .collect()
}

pub(super) async fn installed(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let objects = objects(connection).await?;
    Ok(objects.into_iter().map(|object| object.name).collect())
}

pub(super) async fn disarm(
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<(), StepError> {
    // A transaction for each table, and one for all that no trigger needs any more.
    for group in objects(connection)
        .await?
        .chunk_by(|a, b| a.table == b.table)
    {
        let remove: Vec<&str> = group.iter().map(|object| object.remove.as_str()).collect();
        at_once(connection, &remove.join("; "), limit).await?;
    }
    Ok(())
}
