//! Processes that moves wait for, and those that a person knows to be dead.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mdb_core::config::EngineKind;
use mdb_core::error::chain;
use mdb_core::relocate::{ForgetError, LeftoverState, Process};
use mdb_core::{Briefcase, Mdb, TransactionError, TransactionOptions, cause_of};
use mdb_tests::bank::{Bank, Place, SUM, Teller, sum_of};
use mdb_tests::store::TestEngine;
use mdb_tests::{on_all_engines, on_engines_with_servers};
use sqlx::Sqlite;
use tokio::runtime::Runtime;

on_all_engines!(
    who_is_registered_is_listed,
    who_has_left_is_not_registered,
    what_was_kept_because_of_the_dead_can_go,
);
on_engines_with_servers!(who_has_died_is_forgotten_after_a_day);

/// The name of a process that has died.
const DEAD: &str = "mdb-dead";

/// Registers a process whose lease ran out so long ago.
async fn register_dead<DB: TestEngine>(place: &Place<DB>, name: &str, ago: Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ended = now.saturating_sub(ago).as_millis();
    let dead = format!(
        "INSERT INTO mdb_router (router, acknowledged, lease_until, waits_for, place) \
         VALUES ('{name}', 0, {ended}, NULL, 'process 7 on a machine')"
    );
    let catalog = place.bank.catalog_url();
    DB::run_at(&catalog, &[dead]).await.unwrap();
}

async fn processes(mdb: &Mdb) -> Vec<Process> {
    mdb.relocator().processes().await.unwrap()
}

async fn who_has_left_is_not_registered<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let service = place.bank.open();
    assert!(service.join().await);
    service.leave().await;
    assert!(!service.join().await);
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

#[test]
fn a_store_whose_runtime_has_ended_is_not_registered() {
    let first = runtime();
    let (_bank, mdb) = first.block_on(async {
        let bank = Bank::<Sqlite>::start().await;
        let mdb = bank.open();
        assert!(mdb.join().await);
        (bank, mdb)
    });
    drop(first);
    assert!(!runtime().block_on(mdb.join()));
}

#[test]
fn who_hears_nothing_of_moves_is_told_that() {
    let runtime = runtime();
    let bank = runtime.block_on(Bank::<Sqlite>::start());
    // Without a runtime nobody asks the catalog.
    let mdb = bank.open();
    let error = runtime.block_on(async {
        assert!(!mdb.join().await);
        let id = bank.customers(&mdb, 0, 1).await[0];
        let has_moved = "UPDATE mdb_shard SET least_epoch = 7".to_owned();
        Sqlite::run_at(&bank.url(0), &[has_moved]).await.unwrap();
        let shortly = TransactionOptions::new().timeout(Duration::from_millis(200));
        let teller = Teller::<Sqlite>::new(&mdb);
        teller.briefcase(id).begin_with(&shortly).await.unwrap_err()
    });
    let refusal = cause_of::<TransactionError>(&error);
    assert!(
        matches!(refusal, Some(TransactionError::Unheard { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains("runtime"), "{error}");
}

async fn who_is_registered_is_listed<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    register_dead(&place, DEAD, Duration::from_hours(1)).await;
    let service = place.bank.open();
    assert!(service.join().await);

    let found = processes(&place.mdb).await;
    let (dead, alive): (Vec<&Process>, Vec<&Process>) =
        found.iter().partition(|process| process.id() == DEAD);
    let ([dead], [alive, _]) = (&dead[..], &alive[..]) else {
        panic!("{found:?}");
    };
    assert_eq!(dead.place(), "process 7 on a machine");
    assert!(dead.lease().is_none() && dead.silent_for().is_some());
    assert_eq!(
        dead.acknowledged().map(mdb_core::catalog::Epoch::get),
        Some(0)
    );
    assert!(alive.lease().is_some() && alive.silent_for().is_none());
    let here = format!("process {} on ", std::process::id());
    assert!(alive.place().starts_with(&here), "{alive:?}");

    let relocator = place.mdb.relocator();
    let forgotten = relocator.forget_process(alive.id()).await;
    assert!(
        matches!(forgotten, Err(ForgetError::Alive { .. })),
        "{forgotten:?}"
    );
    let forgotten = relocator.forget_process("nobody").await;
    assert!(
        matches!(forgotten, Err(ForgetError::Unknown { .. })),
        "{forgotten:?}"
    );
    relocator.forget_process(DEAD).await.unwrap();
    let left = processes(&place.mdb).await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|process| process.id() != DEAD), "{left:?}");
    // Whoever is alive stays in touch.
    let teller = Teller::<DB>::new(&service);
    let briefcase: Briefcase<DB> = teller.briefcase(place.ids[0]);
    let sum = DB::number(&briefcase, &sum_of::<DB>(place.ids[0])).await;
    assert_eq!(sum.unwrap(), SUM);
}

async fn what_was_kept_because_of_the_dead_can_go<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    register_dead(&place, DEAD, Duration::from_hours(1)).await;
    place.carry_to(1).await;
    let relocator = place.mdb.relocator();
    let found = processes(&place.mdb).await;
    let dead = found.iter().find(|process| process.id() == DEAD).unwrap();
    assert_eq!(dead.acknowledged(), None, "it was shut out");
    let awaited = relocator.clean().await.unwrap();
    // Elsewhere its sessions were ended, so that nothing has to stay for it.
    let is_awaited = awaited
        .iter()
        .any(|leftover| leftover.state() == LeftoverState::Awaited);
    assert_eq!(is_awaited, DB::KIND == EngineKind::Sqlite, "{awaited:?}");

    let forgotten = relocator.forget_process(DEAD).await;
    forgotten.unwrap_or_else(|error| panic!("{}", chain(&error)));
    relocator.clean().await.unwrap();
    let left = relocator.clean().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

async fn who_has_died_is_forgotten_after_a_day<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    register_dead(&place, "mdb-long-dead", Duration::from_hours(25)).await;
    register_dead(&place, DEAD, Duration::from_hours(23)).await;
    place.carry_to(1).await;
    let found = processes(&place.mdb).await;
    let [dead] = &found
        .iter()
        .filter(|process| process.lease().is_none())
        .collect::<Vec<_>>()[..]
    else {
        panic!("{found:?}");
    };
    assert_eq!((dead.id(), dead.acknowledged()), (DEAD, None));
}
