//! Eight tasks that read as fast as they can.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mdb_benches::compare::Comparison;
use mdb_benches::stores::{CONNECTIONS, Store, id, only_shard};
use mdb_core::Gdid;
use mdb_tests::kit::Kind;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Postgres};

use crate::print;
use crate::reading::prepare;

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

pub(crate) async fn eight_tasks() {
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
