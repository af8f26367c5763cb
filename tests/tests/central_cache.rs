//! The cache of an index: one load for many misses, own writes at once, others' in time, no failures.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mdb_core::{Gdid, Index, IndexError, Mdb};
use mdb_tests::central_fixture::{CentralEngine, CentralStore, CentralTimes, chain};
use mdb_tests::kit::{BlackHole, Durability, Kind, Server, USER, wait_for};
use mdb_tests::on_each_central_engine;
use sqlx::{Connection as _, MySqlConnection, PgConnection};
use tokio::task::JoinSet;

on_each_central_engine!(
    answers_expire_each_in_its_time,
    a_cache_without_room_remembers_nothing,
    every_task_sees_its_own_writes,
);

/// How long anything may take that happens at once on an idle machine.
const LIMIT: Duration = Duration::from_secs(20);

const KEY: &str = "ann@example.org";

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

async fn answers_expire_each_in_its_time(engine: CentralEngine) {
    let times = CentralTimes {
        found: Duration::from_secs(2),
        absent: Duration::from_secs(1),
        ..CentralTimes::LONG
    };
    let store = CentralStore::start(engine, times).await;
    let (here, there) = (store.emails(), store.emails());
    // Open connections, so that what follows is quick.
    there.insert("bob@example.org", id(2)).await.unwrap();
    for (remembered, then, time) in [
        (None, Some(id(1)), times.absent),
        (Some(id(1)), None, times.found),
    ] {
        let asked = Instant::now();
        assert_eq!(here.get(KEY).await.unwrap(), remembered);
        let answered = Instant::now();
        if then.is_some() {
            there.insert(KEY, id(1)).await.unwrap();
        } else {
            there.remove(KEY).await.unwrap();
        }
        let again = here.get(KEY).await.unwrap();
        // A machine that is too slow for the first answer to be remembered proves nothing.
        if asked.elapsed() < time {
            assert_eq!(again, remembered, "another process' write is not seen yet");
            assert_eq!(
                here.get_uncached(KEY).await.unwrap(),
                then,
                "but past the cache"
            );
        }
        wait_for("the answer to expire", LIMIT, async || {
            here.get(KEY).await.unwrap() == then
        })
        .await;
        assert!(
            answered.elapsed() < time + Duration::from_millis(900),
            "it expired after {:?}",
            answered.elapsed()
        );
    }
}

async fn a_cache_without_room_remembers_nothing(engine: CentralEngine) {
    let store = CentralStore::start(engine, CentralTimes::LONG).await;
    let mdb =
        store.open_changed(|text| text.replace("[central.cache]", "[central.cache]\ncapacity = 0"));
    let (here, there) = (mdb.central().index("email"), store.emails());
    for n in 1..=50 {
        assert_eq!(here.get(KEY).await.unwrap(), None);
        there.insert(KEY, id(n)).await.unwrap();
        assert_eq!(here.get(KEY).await.unwrap(), Some(id(n)));
        assert_eq!(here.get_many([KEY]).await.unwrap(), [Some(id(n))]);
        there.remove(KEY).await.unwrap();
    }
}

/// Keys that only one task writes, and what they hold.
struct Model {
    index: Index,
    random: fastrand::Rng,
    keys: Vec<String>,
    holders: HashMap<String, Gdid>,
    next: u64,
}

impl Model {
    fn key(&mut self) -> String {
        self.keys[self.random.usize(..self.keys.len())].clone()
    }

    fn fresh(&mut self) -> Gdid {
        self.next += 1;
        id(self.next)
    }

    async fn assert_is(&self, keys: &[&String]) {
        let expected: Vec<_> = keys
            .iter()
            .map(|key| self.holders.get(*key).copied())
            .collect();
        for (key, holder) in keys.iter().zip(&expected) {
            assert_eq!(self.index.get(*key).await.unwrap(), *holder, "{key}");
        }
        assert_eq!(
            self.index.get_many(keys.iter().copied()).await.unwrap(),
            expected
        );
    }

    /// One random operation, here and in the model, which have to agree.
    async fn step(&mut self) {
        let (key, other) = (self.key(), self.key());
        if self.random.bool() {
            // The cache learns what is about to change.
            self.assert_is(&[&key, &other]).await;
        }
        let holder = self.holders.get(&key).copied();
        match self.random.u8(..5) {
            0 => {
                let id = self.fresh();
                match (self.index.insert(&key, id).await, holder) {
                    (Ok(()), None) => drop(self.holders.insert(key.clone(), id)),
                    (Err(IndexError::Taken { holder: found, .. }), Some(holder)) => {
                        assert_eq!(found, holder)
                    }
                    (result, holder) => panic!("insert: {result:?}, {holder:?}"),
                }
            }
            1 => {
                assert_eq!(self.index.remove(&key).await.unwrap(), holder);
                self.holders.remove(&key);
            }
            2 => {
                let id = self.fresh();
                let claim = match (self.index.claim(&key, id).await, holder) {
                    (Ok(claim), None) => claim,
                    (Err(IndexError::Taken { .. }), Some(_)) => return,
                    (result, holder) => panic!("claim: {result:?}, {holder:?}"),
                };
                self.assert_is(&[&key]).await;
                if self.random.bool() {
                    self.index.confirm(&claim).await.unwrap();
                    self.holders.insert(key.clone(), id);
                } else {
                    assert!(self.index.release(&claim).await.unwrap());
                }
            }
            _ => match (
                self.index.rename(&key, &other).await,
                holder,
                self.holders.get(&other),
            ) {
                (Ok(renamed), Some(holder), _) => {
                    assert_eq!(renamed, holder);
                    self.holders.remove(&key);
                    self.holders.insert(other.clone(), holder);
                }
                (Err(IndexError::NotFound { .. }), None, _) => {}
                (Err(IndexError::Taken { holder: found, .. }), Some(_), Some(taken)) => {
                    assert_eq!(found, *taken)
                }
                (result, holder, taken) => panic!("rename: {result:?}, {holder:?}, {taken:?}"),
            },
        }
        self.assert_is(&[&key, &other]).await;
    }
}

async fn every_task_sees_its_own_writes(engine: CentralEngine) {
    let store = CentralStore::start(engine, CentralTimes::LONG).await;
    let mdb = store.open();
    let index = mdb.central().index("email");
    let shared: Vec<String> = (0..4).map(|n| format!("shared{n}@example.org")).collect();
    let mut writers = JoinSet::new();
    let mut all = shared.clone();
    for task in 0..4 {
        let keys: Vec<String> = (0..8)
            .map(|n| format!("key{n}of{task}@example.org"))
            .collect();
        all.extend_from_slice(&keys);
        let (index, shared) = (index.clone(), shared.clone());
        let random = fastrand::Rng::with_seed(task);
        let mut model = Model {
            index,
            random,
            keys,
            holders: HashMap::new(),
            next: 1_000_000 * (task + 1),
        };
        writers.spawn(async move {
            for _ in 0..150 {
                model.step().await;
                let key = &shared[model.random.usize(..shared.len())];
                let result = match model.random.u8(..4) {
                    0 => model.index.remove(key).await.map(drop),
                    1 => model.index.rename(key, &shared[0]).await.map(drop),
                    2 => model.index.get(key).await.map(drop),
                    _ => model.index.insert(key, id(task + 1)).await,
                };
                match result {
                    Ok(())
                    | Err(
                        IndexError::Taken { .. }
                        | IndexError::NotFound { .. }
                        | IndexError::Renaming { .. },
                    ) => {}
                    Err(error) => panic!("{}", chain(&error)),
                }
            }
        });
    }
    // Readers whose lookups are under way while keys are written.
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for reader in 0..3 {
        let (index, all, done) = (index.clone(), all.clone(), Arc::clone(&done));
        readers.spawn(async move {
            let mut random = fastrand::Rng::with_seed(100 + reader);
            while !done.load(Ordering::Relaxed) {
                index.get(&all[random.usize(..all.len())]).await.unwrap();
                index
                    .get_many(random.choose_multiple(&all, 5))
                    .await
                    .unwrap();
                // An answer from the cache waits for nothing, so it lets nobody else run.
                tokio::task::yield_now().await;
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::Relaxed);
    readers.join_all().await;
    for key in &all {
        assert_eq!(
            index.get(key).await.unwrap(),
            index.get_uncached(key).await.unwrap(),
            "{key}"
        );
    }
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
        mdb.close();
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
        let mdb: Mdb = store.open_changed(|text| {
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
