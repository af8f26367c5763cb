//! Where briefcases are by the catalog as it is now.

use std::sync::Arc;

use mdb_gdid::Gdid;

use super::error::PlanError;
use super::relocator::Relocator;
use crate::catalog::{HomeError, KnownRelocations, RelocationState};
use crate::engine::Value;
use crate::routing::{Placement, RouteError, Router};
use crate::topology::{AreaIndex, ShardId};

/// Where a briefcase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    id: Gdid,
    by_rule: ShardId,
    shard: ShardId,
    placement: Placement,
    motion: Motion,
}

/// Whether a briefcase is on its way to another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// It stays where it is.
    Rests,
    /// A move of it has been announced, and its outcome has not been published.
    Moves,
}

impl Whereabouts {
    /// The briefcase.
    pub fn id(&self) -> Gdid {
        self.id
    }

    /// The shard that the area's rule gives.
    pub fn by_rule(&self) -> ShardId {
        self.by_rule
    }

    /// The shard that the catalog names: while it moves, the one that it leaves.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Whether that is the shard by the area's rule, or it was moved there.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Whether it is on its way.
    pub fn motion(&self) -> Motion {
        self.motion
    }
}

/// The relocations of one moment.
pub(super) struct Places {
    by_rule: Router,
    state: RelocationState,
}

impl Places {
    pub(super) async fn now(relocator: &Relocator) -> Result<Self, HomeError> {
        let topology = relocator.servers.topology();
        let rows = relocator.home().relocations().await?;
        Ok(Self {
            by_rule: Router::new(Arc::clone(topology)),
            state: KnownRelocations::of(&rows, topology).state(),
        })
    }

    pub(super) fn of(&self, area: AreaIndex, id: Gdid) -> Result<Whereabouts, RouteError> {
        let route = self.state.route(area, id)?;
        let motion = if self.state.motions.contains_key(&(area, id)) {
            Motion::Moves
        } else {
            Motion::Rests
        };
        Ok(Whereabouts {
            id,
            by_rule: self.by_rule.area_at(area).route(id)?.shard_id(),
            shard: route.shard_id(),
            placement: route.placement(),
            motion,
        })
    }

    /// Asks the catalog for one briefcase as it is now, and when that was written; of these places only
    /// the rule is used.
    pub(super) async fn anew(
        &self,
        relocator: &Relocator,
        area: AreaIndex,
        id: Gdid,
    ) -> Result<Result<(Whereabouts, Written), RouteError>, HomeError> {
        let router = self.by_rule.area_at(area);
        let by_rule = match router.route(id) {
            Ok(route) => route.shard_id(),
            Err(error) => return Ok(Err(error)),
        };
        let query = "SELECT state, home, epoch FROM mdb_relocation WHERE area = ? AND gdid = ?";
        let values = [Value::from(router.name().as_str()), Value::from(id)];
        let rows = relocator.home().query(query, &values).await?;
        let mut found = Whereabouts {
            id,
            by_rule,
            shard: by_rule,
            placement: Placement::Rule,
            motion: Motion::Rests,
        };
        let Some(row) = rows.first() else {
            return Ok(Ok((found, Written(None))));
        };
        if row.integer(0)? == 1 {
            found.motion = Motion::Moves;
        }
        if let Some(home) = row.optional_text(1)?.filter(|home| !home.is_empty()) {
            let topology = relocator.servers.topology();
            let Some(shard) = topology.shard_named(area, home) else {
                return Ok(Err(RouteError::UnknownHome {
                    area: router.name().clone(),
                    id,
                    shard: home.to_owned(),
                }));
            };
            found.shard = shard;
            found.placement = Placement::Relocated;
        }
        Ok(Ok((found, Written(Some(row.integer(2)?)))))
    }
}

/// The epoch in which the catalog wrote last where a briefcase is. While it is the same, no move of the
/// briefcase was announced or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written(Option<i64>);

impl Relocator {
    /// Asks the catalog, once, where briefcases are; ids that no partition has are errors of their
    /// own.
    ///
    /// # Errors
    ///
    /// - [`PlanError::UnknownArea`].
    /// - [`PlanError::Database`]: the catalog could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn whereabouts(
        &self,
        area: &str,
        ids: &[Gdid],
    ) -> Result<Vec<Result<Whereabouts, RouteError>>, PlanError> {
        let topology = self.servers.topology();
        let index = topology
            .area_index(area)
            .ok_or_else(|| PlanError::UnknownArea {
                name: area.to_owned(),
            })?;
        let places = Places::now(self).await?;
        Ok(ids.iter().map(|id| places.of(index, *id)).collect())
    }
}
