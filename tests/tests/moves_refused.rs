//! Moves that can't be done as they were planned: nothing is lost, and nothing of them stays.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePhase, MovePlan, MoveProgress, MoveRecord, MoveReport, MoveRequest,
    PlanError, Selection, TakeOver,
};
use mdb_core::{Gdid, Mdb, TransactionOptions};
use mdb_tests::bank::{Bank, SUM, Teller};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::Postgres;

on_all_engines!(
    who_has_gone_elsewhere_is_not_moved_by_an_old_plan,
    who_came_back_is_moved_by_an_old_plan,
    who_is_in_motion_is_not_moved,
    what_was_only_announced_is_undone_when_a_run_stops,
);

/// Until a wait is taken for one that never ends.
const LIMIT: Duration = Duration::from_mins(1);

async fn plan<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb, ids: &[Gdid], to: usize) -> MovePlan {
    let plan = try_plan(bank, mdb, ids, to).await;
    plan.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

async fn try_plan<DB: TestEngine>(
    bank: &Bank<DB>,
    mdb: &Mdb,
    ids: &[Gdid],
    to: usize,
) -> Result<MovePlan, PlanError> {
    let selection = Selection::Briefcases(ids.to_vec());
    let request = MoveRequest::new("user", selection, bank.shard(mdb, to));
    mdb.relocator().plan(&request).await
}

async fn run(mdb: &Mdb, plan: &MovePlan) -> Result<Vec<MoveReport>, MoveError> {
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    mdb.relocator().run(plan, &options, &progress).await
}

async fn phases(mdb: &Mdb) -> Vec<MovePhase> {
    let moves = mdb.relocator().list().await.unwrap();
    moves.iter().map(MoveRecord::phase).collect()
}

async fn nothing_stands<DB: TestEngine>(bank: &Bank<DB>) {
    for number in 0..3 {
        for table in ["mdb_fence", "mdb_mover"] {
            let rows = format!("SELECT count(*) FROM {table}");
            assert_eq!(bank.count(number, &rows).await, 0, "{table} on {number}");
        }
    }
}

async fn who_has_gone_elsewhere_is_not_moved_by_an_old_plan<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let teller = Teller::<DB>::new(&mdb);
    let ids = bank.customers(&mdb, 0, 2).await;
    let never_moved = plan(&bank, &mdb, &ids, 2).await;
    run(&mdb, &plan(&bank, &mdb, &ids[1..], 1).await)
        .await
        .unwrap();
    let moved_before = plan(&bank, &mdb, &ids[1..], 2).await;
    for (goes_first, old) in [(None, &never_moved), (Some(0), &moved_before)] {
        if let Some(to) = goes_first {
            run(&mdb, &plan(&bank, &mdb, &ids[1..], to).await)
                .await
                .unwrap();
        }
        match run(&mdb, old).await {
            Err(MoveError::Displaced { id, .. }) => assert_eq!(id, ids[1]),
            other => panic!("{other:?}"),
        }
        assert_eq!(phases(&mdb).await.last(), Some(&MovePhase::Aborted));
        nothing_stands(&bank).await;
        for id in &ids {
            assert_eq!(teller.sum(*id).await.unwrap(), SUM);
        }
    }
    run(&mdb, &plan(&bank, &mdb, &ids, 2).await).await.unwrap();
    for id in &ids {
        assert_eq!(teller.sum(*id).await.unwrap(), SUM);
    }
}

async fn who_came_back_is_moved_by_an_old_plan<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    let old = plan(&bank, &mdb, &ids, 2).await;
    for to in [1, 0] {
        let there = plan(&bank, &mdb, &ids[..1], to).await;
        run(&mdb, &there).await.unwrap();
    }
    run(&mdb, &old).await.unwrap();
    let teller = Teller::<DB>::new(&mdb);
    for id in &ids {
        assert_eq!(teller.sum(*id).await.unwrap(), SUM);
    }
}

async fn who_is_in_motion_is_not_moved<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    let other = plan(&bank, &mdb, &ids, 1).await;

    let progress = MoveProgress::new();
    let begun = plan(&bank, &mdb, &ids[..1], 2).await;
    let (relocator, options) = (mdb.relocator(), MoveOptions::new());
    let running = relocator.run(&begun, &options, &progress);
    let announced = async {
        let is_announced = async || progress.phase() >= Some(MovePhase::Announced);
        wait_for("the announcement", LIMIT, is_announced).await;
    };
    tokio::select! {
        end = running => panic!("it was not stopped: {end:?}"),
        () = announced => {}
    }

    let by = relocator.list().await.unwrap()[0].id().to_owned();
    match run(&mdb, &other).await {
        Err(error @ MoveError::InMotion { .. }) => {
            assert!(error.to_string().contains(&by), "{error}");
            assert!(error.to_string().contains(&ids[0].to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(phases(&mdb).await[1], MovePhase::Aborted);
    let refused = try_plan(&bank, &mdb, &ids, 1).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&format!("being moved already, by move {by}")),
        "{refused}"
    );
    let take_over = options.take_over(TakeOver::FromAnybody);
    relocator.abort(&by, &take_over).await.unwrap();
    nothing_stands(&bank).await;
    run(&mdb, &other).await.unwrap();
}

/// While processes hear of one batch, the next ones are announced already; they have copied nothing.
async fn what_was_only_announced_is_undone_when_a_run_stops<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 4).await;
    let plan = plan(&bank, &mdb, &ids[..3], 1).await;
    // A process that is at work does not hear of a move.
    let service = bank.open();
    assert!(service.join().await);
    let working = Teller::<DB>::new(&service).briefcase(ids[3]);
    let read_only = TransactionOptions::new().read_only();
    let read = working.begin_with(&read_only).await.unwrap();

    let (relocator, progress) = (mdb.relocator(), MoveProgress::new());
    let one_by_one = MoveOptions::new().batch(1);
    let running = relocator.run(&plan, &one_by_one, &progress);
    let stopping = async {
        let are_announced = async || phases(&mdb).await == [MovePhase::Announced; 3];
        wait_for("three announcements", LIMIT, are_announced).await;
        progress.stop();
    };
    let (stopped, ()) = tokio::join!(running, stopping);
    assert!(matches!(stopped, Err(MoveError::Stopped)), "{stopped:?}");
    assert_eq!(phases(&mdb).await, [MovePhase::Aborted; 3]);
    assert!(progress.unfinished().is_empty());
    nothing_stands(&bank).await;
    read.rollback().await.unwrap();
    run(&mdb, &plan).await.unwrap();
}

#[tokio::test]
async fn a_journal_whose_commit_fails_can_be_written_again() {
    let bank = Bank::<Postgres>::with_third().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 1).await;
    let there = plan(&bank, &mdb, &ids, 1).await;
    let fail = [
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$",
        "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON mdb_move DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION fail()",
    ];
    Postgres::run_at(&bank.catalog_url(), &fail.map(str::to_owned))
        .await
        .unwrap();
    assert!(matches!(
        run(&mdb, &there).await,
        Err(MoveError::Catalog(_))
    ));
    let mend = "DROP FUNCTION fail CASCADE".to_owned();
    Postgres::run_at(&bank.catalog_url(), &[mend])
        .await
        .unwrap();
    run(&mdb, &there)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
}
