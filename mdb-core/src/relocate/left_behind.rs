//! Tables that carry a key column but are in no briefcase type.

use std::collections::BTreeSet;

use super::manifest::{key_of, refuse};
use super::suitability::{Suitability, Warning};
use crate::config::{AreaConfig, BriefcaseConfig, TableConfig};
use crate::engine::schema::Obstacle;
use crate::engine::{Column, Schema};

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
