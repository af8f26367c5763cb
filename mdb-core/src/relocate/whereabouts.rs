//! Where briefcases are by the catalog as it is now.

use mdb_gdid::Gdid;

use super::error::PlanError;
use super::relocator::Relocator;
use crate::catalog::{HomeError, KnownRelocations, RelocationState};
use crate::routing::{Placement, RouteError};
use crate::topology::{AreaIndex, ShardId};

/// Where a briefcase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    id: Gdid,
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
pub(super) struct Places(RelocationState);

impl Places {
    pub(super) async fn now(relocator: &Relocator) -> Result<Self, HomeError> {
        let rows = relocator.home().relocations().await?;
        let known = KnownRelocations::of(rows);
        Ok(Self(known.state(relocator.servers.topology())))
    }

    pub(super) fn of(&self, area: AreaIndex, id: Gdid) -> Result<Whereabouts, RouteError> {
        let route = self.0.route(area, id)?;
        let motion = if self.0.motions.contains_key(&(area, id)) {
            Motion::Moves
        } else {
            Motion::Rests
        };
        Ok(Whereabouts {
            id,
            shard: route.shard_id(),
            placement: route.placement(),
            motion,
        })
    }
}

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
        let places = Places::now(self).await.map_err(|error| match error {
            HomeError::Database(error) => PlanError::Database(error),
            error @ HomeError::NoEpoch => {
                PlanError::Database(sqlx::Error::Configuration(error.into()))
            }
        })?;
        Ok(ids.iter().map(|id| places.of(index, *id)).collect())
    }
}
