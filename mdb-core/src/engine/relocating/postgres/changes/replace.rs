//! The statements that put what was hit in the place of what the target has.

use std::fmt::Write;

use sqlx::Postgres;

use super::super::{columns, joined, keys, list, numbered, quoted};
use super::{Part, hits, news};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MovedReach, MovedTable};

/// Statements that replace what was hit on the target.
pub(super) fn statements(manifest: &Manifest, parts: &[Part<'_>]) -> String {
    let mut sql = String::new();
    for Part { table, .. } in parts {
        let MovedReach::Parent { parent, on } = &table.reach else {
            continue;
        };
        let parent = &manifest.tables()[*parent];
        if !parts
            .iter()
            .any(|part| part.is_deep && part.table.number == parent.number)
        {
            continue;
        }
        let _ = write!(
            sql,
            "INSERT INTO pg_temp.{} SELECT {}, true FROM {} AS p JOIN {} AS t ON {} \
             WHERE ({}) IN (SELECT {} FROM pg_temp.{} AS h WHERE h.deep); ",
            hits(table),
            keys(table, "t"),
            quoted(parent),
            quoted(table),
            joined::<Postgres>(on, "t", "p"),
            keys(parent, "p"),
            numbered(parent, "h"),
            hits(parent),
        );
    }
    for Part { table, .. } in parts.iter().rev().filter(|part| !part.is_referred) {
        let _ = write!(
            sql,
            "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM pg_temp.{} AS h UNION ALL SELECT {} FROM pg_temp.{} AS n); ",
            quoted(table),
            keys(table, "t"),
            numbered(table, "h"),
            hits(table),
            keys(table, "n"),
            news(table),
        );
    }
    for Part {
        table, is_referred, ..
    } in parts
    {
        let is_there = same_key(table, "t", "n");
        let mut only_absent = String::new();
        if *is_referred {
            let set = set_columns(table);
            if !set.is_empty() {
                let _ = write!(
                    sql,
                    "UPDATE {} AS t SET {set} FROM pg_temp.{} AS n WHERE {is_there}; ",
                    quoted(table),
                    news(table),
                );
            }
            only_absent = format!(
                " WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {is_there})",
                quoted(table)
            );
        }
        let _ = write!(
            sql,
            "INSERT INTO {} ({}) SELECT {} FROM pg_temp.{} AS n{only_absent}; ",
            quoted(table),
            columns(table, ""),
            columns(table, "n"),
            news(table),
        );
    }
    for Part { table, .. } in parts.iter().rev().filter(|part| part.is_referred) {
        let _ = write!(
            sql,
            "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM pg_temp.{} AS h) \
             AND NOT EXISTS (SELECT FROM pg_temp.{} AS n WHERE {}); ",
            quoted(table),
            keys(table, "t"),
            numbered(table, "h"),
            hits(table),
            news(table),
            same_key(table, "t", "n"),
        );
    }
    sql
}

fn same_key(table: &MovedTable, one: &str, other: &str) -> String {
    format!("({}) = ({})", keys(table, one), keys(table, other))
}

/// All columns, also those of the key: equal keys may be written differently.
fn set_columns(table: &MovedTable) -> String {
    let names = table.columns.iter().map(|column| column.name.as_str());
    let set: Vec<String> = names
        .map(|name| {
            format!(
                "{} = {}",
                Postgres::quote(name),
                list(std::iter::once(name), "n")
            )
        })
        .collect();
    set.join(", ")
}
