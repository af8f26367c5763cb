//! Whether values are kept and compared alike: by the two sides of a move, by a table and the one that it is reached through,
//! and by a column and its keys.
//!
//! What MDB asks by a column's value, the database compares by that column. Keys and foreign keys may compare it in another way: then
//! more rows than one have a key, or a row is found below another one than the foreign key has it refer to.

use super::manifest::{holds_bytes, refuse};
use super::refusal::Refusal;
use super::suitability::{Suitability, Warning};
use crate::config::{AreaConfig, BriefcaseConfig, Reach, TableConfig};
use crate::engine::{Column, Schema, Table};

/// An encoding that has no characters, but bytes.
const ANY_BYTES: &str = "SQL_ASCII";

/// How both sides keep texts.
pub(super) fn encodings([source, target]: [&Schema; 2], found: &mut Suitability) {
    let (Some(here), Some(there)) = (&source.encoding, &target.encoding) else {
        return;
    };
    if here == there {
        return;
    }
    let differ = format!("texts are kept in {here} on the source, and in {there} on the target");
    let is_impossible = [here, there]
        .iter()
        .any(|encoding| *encoding == ANY_BYTES || encoding.starts_with("UTF-16"));
    if is_impossible {
        let reason = format!("{differ}: make the target's database anew, in the source's encoding");
        found
            .refusals
            .push(Refusal::new("the target's database", reason));
    } else {
        let reason = format!("{differ}: a text that can't be written in both stops the move");
        found.warnings.push(Warning::about_database(reason));
    }
}

/// Whether the same bytes mean the same on both sides, and are found and told apart in the same way.
pub(super) fn compare(
    area: &AreaConfig,
    listed: &TableConfig,
    sides: [(&Schema, &Table); 2],
    refusals: &mut Vec<Refusal>,
) {
    let [(_, here), (_, there)] = sides;
    for column in here.columns() {
        let name = column.name();
        let Some(other) = there.column(name) else {
            continue;
        };
        if column.is_generated() || other.is_generated() {
            // It is not copied; but it says whose rows these are.
            if column.stored_as() != other.stored_as() && finds_rows(area, listed.name(), name) {
                let reason = format!(
                    "column `{name}`, by which rows are found, is computed as {} on the source and {} on the target",
                    said(column.stored_as()),
                    said(other.stored_as())
                );
                refuse(refusals, listed.name(), reason);
            }
        } else if column.stored_as() != other.stored_as() {
            let reason = format!(
                "column `{name}` is kept as {} on the source and {} on the target: the same bytes would mean something else",
                said(column.stored_as()),
                said(other.stored_as())
            );
            refuse(refusals, listed.name(), reason);
        } else if column.collation() != other.collation()
            && sides
                .iter()
                .any(|(schema, table)| is_compared(listed, schema, table, name))
        {
            let reason = format!(
                "column `{name}`, by which rows are told apart or found, is compared by {} on the source and {} on the target",
                said(column.collation()),
                said(other.collation())
            );
            refuse(refusals, listed.name(), reason);
        }
    }
}

/// Whether rows are told apart or found by a column.
fn is_compared(listed: &TableConfig, schema: &Schema, table: &Table, column: &str) -> bool {
    let is_reach = match listed.reach() {
        Reach::Key { column: key } => key == column,
        Reach::Parent { on, .. } => on.iter().any(|(own, _)| own == column),
    };
    let mut keys = schema.unique.iter().filter(|key| key.table == table.name());
    is_reach
        || table.primary_key().iter().any(|key| key.name() == column)
        || keys.any(|key| key.columns.iter().any(|c| schema.names.same(c, column)))
}

/// Whether rows of the table, or of those below it, are found by a column of it.
fn finds_rows(area: &AreaConfig, table: &str, column: &str) -> bool {
    let mut listed = area.briefcases().iter().flat_map(BriefcaseConfig::tables);
    listed.any(|other| match other.reach() {
        Reach::Key { column: key } => other.name() == table && key == column,
        Reach::Parent { table: parent, on } => on.iter().any(|(own, parents)| {
            other.name() == table && own == column || parent == table && parents == column
        }),
    })
}

fn said(said: Option<&str>) -> String {
    said.unwrap_or("none").to_owned()
}

/// Whether the primary key tells rows apart by all that its columns do.
pub(super) fn keys(listed: &TableConfig, schema: &Schema, refusals: &mut Vec<Refusal>) {
    let Some(table) = schema.table(listed.name()) else {
        return;
    };
    let primary = table.primary_key();
    // What numbers rows itself needs no index.
    if primary.is_empty() || primary.iter().any(|column| column.is_auto_increment()) {
        return;
    }
    let mut unique = schema.unique.iter().filter(|key| key.table == table.name());
    let is_kept = unique.any(|key| {
        key.columns.len() == primary.len()
            && primary.iter().all(|column| {
                let mut columns = key.columns.iter();
                columns.any(|name| schema.names.same(name, column.name()))
            })
    });
    if !is_kept {
        let reason = "its primary key compares texts in another way than its columns do, so that several rows may have the same \
                      key: have both use the same collation";
        refuse(refusals, listed.name(), reason);
    }
}

/// Whether a table's rows and those that they are reached through are compared alike, whichever way round.
pub(super) fn joins(listed: &TableConfig, schema: &Schema, refusals: &mut Vec<Refusal>) {
    let Reach::Parent { table: parent, on } = listed.reach() else {
        return;
    };
    let (Some(table), Some(above)) = (schema.table(listed.name()), schema.table(parent)) else {
        return;
    };
    for (own, parents) in on {
        let (Some(here), Some(there)) = (table.column(own), above.column(parents)) else {
            continue;
        };
        if let (Some(kind), Some(other)) = (kind(here.data_type()), kind(there.data_type()))
            && kind != other
        {
            let reason = format!(
                "column `{own}`, by which its rows are found, is {}, and `{parents}` of `{parent}` is {}: values of several parents may \
                 be equal to it; give both the same type",
                here.data_type(),
                there.data_type()
            );
            refuse(refusals, listed.name(), reason);
        } else if !are_compared_alike(here, there) {
            let reason = format!(
                "column `{own}`, by which its rows are found, is compared by {}, and `{parents}` of `{parent}` by {}: have both use \
                 the same collation",
                said(here.collation()),
                said(there.collation())
            );
            refuse(refusals, listed.name(), reason);
        }
    }
}

/// What values are compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bytes,
    Text,
    /// Integers and decimals.
    Exact,
    Float,
    Date,
    Time,
    DateAndTime,
    Moment,
}

/// Of the common types. Databases convert one of two values of different kinds, perhaps by the session's time zone, and take
/// several values for the same.
fn kind(data_type: &str) -> Option<Kind> {
    let data_type = data_type.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| data_type.starts_with(word));
    let contains = |words: &[&str]| words.iter().any(|word| data_type.contains(word));
    let exact = [
        "int",
        "bigint",
        "smallint",
        "mediumint",
        "tinyint",
        "decimal",
        "numeric",
    ];
    Some(
        if begins(&["enum", "set("]) || contains(&["char", "text", "clob"]) {
            Kind::Text
        } else if data_type.is_empty() {
            return None;
        } else if holds_bytes(&data_type) {
            Kind::Bytes
        } else if begins(&["real", "float", "double"]) {
            Kind::Float
        } else if begins(&exact) && !begins(&["interval"]) {
            Kind::Exact
        } else if begins(&["datetime"])
            || begins(&["timestamp"]) && contains(&["without time zone"])
        {
            Kind::DateAndTime
        } else if begins(&["timestamp"]) {
            Kind::Moment
        } else if begins(&["date"]) {
            Kind::Date
        } else if begins(&["time"]) {
            Kind::Time
        } else {
            return None;
        },
    )
}

/// The same collation of MySQL's is called by the characters that it is for.
fn are_compared_alike(here: &Column, there: &Column) -> bool {
    const OF_CHARACTERS: [&str; 2] = ["utf8mb3_", "utf8mb4_"];
    let bare = |column: &Column| {
        let collation = column.collation()?;
        let mut prefixes = OF_CHARACTERS.iter();
        let bare = prefixes.find_map(|prefix| collation.strip_prefix(prefix));
        Some(bare.unwrap_or(collation).to_owned())
    };
    bare(here) == bare(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Names;

    #[test]
    fn encodings_that_have_other_characters_are_told() {
        let schema = |encoding: Option<&str>| Schema {
            encoding: encoding.map(str::to_owned),
            ..Schema::of_tables(Vec::new(), Names::Exact)
        };
        for (here, there, [refusals, warnings]) in [
            (Some("UTF8"), Some("UTF8"), [0, 0]),
            (Some("UTF8"), Some("LATIN1"), [0, 1]),
            (Some("SQL_ASCII"), Some("UTF8"), [1, 0]),
            (Some("UTF-8"), Some("UTF-16le"), [1, 0]),
            (None, None, [0, 0]),
        ] {
            let mut found = Suitability::default();
            encodings([&schema(here), &schema(there)], &mut found);
            let told = [found.refusals().len(), found.warnings().len()];
            assert_eq!(
                told,
                [refusals, warnings],
                "{here:?} and {there:?}: {found:?}"
            );
        }
    }
}
