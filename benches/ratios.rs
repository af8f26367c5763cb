//! All ratios as one table: `cargo bench -p mdb-benches --bench ratios [-- NAME…]`.
//!
//! Both sides of a row run in turn in one process. The limits are those of `README.md`; a ratio
//! above its limit is marked, and the exit code is 0 all the same: machines differ.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench may panic, and counts only a few million"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mdb_benches::compare::{Comparison, in_turn, in_turn_async};
use mdb_benches::floors::{
    BranchFree, Flat, Peer, PeerRoute, Scan, Tree, ids, live_area, range_table,
};
use mdb_benches::stores::{CONNECTIONS, Store, bare, id, only_shard, sqlite_reader};
use mdb_core::Gdid;
use mdb_core::catalog::LiveArea;
use mdb_core::routing::Route;
use mdb_tests::kit::Kind;
use moka::Expiry;
use moka::future::Cache;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, MySql, Postgres, Sqlite};

/// How many ids one run routes.
const IDS: usize = 4_096;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    println!(
        "{:<34} {:>12} {:>12} {:>7}  limit",
        "name", "ours", "against", "ratio"
    );
    if is_wanted("search") {
        search();
    }
    if is_wanted("route") {
        route();
    }
    // One thread asks and waits: what is measured is a statement's way, not how threads are woken.
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if is_wanted("read sqlite") {
        one.block_on(read_sqlite());
    }
    if is_wanted("read postgres") {
        one.block_on(read_postgres());
    }
    if is_wanted("read mariadb") {
        one.block_on(read_mariadb());
    }
    if is_wanted("central") {
        one.block_on(central_hit());
    }
    drop(one);
    if is_wanted("8 tasks") {
        let several = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        several.block_on(eight_tasks());
    }
}

fn print(name: &str, comparison: Comparison, limit: Option<f64>) {
    let (ours, against, ratio) = (comparison.ours(), comparison.against(), comparison.ratio());
    let limit = match limit {
        None => String::new(),
        Some(limit) if ratio <= limit => format!("≤ {limit:.2}"),
        Some(limit) => format!("≤ {limit:.2}  missed"),
    };
    let shown = |side: f64| {
        if against < 5e-6 {
            format!("{:.1} ns", side * 1e9)
        } else {
            format!("{:.2} µs", side * 1e6)
        }
    };
    println!(
        "{name:<34} {:>12} {:>12} {ratio:>7.3}  {limit}",
        shown(ours),
        shown(against)
    );
}

fn per_id(comparison: Comparison, ids: usize) -> Comparison {
    comparison.per(u32::try_from(ids).unwrap())
}

fn search() {
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

fn route() {
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

/// How many single reads are timed on each side.
const READS: usize = 20_000;

macro_rules! prepare {
    ($store:expr, $database:ty, $key:literal, $insert:literal) => {{
        let area = $store.area::<$database>();
        let shard = only_shard(&area).await;
        let create = format!(
            "CREATE TABLE account (g_user {} PRIMARY KEY, name VARCHAR(80) NOT NULL)",
            $key
        );
        sqlx::query(&create).execute(&shard).await.unwrap();
        for row in 0..mdb_benches::stores::ROWS {
            let tx = area.briefcase(id(row)).unwrap();
            let name = format!("account {row}");
            sqlx::query($insert)
                .bind(id(row))
                .bind(name)
                .execute(&tx)
                .await
                .unwrap();
        }
        (area, shard)
    }};
}

macro_rules! compare_reads {
    ($engine:literal, $area:expr, $shard:expr, $bare:expr, $select:literal, $limit:expr) => {{
        let (area, shard, pool) = (&$area, &$shard, &$bare);
        // Both sides of a round read the same row.
        let row = AtomicU64::new(0);
        let next = || id(row.fetch_add(1, Ordering::Relaxed) / 2 * 7);
        let briefcase = async || {
            let id = next();
            let briefcase = area.briefcase(id).unwrap();
            let name: String = sqlx::query_scalar($select)
                .bind(id)
                .fetch_one(&briefcase)
                .await
                .unwrap();
            black_box(name);
        };
        let handle = async || {
            let id = next();
            let name: String = sqlx::query_scalar($select)
                .bind(id)
                .fetch_one(shard)
                .await
                .unwrap();
            black_box(name);
        };
        let bare = async || {
            let id = next();
            let mut connection = pool.get().await.unwrap();
            let name: String = sqlx::query_scalar($select)
                .bind(id)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            black_box(name);
        };
        let comparison = in_turn_async(READS, briefcase, handle).await;
        print(
            concat!("read ", $engine, " / same pool"),
            comparison,
            Some($limit),
        );
        let comparison = in_turn_async(READS, briefcase, bare).await;
        print(concat!("read ", $engine, " / bare pool"), comparison, None);
    }};
}

async fn read_sqlite() {
    let store = Store::sqlite().await;
    let (area, shard) = prepare!(store, Sqlite, "BLOB", "INSERT INTO account VALUES (?, ?)");
    let pool = bare(sqlite_reader(&store));
    compare_reads!(
        "sqlite",
        area,
        shard,
        pool,
        "SELECT name FROM account WHERE g_user = ?",
        1.03
    );
}

async fn read_postgres() {
    let store = Store::on(Kind::Postgres).await;
    let (area, shard) = prepare!(
        store,
        Postgres,
        "BYTEA",
        "INSERT INTO account VALUES ($1, $2)"
    );
    let pool = bare(PgConnectOptions::from_url(&store.url().parse().unwrap()).unwrap());
    compare_reads!(
        "postgres",
        area,
        shard,
        pool,
        "SELECT name FROM account WHERE g_user = $1",
        1.01
    );
}

async fn read_mariadb() {
    let store = Store::on(Kind::MariaDb).await;
    let (area, shard) = prepare!(
        store,
        MySql,
        "BINARY(12)",
        "INSERT INTO account VALUES (?, ?)"
    );
    let pool = bare(MySqlConnectOptions::from_url(&store.url().parse().unwrap()).unwrap());
    compare_reads!(
        "mariadb",
        area,
        shard,
        pool,
        "SELECT name FROM account WHERE g_user = ?",
        1.01
    );
}

/// How long one window of the throughput comparison is.
const WINDOW: Duration = Duration::from_millis(300);

/// How many windows each contender gets.
const WINDOWS: usize = 21;

/// Runs `read` from as many tasks as there are connections; gives the time per read.
async fn window<F, Fut>(start: impl Fn(u64) -> F) -> Duration
where
    F: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let (stop, reads) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let started = Instant::now();
    let tasks: Vec<_> = (0..u64::from(CONNECTIONS))
        .map(|task| {
            let (stop, reads, mut read) = (Arc::clone(&stop), Arc::clone(&reads), start(task));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    read().await;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(WINDOW).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    started
        .elapsed()
        .div_f64(reads.load(Ordering::Relaxed) as f64)
}

async fn eight_tasks() {
    const SELECT: &str = "SELECT name FROM account WHERE g_user = $1";
    let store = Store::on(Kind::Postgres).await;
    let (area, _shard) = prepare!(
        store,
        Postgres,
        "BYTEA",
        "INSERT INTO account VALUES ($1, $2)"
    );
    let options = PgConnectOptions::from_url(&store.url().parse().unwrap()).unwrap();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(Arc::new(tokio::sync::Mutex::new(
            options.connect().await.unwrap(),
        )));
    }
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect_with(options)
        .await
        .unwrap();

    let (mut ours, mut against_held, mut against_pool) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..WINDOWS {
        let area = &area;
        ours.push(
            window(|task| {
                let (area, mut row) = (area.clone(), task * 100);
                move || {
                    row += 1;
                    let area = area.clone();
                    async move { read_routed(&area, id(row), SELECT).await }
                }
            })
            .await,
        );
        let held = &held;
        against_held.push(
            window(|task| {
                let connection = Arc::clone(&held[usize::try_from(task).unwrap()]);
                let mut row = task * 100;
                move || {
                    row += 1;
                    let connection = Arc::clone(&connection);
                    async move {
                        let mut connection = connection.lock().await;
                        let name: String = sqlx::query_scalar(SELECT)
                            .bind(id(row))
                            .fetch_one(&mut *connection)
                            .await
                            .unwrap();
                        black_box(name);
                    }
                }
            })
            .await,
        );
        let pool = &pool;
        against_pool.push(
            window(|task| {
                let (pool, mut row) = (pool.clone(), task * 100);
                move || {
                    row += 1;
                    let pool = pool.clone();
                    async move {
                        let name: String = sqlx::query_scalar(SELECT)
                            .bind(id(row))
                            .fetch_one(&pool)
                            .await
                            .unwrap();
                        black_box(name);
                    }
                }
            })
            .await,
        );
    }
    // Time per read is the inverse of throughput.
    let held = Comparison::of(ours.clone(), against_held);
    let pool = Comparison::of(ours, against_pool);
    print("8 tasks postgres / held", held, Some(1.0 / 0.85));
    print("8 tasks postgres / sqlx pool", pool, Some(1.0 / 1.5));
}

async fn read_routed(area: &mdb_core::Area<Postgres>, id: Gdid, select: &str) {
    let briefcase = area.briefcase(id).unwrap();
    let name: String = sqlx::query_scalar(select)
        .bind(id)
        .fetch_one(&briefcase)
        .await
        .unwrap();
    black_box(name);
}

/// What the cache keeps for a key, field by field.
#[derive(Clone, Copy)]
struct Kept {
    holder: Option<Gdid>,
    _keep: bool,
    _writes: u64,
}

struct Hour;

impl Expiry<Vec<u8>, Kept> for Hour {
    fn expire_after_create(&self, _: &Vec<u8>, _: &Kept, _: Instant) -> Option<Duration> {
        Some(Duration::from_hours(1))
    }
}

async fn central_hit() {
    let store = Store::sqlite().await;
    let index = store.mdb().central().index("plain");
    let folded = store.mdb().central().index("folded");
    let keys: Vec<String> = (0..1_000)
        .map(|row| format!("account{row}@example.org"))
        .collect();
    let build = || Cache::builder().max_capacity(100_000);
    let hasher = foldhash::fast::RandomState::default;
    let bare: Cache<Vec<u8>, Kept, _> = build().build_with_hasher(hasher());
    let expiring: Cache<Vec<u8>, Kept, _> = build().expire_after(Hour).build_with_hasher(hasher());
    for (row, key) in (0..).zip(&keys) {
        index.insert(key.as_str(), id(row)).await.unwrap();
        folded.insert(key.as_str(), id(row)).await.unwrap();
        let kept = Kept {
            holder: Some(id(row)),
            _keep: true,
            _writes: row,
        };
        bare.insert(key.clone().into_bytes(), kept).await;
        expiring.insert(key.clone().into_bytes(), kept).await;
    }
    let ours = async |index: &mdb_core::Index| {
        for key in &keys {
            black_box(index.get(black_box(key.as_str())).await.unwrap());
        }
    };
    let theirs = async |cache: &Cache<Vec<u8>, Kept, foldhash::fast::RandomState>| {
        for key in &keys {
            black_box(cache.get(black_box(key.as_bytes())).await.unwrap().holder);
        }
    };
    let per_key = |comparison: Comparison| comparison.per(1_000);
    let comparison = in_turn_async(
        1_001,
        async || ours(&index).await,
        async || theirs(&expiring).await,
    )
    .await;
    print(
        "central hit / moka get, expiring",
        per_key(comparison),
        Some(1.1),
    );
    let comparison = in_turn_async(
        1_001,
        async || ours(&index).await,
        async || theirs(&bare).await,
    )
    .await;
    print(
        "central hit / moka get, no expiry",
        per_key(comparison),
        None,
    );
    let comparison = in_turn_async(
        1_001,
        async || ours(&folded).await,
        async || theirs(&expiring).await,
    )
    .await;
    print("central hit, folded / moka get", per_key(comparison), None);
}
