//! What moves have to refuse, or to warn of, by what binds an area's tables together and acts on their rows.

use super::alike;
use super::left_behind::{left_behind, unbound};
use super::manifest::{holds_integers, manifest_of, refuse, suits, unfit_key};
use super::ordering::out_of_order;
use super::refusal::Refusal;
use super::relocator::Relocator;
use super::risks::risks;
use crate::config::{AreaConfig, BriefcaseConfig, Reach, TableConfig};
use crate::engine::relocating::{Manifest, OutwardKey, Standing};
use crate::engine::schema::{ForeignKey, Trigger};
use crate::engine::{Schema, Table};
use crate::topology::{Home, ShardId};

use super::error::PlanError;

/// Something that a move does and that somebody may not expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    place: String,
    table: Option<String>,
    reason: String,
}

impl Warning {
    pub(super) fn about(table: &str, reason: impl Into<String>) -> Self {
        Self {
            place: format!("table `{table}`"),
            table: Some(table.to_owned()),
            reason: reason.into(),
        }
    }

    pub(super) fn about_database(reason: impl Into<String>) -> Self {
        Self {
            place: "the target's database".to_owned(),
            table: None,
            reason: reason.into(),
        }
    }

    pub(super) fn about_server(server: &str, reason: impl Into<String>) -> Self {
        Self {
            place: format!("server `{server}`"),
            table: None,
            reason: reason.into(),
        }
    }

    /// The table, if it is about one.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// What it is about: a table, a database, or a server.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What would happen, and what to do.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Whether the rows of a shard's tables can be moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suitability {
    pub(super) refusals: Vec<Refusal>,
    pub(super) warnings: Vec<Warning>,
}

impl Suitability {
    /// Because of what moves are refused. Tables that are missing are not among it.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// What moves do besides.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl Relocator {
    /// Looks for what binds the tables of a shard to others, hides rows of them, or acts when they are moved; and, with
    /// the first shard on a server, for what that may lose.
    ///
    /// # Errors
    ///
    /// [`PlanError::Database`]: the shard could not be asked.
    ///
    /// # Panics
    ///
    /// When the store has no such shard.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn suitability(&self, shard: ShardId) -> Result<Suitability, PlanError> {
        let mut found = Suitability::default();
        if let Home::Partition { area, .. } = self.servers.topology().shard(shard).home() {
            let config = &self.config.areas()[area.get()];
            if !config.briefcases().is_empty() {
                let schema = self.servers.pool(shard).schema().await?;
                let manifest = manifest_of(config, &schema, &schema).ok();
                found.look_at_tables(config, &schema);
                found.look(config, manifest.as_ref(), &schema);
                unbound(config, &schema, &mut found);
                if let Some(manifest) = &manifest {
                    let here = [shard, shard];
                    let unordered = out_of_order(&self.servers, manifest, here, &schema).await?;
                    found.refusals.extend(unordered);
                }
            }
        }
        if self.is_first_on_server(shard) {
            found.warnings.extend(risks(&self.servers, [shard]).await?);
        }
        Ok(found)
    }
}

/// The tables of `area`, which can be moved from `source` to `target`; or everything that is in the way.
pub(super) fn examine(
    area: &AreaConfig,
    source: &Schema,
    target: &Schema,
) -> Result<(Manifest, Vec<Warning>), Vec<Refusal>> {
    let manifest = manifest_of(area, source, target);
    let mut found = Suitability::default();
    for schema in [source, target] {
        found.look(area, manifest.as_ref().ok(), schema);
    }
    left_behind(area, source, &mut found);
    unbound(area, source, &mut found);
    alike::encodings([source, target], &mut found);
    for table in listed(area) {
        if let (Some(here), Some(there)) = (source.table(table.name()), target.table(table.name()))
        {
            let sides = [(source, here), (target, there)];
            alike::compare(area, table, sides, &mut found.refusals);
        }
    }
    match manifest {
        Ok(manifest) if found.refusals.is_empty() => {
            let outward = outward_keys(&manifest, target);
            Ok((manifest.with_outward(outward), found.warnings))
        }
        Ok(_) => Err(found.refusals),
        Err(refusals) => Err(refusals.into_iter().chain(found.refusals).collect()),
    }
}

/// The foreign keys of the tables to rows that need not be at the target. (Those to another database are left to the
/// server.)
fn outward_keys(manifest: &Manifest, target: &Schema) -> Vec<OutwardKey> {
    let mut outward = Vec::new();
    for key in &target.foreign_keys {
        let table = match Standing::of(key, manifest, target.names) {
            Standing::Outwards(table) => table,
            Standing::Across(reference) => reference.child,
            Standing::Apart | Standing::Inside(_) | Standing::Inwards => continue,
        };
        let is_here = |table: &Table| target.names.same(table.name(), &key.referred);
        if target.tables.iter().any(is_here) {
            let key = key.clone();
            outward.push(OutwardKey { table, key });
        }
    }
    outward
}

fn listed(area: &AreaConfig) -> impl Iterator<Item = &TableConfig> {
    area.briefcases().iter().flat_map(BriefcaseConfig::tables)
}

impl Suitability {
    /// What tables themselves lack. Ids of era 0 that are kept as integers serve for all but moves.
    fn look_at_tables(&mut self, area: &AreaConfig, schema: &Schema) {
        for wanted in listed(area) {
            let Some(table) = schema.table(wanted.name()) else {
                continue;
            };
            suits(wanted, table, schema, &mut self.refusals);
            match unfit_key(wanted, table) {
                Some(reason) if holds_integers(wanted, table) => {
                    self.warnings.push(Warning::about(wanted.name(), reason));
                }
                Some(reason) => refuse(&mut self.refusals, wanted.name(), reason),
                None => {}
            }
        }
    }

    fn look(&mut self, area: &AreaConfig, manifest: Option<&Manifest>, schema: &Schema) {
        let mut seen = Self::default();
        let is_listed =
            |name: &str| listed(area).any(|table| schema.names.same(table.name(), name));
        for (table, obstacle) in &schema.obstacles {
            if is_listed(table) && obstacle.is_tolerable() {
                let warning = Warning::about(table, obstacle.to_string());
                seen.warnings.push(warning);
            } else if is_listed(table) {
                refuse(&mut seen.refusals, table, obstacle.to_string());
            }
        }
        for briefcase in area.briefcases() {
            for table in briefcase.tables() {
                seen.look_at_parent(briefcase, table, schema);
                alike::keys(table, schema, &mut seen.refusals);
                alike::joins(table, schema, &mut seen.refusals);
            }
        }
        if let Some(manifest) = manifest {
            for key in &schema.foreign_keys {
                seen.look_at_reference(key, &Standing::of(key, manifest, schema.names));
            }
        }
        for trigger in &schema.triggers {
            if is_listed(&trigger.table) {
                seen.warnings.extend(warning_of(trigger));
            }
        }
        for table in listed(area) {
            if let Some(table) = schema.table(table.name()) {
                seen.warnings.extend(peculiar(table, schema.peculiar));
            }
        }
        // What both sides have is said once.
        seen.refusals.retain(|found| !self.refusals.contains(found));
        seen.warnings.retain(|found| !self.warnings.contains(found));
        self.refusals.append(&mut seen.refusals);
        self.warnings.append(&mut seen.warnings);
    }

    /// A row below two rows of different briefcases would be copied with the one, and be missing to the other.
    fn look_at_parent(
        &mut self,
        briefcase: &BriefcaseConfig,
        table: &TableConfig,
        schema: &Schema,
    ) {
        let Reach::Parent { table: name, on } = table.reach() else {
            return;
        };
        let parent = briefcase
            .tables()
            .iter()
            .find(|table| table.name() == *name);
        let (Some(parent), Some(found)) = (parent, schema.table(name)) else {
            return;
        };
        let columns: Vec<&str> = on.iter().map(|(_, parents)| parents.as_str()).collect();
        // Rows that agree in that are of one briefcase, however many they are.
        let is_of_one_briefcase = match parent.reach() {
            Reach::Key { column } => columns.contains(&column.as_str()),
            Reach::Parent { on, .. } => on.iter().all(|(own, _)| columns.contains(&own.as_str())),
        };
        if !is_of_one_briefcase && !schema.is_unique(found, &columns) {
            let reason = format!(
                "it is reached by columns of `{name}` that rows of several briefcases may share ({}): \
                 reach it by the parent's primary key or another unique key, or by the briefcase's own",
                columns.join(", ")
            );
            refuse(&mut self.refusals, table.name(), reason);
        }
    }

    fn look_at_reference(&mut self, key: &ForeignKey, standing: &Standing) {
        match standing {
            Standing::Apart | Standing::Inside(_) | Standing::Outwards(_) => {}
            Standing::Inwards => {
                let then = if key.follows_deletes {
                    "its rows would go, or change, with those at the source, and not come to the target"
                } else {
                    "its rows would keep those at the source from being deleted, or refer to nothing"
                };
                let reason = format!(
                    "its {key} refers to `{}`, whose rows move, but it is in no briefcase type: {then}; \
                     add it to the configuration, or drop the key",
                    key.referred
                );
                refuse(&mut self.refusals, &key.table, reason);
            }
            Standing::Across(_) if key.follows_deletes => {
                let reason = format!(
                    "by its {key} rows of one briefcase may go, or change, when another one leaves: \
                     have it carry the briefcase's key along, reach the table through that parent (`parent`, `on`), \
                     or take its ON DELETE and ON UPDATE away"
                );
                refuse(&mut self.refusals, &key.table, reason);
            }
            Standing::Across(_) => {
                let reason = format!(
                    "its {key} may refer to rows of other briefcases, which could then not be deleted after their \
                     move, or would be missing: have it carry the briefcase's key along"
                );
                self.warnings.push(Warning::about(&key.table, reason));
            }
        }
    }
}

/// How triggers tell movers from others; see the README.
const GUARDS: [&str; 3] = ["mdb.mover", "@mdb_mover", "mdb_guest"];

fn warning_of(trigger: &Trigger) -> Option<Warning> {
    let text = trigger.text.to_ascii_lowercase();
    if GUARDS.iter().any(|guard| text.contains(guard)) {
        return None;
    }
    let reason = format!(
        "its trigger `{}` fires for rows that a move brings or takes away, too: have it look for the mover, if it should not",
        trigger.name
    );
    Some(Warning::about(&trigger.table, reason))
}

fn peculiar(table: &Table, types: &[(&str, &str)]) -> impl Iterator<Item = Warning> {
    table.columns().iter().filter_map(|column| {
        let mut types = types.iter();
        let (_, what) = types.find(|(name, _)| *name == column.data_type())?;
        let reason = format!("its column `{}` is {what}", column.name());
        Some(Warning::about(table.name(), reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Column;
    use crate::engine::schema::{Nullability, Numbering, Origin, Unnamed};

    #[test]
    fn columns_of_peculiar_types_are_warned_of() {
        let columns = [("id", "bigint"), ("said", "json"), ("text", "longtext")];
        let columns = columns.iter().map(|(name, data_type)| Column {
            name: (*name).to_owned(),
            data_type: (*data_type).to_owned(),
            nullability: Nullability::Nullable,
            key_position: None,
            numbering: Numbering::None,
            origin: Origin::Written,
            unnamed: Unnamed::Null,
            first_in: None,
            stored_as: None,
            collation: None,
        });
        let table = Table {
            name: "note".to_owned(),
            columns: columns.collect(),
        };
        let found: Vec<Warning> = peculiar(&table, &[("json", "read otherwise")]).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place(), "table `note`");
        assert_eq!(found[0].reason(), "its column `said` is read otherwise");
        assert_eq!(peculiar(&table, &[]).count(), 0);
    }
}
