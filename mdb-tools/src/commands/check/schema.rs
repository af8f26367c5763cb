//! Holding an area's tables against its briefcase types, and its shards against each other.

use std::collections::BTreeSet;

use mdb_core::config::{AreaConfig, BriefcaseConfig, EngineKind, Reach, TableConfig};
use mdb_core::{Column, Table};

use super::{Finding, Severity};
use crate::store::Place;

/// All findings about the tables of one area.
pub(super) fn check_area(area: &AreaConfig, shards: &[(Place, Vec<Table>)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, tables) in shards {
        check_shard(area, place, tables, &mut findings);
    }
    if let Some(((first_place, first), others)) = shards.split_first() {
        for (place, tables) in others {
            compare(first_place, first, place, tables, &mut findings);
        }
    }
    findings
}

fn check_shard(area: &AreaConfig, place: &Place, tables: &[Table], findings: &mut Vec<Finding>) {
    let manifest: Vec<&TableConfig> = area
        .briefcases()
        .iter()
        .flat_map(BriefcaseConfig::tables)
        .collect();
    let mut keys = BTreeSet::new();
    for expected in &manifest {
        if let Reach::Key { column } = expected.reach() {
            keys.insert(column.as_str());
        }
        let error = |check, message| {
            Finding::on(place, Severity::Error, check, message).about(expected.name())
        };
        match find(tables, expected.name()) {
            None => findings.push(error(
                "table",
                format!("table `{}` is missing", expected.name()),
            )),
            Some(table) => findings.extend(check_table(expected, table, tables, error)),
        }
    }
    let is_same = |a: &str, b: &str| match area.engine() {
        EngineKind::Postgres => a == b,
        EngineKind::Sqlite | EngineKind::MySql => a.eq_ignore_ascii_case(b),
    };
    for table in tables {
        let is_listed = manifest
            .iter()
            .any(|expected| expected.name() == table.name());
        let Some(key) = table
            .columns()
            .iter()
            .find(|column| keys.iter().any(|key| is_same(key, column.name())))
            .filter(|_| !is_listed)
        else {
            continue;
        };
        let message = format!(
            "table `{}` carries the key column `{}` but is in no briefcase type: its rows would be left behind \
             when a briefcase moves; add it to the configuration",
            table.name(),
            key.name()
        );
        findings.push(Finding::on(place, Severity::Error, "manifest", message).about(table.name()));
    }
}

fn find<'t>(tables: &'t [Table], name: &str) -> Option<&'t Table> {
    tables.iter().find(|table| table.name() == name)
}

fn check_table(
    expected: &TableConfig,
    table: &Table,
    tables: &[Table],
    error: impl Fn(&'static str, String) -> Finding,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut need = |table: &Table, column: &str, what: &str| {
        if table.column(column).is_none() {
            findings.push(error(
                "key",
                format!("{what} `{column}` is missing in table `{}`", table.name()),
            ));
        }
    };
    match expected.reach() {
        Reach::Key { column } => need(table, column, "key column"),
        Reach::Parent { table: parent, on } => {
            for (own, theirs) in on {
                need(table, own, "column");
                if let Some(parent) = find(tables, parent) {
                    need(parent, theirs, "column");
                }
            }
        }
    }
    if let Reach::Key { column } = expected.reach()
        && let Some(key) = table.column(column)
    {
        if key.is_nullable() && key.key_position().is_none() {
            let message = format!(
                "key column `{column}` allows NULL: such a row would belong to no briefcase"
            );
            findings.push(error("key", message));
        }
        if !holds_ids(key.data_type()) {
            let message = format!(
                "key column `{column}` is {}; ids are kept as 12 bytes (BLOB, BYTEA, BINARY(12)) or, in era 0, BIGINT",
                key.data_type()
            );
            findings.push(error("key", message));
        }
    }
    if table.primary_key().is_empty() {
        findings.push(error(
            "primary_key",
            "the table has no primary key, so its rows can't be moved".to_owned(),
        ));
    }
    for column in table
        .columns()
        .iter()
        .filter(|column| column.is_auto_increment())
    {
        let message = format!(
            "column `{}` is numbered by the server: two shards issue the same numbers, and a moved row would meet \
             another's; use ids of a sequence",
            column.name()
        );
        findings.push(error("auto_increment", message));
    }
    findings
}

fn holds_ids(data_type: &str) -> bool {
    let lower = data_type.to_ascii_lowercase();
    ["blob", "bytea", "binary", "bigint", "int8"]
        .iter()
        .any(|kind| lower.contains(kind))
        || lower == "integer"
}

fn compare(
    first_place: &Place,
    first: &[Table],
    place: &Place,
    tables: &[Table],
    findings: &mut Vec<Finding>,
) {
    let names: BTreeSet<&str> = first.iter().chain(tables).map(Table::name).collect();
    let other = format!("`{}/{}`", first_place.server, first_place.database);
    for name in names {
        let message = match (find(first, name), find(tables, name)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(b)) => format!(
                "table `{name}` differs from the one in {other}: {}",
                difference(a, b)
            ),
            (Some(_), None) => format!("table `{name}` is missing here, but is in {other}"),
            (None, _) => format!("table `{name}` is here, but not in {other}"),
        };
        findings.push(Finding::on(place, Severity::Error, "schema", message).about(name));
    }
}

fn difference(a: &Table, b: &Table) -> String {
    for column in a.columns() {
        match b.column(column.name()) {
            None => return format!("column `{}` is missing here", column.name()),
            Some(here) if here.data_type() != column.data_type() => {
                return format!(
                    "column `{}` is {} here and {} there",
                    column.name(),
                    here.data_type(),
                    column.data_type()
                );
            }
            Some(here)
                if here.stored_as() != column.stored_as()
                    || here.collation() != column.collation() =>
            {
                let meant = |column: &Column| {
                    let both = [column.stored_as(), column.collation()];
                    both.map(|word| word.unwrap_or("none")).join(", ")
                };
                return format!(
                    "column `{}` is kept and compared as {} here and {} there",
                    column.name(),
                    meant(here),
                    meant(column)
                );
            }
            Some(here) if here != column => {
                return format!(
                    "column `{}` differs in NULL, default, key or numbering",
                    column.name()
                );
            }
            Some(_) => {}
        }
    }
    match b
        .columns()
        .iter()
        .find(|column| a.column(column.name()).is_none())
    {
        Some(column) => format!("column `{}` is here only", column.name()),
        None => "the columns have another order".to_owned(),
    }
}
