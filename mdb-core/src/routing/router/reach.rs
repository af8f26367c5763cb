//! All the shards that the briefcases from one id on may be on.

use std::collections::HashSet;

use mdb_gdid::{Gdid, RangeKey};

use super::{AreaRouter, Range, RouteError};
use crate::routing::Span;
use crate::topology::ShardId;

impl AreaRouter {
    /// The shards of the partitions from `id`'s on, from the first one without an id; and those that
    /// relocations give to briefcases from `id` on, wherever they are.
    ///
    /// # Errors
    ///
    /// As [`route`](Self::route) without relocations.
    pub(crate) fn shards_from(&self, id: Option<Gdid>) -> Result<HashSet<ShardId>, RouteError> {
        let find = |id: Gdid| {
            let range = self.ranges.find(id.range_key());
            let range = range.filter(|_| !id.is_zero());
            range.map(Range::place).ok_or_else(|| self.no_shard(id))
        };
        let first = id.map(find).transpose()?;
        let by_rule = self
            .ranges
            .iter()
            .map(|(_, range)| range)
            .filter(|range| first.is_none_or(|first| range.place() >= first))
            .flat_map(Range::shards);
        let key = id.map_or(RangeKey::MIN, Gdid::range_key);
        let relocated = self
            .relocations
            .iter()
            .flat_map(|relocations| relocations.targets_from(key));
        Ok(by_rule.chain(relocated).collect())
    }

    /// The shards of the partitions that have keys of `span`, and those that relocations give to briefcases in it.
    pub(crate) fn shards_within(&self, span: Span) -> HashSet<ShardId> {
        let ends = self.ranges.iter().skip(1).map(|(start, _)| Some(start));
        let by_rule = self
            .ranges
            .iter()
            .zip(ends.chain([None]))
            .filter(|((start, _), end)| {
                *start < span.until() && end.is_none_or(|end| end > span.from())
            })
            .flat_map(|((_, range), _)| range.shards());
        let relocated = self
            .relocations
            .iter()
            .flat_map(|relocations| relocations.targets_within(span));
        by_rule.chain(relocated).collect()
    }
}

impl Range {
    /// Its place among an area's ranges.
    fn place(&self) -> (u16, u32) {
        (self.generation, self.partition)
    }

    fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let first = self.first_shard;
        (0..u32::from(self.shards)).map(move |position| ShardId::new(first + position))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::routing::{Relocation, Relocations, Router};
    use crate::topology::Topology;

    /// Ids from 1 on live on `a0` and `a1`, from 50 on on `c`; `b` is hidden by the breakpoint.
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
        [[area.generation]]
        breakpoint = "0:0:1"
        [[area.generation.partition]]
        start = "0:0:1"
        shards = [{ server = "east", database = "a0" }, { server = "east", database = "a1" }]
        [[area.generation.partition]]
        start = "0:0:100"
        shards = [{ server = "east", database = "b" }]
        [[area.generation]]
        breakpoint = "0:0:50"
        [[area.generation.partition]]
        start = "0:0:50"
        shards = [{ server = "east", database = "c" }]
    "#;

    fn id(counter: u64) -> Gdid {
        Gdid::new(0, 5, counter).unwrap()
    }

    fn key(counter: u64) -> RangeKey {
        RangeKey::new(0, counter).unwrap()
    }

    /// The databases of the shards from `from` on, with relocations to databases.
    fn databases(
        from: Option<u64>,
        briefcases: &[(u64, &str)],
        spans: &[(u64, u64, &str)],
    ) -> Vec<String> {
        databases_of(briefcases, spans, |router| {
            router.shards_from(from.map(id)).unwrap()
        })
    }

    /// The databases of the shards from `from` up to `until`, with relocations to databases.
    fn databases_within(
        [from, until]: [u64; 2],
        briefcases: &[(u64, &str)],
        spans: &[(u64, u64, &str)],
    ) -> Vec<String> {
        let span = Span::new(key(from), key(until)).unwrap();
        databases_of(briefcases, spans, |router| router.shards_within(span))
    }

    fn databases_of(
        briefcases: &[(u64, &str)],
        spans: &[(u64, u64, &str)],
        ask: impl Fn(&AreaRouter) -> HashSet<ShardId>,
    ) -> Vec<String> {
        let topology = Arc::new(Topology::from_toml(STORE).unwrap());
        let area = topology.area_index("user").unwrap();
        let shard = |database: &str| {
            let mut shards = topology.area(area).shards();
            let shard = shards.find(|shard| topology.shard(*shard).database().as_str() == database);
            shard.unwrap()
        };
        let briefcases = briefcases
            .iter()
            .map(|(counter, to)| Relocation::Briefcase {
                id: id(*counter),
                to: shard(to),
            });
        let spans = spans.iter().map(|(from, until, to)| Relocation::Span {
            span: Span::new(key(*from), key(*until)).unwrap(),
            to: shard(to),
        });
        let relocations = Relocations::new(briefcases.chain(spans)).unwrap();
        let relocations = HashMap::from([(area, relocations)]);
        let router = Router::with_relocations(Arc::clone(&topology), &relocations);
        let shards = ask(router.area_at(area));
        let names = shards
            .iter()
            .map(|shard| topology.shard(*shard).database().to_string());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn with_nothing_relocated_they_are_those_of_the_partitions_that_hold() {
        assert_eq!(databases(None, &[], &[]), ["a0", "a1", "c"]);
        assert_eq!(databases(Some(49), &[], &[]), ["a0", "a1", "c"]);
        assert_eq!(databases(Some(50), &[], &[]), ["c"]);
    }

    #[test]
    fn within_a_span_they_are_those_of_its_partitions_and_of_what_was_moved_from_it() {
        assert_eq!(databases_within([1, 50], &[], &[]), ["a0", "a1"]);
        assert_eq!(databases_within([49, 51], &[], &[]), ["a0", "a1", "c"]);
        assert_eq!(databases_within([50, 60], &[], &[]), ["c"]);
        assert_eq!(databases_within([0, 1], &[], &[]), [""; 0]);
        let moved = [(55, "b"), (60, "a1"), (49, "a0")];
        assert_eq!(databases_within([50, 60], &moved, &[]), ["b", "c"]);
        let spans = [(40, 51, "b"), (60, 70, "a0")];
        assert_eq!(databases_within([50, 60], &[], &spans), ["b", "c"]);
        assert_eq!(databases_within([51, 60], &[], &spans), ["c"]);
    }

    #[test]
    fn one_that_has_gone_to_a_later_partition_hides_none_before_it() {
        assert_eq!(databases(Some(5), &[(5, "c")], &[]), ["a0", "a1", "c"]);
        let span = [(1, 10, "c")];
        assert_eq!(databases(Some(5), &[], &span), ["a0", "a1", "c"]);
    }

    #[test]
    fn where_later_ones_have_gone_is_among_them() {
        assert_eq!(databases(Some(60), &[(60, "a1")], &[]), ["a1", "c"]);
        assert_eq!(databases(Some(60), &[(59, "a1")], &[]), ["c"]);
        assert_eq!(databases(Some(60), &[], &[(55, 61, "a0")]), ["a0", "c"]);
        assert_eq!(databases(Some(60), &[], &[(55, 60, "a0")]), ["c"]);
    }

    #[test]
    fn a_partition_that_no_id_comes_to_by_the_rule_is_among_them_when_one_was_moved_there() {
        assert_eq!(databases(None, &[(5, "b")], &[]), ["a0", "a1", "b", "c"]);
        assert_eq!(databases(Some(70), &[(70, "b")], &[]), ["b", "c"]);
    }
}
