//! What others do to a move, to its briefcases or to their tables while it is under way is noticed in time.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::Mdb;
use mdb_core::error::chain;
use mdb_core::failpoint::{Failure, Halt, HaltSide, Outcome, fail_at};
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePhase, MovePlan, MoveProgress, MoveRecord, MoveReport, MoveRequest,
    PlanError, Refusal, Selection, TakeOver,
};
use mdb_tests::bank::{Audit, Place, SUM, Teller, id, literal};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::Postgres;

on_all_engines!(
    who_was_undone_meanwhile_is_not_resumed,
    a_shard_that_is_still_being_emptied_is_no_target,
    a_column_that_came_after_the_plan_comes_along,
    a_table_that_came_after_the_plan_is_not_left_behind,
    a_decided_move_ends_whatever_became_of_the_schemas,
    tables_in_any_order_are_deleted_by_whoever_comes_next,
    a_table_that_has_gone_keeps_no_move_from_being_undone,
);

/// The announcement's place among the steps of a move; before it, the move was written down and both sides were marked.
const ANNOUNCEMENT: usize = 4;

/// A step at which a move copies.
const COPYING: usize = 10;

async fn plan<DB: TestEngine>(place: &Place<DB>, to: usize) -> MovePlan {
    let selection = Selection::Briefcases(place.ids.clone());
    let request = MoveRequest::new("user", selection, place.bank.shard(&place.mdb, to));
    let plan = place.mdb.relocator().plan(&request).await;
    plan.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

async fn run(mdb: &Mdb, plan: &MovePlan) -> Result<Vec<MoveReport>, MoveError> {
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    mdb.relocator().run(plan, &options, &progress).await
}

async fn moves(mdb: &Mdb) -> Vec<MoveRecord> {
    mdb.relocator().list().await.unwrap()
}

fn at_once() -> MoveOptions {
    MoveOptions::new().take_over(TakeOver::FromAnybody)
}

/// All of the customer's rows are there, and nothing else of any move.
async fn is_whole<DB: TestEngine>(place: &Place<DB>, at: usize) {
    let mut audit = Audit::open(&place.bank, "at the end").await;
    audit.at_rest().await;
    audit.balances().await;
    assert_eq!(audit.home(&place.ids).await, at);
    let teller = Teller::<DB>::new(&place.mdb);
    assert_eq!(teller.sum(place.ids[0]).await.unwrap(), SUM);
}

/// It had looked at the move before that was undone, and takes it over then.
async fn who_was_undone_meanwhile_is_not_resumed<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let there = plan(&place, 1).await;
    let died = fail_at(Failure::Death, COPYING, run(&place.mdb, &there)).await;
    assert!(matches!(died, Outcome::Died), "{died:?}");
    let id = moves(&place.mdb).await[0].id().to_owned();

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
    assert_eq!(moves(&place.mdb).await[0].phase(), MovePhase::Aborted);
    is_whole(&place, 0).await;
    place.carry_to(1).await;
    is_whole(&place, 1).await;
}

/// An old plan brings a briefcase to where it was, while the move that took it from there has not deleted it yet.
async fn a_shard_that_is_still_being_emptied_is_no_target<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let old = plan(&place, 1).await;
    place.carry_to(1).await;
    let back = plan(&place, 0).await;

    let announcing = Halt::new(ANNOUNCEMENT, HaltSide::Before);
    let late = announcing.scope(run(&place.mdb, &old));
    let others = async {
        announcing.reached().await;
        let (relocator, options) = (place.mdb.relocator(), MoveOptions::new());
        let progress = MoveProgress::new();
        let mut bringing_back = Box::pin(relocator.run(&back, &options, &progress));
        while progress.phase() < Some(MovePhase::Purging) {
            tokio::select! {
                end = &mut bringing_back => panic!("it was not stopped: {end:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(bringing_back);
        announcing.go_on();
    };
    let (late, ()) = tokio::join!(late, others);
    let records = moves(&place.mdb).await;
    let emptying = records.iter().find(|record| !record.phase().is_over());
    let emptying = emptying.unwrap().id();
    match late {
        Err(MoveError::InMotion { id, by }) => {
            assert_eq!(id, place.ids[0]);
            assert_eq!(by, emptying);
        }
        other => panic!("{other:?}"),
    }
    let (relocator, progress) = (place.mdb.relocator(), MoveProgress::new());
    let resumed = Box::pin(relocator.resume(emptying, &at_once(), &progress)).await;
    resumed.unwrap_or_else(|error| panic!("{}", chain(&error)));
    is_whole(&place, 0).await;
}

/// The schema is changed shard by shard, the target's first, while a long run is under way.
async fn a_column_that_came_after_the_plan_comes_along<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let add = "ALTER TABLE customer ADD COLUMN nick VARCHAR(20)";
    place.at(1, add).await;
    let there = plan(&place, 1).await;
    place.at(0, add).await;
    let key = literal::<DB>(place.ids[0]);
    let write = format!("UPDATE customer SET nick = 'Bo' WHERE g_user = {key}");
    place.at(0, &write).await;

    match run(&place.mdb, &there).await {
        Err(error @ MoveError::Altered) => assert!(error.is_transient()),
        other => panic!("{other:?}"),
    }
    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    let id = moves(&place.mdb).await[0].id().to_owned();
    let resumed = Box::pin(relocator.resume(&id, &options, &progress)).await;
    resumed.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let named = "SELECT count(*) FROM customer WHERE nick = 'Bo'";
    assert_eq!(place.bank.count(1, named).await, 1);
    is_whole(&place, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_that_came_after_the_plan_is_seen() {
    let place = Place::<Postgres>::new().await;
    let there = plan(&place, 1).await;
    place
        .at(
            0,
            "CREATE TABLE audit (id BIGINT PRIMARY KEY, who BYTEA REFERENCES customer (g_user) ON DELETE CASCADE)",
        )
        .await;
    let altered = run(&place.mdb, &there).await;
    assert!(matches!(altered, Err(MoveError::Altered)), "{altered:?}");
    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    let id = moves(&place.mdb).await[0].id().to_owned();
    let resumed = Box::pin(relocator.resume(&id, &options, &progress)).await;
    let Err(MoveError::Plan(PlanError::Refused { refusals })) = resumed else {
        panic!("{resumed:?}");
    };
    assert_eq!(refusals[0].place(), "table `audit`");
    relocator.abort(&id, &options).await.unwrap();
    is_whole(&place, 0).await;
}

/// What is written past them is not recorded, and what was verified before is not read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_rest_are_noticed() {
    let place = Place::<Postgres>::new().await;
    let there = plan(&place, 1).await;
    let copying = Halt::new(COPYING, HaltSide::After);
    let moved = copying.scope(run(&place.mdb, &there));
    let disabled = async {
        copying.reached().await;
        place
            .at(0, "ALTER TABLE transfer DISABLE TRIGGER USER")
            .await;
        copying.go_on();
    };
    let (moved, ()) = tokio::join!(moved, disabled);
    assert!(matches!(moved, Err(MoveError::Altered)), "{moved:?}");
    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    let id = moves(&place.mdb).await[0].id().to_owned();
    let resumed = Box::pin(relocator.resume(&id, &options, &progress)).await;
    resumed.unwrap_or_else(|error| panic!("{}", chain(&error)));
    is_whole(&place, 1).await;
}

/// Services write to it already, and nothing else names it.
async fn a_table_that_came_after_the_plan_is_not_left_behind<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let there = plan(&place, 1).await;
    let note = format!(
        "CREATE TABLE note (g_user {} NOT NULL, n INTEGER)",
        id::<DB>()
    );
    place.on_both(&note).await;
    let key = literal::<DB>(place.ids[0]);
    place
        .at(0, &format!("INSERT INTO note VALUES ({key}, 1)"))
        .await;
    let altered = run(&place.mdb, &there).await;
    assert!(matches!(altered, Err(MoveError::Altered)), "{altered:?}");
    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    let id = moves(&place.mdb).await[0].id().to_owned();
    let resumed = Box::pin(relocator.resume(&id, &options, &progress)).await;
    let Err(MoveError::Plan(PlanError::Refused { refusals })) = resumed else {
        panic!("{resumed:?}");
    };
    assert_eq!(refusals[0].place(), "table `note`");
    relocator.abort(&id, &options).await.unwrap();
    is_whole(&place, 0).await;
}

/// Dies after its decision, before that is published. Says which move it was.
async fn died_decided<DB: TestEngine>(place: &Place<DB>, to: usize) -> String {
    let there = plan(place, to).await;
    let fenced = "SELECT count(*) FROM mdb_fence WHERE state = 3";
    let mut step = COPYING;
    loop {
        let died = fail_at(Failure::Death, step, run(&place.mdb, &there)).await;
        assert!(matches!(died, Outcome::Died), "none died decided: {died:?}");
        let records = moves(&place.mdb).await;
        let record = records.iter().find(|record| !record.phase().is_over());
        let record = record.unwrap();
        if record.phase() == MovePhase::Flipping && place.bank.count(1 - to, fenced).await > 0 {
            return record.id().to_owned();
        }
        let undone = place.mdb.relocator().abort(record.id(), &at_once()).await;
        undone.unwrap_or_else(|error| panic!("{}", chain(&error)));
        step += 1;
    }
}

async fn is_resumed<DB: TestEngine>(place: &Place<DB>, id: &str) {
    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    let resumed = Box::pin(relocator.resume(id, &options, &progress)).await;
    resumed.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

/// Whoever comes after the decision finds nothing in the way of bringing it to its end.
async fn a_decided_move_ends_whatever_became_of_the_schemas<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let decided = died_decided(&place, 1).await;
    place.at(0, "CREATE TABLE later (g_user INTEGER)").await;
    place
        .at(0, "ALTER TABLE customer ADD COLUMN nick VARCHAR(20)")
        .await;
    is_resumed(&place, &decided).await;
    is_whole(&place, 1).await;
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

    // Movers are undone on the way there.
    let decided = died_decided(&place, 1).await;
    is_resumed(&place, &decided).await;
    is_whole(&place, 1).await;
    for (number, rows) in [(0, 0), (1, 1)] {
        for table in ["note", "answer"] {
            let count = format!("SELECT count(*) FROM {table}");
            assert_eq!(place.bank.count(number, &count).await, rows, "{table}");
        }
    }
}

async fn a_table_that_has_gone_keeps_no_move_from_being_undone<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let there = plan(&place, 1).await;
    let died = fail_at(Failure::Death, COPYING, run(&place.mdb, &there)).await;
    assert!(matches!(died, Outcome::Died), "{died:?}");
    let id = moves(&place.mdb).await[0].id().to_owned();
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
