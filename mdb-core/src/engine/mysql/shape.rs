//! The words of a [`Shape`](crate::engine::Shape).

use std::fmt::Write;

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

use super::tables::all_rows;
use crate::engine::{Listed, Words};

/// The columns of tables, and those that carry a key in any table; MDB's own triggers. As digits: the session's character set is not the same
/// in pools and movers.
pub(super) async fn words_of(
    connection: &mut MySqlConnection,
    listed: &Listed,
) -> Result<Words, sqlx::Error> {
    let names = |names: &[String]| {
        let literals = names.iter().map(|name| {
            let mut digits = String::new();
            for byte in name.bytes() {
                let _ = write!(digits, "{byte:02x}");
            }
            format!("CONVERT(x'{digits}' USING utf8mb4)")
        });
        literals.collect::<Vec<_>>().join(", ")
    };
    if listed.tables.is_empty() || listed.keys.is_empty() {
        return Ok(Words::default());
    }
    let columns = format!(
        "SELECT HEX(CONCAT_WS(' ', table_name, ordinal_position, column_name, column_type, is_nullable, \
             IF(extra LIKE '%GENERATED%', extra, ''), COALESCE(character_set_name, ''))) AS word \
         FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name NOT LIKE 'mdb\\_%' \
         AND (table_name IN ({}) OR column_name IN ({})) ORDER BY word",
        names(&listed.tables),
        names(&listed.keys)
    );
    let triggers = "SELECT HEX(CONCAT_WS(' ', event_object_table, trigger_name, event_manipulation)) AS word \
         FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_schema = DATABASE() \
         AND trigger_name LIKE 'mdb\\_capture\\_%' ORDER BY word";
    Ok(Words {
        tables: lines(connection, &columns).await?,
        triggers: lines(connection, triggers).await?,
    })
}

async fn lines(connection: &mut MySqlConnection, query: &str) -> Result<String, sqlx::Error> {
    let mut words = String::new();
    for row in all_rows(connection, query).await? {
        words.push_str(row.try_get(0)?);
        words.push('\n');
    }
    Ok(words)
}
