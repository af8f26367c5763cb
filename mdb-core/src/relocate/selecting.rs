//! Which briefcases a plan is about.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;

use mdb_gdid::{Gdid, RangeKey};

use super::error::PlanError;
use super::plan::{Planner, Selection};
use crate::config::{BriefcaseConfig, Reach};
use crate::routing::Span;
use crate::topology::ShardId;

/// How many keys are read at once: a statement has a limit, and a table may have any number of keys.
const PAGE: usize = 1_000;

/// Four bits of an id.
const AUTHORITIES: RangeInclusive<u8> = 0..=15;

/// Ids from one up to another, which is in it too, in the order of their bytes.
type Stretch = [Gdid; 2];

impl Planner<'_> {
    /// The ids that are selected, ascending, none twice.
    pub(super) async fn select(&self, selection: &Selection) -> Result<Vec<Gdid>, PlanError> {
        let mut selected = BTreeSet::new();
        match selection {
            Selection::Briefcases(ids) => selected.extend(ids),
            Selection::Shard(shard) => {
                let all = [[Gdid::ZERO, Gdid::MAX]];
                self.add_at_home(*shard, &all, &mut selected).await?;
            }
            Selection::Range { from, until } => {
                let Some(span) = Span::new(*from, *until) else {
                    return Ok(Vec::new());
                };
                let stretches = stretches(span);
                let shards: HashSet<ShardId> =
                    self.state.router.area_at(self.area).shards_within(span);
                for shard in shards {
                    self.add_at_home(shard, &stretches, &mut selected).await?;
                }
            }
        }
        Ok(selected.into_iter().collect())
    }

    /// Adds the keys in these stretches that rows on a shard carry which is their home: strays don't count.
    async fn add_at_home(
        &self,
        shard: ShardId,
        stretches: &[Stretch],
        selected: &mut BTreeSet<Gdid>,
    ) -> Result<(), PlanError> {
        let pool = self.servers.pool(shard);
        let is_at_home = |id: &Gdid| {
            let route = self.state.route(self.area, *id);
            route.is_ok_and(|route| route.shard_id() == shard)
        };
        let tables = self.config.briefcases().iter();
        for table in tables.flat_map(BriefcaseConfig::tables) {
            let Reach::Key { column } = table.reach() else {
                continue;
            };
            let (key, table) = (pool.quote(column), pool.quote(table.name()));
            for [first, last] in stretches {
                let (mut beyond, mut after) = (">=", *first);
                loop {
                    let query = format!(
                        "SELECT DISTINCT {key} FROM {table} WHERE {key} {beyond} ? AND {key} <= ? \
                         ORDER BY {key} LIMIT {PAGE}"
                    );
                    let rows = pool.query(&query, &[after.into(), (*last).into()]).await?;
                    let ids = rows.iter().map(|row| row.id(0));
                    let ids: Vec<Gdid> = ids.collect::<Result<_, _>>()?;
                    selected.extend(ids.iter().filter(|id| is_at_home(id)));
                    match ids.last() {
                        Some(last) if ids.len() == PAGE => (beyond, after) = (">", *last),
                        _ => break,
                    }
                }
            }
        }
        Ok(())
    }
}

/// The ids of a span of range keys: whole eras are one stretch, and one that the span cuts is one for each authority, whose
/// bits are between the era's and the counter's.
fn stretches(span: Span) -> Vec<Stretch> {
    let (from, until) = (span.from(), span.until());
    let cut = |era, first: u64, beyond: u64| {
        AUTHORITIES.filter_map(move |authority| {
            let id = |counter| Gdid::new(era, authority, counter).ok();
            Some([id(first)?, id(beyond.checked_sub(1)?)?])
        })
    };
    if from.era() == until.era() {
        return cut(from.era(), from.counter(), until.counter()).collect();
    }
    let mut found = Vec::new();
    let mut first_whole = from;
    if from.counter() > 0 {
        found.extend(cut(from.era(), from.counter(), Gdid::MAX_COUNTER + 1));
        first_whole = RangeKey::new(from.era() + 1, 0).unwrap_or(until);
    }
    if first_whole.era() < until.era() {
        let last = Gdid::from_era_and_id(until.era() - 1, u64::MAX);
        found.push([first_whole.lowest_id(), last]);
    }
    found.extend(cut(until.era(), 0, until.counter()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_have_the_ids_of_the_span_and_no_others_once() {
        let max = Gdid::MAX_COUNTER;
        let parts =
            [0, 1, 2, 3, u32::MAX].map(|era| [0, 1, 5, max - 1, max].map(|counter| (era, counter)));
        let parts = parts.as_flattened();
        let key = |(era, counter)| RangeKey::new(era, counter).unwrap();
        for from in parts {
            for until in parts {
                let Some(span) = Span::new(key(*from), key(*until)) else {
                    continue;
                };
                let stretches = stretches(span);
                for (era, counter) in parts {
                    for authority in [0, 1, 15] {
                        let id = Gdid::new(*era, authority, *counter).unwrap();
                        let is_in = |stretch: &&Stretch| (stretch[0]..=stretch[1]).contains(&id);
                        let times = stretches.iter().filter(is_in).count();
                        let expected = usize::from(span.contains(id.range_key()));
                        assert_eq!(times, expected, "{id} in {span:?}: {stretches:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_span_within_an_era_is_a_stretch_for_each_authority() {
        let [from, until] = [1_000, 2_000].map(|counter| RangeKey::new(0, counter).unwrap());
        let stretches = stretches(Span::new(from, until).unwrap());
        assert_eq!(stretches.len(), 16);
        let last = [1_000, 1_999].map(|counter| Gdid::new(0, 15, counter).unwrap());
        assert_eq!(stretches.last(), Some(&last));
    }
}
