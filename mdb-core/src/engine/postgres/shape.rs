//! The words of a [`Shape`](crate::engine::Shape).

use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use crate::engine::{Engine, Listed, Words};

/// Tables with their columns and triggers, those included by which the server keeps foreign keys to and from them; other
/// tables that carry a key. Apart from them MDB's own triggers. Planning it takes longer than running it, so sessions keep it.
///
/// Partitions come and go, and get and lose triggers, without their table; one that is emptied by TRUNCATE, which fires
/// triggers of its own only, gets another file.
const QUERY: &str = "WITH listed AS (SELECT c.oid, c.relkind, c.relrowsecurity FROM unnest($1::text[]) AS w (name) \
          JOIN pg_class c ON c.oid = to_regclass(w.name)), \
        partitions AS (SELECT p.relid::oid AS oid, p.parentrelid::oid AS parent, pg_relation_filenode(p.relid) AS file \
          FROM listed l CROSS JOIN LATERAL pg_partition_tree(l.oid) AS p WHERE p.level > 0), \
        parts (own, part) AS (SELECT FALSE, concat_ws(':', l.oid, l.relkind, l.relrowsecurity) FROM listed l \
          UNION ALL SELECT FALSE, concat_ws(':', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated) \
            FROM listed l JOIN pg_attribute a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped \
          UNION ALL SELECT t.tgname IN ('mdb_capture', 'mdb_capture_truncate'), concat_ws(':', t.tgrelid, t.oid, t.tgenabled) \
            FROM (SELECT oid FROM listed UNION ALL SELECT oid FROM partitions) l JOIN pg_trigger t ON t.tgrelid = l.oid \
          UNION ALL SELECT FALSE, concat_ws(':', 'partition', p.parent, p.oid, p.file) FROM partitions p \
          UNION ALL SELECT FALSE, concat_ws(':', a.attrelid, a.attname) FROM pg_class c \
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped \
            WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
              AND c.relname NOT LIKE 'mdb\\_%') \
     SELECT coalesce(string_agg(part, ' ' ORDER BY part) FILTER (WHERE NOT own), '') AS tables, \
       coalesce(string_agg(part, ' ' ORDER BY part) FILTER (WHERE own), '') AS triggers FROM parts";

pub(super) async fn words_of(
    connection: &mut PgConnection,
    listed: &Listed,
) -> Result<Words, sqlx::Error> {
    let (tables, triggers) = sqlx::query_as(QUERY)
        .bind(quoted(listed))
        .bind(&listed.keys)
        .fetch_one(connection)
        .await?;
    Ok(Words { tables, triggers })
}

fn quoted(listed: &Listed) -> Vec<String> {
    let tables = listed.tables.iter();
    tables.map(|name| Postgres::quote(name)).collect()
}

/// Has a session keep a statement, [`expect`], that fails by a logarithm where words differ.
pub(in crate::engine) fn prepare() -> String {
    format!(
        "PREPARE mdb_as_it_was (text[], text[], text, text) AS \
         SELECT ln((w.tables = $3 AND w.triggers = $4)::integer) FROM ({QUERY}) AS w"
    )
}

/// What the logarithm of zero fails with.
pub(in crate::engine) const LOGARITHM_OF_ZERO: &str = "2201E";

/// Inside a transaction of such a session: fails where the words are others by now. It may take longer than locks are
/// waited for: with as many tables as make a difference, no move would succeed otherwise.
pub(in crate::engine) fn expect(listed: &Listed, words: &Words) -> String {
    let texts = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| literal(text)).collect();
        format!("ARRAY[{}]::text[]", texts.join(", "))
    };
    format!(
        "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL statement_timeout = 1000; EXECUTE mdb_as_it_was ({}, {}, {}, {})",
        texts(&quoted(listed)),
        texts(&listed.keys),
        literal(&words.tables),
        literal(&words.triggers)
    )
}

/// Any text, however the session reads backslashes.
fn literal(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{text}'")
}
