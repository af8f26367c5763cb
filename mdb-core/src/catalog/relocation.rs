//! The rows of `mdb_relocation`: at the catalog's home, and in the copies of it.

use std::cmp::Ordering;

use mdb_gdid::Gdid;

use super::live::Epoch;
use crate::engine::{Step, Value, Values};
use crate::routing::Route;
use crate::servers::AnyPool;
use crate::topology::{ShardId, Topology};

mod known;

pub(crate) use known::{KnownRelocations, RelocationState};

/// Where a briefcase is, as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelocationRow {
    area: String,
    id: Gdid,
    by: String,
    in_motion: bool,
    /// The shard's name; by the area's rule without one.
    home: Option<String>,
    /// The shard that it leaves, while it is in motion.
    source: String,
    epoch: Epoch,
}

impl RelocationRow {
    pub(super) async fn changed_since(
        pool: &AnyPool,
        epoch: Epoch,
    ) -> Result<Vec<Self>, sqlx::Error> {
        let query = "SELECT area, gdid, move, state, home, source, epoch FROM mdb_relocation \
             WHERE epoch > ? ORDER BY epoch";
        let rows = pool.query(query, &[number(epoch)]).await?;
        rows.iter().map(Self::read).collect()
    }

    fn read(row: &Values) -> Result<Self, sqlx::Error> {
        Ok(Self {
            area: row.text(0)?.to_owned(),
            id: row.id(1)?,
            by: row.text(2)?.to_owned(),
            in_motion: row.integer(3)? == 1,
            home: row.optional_text(4)?.map(str::to_owned),
            source: row.text(5)?.to_owned(),
            epoch: Epoch::new(row.integer(6)?.unsigned_abs()),
        })
    }

    /// Whether it says what was not so in `epoch`.
    pub(super) fn is_later_than(&self, epoch: Epoch) -> bool {
        self.epoch > epoch
    }

    /// The shards that the briefcase has left by it: where it came from last, and where it was taken to be before. None
    /// if it was known to be in motion: since then it goes by its fence.
    pub(super) fn left(
        &self,
        topology: &Topology,
        before: &RelocationState,
    ) -> impl Iterator<Item = ShardId> {
        let area = topology.area_index(&self.area);
        let area = area.filter(|area| !before.is_in_motion(*area, self.id));
        let source = area.and_then(|area| topology.shard_named(area, &self.source));
        let home = area.and_then(|area| before.route(area, self.id).ok());
        source.into_iter().chain(home.map(Route::shard_id))
    }

    /// Whether it is the row that says how complete a copy is.
    pub(super) fn is_mark(&self) -> bool {
        self.area.is_empty()
    }

    /// Writes rows in place of older ones; they are of one area and one epoch.
    pub(super) fn steps(rows: &[Self], copy: &AnyPool) -> [Step; 2] {
        let mut older = Vec::with_capacity(rows.len() + 2);
        older.extend(rows.first().map(|row| Value::from(row.area.as_str())));
        older.extend(rows.iter().map(|row| Value::from(row.id)));
        older.extend(rows.first().map(|row| number(row.epoch)));
        let forget = format!(
            "DELETE FROM mdb_relocation WHERE area = ? AND gdid IN ({}) AND epoch <= ?",
            vec!["?"; rows.len()].join(", ")
        );
        let insert = format!(
            "INSERT INTO mdb_relocation (area, gdid, move, state, home, source, epoch) VALUES {}",
            vec!["(?, ?, ?, ?, ?, ?, ?)"; rows.len()].join(", ")
        );
        let values = rows.iter().flat_map(|row| {
            [
                Value::from(row.area.as_str()),
                Value::from(row.id),
                Value::from(row.by.as_str()),
                Value::Integer(i64::from(row.in_motion)),
                // By the rule, in a copy: every engine takes an empty text for one.
                Value::from(row.home.as_deref().unwrap_or_default()),
                Value::from(row.source.as_str()),
                number(row.epoch),
            ]
        });
        [
            Step::new(forget, older),
            Step::new(
                copy.insert_if_absent(&insert, "area"),
                values.collect::<Vec<_>>(),
            ),
        ]
    }

    /// The order in which [`steps`](Self::steps) can write many at once.
    pub(super) fn by_place(&self, other: &Self) -> Ordering {
        (&self.area, self.epoch).cmp(&(&other.area, other.epoch))
    }
}

pub(super) fn number(epoch: Epoch) -> Value {
    Value::Integer(i64::try_from(epoch.get()).unwrap_or(i64::MAX))
}
