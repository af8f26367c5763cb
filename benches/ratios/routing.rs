//! The search, the whole route, and routers that search in other ways.

use std::hint::black_box;

use mdb_benches::compare::{Comparison, in_turn};
use mdb_benches::floors::{
    BranchFree, Flat, Peer, PeerRoute, Scan, Tree, ids, live_area, range_table,
};
use mdb_core::Gdid;
use mdb_core::catalog::LiveArea;
use mdb_core::routing::Route;

use crate::print;

/// How many ids one run routes.
const IDS: usize = 4_096;

fn per_id(comparison: Comparison, ids: usize) -> Comparison {
    comparison.per(u32::try_from(ids).unwrap())
}

pub(crate) fn search() {
    let ids = ids(IDS, IDS);
    let (table, floor) = (range_table(IDS), BranchFree::new(IDS));
    let comparison = in_turn(
        501,
        || {
            for &id in &ids {
                black_box(table.find(black_box(id).range_key()));
            }
        },
        || {
            for &id in &ids {
                black_box(floor.find(black_box(id).counter()));
            }
        },
    );
    print(
        "search 4096 / branch-free",
        per_id(comparison, ids.len()),
        Some(1.15),
    );
}

/// Routes the ids by the area's handle and by the other way, in turn.
fn against<T>(
    rounds: usize,
    area: &LiveArea,
    ids: &[Gdid],
    other: impl Fn(Gdid) -> T,
) -> Comparison {
    let comparison = in_turn(
        rounds,
        || {
            for &id in ids {
                black_box(area.route(black_box(id)).map(Route::shard_id).ok());
            }
        },
        || {
            for &id in ids {
                black_box(other(black_box(id)));
            }
        },
    );
    per_id(comparison, ids.len())
}

pub(crate) fn route() {
    for partitions in [1, 16, 256, 4_096, 65_536] {
        let all = ids(partitions, IDS);
        let (_live, area) = live_area(partitions);
        let flat = Flat::new(BranchFree::new(partitions), partitions);
        let limit = (partitions == 4_096).then_some(1.3);
        let name = format!("route {partitions} / flat steps");
        print(&name, against(501, &area, &all, |id| flat.route(id)), limit);
        let tree = Peer::new(Tree::new(partitions), partitions);
        let shard = |route: PeerRoute| route.shard;
        let comparison = against(501, &area, &all, |id| tree.route(id).map(shard).ok());
        print(
            &format!("route {partitions} / BTreeMap::range"),
            comparison,
            Some(1.0),
        );
        let scan = Peer::new(Scan::new(partitions), partitions);
        let few = &all[..all.len().min(4_000_000 / partitions)];
        let comparison = against(501.min(800_000 / partitions).max(51), &area, few, |id| {
            scan.route(id).map(shard).ok()
        });
        print(
            &format!("route {partitions} / linear scan"),
            comparison,
            Some(1.0),
        );
    }
}
