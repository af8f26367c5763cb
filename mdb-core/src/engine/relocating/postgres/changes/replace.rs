//! The statements that put what was hit in the place of what the target has.

use std::fmt::Write;

use sqlx::Postgres;

use super::super::{columns, joined, keys, list, numbered, quoted};
use super::{Part, belongs_upwards, hits, news};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MovedReach, MovedTable};

/// Statements that replace what was hit on the target, of briefcases whose keys compare so.
pub(super) fn statements(manifest: &Manifest, parts: &[Part<'_>], comparison: &str) -> String {
    let mut sql = String::new();
    for Part { table, .. } in parts {
        collect_below(&mut sql, manifest, table, parts);
        // Neighbours may have rows with the same keys here; those are nobody's to replace. Before any row is
        // changed by which they would be told apart.
        let _ = write!(
            sql,
            "DELETE FROM pg_temp.{} AS h WHERE EXISTS (SELECT FROM (SELECT * FROM {} AS t WHERE ({}) = ({}) OFFSET 0) AS t \
             WHERE ({}) IS NOT TRUE); ",
            hits(table),
            quoted(table),
            keys(table, "t"),
            numbered(table, "h"),
            belongs_upwards(manifest, table, "t", comparison),
        );
    }
    for Part { table, .. } in parts.iter().rev().filter(|part| !part.is_referred) {
        let _ = write!(
            sql,
            "DELETE FROM {} AS t WHERE {}; ",
            quoted(table),
            is_hit(table, "t"),
        );
    }
    for Part {
        table, is_referred, ..
    } in parts
    {
        let is_there = format!("{} AND {}", same_key(table, "t", "n"), is_hit(table, "t"));
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
            "DELETE FROM {} AS t WHERE {} AND NOT EXISTS (SELECT FROM pg_temp.{} AS n WHERE {}); ",
            quoted(table),
            is_hit(table, "t"),
            news(table),
            same_key(table, "t", "n"),
        );
    }
    sql
}

/// Adds the keys of rows below deep hits: those that the target has, and those that the source has, which are the ones that
/// no record names. A row that a record names takes those below it along only if the record says so: the source has sent no
/// others.
fn collect_below(sql: &mut String, manifest: &Manifest, table: &MovedTable, parts: &[Part<'_>]) {
    let MovedReach::Parent { parent, on } = &table.reach else {
        return;
    };
    let parent = &manifest.tables()[*parent];
    let mut above = parts
        .iter()
        .filter(|part| part.table.number == parent.number);
    if !above.any(|part| part.is_deep) {
        return;
    }
    let _ = write!(
        sql,
        "INSERT INTO pg_temp.{} SELECT {}, true FROM {} AS p JOIN {} AS t ON {} \
         WHERE ({}) IN (SELECT {} FROM pg_temp.{} AS h WHERE h.deep) \
         UNION ALL SELECT {}, true FROM pg_temp.{} AS n \
         WHERE NOT EXISTS (SELECT FROM pg_temp.{} AS h WHERE ({}) = ({})); ",
        hits(table),
        keys(table, "t"),
        quoted(parent),
        quoted(table),
        joined::<Postgres>(on, "t", "p"),
        keys(parent, "p"),
        numbered(parent, "h"),
        hits(parent),
        keys(table, "n"),
        news(table),
        hits(table),
        numbered(table, "h"),
        keys(table, "n"),
    );
}

/// A condition that the row `alias` of the target was hit.
fn is_hit(table: &MovedTable, alias: &str) -> String {
    format!(
        "({}) IN (SELECT {} FROM pg_temp.{} AS h)",
        keys(table, alias),
        numbered(table, "h"),
        hits(table),
    )
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
