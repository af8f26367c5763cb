//! The manifest of an area, held against the tables that there are on source and target.

use std::collections::BTreeSet;

use super::refusal::Refusal;
use crate::config::{AreaConfig, BriefcaseConfig, Reach, TableConfig};
use crate::engine::relocating::{Manifest, MovedColumn, MovedReach, MovedTable};
use crate::engine::{Listed, Schema, Table};

/// The tables of all briefcase types of `area`, parents first, or everything because of which no statement about them
/// could be made.
pub(super) fn manifest_of(
    area: &AreaConfig,
    source: &Schema,
    target: &Schema,
) -> Result<Manifest, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut tables: Vec<MovedTable> = Vec::new();
    for briefcase in area.briefcases() {
        let first = tables.len();
        for wanted in briefcase.tables() {
            let sides = (source.table(wanted.name()), target.table(wanted.name()));
            let (Some(here), Some(there)) = sides else {
                refuse(
                    &mut refusals,
                    wanted.name(),
                    missing(wanted.name(), [source, target]),
                );
                continue;
            };
            compare(here, there, &mut refusals);
            suits(wanted, here, source, &mut refusals);
            if let Some(reason) = unfit_key(wanted, here) {
                refuse(&mut refusals, wanted.name(), reason);
            }
            let reach = reach_of(wanted, &tables[first..], first);
            let index = common_index(here, there, &reach);
            tables.push(moved(tables.len(), here, reach, index));
        }
    }
    if refusals.is_empty() {
        Ok(Manifest::new(tables))
    } else {
        Err(refusals)
    }
}

/// What is said of a table that one of the sides has not; perhaps it has one of nearly that name.
fn missing(name: &str, sides: [&Schema; 2]) -> String {
    let tables = sides.iter().flat_map(|schema| &schema.tables);
    let mut names = tables.map(Table::name);
    match names.find(|other| *other != name && other.eq_ignore_ascii_case(name)) {
        Some(other) => {
            format!(
                "it is missing on the source or the target; there is `{other}`, which has to be written so"
            )
        }
        None => "it is missing on the source or the target; create it on both".to_owned(),
    }
}

/// The tables of all briefcase types of `area`.
pub(super) fn listed(area: &AreaConfig) -> Listed {
    let tables = area.briefcases().iter().flat_map(BriefcaseConfig::tables);
    let keys: BTreeSet<&str> = tables.clone().filter_map(key_of).collect();
    Listed {
        tables: tables.map(|table| table.name().to_owned()).collect(),
        keys: keys.into_iter().map(str::to_owned).collect(),
    }
}

/// The column that carries the briefcase's key.
pub(super) fn key_of(table: &TableConfig) -> Option<&str> {
    match table.reach() {
        Reach::Key { column } => Some(column.as_str()),
        Reach::Parent { .. } => None,
    }
}

pub(super) fn refuse(refusals: &mut Vec<Refusal>, table: &str, reason: impl Into<String>) {
    refusals.push(Refusal::about_table(table, reason));
}

fn moved(number: usize, table: &Table, reach: MovedReach, index: Option<String>) -> MovedTable {
    let columns: Vec<MovedColumn> = table
        .columns()
        .iter()
        .filter(|column| !column.is_generated())
        .map(|column| MovedColumn {
            name: column.name().to_owned(),
            data_type: column.data_type().to_owned(),
            nullability: column.nullability,
            collation: column.collation().map(str::to_owned),
        })
        .collect();
    let primary_key = table
        .primary_key()
        .iter()
        .filter_map(|key| columns.iter().position(|column| column.name == key.name()))
        .collect();
    MovedTable {
        number,
        name: table.name().to_owned(),
        columns,
        primary_key,
        reach,
        index,
    }
}

/// An index that both have under the same name, by which the rows of a briefcase, or those below a parent, are found.
fn common_index(source: &Table, target: &Table, reach: &MovedReach) -> Option<String> {
    let index = |table: &Table, column: &str| table.column(column)?.first_in.clone();
    let mut indexes = reach.columns().into_iter().filter_map(|column| {
        let here = index(source, column)?;
        (index(target, column)? == here).then_some(here)
    });
    indexes.next()
}

/// `earlier` are the tables of the same briefcase type, of which the first has the number `first`.
fn reach_of(wanted: &TableConfig, earlier: &[MovedTable], first: usize) -> MovedReach {
    match wanted.reach() {
        Reach::Key { column } => MovedReach::Key {
            column: column.clone(),
        },
        Reach::Parent { table, on } => MovedReach::Parent {
            // One that is missing was refused above.
            parent: first + earlier.iter().position(|t| t.name == *table).unwrap_or(0),
            on: on.clone(),
        },
    }
}

/// Whether the table has what a table needs to be moved, apart from a key of the right type.
pub(super) fn suits(
    wanted: &TableConfig,
    table: &Table,
    schema: &Schema,
    refusals: &mut Vec<Refusal>,
) {
    let name = table.name();
    let key = table.primary_key();
    if key.is_empty() {
        refuse(
            refusals,
            name,
            "it has no primary key, so its rows can't be told apart; give it one",
        );
    }
    for column in &key {
        if column.is_generated() {
            let reason = format!(
                "its primary key has the generated column `{}`",
                column.name()
            );
            refuse(refusals, name, reason);
        }
    }
    for column in table
        .columns()
        .iter()
        .filter(|column| column.is_auto_increment())
    {
        let reason = format!(
            "column `{}` is numbered by the server, and two servers give the same numbers; use ids",
            column.name()
        );
        refuse(refusals, name, reason);
    }
    let mut need = |table: &Table, column: &str| {
        if table.column(column).is_none() {
            refuse(
                refusals,
                table.name(),
                format!("it has no column `{column}`"),
            );
        }
    };
    match wanted.reach() {
        Reach::Key { column } => need(table, column),
        Reach::Parent { table: parent, on } => {
            for (own, theirs) in on {
                need(table, own);
                if let Some(parent) = schema.table(parent) {
                    need(parent, theirs);
                }
            }
        }
    }
}

/// Why briefcases can't be moved by the table's key.
pub(super) fn unfit_key(wanted: &TableConfig, table: &Table) -> Option<String> {
    let column = key_of(wanted)?;
    let key = table.column(column)?;
    // MySQL fills these up with zeros.
    let is_padded = key.data_type().starts_with("binary(") && key.data_type() != "binary(12)";
    let is_fit = holds_bytes(key.data_type()) && !is_padded;
    (!is_fit).then(|| {
        format!(
            "its key column `{column}` is {}; only ids of 12 bytes (BLOB, BYTEA, BINARY(12)) can be moved",
            key.data_type()
        )
    })
}

/// Whether a column of that type keeps bytes, such as those of ids.
pub(super) fn holds_bytes(data_type: &str) -> bool {
    let data_type = data_type.to_ascii_lowercase();
    data_type.is_empty()
        || ["blob", "bytea", "binary"]
            .iter()
            .any(|bytes| data_type.contains(bytes))
}

/// Whether ids of era 0 are kept as integers by the table's key.
pub(super) fn holds_integers(wanted: &TableConfig, table: &Table) -> bool {
    let key = key_of(wanted).and_then(|column| table.column(column));
    key.is_some_and(|key| {
        let data_type = key.data_type().to_ascii_lowercase();
        data_type.contains("bigint") || ["int8", "integer"].contains(&data_type.as_str())
    })
}

/// Whether rows of one shard can be rows of the other.
fn compare(source: &Table, target: &Table, refusals: &mut Vec<Refusal>) {
    let name = source.name();
    for column in source.columns() {
        match target.column(column.name()) {
            None => refuse(
                refusals,
                name,
                format!("the target's has no column `{}`", column.name()),
            ),
            Some(other)
                if other.data_type() != column.data_type()
                    || other.is_generated() != column.is_generated()
                    || other.key_position() != column.key_position() =>
            {
                let reason = format!(
                    "column `{}` is {} on the source and {} on the target, or not in the same place of the primary key",
                    column.name(),
                    column.data_type(),
                    other.data_type()
                );
                refuse(refusals, name, reason);
            }
            Some(_) => {}
        }
    }
    for column in target.columns() {
        let is_needed = column.is_required() || column.key_position().is_some();
        if source.column(column.name()).is_none() && is_needed {
            let reason = format!(
                "the target's has a column `{}` that must have a value",
                column.name()
            );
            refuse(refusals, name, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Column;
    use crate::engine::schema::{Nullability, Numbering, Origin, Unnamed};

    fn table(indexes: &[(&str, Option<&str>)]) -> Table {
        let columns = indexes.iter().map(|(name, first_in)| Column {
            name: (*name).to_owned(),
            data_type: "binary(12)".to_owned(),
            nullability: Nullability::NotNull,
            key_position: None,
            numbering: Numbering::None,
            origin: Origin::Written,
            unnamed: Unnamed::Null,
            first_in: first_in.map(str::to_owned),
            stored_as: None,
            collation: None,
        });
        Table {
            name: "item".to_owned(),
            columns: columns.collect(),
        }
    }

    #[test]
    fn an_index_is_named_that_both_sides_have() {
        let on = ["order", "line"].map(|column| (column.to_owned(), column.to_owned()));
        let reach = MovedReach::Parent {
            parent: 0,
            on: on.into(),
        };
        let here = table(&[("order", Some("by_order")), ("line", Some("by_line"))]);
        let other = table(&[("order", Some("orders")), ("line", Some("by_line"))]);
        let none = table(&[("order", Some("orders")), ("line", None)]);
        let index = |there| common_index(&here, there, &reach);
        assert_eq!(index(&here).as_deref(), Some("by_order"));
        assert_eq!(index(&other).as_deref(), Some("by_line"));
        assert_eq!(index(&none), None);
    }
}
