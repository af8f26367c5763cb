//! What moves would leave behind: tables that carry a key column but are in no briefcase type, and rows that nothing binds to
//! their parents.

use std::collections::BTreeSet;

use super::manifest::{key_of, refuse};
use super::suitability::{Suitability, Warning};
use crate::config::{AreaConfig, BriefcaseConfig, Reach, TableConfig};
use crate::engine::schema::Obstacle;
use crate::engine::{Column, Lanes, Schema};

/// Refuses them. A virtual table can't be listed: what feeds it has to do so on both sides.
pub(super) fn left_behind(area: &AreaConfig, schema: &Schema, found: &mut Suitability) {
    let listed: Vec<&TableConfig> = area
        .briefcases()
        .iter()
        .flat_map(BriefcaseConfig::tables)
        .collect();
    let keys: BTreeSet<&str> = listed.iter().copied().filter_map(key_of).collect();
    let names = schema.names;
    for table in &schema.tables {
        let is_key = |column: &&Column| keys.iter().any(|key| names.same(key, column.name()));
        let Some(key) = table.columns().iter().find(is_key) else {
            continue;
        };
        if listed.iter().any(|listed| listed.name() == table.name()) {
            continue;
        }
        let mut obstacles = schema.obstacles.iter();
        let is_virtual =
            obstacles.any(|(of, obstacle)| of == table.name() && *obstacle == Obstacle::Virtual);
        if is_virtual {
            let reason = format!(
                "it is a virtual table that carries the key column `{}`: its rows stay where they are, unless triggers of the tables \
                 that it indexes, which fire for movers too, bring and take them",
                key.name()
            );
            found.warnings.push(Warning::about(table.name(), reason));
            continue;
        }
        let reason = format!(
            "it carries the key column `{}` but is in no briefcase type: its rows would be left behind; add it to the configuration",
            key.name()
        );
        refuse(&mut found.refusals, table.name(), reason);
    }
}

/// Warns of tables that are reached through a parent without a foreign key to it. Whose a row is that is written before its parent
/// can be seen, nobody can tell; a foreign key has it wait, or refuses it. With one writer at a time there is no such row.
pub(super) fn unbound(area: &AreaConfig, schema: &Schema, found: &mut Suitability) {
    if schema.lanes == Lanes::WriterAndReaders {
        return;
    }
    let names = schema.names;
    for table in area.briefcases().iter().flat_map(BriefcaseConfig::tables) {
        let Reach::Parent { table: parent, on } = table.reach() else {
            continue;
        };
        let is_bound = schema.foreign_keys.iter().any(|key| {
            let binds = |(own, parents): &(String, String)| {
                let mut columns = key.columns.iter();
                columns.any(|(from, to)| names.same(from, own) && names.same(to, parents))
            };
            names.same(&key.table, table.name())
                && names.same(&key.referred, parent)
                && on.iter().all(binds)
        });
        if !is_bound && schema.table(table.name()).is_some() {
            let reason = format!(
                "it has no foreign key to `{parent}`, through which its rows are reached: one that is written before its parent, by \
                 another transaction at the same time, may be left behind (on MySQL and MariaDB under READ COMMITTED only); \
                 add the key"
            );
            found.warnings.push(Warning::about(table.name(), reason));
        }
    }
}
