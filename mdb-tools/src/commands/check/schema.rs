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
            Some(table) => {
                if let Reach::Key { column } = expected.reach()
                    && let Some(key) = table.column(column)
                    && key.is_nullable()
                    && key.key_position().is_none()
                {
                    let message = format!(
                        "key column `{column}` allows NULL: such a row would belong to no briefcase"
                    );
                    findings.push(error("key", message));
                }
            }
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
