//! What is to be moved where, and whether it can be.

use std::collections::BTreeMap;

use mdb_gdid::{Gdid, RangeKey};

use super::error::PlanError;
use super::in_motion;
use super::manifest::listed;
use super::ordering::out_of_order;
use super::refusal::Refusal;
use super::risks::risks;
use super::suitability::{Warning, examine};
use crate::catalog::RelocationState;
use crate::config::{AreaConfig, BriefcaseConfig};
use crate::engine::Value;
use crate::engine::relocating::Manifest;
use crate::servers::Servers;
use crate::topology::{AreaIndex, ShardId};

/// Which briefcases of an area are to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// These, with rows or [without](crate::relocate::Relocator::without_rows).
    Briefcases(Vec<Gdid>),
    /// All that live on a shard and have rows there.
    Shard(ShardId),
    /// All that have rows where they live, from a range key up to another, which is not included.
    Range {
        /// The first range key.
        from: RangeKey,
        /// The first one above.
        until: RangeKey,
    },
}

/// What is to be moved where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveRequest {
    area: String,
    selection: Selection,
    target: ShardId,
}

impl MoveRequest {
    /// Moves what `selection` says, of the area called `area`, to the shard `target`.
    pub fn new(area: impl Into<String>, selection: Selection, target: ShardId) -> Self {
        Self {
            area: area.into(),
            selection,
            target,
        }
    }

    pub(super) fn area(&self) -> &str {
        &self.area
    }

    pub(super) fn target(&self) -> ShardId {
        self.target
    }
}

/// What a request comes to: who moves from where, and how much that is.
#[derive(Clone, Debug)]
pub struct MovePlan {
    pub(super) area: AreaIndex,
    pub(super) target: ShardId,
    /// By source shard; those that are on the target already are not in it.
    pub(super) sources: BTreeMap<ShardId, Leaving>,
    pub(super) already_there: usize,
    tables: Vec<String>,
    warnings: Vec<Warning>,
}

/// The briefcases that leave a shard.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) ids: Vec<Gdid>,
    /// With the columns that the shard has.
    pub(super) manifest: Manifest,
}

impl MovePlan {
    /// The shards that briefcases leave, with the briefcases.
    pub fn sources(&self) -> impl Iterator<Item = (ShardId, &[Gdid])> {
        self.sources
            .iter()
            .map(|(shard, leaving)| (*shard, leaving.ids.as_slice()))
    }

    /// Where they go.
    pub fn target(&self) -> ShardId {
        self.target
    }

    /// How many briefcases are moved.
    pub fn briefcases(&self) -> usize {
        self.sources.values().map(|leaving| leaving.ids.len()).sum()
    }

    /// How many of the selected ones are on the target already.
    pub fn already_there(&self) -> usize {
        self.already_there
    }

    /// The tables whose rows are moved, parents first.
    pub fn tables(&self) -> Vec<&str> {
        self.tables.iter().map(String::as_str).collect()
    }

    /// What the move does besides, that somebody may not expect.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// How many rows the briefcases of a plan have, by source shard.
pub(super) async fn count_rows(
    servers: &Servers,
    plan: &MovePlan,
) -> Result<BTreeMap<ShardId, u64>, PlanError> {
    const IDS_AT_ONCE: usize = 200;
    let mut counts = BTreeMap::new();
    for (shard, leaving) in &plan.sources {
        let (pool, manifest) = (servers.pool(*shard), &leaving.manifest);
        let mut rows = 0;
        for ids in leaving.ids.chunks(IDS_AT_ONCE) {
            let places = vec!["?"; ids.len()].join(", ");
            let values: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
            for table in manifest.tables() {
                let condition = pool.condition(manifest, table, &places);
                let query = format!(
                    "SELECT count(*) FROM {} t WHERE {condition}",
                    pool.quote(&table.name)
                );
                let found = pool.query(&query, &values).await?;
                let count = found.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)?;
                rows += count.unsigned_abs();
            }
        }
        counts.insert(*shard, rows);
    }
    Ok(counts)
}

/// Adds what is not there yet.
fn add<T: PartialEq>(all: &mut Vec<T>, found: Vec<T>) {
    for found in found {
        if !all.contains(&found) {
            all.push(found);
        }
    }
}

/// What a plan is made from.
pub(super) struct Planner<'p> {
    pub(super) servers: &'p Servers,
    pub(super) state: &'p RelocationState,
    pub(super) config: &'p AreaConfig,
    pub(super) area: AreaIndex,
}

impl Planner<'_> {
    /// Refuses a shard that the area has not.
    fn is_of_area(&self, area: &str, shard: ShardId) -> Result<(), PlanError> {
        let topology = self.servers.topology();
        if topology.area(self.area).shards().any(|own| own == shard) {
            return Ok(());
        }
        Err(PlanError::UnknownShard {
            area: area.to_owned(),
            shard: match topology.shards().get(shard.get() as usize) {
                Some(_) => topology.shard_place(shard),
                None => shard.to_string(),
            },
        })
    }

    pub(super) async fn plan(&self, request: &MoveRequest) -> Result<MovePlan, PlanError> {
        let target = request.target();
        self.is_of_area(request.area(), target)?;
        if let Selection::Shard(source) = &request.selection {
            self.is_of_area(request.area(), *source)?;
        }
        if self.config.briefcases().is_empty() {
            return Err(PlanError::NoManifest {
                area: request.area().to_owned(),
            });
        }
        let ids = self.select(&request.selection).await?;
        let (mut sources, mut already_there) = (BTreeMap::<ShardId, Vec<Gdid>>::new(), 0);
        let (mut refusals, mut moving) = (Vec::new(), Vec::new());
        for id in ids {
            if self.state.motions.contains_key(&(self.area, id)) {
                moving.push(id);
                continue;
            }
            match self.state.route(self.area, id) {
                Ok(route) if route.shard_id() == target => already_there += 1,
                Ok(route) => sources.entry(route.shard_id()).or_default().push(id),
                Err(error) => {
                    refusals.push(Refusal::new(format!("briefcase {id}"), error.to_string()));
                }
            }
        }
        refusals.extend(in_motion::refusals(self.servers, self.area, &moving).await?);
        let there = self.servers.pool(target).schema().await?;
        let mut warnings = Vec::new();
        let mut note =
            |refusals: &mut Vec<Refusal>, examined: Result<_, Vec<Refusal>>| match examined {
                Ok((manifest, found)) => {
                    add(&mut warnings, found);
                    Some(manifest)
                }
                Err(found) => {
                    add(refusals, found);
                    None
                }
            };
        let mut leaving = BTreeMap::new();
        for (source, ids) in sources {
            let pool = self.servers.pool(source);
            // First: what is altered meanwhile is noticed later.
            let shape = pool.shape(listed(self.config)).await?;
            let examined = examine(self.config, &pool.schema().await?, &there);
            if let Some(manifest) = note(&mut refusals, examined) {
                let sides = [source, target];
                let unordered = out_of_order(self.servers, &manifest, sides, &there).await?;
                add(&mut refusals, unordered);
                let manifest = manifest.with_shape(shape);
                leaving.insert(source, Leaving { ids, manifest });
            }
        }
        note(&mut refusals, examine(self.config, &there, &there));
        if !refusals.is_empty() {
            return Err(PlanError::Refused { refusals });
        }
        let concerned = leaving.keys().copied().chain([target]);
        // The journal is there.
        let concerned = concerned.chain([self.servers.topology().central().shards()[0]]);
        warnings.extend(risks(self.servers, concerned).await?);
        let tables = self.config.briefcases().iter();
        let tables = tables.flat_map(BriefcaseConfig::tables);
        Ok(MovePlan {
            area: self.area,
            target,
            sources: leaving,
            already_there,
            tables: tables.map(|table| table.name().to_owned()).collect(),
            warnings,
        })
    }
}
