//! Tables, their columns and keys, ids and literals as they are written in statements.

use sqlx::MySql;

use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MoveId, MovedReach, MovedTable};

/// The ids of a move, as a query.
pub(super) fn ids(id: &MoveId) -> String {
    format!(
        "SELECT gdid FROM mdb_fence WHERE move = {}",
        literal(id.as_str())
    )
}

/// Text of MDB's own as SQL: it has no backslashes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn quoted(table: &MovedTable) -> String {
    MySql::quote(&table.name)
}

/// The columns that are copied.
pub(super) fn column_list(table: &MovedTable) -> String {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| MySql::quote(&column.name))
        .collect();
    names.join(", ")
}

/// The columns of the primary key of the row `alias`.
pub(super) fn keys(table: &MovedTable, alias: &str) -> String {
    let names: Vec<String> = table
        .key_columns()
        .map(|column| format!("{alias}.{}", MySql::quote(&column.name)))
        .collect();
    names.join(", ")
}

/// The same columns under the names that they have in MDB's own tables.
pub(super) fn keys_as_numbered(table: &MovedTable, alias: &str) -> String {
    let names: Vec<String> = table
        .key_columns()
        .zip(1..)
        .map(|(column, place)| format!("{alias}.{} AS k{place}", MySql::quote(&column.name)))
        .collect();
    names.join(", ")
}

/// The columns `k1`, `k2` … that hold a key in MDB's own tables.
pub(super) fn numbered(table: &MovedTable, alias: &str) -> String {
    let prefix = if alias.is_empty() {
        String::new()
    } else {
        format!("{alias}.")
    };
    let names: Vec<String> = (1..=table.primary_key.len())
        .map(|place| format!("{prefix}k{place}"))
        .collect();
    names.join(", ")
}

/// A condition that `row` of the table has the key that `hit` names.
pub(super) fn same_key(table: &MovedTable, row: &str, hit: &str) -> String {
    let pairs: Vec<String> = table
        .key_columns()
        .zip(1..)
        .map(|(column, place)| format!("{row}.{} = {hit}.k{place}", MySql::quote(&column.name)))
        .collect();
    pairs.join(" AND ")
}

/// `FROM …`: the rows `alias` of a table that belong to the briefcases that `keys` selects.
///
/// Written so that the server begins with the briefcases, whatever it takes the tables' sizes to be.
pub(super) fn rows_of(manifest: &Manifest, table: &MovedTable, alias: &str, keys: &str) -> String {
    match from_keys(manifest, table, alias, keys) {
        Some(tables) => format!("FROM {tables}"),
        None => format!(
            "FROM {} {alias} WHERE {}",
            quoted(table),
            manifest.condition::<MySql>(table, alias, keys)
        ),
    }
}

/// The tables from the keys down to `table`, if no row can be found twice on that way.
pub(super) fn from_keys(
    manifest: &Manifest,
    table: &MovedTable,
    alias: &str,
    keys: &str,
) -> Option<String> {
    let mut reach = &table.reach;
    while let MovedReach::Parent { parent, on } = reach {
        let parent = &manifest.tables()[*parent];
        if !parent.is_one_row_by(on) {
            return None;
        }
        reach = &parent.reach;
    }
    let joined = manifest.joined_to::<MySql>(table, alias, "f.gdid");
    Some(format!("({keys}) f {joined}"))
}
