//! Names of tables and columns, as statements write them.

use sqlx::Postgres;

use crate::engine::Engine;
use crate::engine::relocating::MovedTable;

pub(super) fn quoted(table: &MovedTable) -> String {
    Postgres::quote(&table.name)
}

/// The columns that are copied, of the row `alias`, or without one.
pub(super) fn columns(table: &MovedTable, alias: &str) -> String {
    list(
        table.columns.iter().map(|column| column.name.as_str()),
        alias,
    )
}

/// The columns of the primary key.
pub(super) fn keys(table: &MovedTable, alias: &str) -> String {
    list(
        table.key_columns().map(|column| column.name.as_str()),
        alias,
    )
}

/// The columns `k1`, `k2` … that hold the key in MDB's own tables.
pub(super) fn numbered(table: &MovedTable, alias: &str) -> String {
    let names: Vec<String> = (1..=table.primary_key.len())
        .map(|place| format!("k{place}"))
        .collect();
    let prefix = prefix(alias);
    names
        .iter()
        .map(|name| format!("{prefix}{name}"))
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>, alias: &str) -> String {
    let prefix = prefix(alias);
    let names: Vec<String> = names
        .map(|name| format!("{prefix}{}", Postgres::quote(name)))
        .collect();
    names.join(", ")
}

fn prefix(alias: &str) -> String {
    if alias.is_empty() {
        String::new()
    } else {
        format!("{alias}.")
    }
}
