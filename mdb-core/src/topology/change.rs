//! What a change of topology would re-route.
//!
//! Growth must move nothing: a partition that is added above every issued id changes no existing
//! id's shard. [`change`] says, for an area in two topologies, which range keys would route
//! elsewhere, so that a change can be refused before anybody routes by it.

use mdb_gdid::RangeKey;

use super::ids::ShardId;
use super::model::Topology;
use crate::config::HashKind;

/// What a new topology would do to one area's ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    rerouted: Vec<Rerouted>,
}

impl Change {
    /// Whether every id that had a shard keeps it.
    pub fn moves_nothing(&self) -> bool {
        self.rerouted.is_empty()
    }

    /// The ranges in which at least some ids would route elsewhere, ascending and not touching.
    pub fn rerouted(&self) -> &[Rerouted] {
        &self.rerouted
    }

    /// The first range that would re-route an id below `next`, the first id not issued yet.
    pub fn reroutes_below(&self, next: RangeKey) -> Option<&Rerouted> {
        self.rerouted.iter().find(|range| range.from < next)
    }
}

/// A range of range keys of which ids would route elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rerouted {
    from: RangeKey,
    until: Option<RangeKey>,
}

impl Rerouted {
    /// The first range key.
    pub const fn from(self) -> RangeKey {
        self.from
    }

    /// The first range key above; `None` when the range is open.
    pub const fn until(self) -> Option<RangeKey> {
        self.until
    }
}

/// Compares how `old` and `new` route the ids of the area called `area`.
///
/// Ranges that had no shard before are no change: nothing can be there. An area that is missing
/// in `new` loses all its ranges; one that is missing in `old` has nothing to lose.
///
/// ```
/// use mdb_core::topology::{change, Topology};
/// use mdb_gdid::RangeKey;
///
/// let area = |second: &str| format!(r#"
///     store = {{ name = "shop" }}
///     server = [{{ name = "local", url = "sqlite:data" }}]
///     central = {{ shards = [{{ server = "local", database = "central" }}] }}
///     [[area]]
///     name = "user"
///     [[area.partition]]
///     start = "0:0:0"
///     shards = [{{ server = "local", database = "a" }}]
///     {second}"#);
/// let old = Topology::from_toml(&area(""))?;
/// let new = Topology::from_toml(&area(r#"
///     [[area.partition]]
///     start = "0:0:5000"
///     shards = [{ server = "local", database = "b" }]"#))?;
///
/// let change = change(&old, &new, "user");
/// assert!(change.reroutes_below(RangeKey::new(0, 4_000)?).is_none(), "4000 ids are issued: safe");
/// assert_eq!(change.rerouted()[0].from(), RangeKey::new(0, 5_000)?);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub fn change(old: &Topology, new: &Topology, area: &str) -> Change {
    let (before, after) = (Ranges::of(old, area), Ranges::of(new, area));
    let mut cuts: Vec<RangeKey> = before
        .0
        .iter()
        .chain(&after.0)
        .map(|(start, _)| *start)
        .collect();
    cuts.sort_unstable();
    cuts.dedup();

    let mut rerouted: Vec<Rerouted> = Vec::new();
    for (place, &from) in cuts.iter().enumerate() {
        let Some(held) = before.home_at(from) else {
            continue;
        };
        if after.home_at(from) == Some(held) {
            continue;
        }
        let until = cuts.get(place + 1).copied();
        match rerouted.last_mut() {
            Some(last) if last.until == Some(from) => last.until = until,
            _ => rerouted.push(Rerouted { from, until }),
        }
    }
    Change { rerouted }
}

/// The databases of a range, by position, and the hash that picks one of them.
type Homes<'a> = (HashKind, Vec<(&'a str, &'a str)>);

/// An area's ranges by name, ascending: shard ids mean nothing outside their own topology.
struct Ranges<'a>(Vec<(RangeKey, Homes<'a>)>);

impl<'a> Ranges<'a> {
    fn of(topology: &'a Topology, area: &str) -> Self {
        let Some(index) = topology.area_index(area) else {
            return Self(Vec::new());
        };
        let area = topology.area(index);
        let names = |&id: &ShardId| {
            let shard = topology.shard(id);
            (shard.server().as_str(), shard.database().as_str())
        };
        let homes = |shards: &[ShardId]| {
            // With one shard, no hash decides.
            let hash = if shards.len() == 1 {
                HashKind::Xxh3
            } else {
                area.hash()
            };
            (hash, shards.iter().map(names).collect())
        };
        Self(
            area.effective_ranges()
                .map(|(start, .., shards)| (start, homes(shards)))
                .collect(),
        )
    }

    fn home_at(&self, key: RangeKey) -> Option<&Homes<'a>> {
        let next = self.0.partition_point(|(start, _)| *start <= key);
        self.0.get(next.checked_sub(1)?).map(|(_, homes)| homes)
    }
}
