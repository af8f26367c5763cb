//! What routing promises, tried on random topologies and ids.
//!
//! [`plan`](routing_properties::plan) holds random topologies as plain lists, and the answer that a
//! reader of the rule would give by hand: a scan from the first generation to the last, the slot
//! table built slot by slot, hashes from another library. [`spread`](routing_properties::spread)
//! looks at how evenly ids fall on shards.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test may panic; its numbers are small"
)]

mod routing_properties {
    pub(crate) mod plan;
    mod spread;
}

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::sync::Arc;

use mdb_core::Gdid;
use mdb_core::catalog::LiveRouter;
use mdb_core::config::HashKind;
use mdb_core::routing::slots::{Slot, SlotTable};
use mdb_core::routing::{
    Placement, RangeTable, Relocation, Relocations, Route, RouteError, Router, ShardKey, Span,
};
use mdb_core::topology::{AreaIndex, Change, ShardId, Topology, change};
use mdb_gdid::RangeKey;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use routing_properties::plan::{
    AREA, Home, Plan, id, mutation, naive_azos, naive_slot, naive_slots, plan, range_key,
};

/// What a route says, without what holds for one topology only.
fn seen(route: Route) -> Home {
    Home {
        generation: usize::from(route.generation().get()),
        partition: route.partition().get() as usize,
        slot: route.slot().map(Slot::get),
        position: usize::from(route.position().get()),
    }
}

fn router(plan: &Plan) -> Router {
    Router::new(plan.topology())
}

fn route(router: &Router, id: Gdid) -> Result<Route, RouteError> {
    router.area(AREA).unwrap().route(id)
}

/// The database that holds `id`, which means the same in all topologies.
fn database(topology: &Topology, router: &Router, id: Gdid) -> Option<String> {
    let shard = route(router, id).ok()?.shard_id();
    Some(topology.shard(shard).database().to_string())
}

fn holds(change: &Change, key: RangeKey) -> bool {
    change
        .rerouted()
        .iter()
        .any(|range| range.from() <= key && range.until().is_none_or(|until| key < until))
}

proptest! {
    /// Generations, partitions, slots and shards, for ids on, between and around all starts.
    #[test]
    fn the_compiled_router_agrees_with_a_naive_scan(plan in plan(), ids in vec(id(), 1..80)) {
        let topology = plan.topology();
        let router = router(&plan);
        for id in ids {
            match (route(&router, id), plan.home_of(id)) {
                (Ok(route), Some(home)) => {
                    prop_assert_eq!(seen(route), home, "{}", id);
                    prop_assert_eq!(route.placement(), Placement::Rule);
                    let found = topology.shard(route.shard_id()).database().to_string();
                    prop_assert_eq!(found.as_str(), plan.database(home));
                }
                (Err(_), None) => {}
                (answer, expected) => prop_assert!(false, "{id}: {answer:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn every_id_from_the_first_start_on_has_a_shard_and_none_before(plan in plan(), ids in vec(id(), 1..80)) {
        let router = router(&plan);
        let first = plan.first_start();
        for id in ids {
            let answer = route(&router, id);
            let area = AREA.parse().unwrap();
            if id.is_zero() {
                prop_assert_eq!(answer, Err(RouteError::ZeroId { area }));
            } else if id.range_key() < first {
                prop_assert_eq!(answer, Err(RouteError::BelowFirstPartition { area, id, first }));
            } else {
                prop_assert!(answer.is_ok(), "{id} has no shard, though the first start is {first}");
            }
        }
    }

    #[test]
    fn the_same_topology_routes_the_same_however_it_was_made(plan in plan(), ids in vec(id(), 1..40)) {
        let topology = plan.topology();
        let first = Router::new(topology.clone());
        let again = Router::new(plan.clone().topology());
        let read = Router::new(Topology::from_toml(&plan.to_toml()).unwrap());
        let live = LiveRouter::new(Router::new(Arc::new(topology)));
        let handle = live.area(AreaIndex::new(0));
        let (kept, clone) = (handle.clone(), handle.clone());
        live.replace(Router::new(plan.topology()));
        for id in ids {
            let expected = route(&first, id);
            prop_assert_eq!(&route(&first, id), &expected, "asked twice");
            prop_assert_eq!(&route(&again, id), &expected, "built twice");
            prop_assert_eq!(&route(&read, id), &expected, "read from text");
            prop_assert_eq!(&kept.route(id), &expected, "an outdated handle");
            prop_assert_eq!(&clone.route(id), &expected, "a cloned handle");
            prop_assert_eq!(&live.area(AreaIndex::new(0)).route(id), &expected, "a new handle");
        }
    }

    #[test]
    fn the_authority_never_changes_the_partition(plan in plan(), key in range_key()) {
        let router = router(&plan);
        let mut partitions: Vec<_> = (0..16)
            .map(|authority| Gdid::new(key.era(), authority, key.counter()).unwrap())
            .filter(|id| !id.is_zero())
            .map(|id| route(&router, id).ok().map(|route| (route.generation(), route.partition())))
            .collect();
        partitions.dedup();
        prop_assert_eq!(partitions.len(), 1);
    }

    /// From its breakpoint on, a generation answers as if it were alone; below it, as if it were not there.
    #[test]
    fn a_generation_counts_from_its_breakpoint_on(plan in plan(), ids in vec(id(), 1..60)) {
        prop_assume!(plan.generations.len() > 1);
        let topology = plan.topology();
        let both = router(&plan);
        let (last, rest) = plan.generations.split_last().unwrap();
        let without = plan.with(rest.to_vec());
        let alone = plan.with(vec![last.clone()]);
        for id in ids {
            let single = if id.range_key() < last.breakpoint { &without } else { &alone };
            let (expected, single) = (single.topology(), router(single));
            prop_assert_eq!(database(&topology, &both, id), database(&expected, &single, id), "{}", id);
        }
    }

    #[test]
    fn a_partition_added_above_reroutes_no_id_below(
        plan in plan(),
        gap in 1..1_000_u64,
        shards in 1..20_usize,
        ids in vec(id(), 1..60),
    ) {
        let last = plan.last_start();
        let start = RangeKey::new(last.era(), (last.counter() + gap).min(Gdid::MAX_COUNTER)).unwrap();
        prop_assume!(last < start);
        let grown = plan.with_partition_on_top(start, shards);
        let (before, after) = (plan.topology(), grown.topology());
        let (old, new) = (router(&plan), router(&grown));

        let change = change(&before, &after, AREA);
        prop_assert!(change.reroutes_below(start).is_none());
        prop_assert_eq!(change.rerouted().len(), 1, "only the ids above, which nobody has yet");
        prop_assert_eq!(change.rerouted()[0].from(), start);
        let below = ids.into_iter().chain([id_below(start)]).filter(|id| id.range_key() < start);
        for id in below {
            prop_assert_eq!(database(&before, &old, id), database(&after, &new, id), "{}", id);
        }
        let shard = route(&new, start.lowest_id()).unwrap().shard_id();
        prop_assert!(after.shard(shard).database().as_str().starts_with("top"));
    }

    /// `change` names a range for every id that would be re-routed, whatever was changed.
    #[test]
    fn every_rerouted_id_is_in_a_reported_range(plan in plan(), mutation in mutation(), ids in vec(id(), 1..60)) {
        let changed = plan.mutated(&mutation);
        let (before, after) = (plan.topology(), changed.topology());
        let (old, new) = (router(&plan), router(&changed));
        let change = change(&before, &after, AREA);
        for id in ids {
            let Some(home) = database(&before, &old, id) else { continue };
            if database(&after, &new, id).as_ref() != Some(&home) {
                prop_assert!(holds(&change, id.range_key()), "{} leaves {} unreported: {:?}", id, home, change);
            }
        }
        prop_assert!(mdb_core::topology::change(&before, &before, AREA).moves_nothing());
    }

    #[test]
    fn a_relocation_goes_before_the_rule_and_a_briefcase_before_a_span(
        plan in plan(),
        cuts in btree_set(range_key(), 0..8),
        single in vec((id(), any::<u32>()), 0..12),
        targets in vec(any::<u32>(), 8),
        ids in vec(id(), 1..60),
    ) {
        let topology = Arc::new(plan.topology());
        let count = u32::try_from(topology.shards().len()).unwrap();
        let single: HashMap<Gdid, ShardId> =
            single.into_iter().map(|(id, to)| (id, ShardId::new(to % count))).collect();
        let cuts: Vec<RangeKey> = cuts.into_iter().collect();
        let spans: Vec<(Span, ShardId)> = cuts
            .chunks_exact(2)
            .zip(&targets)
            .map(|(pair, to)| (Span::new(pair[0], pair[1]).unwrap(), ShardId::new(to % count)))
            .collect();
        let relocations = Relocations::new(
            single
                .iter()
                .map(|(&id, &to)| Relocation::Briefcase { id, to })
                .chain(spans.iter().map(|&(span, to)| Relocation::Span { span, to })),
        )
        .unwrap();
        let rule = router(&plan);
        let relocated = HashMap::from([(AreaIndex::new(0), relocations)]);
        let router = Router::with_relocations(Arc::clone(&topology), &relocated);
        for id in ids.into_iter().chain(single.keys().copied()) {
            let exception = single.get(&id).copied().or_else(|| {
                spans.iter().find(|(span, _)| span.contains(id.range_key())).map(|(_, to)| *to)
            });
            let answer = route(&router, id);
            if let Some(to) = exception {
                let answer = answer.unwrap();
                prop_assert_eq!(answer.shard_id(), to);
                prop_assert_eq!(answer.placement(), Placement::Relocated);
                prop_assert_eq!(answer.slot().map(Slot::get), plan.slot_of(id));
            } else {
                prop_assert_eq!(answer, route(&rule, id));
            }
        }
    }

    #[test]
    fn azos_hashing_is_as_written_out(era in any::<u32>(), number in any::<u64>(), shards in 1..=256_usize) {
        let id = Gdid::from_era_and_id(era, number);
        prop_assert_eq!(mdb_core::routing::azos::hash_gdid(id), naive_azos(id));
        prop_assert_eq!(ShardKey::from(id).azos_hash(), naive_azos(id));
        let plan = Plan::one_range(HashKind::Azos, shards);
        if !id.is_zero() {
            let found = route(&router(&plan), id).unwrap();
            let expected = naive_azos(id) % shards as u64;
            prop_assert_eq!(u64::from(found.position().get()), expected);
            prop_assert_eq!(found.slot(), None);
        }
    }

    /// XXH3-64 of two libraries that share no code.
    #[test]
    fn the_slot_is_the_top_of_another_librarys_xxh3(bytes in vec(any::<u8>(), 0..600)) {
        let mut other = twox_hash::XxHash3_64::new();
        other.write(&bytes);
        prop_assert_eq!(u64::from(Slot::of_bytes(&bytes).get()), other.finish() >> 52);
    }
}

fn id_below(start: RangeKey) -> Gdid {
    Gdid::new(start.era(), 7, start.counter() - 1).unwrap()
}

#[test]
fn the_slot_agrees_for_every_length() {
    // Each class of lengths has its own branch in XXH3.
    let bytes: Vec<u8> = (0..2_000_u32)
        .map(|place| (place * 37 % 251) as u8)
        .collect();
    for length in 0..bytes.len() {
        let expected = twox_hash::XxHash3_64::oneshot(&bytes[..length]) >> 52;
        assert_eq!(
            u64::from(Slot::of_bytes(&bytes[..length]).get()),
            expected,
            "{length} bytes"
        );
    }
}

#[test]
fn an_ids_slot_takes_all_its_twelve_bytes() {
    let base = Gdid::new(3, 5, 77).unwrap();
    for bit in 0..96 {
        let mut bytes = base.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let plan = Plan::one_range(HashKind::Xxh3, 256);
        let slot = route(&router(&plan), Gdid::from_bytes(bytes))
            .unwrap()
            .slot();
        assert_eq!(slot.map(Slot::get), Some(naive_slot(&bytes)));
        assert_ne!(
            naive_slot(&bytes),
            naive_slot(&base.to_bytes()),
            "bit {bit} counts"
        );
    }
}

#[test]
fn the_slot_tables_are_as_the_rule_builds_them_by_hand() {
    for shards in 1..=256 {
        let table = SlotTable::for_shards(shards).unwrap();
        let naive = naive_slots(shards);
        for slot in 0..4096 {
            let owner = table.owner(Slot::of_hash(slot << 52));
            assert_eq!(
                owner, naive[slot as usize],
                "slot {slot} of {shards} shards"
            );
        }
    }
}

#[test]
fn the_search_agrees_with_a_scan_over_many_starts() {
    for count in [1, 2, 3, 255, 256, 257, 4_096, 65_536_u64] {
        // Uneven steps; the last third in a second era.
        let start = |place: u64| {
            let era = if place * 3 >= count * 2 { 9 } else { 4 };
            RangeKey::new(era, 10 + place * 1_000 + place % 7).unwrap()
        };
        let starts: Vec<RangeKey> = (0..count).map(start).collect();
        let table = RangeTable::new(starts.iter().map(|&start| (start, start)).collect());
        let step = (starts.len() / 100).max(1);
        for &near in starts.iter().step_by(step) {
            for counter in [near.counter() - 1, near.counter(), near.counter() + 1] {
                for era in [3, 4, 5, 9, 10] {
                    let key = RangeKey::new(era, counter).unwrap();
                    let scanned = starts.iter().rev().find(|start| **start <= key);
                    assert_eq!(table.find(key), scanned, "{key} among {count} starts");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "which this topology lacks")]
fn a_relocation_to_a_shard_that_is_not_there_is_refused() {
    let topology = Plan::one_range(HashKind::Xxh3, 3).topology();
    let beyond = ShardId::new(u32::try_from(topology.shards().len()).unwrap());
    let relocation = Relocation::Briefcase {
        id: Gdid::new(0, 0, 5).unwrap(),
        to: beyond,
    };
    let relocations = Relocations::new([relocation]).unwrap();
    let _refused =
        Router::with_relocations(topology, &HashMap::from([(AreaIndex::new(0), relocations)]));
}
