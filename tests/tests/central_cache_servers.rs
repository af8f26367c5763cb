//! The cache of an index and its servers: one query for many misses, and servers that fail.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mdb_core::{Gdid, IndexError};
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::kit::{BlackHole, Durability, Kind, Server, USER, wait_for};
use sqlx::{Connection as _, MySqlConnection, PgConnection};
use tokio::task::JoinSet;

/// How long anything may take that happens at once on an idle machine.
const LIMIT: Duration = Duration::from_secs(20);

const KEY: &str = "ann@example.org";

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_misses_cause_one_query_on_postgres() {
    a_thousand_misses_cause_one_query(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_misses_cause_one_query_on_mariadb() {
    a_thousand_misses_cause_one_query(Kind::MariaDb).await;
}

/// How many queries all of a server's sessions have run that have ended or lie idle.
async fn queries(server: &Server) -> i64 {
    let url = server.url(USER);
    let mut count = 0;
    match server.kind() {
        Kind::MariaDb => {
            let mut connection = MySqlConnection::connect(&url).await.unwrap();
            let (_, value): (String, String) =
                sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Com_select'")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
            count += value.parse::<i64>().unwrap();
        }
        Kind::Postgres => {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            // A session reports what it did when it ends, at the latest.
            wait_for("the sessions to end", LIMIT, async || {
                sqlx::query_scalar::<_, i64>(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'central%'",
                )
                .fetch_one(&mut connection)
                .await
                .unwrap()
                    == 0
            })
            .await;
            count += sqlx::query_scalar::<_, i64>(
                "SELECT CAST(sum(xact_commit) AS BIGINT) FROM pg_stat_database WHERE datname LIKE 'central%'",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
        }
    }
    count
}

/// How many queries it costs that many callers miss one key, in a process of their own.
async fn cost_of_misses(server: &Server, store: &CentralStore, callers: usize) -> i64 {
    let mut least = i64::MAX;
    // The server's own housekeeping may count, but not each time.
    for _ in 0..3 {
        let before = queries(server).await;
        let mdb = store.open();
        let index = mdb.central().index("email");
        let waiting = Arc::new(AtomicUsize::new(0));
        server.stall();
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (index, waiting) = (index.clone(), Arc::clone(&waiting));
            tasks.spawn(async move {
                waiting.fetch_add(1, Ordering::Relaxed);
                index.get(KEY).await
            });
        }
        wait_for("all callers to wait", LIMIT, async || {
            waiting.load(Ordering::Relaxed) == callers
        })
        .await;
        server.resume();
        for holder in tasks.join_all().await {
            assert_eq!(holder.unwrap(), Some(id(1)));
        }
        mdb.close().await;
        drop((index, mdb));
        least = least.min(queries(server).await - before);
    }
    least
}

async fn a_thousand_misses_cause_one_query(kind: Kind) {
    let server = Server::start(kind, Durability::Fast).await.unwrap();
    let store = CentralStore::on(&server, CentralTimes::LONG).await;
    store.emails().insert(KEY, id(1)).await.unwrap();
    let one = cost_of_misses(&server, &store, 1).await;
    assert!(one >= 1);
    assert_eq!(
        cost_of_misses(&server, &store, 1000).await,
        one,
        "a thousand cost what one costs"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_leaves_other_keys_in_the_cache() {
    let server = Server::start(Kind::MariaDb, Durability::Fast)
        .await
        .unwrap();
    let store = CentralStore::on(&server, CentralTimes::LONG).await;
    let index = store.emails();
    let keys: Vec<String> = (0..1000).map(|n| format!("user{n}@example.org")).collect();
    index.get_many(&keys).await.unwrap();
    for n in 0..300 {
        index
            .insert(&format!("other{n}@example.org"), id(n + 1))
            .await
            .unwrap();
    }
    let before = queries(&server).await;
    for key in &keys {
        assert_eq!(index.get(key).await.unwrap(), None);
    }
    let asked = queries(&server).await - before;
    assert!(
        asked < 50,
        "{asked} of 1,000 keys had to be looked up again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failures_of_postgres_are_not_remembered() {
    failures_are_not_remembered(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failures_of_mariadb_are_not_remembered() {
    failures_are_not_remembered(Kind::MariaDb).await;
}

async fn failures_are_not_remembered(kind: Kind) {
    let server = Server::start(kind, Durability::Fast).await.unwrap();
    let store = CentralStore::on(&server, CentralTimes::LONG).await;
    let index = store.emails();
    index.insert(KEY, id(1)).await.unwrap();
    index.insert("bob@example.org", id(2)).await.unwrap();
    assert_eq!(index.get("bob@example.org").await.unwrap(), Some(id(2)));

    server.kill().await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let index = index.clone();
        tasks.spawn(async move { index.get(KEY).await });
    }
    for failed in tasks.join_all().await {
        let error = failed.unwrap_err();
        assert!(
            matches!(error, IndexError::Database { .. }) && error.is_transient(),
            "{error:?}"
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "a dead server fails at once: {:?}",
        began.elapsed()
    );
    assert_eq!(
        index.get("bob@example.org").await.unwrap(),
        Some(id(2)),
        "what is cached needs no server"
    );

    server.restart().await.unwrap();
    assert_eq!(
        index.get(KEY).await.unwrap(),
        Some(id(1)),
        "the first call after the restart"
    );

    // A caller that gives up leaves the others their answer.
    server.stall();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let index = index.clone();
            tokio::spawn(async move { index.get("carol@example.org").await })
        })
        .collect();
    tokio::task::yield_now().await;
    asking[0].abort();
    server.resume();
    for task in asking.into_iter().skip(1) {
        assert_eq!(task.await.unwrap().unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let hole = BlackHole::start().await.unwrap();
    for scheme in ["postgres", "mysql"] {
        let store = CentralStore::at(&format!(
            "{scheme}://mdb:mdb@127.0.0.1:{}/{{database}}",
            hole.port()
        ));
        let mdb = store.open_changed(|text| {
            text.replace("[defaults]", "[defaults]\nconnect_timeout_ms = 500")
        });
        let began = Instant::now();
        let error = mdb.central().index("email").get(KEY).await.unwrap_err();
        assert!(matches!(error, IndexError::Database { .. }), "{error:?}");
        let took = began.elapsed();
        assert!(
            took < Duration::from_millis(900),
            "waited {took:?} instead of half a second"
        );
    }
}
