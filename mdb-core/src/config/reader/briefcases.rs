//! `[[area.briefcase]]`: tables, parents first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::context::quoted;
use super::section::{Schema, Section, Written};
use super::sequences::duplicate_name;
use crate::config::fault::{FaultCode, Found};
use crate::config::model::{BriefcaseConfig, Reach, TableConfig};
use crate::config::names::{BriefcaseName, PLAIN, SQL};

pub(super) const BRIEFCASE: Schema = Schema {
    name: "briefcase",
    keys: &["name", "table"],
};

pub(super) const TABLE: Schema = Schema {
    name: "table",
    keys: &["name", "key", "parent", "on"],
};

/// Reads the briefcase types of an area; those with a fault are left out.
pub(super) fn read(area: &Section<'_, '_>) -> Vec<BriefcaseConfig> {
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    let mut briefcases = Vec::new();
    for section in area.sections("briefcase", &BRIEFCASE) {
        let name = section.required_text("name");
        let tables = read_tables(&section);
        let Some(name) = name else { continue };
        if let Some(first) = seen.get(name.value) {
            duplicate_name(&section, "briefcase types", &name, first);
            continue;
        }
        seen.insert(name.value, name.at.clone());
        let parsed = section
            .check_name(&name, &PLAIN)
            .then(|| name.value.parse::<BriefcaseName>().ok());
        if let Some(Some(name)) = parsed {
            briefcases.push(BriefcaseConfig { name, tables });
        }
    }
    briefcases
}

fn read_tables(briefcase: &Section<'_, '_>) -> Vec<TableConfig> {
    let sections = briefcase.sections("table", &TABLE);
    if !briefcase.has("table") || briefcase.is_empty_list("table") {
        briefcase.context().absent(
            Found::new(
                FaultCode::NoTables,
                briefcase.span(),
                "the briefcase type has no table",
            )
            .label("no table")
            .help("add `[[area.briefcase.table]]` with `name` and `key`"),
        );
    }
    let names: Vec<_> = sections
        .iter()
        .map(|section| section.required_text("name"))
        .collect();
    let mut seen: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    let mut tables = Vec::new();
    for (section, name) in sections.iter().zip(&names) {
        let reach = read_reach(section, &seen, &names);
        let Some(name) = name else { continue };
        if let Some(first) = seen.get(name.value) {
            duplicate_name(section, "tables", name, first);
            continue;
        }
        seen.insert(name.value, name.at.clone());
        if section.check_name(name, &SQL)
            && let Some(reach) = reach
        {
            tables.push(TableConfig {
                name: name.value.to_owned(),
                reach,
            });
        }
    }
    tables
}

fn read_reach(
    section: &Section<'_, '_>,
    earlier: &BTreeMap<&str, Range<usize>>,
    all: &[Option<Written<&str>>],
) -> Option<Reach> {
    let key = section.text("key");
    let parent = section.text("parent");
    let on = section.pairs("on");
    match (section.key("key"), section.key("parent"), section.key("on")) {
        (Some(key), Some(other), _) | (Some(key), None, Some(other)) => {
            section.context().report(
                Found::new(
                    FaultCode::TableReach,
                    other,
                    "the table is reached in two ways",
                )
                .label("by a parent")
                .other(key, "by its own column")
                .help("keep `key`, or `parent` with `on`"),
            );
            None
        }
        (None, None, _) => {
            section.context().absent(
                Found::new(
                    FaultCode::TableReach,
                    section.span(),
                    "it isn't said how the table is reached",
                )
                .label("no `key` and no `parent`")
                .help(
                    "add `key = \"…\"`, the column with the briefcase's id, or `parent` with `on`",
                ),
            );
            None
        }
        (Some(_), None, None) => {
            let key = key.filter(|column| section.check_name(column, &SQL))?;
            Some(Reach::Key {
                column: key.value.to_owned(),
            })
        }
        (None, Some(_), _) => {
            let on = read_on(section, on);
            let parent = parent?;
            if !earlier.contains_key(parent.value) {
                unknown_parent(section, &parent, earlier, all);
                return None;
            }
            Some(Reach::Parent {
                table: parent.value.to_owned(),
                on: on?,
            })
        }
    }
}

fn read_on(
    section: &Section<'_, '_>,
    pairs: Vec<(Written<&str>, Written<&str>)>,
) -> Option<Vec<(String, String)>> {
    let help = "add `on = { own_column = \"column_of_the_parent\" }`";
    section.require("on", help);
    if pairs.is_empty() {
        if let Some(at) = section.key("on").filter(|_| section.is_empty_table("on")) {
            section.context().report(
                Found::new(
                    FaultCode::TableReach,
                    at,
                    "no column joins the table to its parent",
                )
                .label("empty")
                .help(help),
            );
        }
        return None;
    }
    pairs
        .into_iter()
        .map(|(own, other)| {
            let good = [
                section.check_name(&own, &SQL),
                section.check_name(&other, &SQL),
            ];
            (good == [true; 2]).then(|| (own.value.to_owned(), other.value.to_owned()))
        })
        .collect()
}

fn unknown_parent(
    section: &Section<'_, '_>,
    parent: &Written<&str>,
    earlier: &BTreeMap<&str, Range<usize>>,
    all: &[Option<Written<&str>>],
) {
    let context = section.context();
    let later = all
        .iter()
        .flatten()
        .find(|table| table.value == parent.value);
    let fault = match later {
        Some(later) => Found::new(
            FaultCode::UnknownParent,
            parent.at.clone(),
            format!(
                "the parent {} does not stand before the table",
                quoted(parent.value)
            ),
        )
        .label("stands later")
        .other(later.at.clone(), "here")
        .help("write parents first; a table is not its own parent"),
        None => Found::new(
            FaultCode::UnknownParent,
            parent.at.clone(),
            format!(
                "there is no table {} in this briefcase type",
                quoted(parent.value)
            ),
        )
        .label("unknown table")
        .help(context.known(parent.value, earlier.keys().copied(), "tables before it")),
    };
    context.absent(fault);
}
