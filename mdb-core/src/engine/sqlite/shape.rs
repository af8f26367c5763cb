//! The words of a [`Shape`](crate::engine::Shape).

use sqlx::sqlite::SqliteConnection;

use crate::engine::{Listed, Words};

/// Tables, and triggers on them; then foreign keys to them.
const OF_TABLE: &str = "SELECT name, sql FROM main.sqlite_schema \
         WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('table', 'trigger') \
     UNION ALL SELECT m.name, f.id || ' ' || f.\"from\" FROM main.sqlite_schema m, pragma_foreign_key_list(m.name) f \
         WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE ORDER BY 1, 2";

/// Tables that have a column of that name.
const OF_KEY: &str = "SELECT m.name, x.name FROM main.sqlite_schema m, pragma_table_xinfo(m.name) x \
         WHERE m.type = 'table' AND m.name NOT LIKE 'mdb\\_%' ESCAPE '\\' AND x.name = ?1 COLLATE NOCASE ORDER BY 1, 2";

pub(super) async fn words_of(
    connection: &mut SqliteConnection,
    listed: &Listed,
) -> Result<Words, sqlx::Error> {
    let tables = listed.tables.iter().map(|table| (OF_TABLE, table));
    let keys = listed.keys.iter().map(|key| (OF_KEY, key));
    let mut words = Words::default();
    for (query, name) in tables.chain(keys) {
        let rows: Vec<(String, Option<String>)> = sqlx::query_as(query)
            .bind(name)
            .fetch_all(&mut *connection)
            .await?;
        for (name, definition) in rows {
            let definition = definition.unwrap_or_default();
            let words = if name.starts_with("mdb_capture_") {
                &mut words.triggers
            } else {
                &mut words.tables
            };
            words.extend([name.as_str(), ": ", definition.as_str(), "\n"]);
        }
    }
    Ok(words)
}
