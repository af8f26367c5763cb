//! Whether all definitions are what they were, without looking into the catalogue: for that the server opens each table
//! and reads the bodies of all its triggers, again and again.

use std::fmt::Write;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{MySql, Row};

use super::triggers::{self, Event};
use super::{error_number, quoted, run};
use crate::engine::relocating::Manifest;
use crate::engine::{Engine, ErrorClass};

/// `ER_TRG_DOES_NOT_EXIST`.
const NO_TRIGGER: u16 = 1360;

/// Others may wait for whoever asks, so on MariaDB it waits for no table that is being altered; MySQL waits for as long as the
/// session waits for locks.
const SHOW: &str = "/*M! SET STATEMENT lock_wait_timeout = 0 FOR */ SHOW CREATE";

/// The statements that make the manifest's tables, their change tables and triggers, as the server shows them.
pub(super) async fn glance(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<Option<String>, sqlx::Error> {
    let mut show = String::new();
    for table in manifest.tables() {
        let (name, change) = (quoted(table), table.change_table());
        let _ = write!(show, "{SHOW} TABLE {name}; {SHOW} TABLE {change}; ");
        for event in Event::ALL {
            let _ = write!(show, "{SHOW} TRIGGER {}; ", triggers::name(table, event));
        }
    }
    match run(connection, &show).await {
        Ok(rows) => rows
            .iter()
            .map(definition)
            .collect::<Result<_, _>>()
            .map(Some),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &sqlx::Error) -> bool {
    MySql::error_class(error) == ErrorClass::MissingTable || error_number(error) == Some(NO_TRIGGER)
}

/// A table's statement comes after its name, a trigger's after the mode that it runs in too.
fn definition(row: &MySqlRow) -> Result<String, sqlx::Error> {
    let text = |place: usize| -> Result<String, sqlx::Error> {
        let bytes: &[u8] = row.try_get_unchecked(place)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    };
    if row.len() > 2 {
        return Ok(format!("{}\n{}\n", text(1)?, text(2)?));
    }
    Ok(without_counter(&text(1)?) + "\n")
}

/// The statement without the table's next number, which changes with rows.
fn without_counter(table: &str) -> String {
    const COUNTER: &str = " AUTO_INCREMENT=";
    let options = table.rfind("\n) ENGINE=").unwrap_or(table.len());
    let (columns, options) = table.split_at(options);
    let Some((before, counter)) = options.split_once(COUNTER) else {
        return table.to_owned();
    };
    let after = counter.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{columns}{before}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_counter_is_left_out() {
        let shown = |counter: &str| {
            format!(
                "CREATE TABLE `t` (\n  `a` int(11) NOT NULL AUTO_INCREMENT COMMENT ' AUTO_INCREMENT=3',\n  PRIMARY KEY (`a`)\n\
                 ) ENGINE=InnoDB{counter} DEFAULT CHARSET=utf8mb4 COMMENT='x'"
            )
        };
        assert_eq!(without_counter(&shown(" AUTO_INCREMENT=17")), shown(""));
        assert_eq!(without_counter(&shown("")), shown(""));
    }
}
