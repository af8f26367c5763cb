//! The words of a [`Shape`](crate::engine::Shape).
//!
//! They are digits: the session's character set is not the same in pools and movers. A table that is asked for by a text
//! in the catalogue's own character set is opened alone; the server looks into all tables of the database otherwise.

use std::fmt::Write;

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

use super::tables::{all_rows, rows_in};
use crate::engine::{Listed, Words};

/// How often it is asked when tables are being changed at that moment: briefcases may be locked.
const TRIES: u32 = 4;

/// What says of a foreign key where it leads, and what follows it.
const KEY: &str = "HEX(CONCAT_WS(' ', table_name, constraint_name, referenced_table_name, delete_rule, update_rule)) AS word \
     FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()";

/// The columns and foreign keys of the tables, and MDB's own triggers on them.
pub(super) async fn words_of(
    connection: &mut MySqlConnection,
    listed: &Listed,
) -> Result<Words, sqlx::Error> {
    let of_each = |query: &dyn Fn(String) -> String| {
        let queries = listed.tables.iter().map(|table| query(literal(table)));
        queries.collect::<Vec<_>>().join(" UNION ALL ")
    };
    let columns = of_each(&|table| {
        format!(
            "SELECT HEX(CONCAT_WS(' ', table_name, ordinal_position, column_name, column_type, is_nullable, \
                 IF(extra LIKE '%GENERATED%', extra, ''), COALESCE(character_set_name, ''))) AS word \
             FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = {table}"
        )
    });
    let keys = of_each(&|table| format!("SELECT {KEY} AND table_name = {table}"));
    let triggers = of_each(&|table| {
        format!(
            "SELECT HEX(CONCAT_WS(' ', event_object_table, trigger_name, event_manipulation)) AS word \
             FROM information_schema.triggers WHERE event_object_schema = DATABASE() \
             AND event_object_table = {table} AND trigger_name LIKE 'mdb!_capture!_%' ESCAPE '!'"
        )
    });
    let mut tables = lines(rows_in(connection, &ordered(columns), TRIES).await?)?;
    tables += &lines(rows_in(connection, &ordered(keys), TRIES).await?)?;
    Ok(Words {
        tables,
        triggers: lines(rows_in(connection, &ordered(triggers), TRIES).await?)?,
    })
}

/// All columns of the names of keys, but those of views, and other tables' foreign keys to the listed ones. That takes as
/// long as the database has tables.
pub(super) async fn others_of(
    connection: &mut MySqlConnection,
    listed: &Listed,
) -> Result<String, sqlx::Error> {
    let literals = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
        names.join(", ")
    };
    let mut others = String::new();
    if !listed.keys.is_empty() {
        let columns = format!(
            "SELECT HEX(CONCAT_WS(' ', table_name, column_name)) AS word FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name NOT LIKE 'mdb!_%' ESCAPE '!' AND column_name IN ({}) \
             AND table_name NOT IN (SELECT v.table_name FROM information_schema.views v WHERE v.table_schema = DATABASE())",
            literals(&listed.keys)
        );
        others += &lines(all_rows(connection, &ordered(columns)).await?)?;
    }
    if !listed.tables.is_empty() {
        let tables = literals(&listed.tables);
        let keys = format!(
            "SELECT {KEY} AND referenced_table_name IN ({tables}) AND table_name NOT IN ({tables})"
        );
        others += &lines(all_rows(connection, &ordered(keys)).await?)?;
    }
    Ok(others)
}

fn ordered(query: String) -> String {
    if query.is_empty() {
        "DO 0".to_owned()
    } else {
        query + " ORDER BY word"
    }
}

fn literal(name: &str) -> String {
    let mut literal = "_utf8 x'".to_owned();
    for byte in name.bytes() {
        let _ = write!(literal, "{byte:02x}");
    }
    literal.push('\'');
    literal
}

fn lines(rows: Vec<sqlx::mysql::MySqlRow>) -> Result<String, sqlx::Error> {
    let mut words = String::new();
    for row in rows {
        words.push_str(row.try_get(0)?);
        words.push('\n');
    }
    Ok(words)
}
