//! Sequences of a store: ids over many tasks and processes, after crashes, and refused.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::{Gdid, SequenceError};
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::kit::{Durability, Kind, Server, wait_for};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

on_all_engines!(
    no_id_is_issued_twice,
    a_new_process_goes_on_above,
    many_ids_are_taken_at_once,
    a_sequence_that_is_not_declared_is_refused,
    a_store_that_is_not_ready_issues_nothing,
);

/// How many ids a process takes from CENTRAL at a time; the fixture says so.
const BLOCK: u64 = 100;

async fn no_id_is_issued_twice<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let processes: Vec<_> = (0..4).map(|_| store.open()).collect();
    let mut tasks = JoinSet::new();
    for mdb in &processes {
        for _ in 0..5 {
            let sequence = mdb.sequence("user");
            tasks.spawn(async move {
                let mut ids = Vec::with_capacity(1000);
                for _ in 0..1000 {
                    match sequence.next().await {
                        Ok(id) => ids.push(id),
                        Err(error) => panic!("{}", chain(&error)),
                    }
                }
                ids
            });
        }
    }
    let mut all = HashSet::with_capacity(20_000);
    for ids in tasks.join_all().await {
        assert!(ids.is_sorted(), "ids ascend in each process");
        for id in ids {
            assert_ne!(id, Gdid::ZERO);
            assert_eq!((id.era(), id.authority().get()), (0, 0));
            assert!(all.insert(id), "{id} was issued twice");
        }
    }
    assert_eq!(all.len(), 20_000);
    let last = all.iter().map(|id| id.counter()).max().unwrap();
    assert!(
        last <= 20_000 + 4 * 20 * BLOCK,
        "only the rests of blocks are lost, not up to {last}"
    );
}

async fn a_new_process_goes_on_above<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mut last = Gdid::ZERO;
    for _ in 0..3 {
        let mdb = store.open();
        for name in ["user", "User", "USER"] {
            let id = mdb.sequence(name).next().await.unwrap();
            assert!(id > last, "{id} after {last}");
            last = id;
        }
    }
    assert_eq!(
        last.counter(),
        2 * BLOCK + 3,
        "one sequence, whatever the letter case, a block for each process"
    );
}

async fn many_ids_are_taken_at_once<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let sequence = store.open().sequence("user");
    let mut ids = vec![sequence.next().await.unwrap()];
    ids.extend(sequence.take(2_500).await.unwrap());
    ids.push(sequence.next().await.unwrap());
    let counters: Vec<u64> = ids.iter().map(|id| id.counter()).collect();
    assert_eq!(
        counters,
        (1..=2_502).collect::<Vec<_>>(),
        "nobody else took one"
    );
    assert_eq!(sequence.take(0).await.unwrap(), []);
}

async fn a_sequence_that_is_not_declared_is_refused<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let sequence = store.open().sequence("usre");
    for error in [
        sequence.next().await.unwrap_err(),
        sequence.take(3).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, SequenceError::Unknown { name } if name == "usre"),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("[[sequence]]"),
            "says what to do: {error}"
        );
        assert!(!error.is_transient());
    }
}

async fn a_store_that_is_not_ready_issues_nothing<DB: TestEngine>() {
    let store = CentralStore::without_databases::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let error = mdb.sequence("user").next().await.unwrap_err();
    assert!(matches!(&error, SequenceError::Allocate(_)), "{error:?}");
    for (_, report) in mdb.init().await {
        report.unwrap();
    }
    assert_eq!(
        mdb.sequence("user").next().await.unwrap(),
        Gdid::new(0, 0, 1).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_id_comes_again_after_postgres_was_killed() {
    no_id_comes_again_after_a_kill(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_id_comes_again_after_mariadb_was_killed() {
    no_id_comes_again_after_a_kill(Kind::MariaDb).await;
}

/// Kills the server again and again while two processes take ids.
async fn no_id_comes_again_after_a_kill(kind: Kind) {
    let server = Server::start(kind, Durability::Fast).await.unwrap();
    let store = CentralStore::on(&server, CentralTimes::LONG).await;
    let killed = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for mdb in [store.open(), store.open()] {
        let (sequence, killed) = (mdb.sequence("user"), Arc::clone(&killed));
        tasks.spawn(async move {
            let (mut ids, mut failures) = (Vec::new(), 0);
            while !killed.load(Ordering::Relaxed) {
                match sequence.next().await {
                    Ok(id) => ids.push(id),
                    Err(SequenceError::Allocate(error)) => {
                        assert!(error.is_transient(), "{}", chain(&error));
                        failures += 1;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            (ids, failures)
        });
    }
    let probe = store.open().sequence("user");
    let mut own = Vec::new();
    for _ in 0..3 {
        server.kill().await;
        server.restart().await.unwrap();
        wait_for(
            "ids to be issued again",
            Duration::from_secs(20),
            async || {
                let taken = probe.take(1000).await;
                own.extend(taken.as_ref().ok().into_iter().flatten().copied());
                taken.is_ok()
            },
        )
        .await;
    }
    killed.store(true, Ordering::Relaxed);
    let mut all: HashSet<Gdid> = HashSet::new();
    assert!(own.is_sorted() && own.iter().all(|id| all.insert(*id)));
    for (ids, failures) in tasks.join_all().await {
        assert!(failures > 0, "no attempt met the server while it was down");
        assert!(ids.is_sorted());
        for id in ids {
            assert!(all.insert(id), "{id} was issued twice");
        }
    }
}
