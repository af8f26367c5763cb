//! The words of a [`Shape`](crate::engine::Shape).

use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use crate::engine::{Engine, Listed};

/// Tables with their columns and triggers, those included by which the server keeps foreign keys to and from them; other
/// tables that carry a key. Planning it takes longer than running it, so sessions keep it.
const QUERY: &str = "WITH listed AS (SELECT c.oid, c.relkind, c.relrowsecurity FROM unnest($1::text[]) AS w (name) \
          JOIN pg_class c ON c.oid = to_regclass(w.name)), \
        parts (part) AS (SELECT concat_ws(':', l.oid, l.relkind, l.relrowsecurity) FROM listed l \
          UNION ALL SELECT concat_ws(':', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated) \
            FROM listed l JOIN pg_attribute a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped \
          UNION ALL SELECT concat_ws(':', t.tgrelid, t.oid, t.tgenabled) FROM listed l JOIN pg_trigger t ON t.tgrelid = l.oid \
            WHERE t.tgname NOT IN ('mdb_capture', 'mdb_capture_truncate') \
          UNION ALL SELECT concat_ws(':', a.attrelid, a.attname) FROM pg_class c \
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped \
            WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
              AND c.relname NOT LIKE 'mdb\\_%') \
     SELECT coalesce(string_agg(part, ' ' ORDER BY part), '') FROM parts";

pub(super) async fn words_of(
    connection: &mut PgConnection,
    listed: &Listed,
) -> Result<String, sqlx::Error> {
    let tables = listed.tables.iter();
    let tables: Vec<String> = tables.map(|name| Postgres::quote(name)).collect();
    sqlx::query_scalar(QUERY)
        .bind(tables)
        .bind(&listed.keys)
        .fetch_one(connection)
        .await
}
