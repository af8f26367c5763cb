//! Reading from replicas: in turn, never written to, passed over when they are gone.
//!
//! The replicas here follow nobody: they are databases with the same stamp and rows of their own, so that a test sees
//! which one answered.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mdb_core::{Briefcase, Mdb};
use mdb_tests::kit::{Durability, Server, SharedServer, shared, wait_for};
use mdb_tests::on_engines_with_servers;
use mdb_tests::store::{Limits, SOON, Store, TestEngine};

on_engines_with_servers!(
    replicas_are_read_in_turn_and_nothing_else_is,
    replicas_refuse_to_write,
    a_replica_that_is_gone_is_passed_over,
    a_replica_of_another_shard_is_passed_over,
);

/// How many cents Ann has on each server.
const ON_PRIMARY: i64 = 1;
const ON_REPLICAS: [i64; 2] = [2, 3];

/// The store with its databases on another server.
fn elsewhere<DB: TestEngine>(store: &Store<DB>, server: &Server) -> Mdb {
    store.open_changed(|text| text.replace(&store.server().url_template(), &server.url_template()))
}

/// Initialises the store on another server, with `cents` for the first briefcase of `a0`.
async fn fill<DB: TestEngine>(store: &Store<DB>, server: &Server, cents: i64) {
    let mdb = elsewhere(store, server);
    for (_, report) in mdb.init().await {
        report.unwrap();
    }
    let ann = mdb
        .area::<DB>("user")
        .unwrap()
        .briefcase(store.id_on("a0"))
        .unwrap();
    if DB::number(&ann, "SELECT count(*) FROM account")
        .await
        .is_err()
    {
        DB::run(&ann, DB::CREATE_ACCOUNT).await.unwrap();
    }
    DB::put(&ann, ann.id(), cents).await.unwrap();
}

/// The store with replicas at these servers, sure of where its briefcases are.
async fn with_replicas<DB: TestEngine>(
    store: &Store<DB>,
    replicas: &[&Server],
) -> (Mdb, Briefcase<DB>) {
    let urls: Vec<_> = replicas
        .iter()
        .map(|server| format!("{:?}", server.url_template()))
        .collect();
    let replicas = format!("replicas = [{}]\nmax_connections", urls.join(", "));
    let mdb = store.open_changed(|text| text.replacen("max_connections", &replicas, 1));
    assert!(mdb.join().await);
    let ann = mdb
        .area("user")
        .unwrap()
        .briefcase(store.id_on("a0"))
        .unwrap();
    (mdb, ann)
}

async fn two_replicas<DB: TestEngine>(store: &Store<DB>) -> [SharedServer; 2] {
    let kind = DB::SERVER.unwrap();
    let servers = [
        shared(kind, 1).await.unwrap(),
        shared(kind, 2).await.unwrap(),
    ];
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), ON_PRIMARY).await.unwrap();
    for (server, cents) in servers.iter().zip(ON_REPLICAS) {
        fill(store, server, cents).await;
    }
    servers
}

async fn replicas_are_read_in_turn_and_nothing_else_is<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let [one, other] = two_replicas(&store).await;
    let (_mdb, ann) = with_replicas(&store, &[&one, &other]).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(DB::get(&ann.read(), ann.id()).await.unwrap().unwrap());
        assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(ON_PRIMARY));
        let inside = ann
            .transact(async |tx| Ok(DB::get(&tx, ann.id()).await?))
            .await
            .unwrap();
        assert_eq!(inside, Some(ON_PRIMARY));
    }
    assert_eq!(seen[..2], seen[2..], "in turn");
    assert_eq!(BTreeSet::from_iter(seen), BTreeSet::from(ON_REPLICAS));
    let reading = ann.read();
    let streamed: Vec<_> = DB::numbers(&reading, "SELECT cents FROM account")
        .map(Result::unwrap)
        .collect()
        .await;
    assert!(ON_REPLICAS.contains(&streamed[0]));
}

async fn replicas_refuse_to_write<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let [one, _] = two_replicas(&store).await;
    let (_mdb, ann) = with_replicas(&store, &[&one]).await;
    let error = DB::add(&ann.read(), ann.id(), 100).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::Database(_)), "{error:?}");
    assert_eq!(
        DB::get(&ann.read(), ann.id()).await.unwrap(),
        Some(ON_REPLICAS[0])
    );
}

async fn a_replica_that_is_gone_is_passed_over<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::SHORT).await;
    let [one, _] = two_replicas(&store).await;
    let gone = Server::start(DB::SERVER.unwrap(), Durability::Fast)
        .await
        .unwrap();
    fill(&store, &gone, 9).await;
    gone.kill().await;

    // The next replica answers, and the primary when there is none.
    let (_mdb, ann) = with_replicas(&store, &[&gone, &one]).await;
    let (_other, lonely) = with_replicas(&store, &[&gone]).await;
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(
            DB::get(&ann.read(), ann.id()).await.unwrap(),
            Some(ON_REPLICAS[0])
        );
        assert_eq!(
            DB::get(&lonely.read(), ann.id()).await.unwrap(),
            Some(ON_PRIMARY)
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );

    gone.restart().await.unwrap();
    wait_for("the replica to be read again", SOON, async || {
        DB::get(&lonely.read(), ann.id()).await.unwrap() == Some(9)
    })
    .await;

    // One that stalls takes its connect time-out at the most, when a connection to it has to be opened.
    let (_fresh, fresh) = with_replicas(&store, &[&gone]).await;
    gone.stall();
    let began = Instant::now();
    assert_eq!(
        DB::get(&fresh.read(), ann.id()).await.unwrap(),
        Some(ON_PRIMARY)
    );
    assert!(
        began.elapsed() < Limits::SHORT.connect * 2,
        "{:?}",
        began.elapsed()
    );
    gone.resume();
}

async fn a_replica_of_another_shard_is_passed_over<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let [one, _] = two_replicas(&store).await;
    // On the replica's own server, the database becomes another shard's.
    let there = elsewhere(&store, &one);
    let ann = there
        .area::<DB>("user")
        .unwrap()
        .briefcase(store.id_on("a0"))
        .unwrap();
    DB::run(&ann, "UPDATE mdb_shard SET shard = 1")
        .await
        .unwrap();
    let (_mdb, ann) = with_replicas(&store, &[&one]).await;
    assert_eq!(
        DB::get(&ann.read(), ann.id()).await.unwrap(),
        Some(ON_PRIMARY)
    );
}
