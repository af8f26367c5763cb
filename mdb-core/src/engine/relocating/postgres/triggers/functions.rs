//! The text of the trigger functions.

use sqlx::Postgres;

use super::super::{joined, keys, list, literal, numbered, quoted};
use super::Place;
use crate::engine::Engine;
use crate::engine::relocating::{ADVISORY_CLASS, ADVISORY_SLOTS, Manifest, MovedReach, MovedTable};

/// Arguments, language and body of the function that a row of `table` fires.
pub(super) fn row(manifest: &Manifest, table: &MovedTable, place: &Place) -> String {
    function(place, &row_body(manifest, table, place))
}

/// The same of the function that TRUNCATE fires.
pub(super) fn truncate(place: &Place) -> String {
    function(place, &truncate_body(place))
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
    let telling = manifest.telling_columns(table);
    let telling = |row| list(telling.iter().copied(), row);
    let lock = format!(
        "number := coalesce((get_byte(key, 10) * 256 + get_byte(key, 11)) % {ADVISORY_SLOTS}, {ADVISORY_SLOTS}); \
         PERFORM pg_advisory_xact_lock_shared({ADVISORY_CLASS}, number); \
         IF {KEEPS_SNAPSHOT} THEN \
         PERFORM 1 FROM {schema}.mdb_stripe WHERE stripe = coalesce(get_byte(key, 11), 0) FOR SHARE; END IF;",
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
                conditions.push(joined::<Postgres>(on, &child, &alias));
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
