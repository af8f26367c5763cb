//! Which briefcases of a plan have rows.

use std::collections::BTreeSet;

use mdb_gdid::Gdid;

use super::error::PlanError;
use super::journal::{NAMED_AT_ONCE, repeated};
use super::plan::MovePlan;
use super::relocator::Relocator;
use crate::config::{BriefcaseConfig, Reach};
use crate::engine::Value;
use crate::topology::ShardId;

impl Relocator {
    /// The briefcases of a plan that have no row where they live, ascending. Moving one is no fault: its id may be
    /// used for the first time later. But it may also be an id that was never issued.
    ///
    /// # Errors
    ///
    /// [`PlanError::Database`]: a shard could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn without_rows(&self, plan: &MovePlan) -> Result<Vec<Gdid>, PlanError> {
        let mut empty = BTreeSet::new();
        for (shard, ids) in plan.sources() {
            for ids in ids.chunks(NAMED_AT_ONCE) {
                empty.extend(ids);
                for id in self.used(plan, shard, ids).await? {
                    empty.remove(&id);
                }
            }
        }
        Ok(empty.into_iter().collect())
    }

    /// Those of `ids` that rows on a shard carry.
    async fn used(
        &self,
        plan: &MovePlan,
        shard: ShardId,
        ids: &[Gdid],
    ) -> Result<Vec<Gdid>, PlanError> {
        let pool = self.servers.pool(shard);
        let values: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
        let briefcases = self.config.areas()[plan.area.get()].briefcases().iter();
        let mut used = Vec::new();
        for table in briefcases.flat_map(BriefcaseConfig::tables) {
            let Reach::Key { column } = table.reach() else {
                continue;
            };
            let (column, table) = (pool.quote(column), pool.quote(table.name()));
            let places = repeated("?", ids.len());
            let query =
                format!("SELECT DISTINCT {column} FROM {table} WHERE {column} IN ({places})");
            for row in pool.query(&query, &values).await? {
                used.push(row.id(0)?);
            }
        }
        Ok(used)
    }
}
