//! Criterion's view of routing: the search, the whole route, and other ways to search.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mdb_benches::floors::{BranchFree, Flat, Peer, Scan, Tree, ids, live_area, range_table};

/// How many ids one iteration routes.
const IDS: usize = 4_096;

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search");
    group.throughput(Throughput::Elements(IDS as u64));
    for partitions in [16, 256, 4_096, 65_536] {
        let ids = ids(partitions, IDS);
        let (table, floor) = (range_table(partitions), BranchFree::new(partitions));
        group.bench_function(BenchmarkId::new("range table", partitions), |bencher| {
            bencher.iter(|| {
                for &id in &ids {
                    black_box(table.find(black_box(id).range_key()));
                }
            });
        });
        group.bench_function(BenchmarkId::new("branch-free", partitions), |bencher| {
            bencher.iter(|| {
                for &id in &ids {
                    black_box(floor.find(black_box(id).counter()));
                }
            });
        });
    }
    group.finish();
}

fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for partitions in [1, 16, 256, 4_096, 65_536] {
        let all = ids(partitions, IDS);
        let ids = &all[..IDS.min(16_000_000 / partitions)];
        group.throughput(Throughput::Elements(ids.len() as u64));
        let (_live, area) = live_area(partitions);
        group.bench_function(BenchmarkId::new("area handle", partitions), |bencher| {
            bencher.iter(|| {
                for &id in ids {
                    black_box(area.route(black_box(id)).ok());
                }
            });
        });
        macro_rules! against {
            ($name:literal, $other:expr) => {
                let other = $other;
                group.bench_function(BenchmarkId::new($name, partitions), |bencher| {
                    bencher.iter(|| {
                        for &id in ids {
                            let _route = black_box(other.route(black_box(id)));
                        }
                    });
                });
            };
        }
        against!(
            "flat steps",
            Flat::new(BranchFree::new(partitions), partitions)
        );
        against!(
            "BTreeMap::range",
            Peer::new(Tree::new(partitions), partitions)
        );
        against!("linear scan", Peer::new(Scan::new(partitions), partitions));
    }
    group.finish();
}

criterion_group!(benches, search, route);
criterion_main!(benches);
