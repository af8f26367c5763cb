//! What the rows of `mdb_relocation` that were read come to, and where briefcases are by them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mdb_gdid::{Gdid, RangeKey};

use super::RelocationRow;
use crate::catalog::live::Motions;
use crate::routing::{Relocations, Route, RouteError, Router};
use crate::topology::{AreaIndex, ShardId, Topology};

/// What the rows that were read so far come to: of each briefcase the latest.
#[derive(Debug)]
pub(crate) struct KnownRelocations {
    topology: Arc<Topology>,
    relocations: HashMap<AreaIndex, Relocations>,
    motions: Motions,
    unknown_homes: HashMap<(AreaIndex, Gdid), String>,
}

impl KnownRelocations {
    /// Nothing is known yet.
    pub(in crate::catalog) fn none(topology: &Arc<Topology>) -> Self {
        Self {
            topology: Arc::clone(topology),
            relocations: HashMap::new(),
            motions: Motions::new(),
            unknown_homes: HashMap::new(),
        }
    }

    /// Those of `rows`, and no others.
    pub(crate) fn of(rows: &[RelocationRow], topology: &Arc<Topology>) -> Self {
        let mut known = Self::none(topology);
        known.learn(rows);
        known
    }

    /// Rows that are later than what is known; of one briefcase the last one counts.
    pub(in crate::catalog) fn learn(&mut self, rows: &[RelocationRow]) {
        for row in rows {
            if let Some(area) = self.topology.area_index(&row.area) {
                self.learn_one(area, row);
            }
        }
        if let Some(((_, id), home)) = self.unknown_homes.iter().next() {
            tracing::error!(%id, home, briefcases = self.unknown_homes.len(), "briefcases are on shards that this configuration lacks");
        }
    }

    fn learn_one(&mut self, area: AreaIndex, row: &RelocationRow) {
        let topology = &self.topology;
        let home = row.home.as_deref().filter(|home| !home.is_empty());
        let shard = home.and_then(|home| topology.shard_named(area, home));
        let relocations = self.relocations.entry(area).or_default();
        relocations.relocate(row.id, shard);
        let briefcase = (area, row.id);
        match home {
            Some(home) if shard.is_none() => {
                self.unknown_homes.insert(briefcase, home.to_owned());
            }
            _ => {
                self.unknown_homes.remove(&briefcase);
            }
        }
        if row.in_motion {
            let unknown = ShardId::new(0);
            let source = topology.shard_named(area, &row.source).unwrap_or(unknown);
            self.motions.insert(briefcase, source);
        } else {
            self.motions.remove(&briefcase);
        }
    }

    /// A router by them, with what has to be known besides. Copies them, so that it takes the time of that: each change
    /// of the catalog asks for it, in every process.
    pub(crate) fn state(&self) -> RelocationState {
        let router = Router::with_relocations(Arc::clone(&self.topology), &self.relocations);
        RelocationState {
            router: Arc::new(router),
            motions: self.motions.clone(),
            unknown_homes: self.unknown_homes.clone(),
        }
    }
}

/// What the relocations of one epoch come to.
pub(crate) struct RelocationState {
    pub(crate) router: Arc<Router>,
    pub(crate) motions: Motions,
    /// Briefcases that are on shards which this process' configuration lacks.
    pub(in crate::catalog) unknown_homes: HashMap<(AreaIndex, Gdid), String>,
}

impl RelocationState {
    /// Everything is where the router says.
    pub(in crate::catalog) fn at_rest(router: Router) -> Self {
        Self {
            router: Arc::new(router),
            motions: Motions::new(),
            unknown_homes: HashMap::new(),
        }
    }

    /// Where the briefcase is, if it is known where that is.
    pub(crate) fn route(&self, area: AreaIndex, id: Gdid) -> Result<Route, RouteError> {
        let router = self.router.area_at(area);
        let route = router.route(id)?;
        if self.unknown_homes.is_empty() {
            return Ok(route);
        }
        match self.unknown_homes.get(&(area, id)) {
            None => Ok(route),
            Some(shard) => Err(RouteError::UnknownHome {
                area: router.name().clone(),
                id,
                shard: shard.clone(),
            }),
        }
    }

    /// The shards that briefcases of the area from `id` on are on; see
    /// [`AreaRouter::shards_from`](crate::routing::AreaRouter::shards_from).
    pub(in crate::catalog) fn shards_from(
        &self,
        area: AreaIndex,
        id: Option<Gdid>,
    ) -> Result<HashSet<ShardId>, RouteError> {
        if let Some(id) = id {
            self.route(area, id)?;
        }
        let is_asked_for = |other: &Gdid| id.is_none_or(|id| other.range_key() >= id.range_key());
        let mut unknown = self.unknown_homes.iter();
        if let Some(((_, id), shard)) =
            unknown.find(|((of, id), _)| *of == area && is_asked_for(id))
        {
            return Err(RouteError::UnknownHome {
                area: self.router.area_at(area).name().clone(),
                id: *id,
                shard: shard.clone(),
            });
        }
        self.router.area_at(area).shards_from(id)
    }

    /// A shard that this process' configuration lacks, and that briefcases of the area are on.
    pub(in crate::catalog) fn unknown_home(&self, area: AreaIndex) -> Option<&str> {
        let mut homes = self.unknown_homes.iter();
        let home = homes.find(|((of, _), _)| *of == area);
        home.map(|(_, shard)| shard.as_str())
    }

    pub(super) fn is_in_motion(&self, area: AreaIndex, id: Gdid) -> bool {
        self.motions.contains_key(&(area, id))
    }

    /// Whether a briefcase of the area from `key` on is in motion.
    pub(in crate::catalog) fn moves_from(&self, area: AreaIndex, key: RangeKey) -> bool {
        let mut in_motion = self.motions.keys();
        in_motion.any(|(of, id)| *of == area && id.range_key() >= key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::catalog::{Epoch, LiveRouter};

    const STORE: &str = r#"
        [store]
        name = "shop"
        [[server]]
        name = "east"
        url = "sqlite:east"
        [central]
        shards = [{ server = "east", database = "central" }]
        [[area]]
        name = "user"
        [[area.partition]]
        start = "0:0:1"
        shards = [{ server = "east", database = "user_0" }, { server = "east", database = "user_1" }]
        [[area.partition]]
        start = "0:0:100"
        shards = [{ server = "east", database = "user_2" }]
    "#;

    fn topology() -> Arc<Topology> {
        Arc::new(Topology::from_toml(STORE).expect("a store"))
    }

    fn id(counter: u64) -> Gdid {
        Gdid::new(0, 0, counter).expect("a small counter")
    }

    fn row(id: Gdid, home: Option<String>, epoch: u64) -> RelocationRow {
        RelocationRow {
            area: "user".to_owned(),
            id,
            by: "a move".to_owned(),
            in_motion: false,
            home,
            source: String::new(),
            epoch: Epoch::new(epoch),
        }
    }

    #[test]
    fn what_is_learned_later_replaces_what_was_known() {
        let topology = topology();
        let area = topology.area_index("user").expect("the area");
        let shards: Vec<ShardId> = topology.area(area).shards().collect();
        let home = |shard: ShardId| Some(topology.shard_name(shard));
        let mut known = KnownRelocations::of(
            &[
                row(id(1), home(shards[0]), 1),
                row(id(2), home(shards[1]), 2),
            ],
            &topology,
        );
        known.learn(&[row(id(1), home(shards[1]), 3)]);
        let state = known.state();
        for id in [id(1), id(2)] {
            let route = state.route(area, id).expect("it has a home");
            assert_eq!(route.shard_id(), shards[1]);
        }
        // A copy says it by an empty text.
        known.learn(&[row(id(1), None, 4), row(id(2), Some(String::new()), 5)]);
        let state = known.state();
        let by_rule = RelocationState::at_rest(Router::new(Arc::clone(&topology)));
        for id in [id(1), id(2)] {
            assert_eq!(state.route(area, id), by_rule.route(area, id));
        }
    }

    #[test]
    fn a_briefcase_on_an_unknown_shard_is_an_error_and_not_looked_for_elsewhere() {
        let topology = topology();
        let area = topology.area_index("user").expect("the area");
        let known =
            KnownRelocations::of(&[row(id(1), Some("added since".to_owned()), 1)], &topology);
        let live = LiveRouter::new(Router::new(Arc::clone(&topology)));
        let users = live.area(area);
        live.change(Epoch::new(1), known.state());
        for users in [users, live.area(area)] {
            let error = users.enter(id(1)).expect_err("its home is unknown");
            assert!(
                matches!(&error, RouteError::UnknownHome { shard, .. } if shard == "added since"),
                "{error}"
            );
            assert!(users.enter(id(2)).is_ok());
        }
    }

    #[test]
    fn what_was_in_motion_or_on_an_unknown_shard_is_not_for_ever() {
        let topology = topology();
        let area = topology.area_index("user").expect("the area");
        let lost = Some("added since".to_owned());
        let moving = |home, epoch| RelocationRow {
            in_motion: true,
            ..row(id(1), home, epoch)
        };
        let mut known = KnownRelocations::of(&[moving(lost, 1)], &topology);
        let state = known.state();
        assert!(state.motions.contains_key(&(area, id(1))));
        assert!(state.route(area, id(1)).is_err());
        known.learn(&[row(id(1), None, 2)]);
        let after = known.state();
        assert!(after.motions.is_empty());
        assert!(after.route(area, id(1)).is_ok());
        assert!(state.route(area, id(1)).is_err(), "of its moment");
    }

    #[test]
    fn while_it_is_not_known_where_a_briefcase_goes_it_may_be_on_every_shard() {
        let topology = topology();
        let area = topology.area_index("user").expect("the area");
        let live = LiveRouter::new(Router::new(Arc::clone(&topology)));
        let users = live.area(area);
        let shards_from = |counter| {
            let shards = users.shards_from(Some(id(counter)));
            shards.expect("it is above the start").len()
        };
        assert_eq!(shards_from(100), 3, "without a lease");
        live.grant(Some(Instant::now() + Duration::from_hours(1)));
        assert_eq!(shards_from(100), 1);
        let in_motion = RelocationRow {
            in_motion: true,
            ..row(id(150), None, 1)
        };
        let known = KnownRelocations::of(&[in_motion], &topology);
        live.change(Epoch::new(1), known.state());
        assert_eq!(shards_from(150), 3, "it is in motion");
        assert_eq!(shards_from(151), 1, "only an older one is");
    }
}
