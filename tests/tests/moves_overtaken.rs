//! What others do to a move or to its briefcases while it is under way is noticed in time.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::failpoint::{Failure, Halt, HaltSide, Outcome, fail_at};
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePhase, MoveProgress, PlanError, Refusal, TakeOver,
};
use mdb_tests::bank::{Place, id, literal};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::Postgres;

on_all_engines!(
    who_was_undone_meanwhile_is_not_resumed,
    a_shard_that_is_still_being_emptied_is_no_target,
    a_decided_move_ends_whatever_became_of_the_schemas,
    tables_in_any_order_are_deleted_by_whoever_comes_next,
    a_table_that_has_gone_keeps_no_move_from_being_undone,
);

/// The announcement's place among the steps of a move; before it, the move was written down and both sides were marked.
const ANNOUNCEMENT: usize = 4;

/// The place of the copy among them, when nobody writes.
const COPIED: usize = 12;

/// Far less than movers have patience for.
const SOON: Duration = Duration::from_secs(30);

fn at_once() -> MoveOptions {
    MoveOptions::new().take_over(TakeOver::FromAnybody)
}

/// It had looked at the move before that was undone, and takes it over then.
async fn who_was_undone_meanwhile_is_not_resumed<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let there = place.plan_to(1).await;
    let died = fail_at(Failure::Death, COPIED, place.run(&there)).await;
    assert!(matches!(died, Outcome::Died), "{died:?}");
    let id = place.moves().await[0].id().to_owned();

    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    let taking_over = Halt::new(1, HaltSide::Before);
    let resumed = taking_over.scope(relocator.resume(&id, &options, &progress));
    let undone = async {
        taking_over.reached().await;
        let undone = relocator.abort(&id, &options).await;
        undone.unwrap_or_else(|error| panic!("{}", chain(&error)));
        taking_over.go_on();
    };
    let (resumed, ()) = tokio::join!(resumed, undone);
    match resumed {
        Err(MoveError::WrongPhase { phase, .. }) => assert_eq!(phase, MovePhase::Aborted),
        other => panic!("{other:?}"),
    }
    assert_eq!(place.moves().await[0].phase(), MovePhase::Aborted);
    place.is_whole(0).await;
    place.carry_to(1).await;
    place.is_whole(1).await;
}

/// An old plan brings a briefcase to where it was, while the move that took it from there has not deleted it yet.
async fn a_shard_that_is_still_being_emptied_is_no_target<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let old = place.plan_to(1).await;
    place.carry_to(1).await;

    let announcing = Halt::new(ANNOUNCEMENT, HaltSide::Before);
    let late = announcing.scope(place.run(&old));
    let others = async {
        announcing.reached().await;
        let is_purging = async || place.is_in(MovePhase::Purging).await;
        place.killed_when(0, is_purging).await;
        announcing.go_on();
    };
    let (late, ()) = tokio::join!(late, others);
    let records = place.moves().await;
    let emptying = records.iter().find(|record| !record.phase().is_over());
    let emptying = emptying.unwrap().id();
    match late {
        Err(MoveError::InMotion { id, by }) => {
            assert_eq!(id, place.ids[0]);
            assert_eq!(by, emptying);
        }
        other => panic!("{other:?}"),
    }
    place.resume(emptying).await;
    place.is_whole(0).await;
}

/// Whoever comes after the decision finds nothing in the way of bringing it to its end.
async fn a_decided_move_ends_whatever_became_of_the_schemas<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let decided = place.killed_decided(1).await;
    place.at(0, "CREATE TABLE later (g_user INTEGER)").await;
    place
        .at(0, "ALTER TABLE customer ADD COLUMN nick VARCHAR(20)")
        .await;
    let ended = place.resume(&decided).await;
    assert_eq!(ended.tables()[0].rows(), place.ids.len() as u64);
    assert_eq!(place.moves().await[0].receipt(), ended.tables());
    place.is_whole(1).await;
}

/// Which keys are checked makes no difference to whole briefcases: not to a mover, nor to those who come after him.
async fn tables_in_any_order_are_deleted_by_whoever_comes_next<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    for (table, refers) in [
        ("note", ""),
        ("answer", ", FOREIGN KEY (g_user) REFERENCES note (g_user)"),
    ] {
        let create = format!(
            "CREATE TABLE {table} (g_user {} NOT NULL PRIMARY KEY{refers})",
            id::<DB>()
        );
        place.on_both(&create).await;
    }
    let key = literal::<DB>(place.ids[0]);
    for table in ["note", "answer"] {
        place
            .at(0, &format!("INSERT INTO {table} VALUES ({key})"))
            .await;
    }
    // The one that refers goes first, so it is deleted last.
    let listed = ["answer", "note"]
        .map(|table| format!("[[area.briefcase.table]]\nname = \"{table}\"\nkey = \"g_user\"\n"));
    place.mdb = place.bank.open_with(&listed.concat());

    let decided = place.killed_decided(1).await;
    place.resume(&decided).await;
    place.is_whole(1).await;
    for (number, rows) in [(0, 0), (1, 1)] {
        for table in ["note", "answer"] {
            let count = format!("SELECT count(*) FROM {table}");
            assert_eq!(place.bank.count(number, &count).await, rows, "{table}");
        }
    }
}

async fn a_table_that_has_gone_keeps_no_move_from_being_undone<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let there = place.plan_to(1).await;
    let died = fail_at(Failure::Death, COPIED, place.run(&there)).await;
    assert!(matches!(died, Outcome::Died), "{died:?}");
    let id = place.moves().await[0].id().to_owned();
    place.at(0, "ALTER TABLE entry RENAME TO entry_gone").await;
    let undone = place.mdb.relocator().abort(&id, &at_once()).await;
    undone.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let refused = place.plan().await.unwrap_err();
    let PlanError::Refused { refusals } = &refused else {
        panic!("{refused:?}");
    };
    let is_missing = |refusal: &Refusal| refusal.reason().contains("missing");
    assert!(refusals.iter().any(is_missing), "{refusals:?}");
}

/// A mover's machine sleeps while its transaction holds locks, of which the server hears nothing.
#[tokio::test]
async fn who_sleeps_in_a_transaction_keeps_nobody_from_taking_over_on_postgres() {
    let place = Place::<Postgres>::new().await;
    let there = place.plan_to(1).await;
    let asleep = "SELECT count(*) FROM pg_stat_activity \
                  WHERE state = 'idle in transaction' AND application_name LIKE 'mdb-mover%' AND datname = current_database()";
    for number in [1, 0] {
        let (halt, another) = (Halt::at_each(HaltSide::Before), place.bank.open());
        let mut sleeper = Box::pin(halt.scope(place.run(&there)));
        loop {
            tokio::select! {
                end = &mut sleeper => panic!("it has come to its end: {end:?}"),
                () = halt.reached() => {}
            }
            if place.bank.count(number, asleep).await > 0 {
                break;
            }
            halt.go_on();
        }
        let id = place.moves().await.pop().unwrap().id().to_owned();
        let (relocator, options) = (another.relocator(), at_once());
        let aborted = relocator.abort(&id, &options);
        let aborted = tokio::time::timeout(SOON, aborted).await;
        aborted.expect("nobody waits for it").unwrap();
        halt.let_go();
        assert!(sleeper.await.is_err(), "it has lost the move");
        place.is_whole(0).await;
    }
}
