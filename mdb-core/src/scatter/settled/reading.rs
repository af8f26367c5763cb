//! What a shard says of its flips and landings at one moment.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt};

use super::{ScatterOptions, ShardInfo, WatchError};
use crate::area::Area;
use crate::engine::relocating::COUNT_FLIP;
use crate::engine::{Engine, Step, Value};
use crate::error::chain;
use crate::servers::AnyPool;

/// What a shard says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// How often briefcases have left or landed.
    flips: i64,
    /// The moves whose briefcases have left, and may not have landed.
    leaving: BTreeSet<String>,
    /// The moves whose briefcases are being received.
    arriving: BTreeSet<String>,
    /// The names of the shards that briefcases have gone to.
    targets: BTreeSet<String>,
}

impl Reading {
    /// Reads all shards; in their order.
    pub(super) async fn of_all<DB: Engine>(
        area: &Area<DB>,
        shards: &[ShardInfo],
        options: ScatterOptions,
    ) -> Result<Vec<Self>, WatchError> {
        let reading = |shard: ShardInfo| async move {
            let read = Self::of(area.any_pool(shard.id())).await;
            read.map_err(|source| WatchError::Shard { shard, source })
        };
        let readings: Vec<Self> = futures_util::stream::iter(shards.iter().cloned())
            .map(reading)
            .buffered(options.concurrency.get())
            .try_collect()
            .await?;
        let mut targets = readings.iter().flat_map(|reading| &reading.targets);
        let unknown = targets.find(|target| area.shard_named(target).is_none());
        match unknown.or(area.unknown_home().as_ref()) {
            None => Ok(readings),
            Some(shard) => Err(WatchError::UnknownHome {
                area: area.name().clone(),
                shard: shard.clone(),
            }),
        }
    }

    async fn of(pool: &AnyPool) -> Result<Self, sqlx::Error> {
        // One statement, so that all of it is of the same moment.
        let query = "SELECT DISTINCT s.flips, \
             CASE WHEN f.state = 3 AND f.landed = 0 THEN f.move END, \
             CASE WHEN f.state = 4 THEN f.move END, \
             CASE WHEN f.state = 3 THEN f.target END \
             FROM mdb_shard s LEFT JOIN mdb_fence f ON f.state IN (3, 4) WHERE s.only_row = 1";
        let rows = pool.query(query, &[]).await?;
        let mut reading = Self {
            flips: rows.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)?,
            leaving: BTreeSet::new(),
            arriving: BTreeSet::new(),
            targets: BTreeSet::new(),
        };
        for row in &rows {
            let text = |place| Ok::<_, sqlx::Error>(row.optional_text(place)?.map(str::to_owned));
            reading.leaving.extend(text(1)?);
            reading.arriving.extend(text(2)?);
            reading.targets.extend(text(3)?);
        }
        Ok(reading)
    }
}

/// Whether a briefcase may have been met on two shards or on none between the readings.
pub(super) fn has_moved(before: &[Reading], after: &[Reading]) -> bool {
    let flipped = before
        .iter()
        .zip(after)
        .any(|(before, after)| before.flips != after.flips);
    // Whether it has landed is asked of the target: its source is told later, or never if the mover
    // has died.
    flipped || between(before, after).next().is_some()
}

/// The moves that were decided by the time of the first readings and had not landed at that of the
/// second ones, each with the place of its target among the shards.
fn between<'r>(
    first: &'r [Reading],
    second: &'r [Reading],
) -> impl Iterator<Item = (usize, &'r String)> {
    let arriving = second
        .iter()
        .enumerate()
        .flat_map(|(place, target)| target.arriving.iter().map(move |id| (place, id)));
    arriving.filter(|(_, id)| first.iter().any(|source| source.leaving.contains(*id)))
}

/// Completes the arrivals that the readings saw outstanding, since their movers may have died: each
/// source has decided for all briefcases of its move at once.
pub(super) async fn land<DB: Engine>(area: &Area<DB>, shards: &[ShardInfo], readings: &[Reading]) {
    for (place, id) in between(readings, readings) {
        let shard = &shards[place];
        let arrive = Step::new(
            "DELETE FROM mdb_fence WHERE move = ? AND state = 4",
            [Value::from(id.as_str())],
        );
        let steps = [arrive, Step::new(COUNT_FLIP, [])];
        if let Err(error) = area.any_pool(shard.id()).together(&steps).await {
            tracing::warn!(id, %shard, error = %chain(&error), "could not complete the arrival of briefcases");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(flips: i64, leaving: &[&str], arriving: &[&str]) -> Reading {
        let set = |moves: &[&str]| moves.iter().map(|id| (*id).to_owned()).collect();
        Reading {
            flips,
            leaving: set(leaving),
            arriving: set(arriving),
            targets: BTreeSet::new(),
        }
    }

    #[test]
    fn nothing_moves_while_briefcases_are_copied() {
        let before = [reading(3, &[], &[]), reading(5, &[], &["a"])];
        assert!(!has_moved(&before, &before));
    }

    #[test]
    fn a_flip_or_a_landing_in_between_is_seen() {
        let before = [reading(3, &[], &[]), reading(5, &[], &["a"])];
        let flipped = [reading(4, &["a"], &[]), reading(5, &[], &["a"])];
        let landed = [reading(4, &["a"], &[]), reading(6, &[], &[])];
        assert!(has_moved(&before, &flipped));
        assert!(has_moved(&flipped, &landed));
        assert!(has_moved(&before, &landed));
    }

    #[test]
    fn one_that_is_between_two_shards_all_the_time_is_seen() {
        let flipped = [reading(4, &["a"], &[]), reading(5, &[], &["a"])];
        assert!(has_moved(&flipped, &flipped));
        // The target was read before it received, and again while it still did.
        let earlier = [reading(4, &["a"], &[]), reading(5, &[], &[])];
        assert!(has_moved(&earlier, &flipped));
    }

    #[test]
    fn one_that_has_landed_counts_though_its_source_was_not_told() {
        let landed = [reading(4, &["a"], &[]), reading(6, &[], &[])];
        assert!(!has_moved(&landed, &landed));
    }
}
