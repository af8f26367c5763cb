//! Tables and triggers that are changed while a move is under way: it notices that before anybody is lost or left behind.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::config::EngineKind;
use mdb_core::error::chain;
use mdb_core::failpoint::HaltSide;
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePhase, MoveProgress, MoveReport, PlanError, TakeOver,
};
use mdb_tests::bank::{Place, literal};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::Postgres;

on_all_engines!(
    a_column_that_came_after_the_plan_comes_along,
    a_column_that_comes_after_the_copy_comes_along,
    a_foreign_key_that_came_after_the_plan_is_seen,
    a_table_that_came_after_the_plan_is_not_left_behind,
    a_view_is_no_table_to_be_left_behind,
    triggers_that_have_gone_are_noticed,
);

fn at_once() -> MoveOptions {
    MoveOptions::new().take_over(TakeOver::FromAnybody)
}

/// The only move can't be resumed because of that table; it is undone.
async fn is_refused<DB: TestEngine>(place: &Place<DB>, table: &str) {
    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    let id = place.moves().await[0].id().to_owned();
    let resumed = Box::pin(relocator.resume(&id, &options, &progress)).await;
    let Err(MoveError::Plan(PlanError::Refused { refusals })) = resumed else {
        panic!("{resumed:?}");
    };
    assert_eq!(refusals[0].place(), format!("table `{table}`"));
    relocator.abort(&id, &options).await.unwrap();
    place.is_whole(0).await;
}

/// Does `work` while a move halts that has copied, and has not fenced anything.
async fn while_copied<DB: TestEngine>(
    place: &Place<DB>,
    work: impl AsyncFnOnce(),
) -> Result<Vec<MoveReport>, MoveError> {
    let copied = async || {
        let copied = "SELECT count(*) FROM customer";
        place.bank.count(1, copied).await == 1
    };
    place
        .run_halted(&MoveOptions::new(), HaltSide::After, copied, work)
        .await
}

/// The schema is changed shard by shard, the target's first, while a long run is under way.
async fn a_column_that_came_after_the_plan_comes_along<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let add = "ALTER TABLE customer ADD COLUMN nick VARCHAR(20)";
    place.at(1, add).await;
    let there = place.plan_to(1).await;
    place.at(0, add).await;
    let key = literal::<DB>(place.ids[0]);
    let write = format!("UPDATE customer SET nick = 'Bo' WHERE g_user = {key}");
    place.at(0, &write).await;

    match place.run(&there).await {
        Err(error @ MoveError::Altered) => assert!(error.is_transient()),
        other => panic!("{other:?}"),
    }
    place.resume(place.moves().await[0].id()).await;
    let named = "SELECT count(*) FROM customer WHERE nick = 'Bo'";
    assert_eq!(place.bank.count(1, named).await, 1);
    place.is_whole(1).await;
}

async fn a_foreign_key_that_came_after_the_plan_is_seen<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let there = place.plan_to(1).await;
    let id = match DB::KIND {
        EngineKind::Postgres => "BYTEA",
        EngineKind::MySql => "BINARY(12)",
        EngineKind::Sqlite => "BLOB",
    };
    let audit = format!(
        "CREATE TABLE audit (id BIGINT PRIMARY KEY, who {id}, \
         FOREIGN KEY (who) REFERENCES customer (g_user) ON DELETE CASCADE)"
    );
    place.at(0, &audit).await;
    let altered = place.run(&there).await;
    assert!(matches!(altered, Err(MoveError::Altered)), "{altered:?}");
    is_refused(&place, "audit").await;
}

/// What is written past them is not recorded, and what was verified before is not read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_rest_are_noticed() {
    let place = Place::<Postgres>::new().await;
    let rest = "ALTER TABLE transfer DISABLE TRIGGER USER";
    let moved = while_copied(&place, async || {
        place.at(0, rest).await;
    });
    let moved = moved.await;
    assert!(matches!(moved, Err(MoveError::Altered)), "{moved:?}");
    place.resume(place.moves().await[0].id()).await;
    place.is_whole(1).await;
}

async fn triggers_that_have_gone_are_noticed<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let moved = while_copied(&place, async || {
        let drop = match DB::KIND {
            EngineKind::Postgres => "DROP TRIGGER mdb_capture ON customer",
            EngineKind::MySql | EngineKind::Sqlite => "DROP TRIGGER mdb_capture_0_update",
        };
        place.at(0, drop).await;
    });
    let moved = moved.await;
    assert!(matches!(moved, Err(MoveError::Altered)), "{moved:?}");
    place.resume(place.moves().await[0].id()).await;
    place.is_whole(1).await;
}

/// The move has looked at the tables already; what was copied before and what is summed does not have the column.
async fn a_column_that_comes_after_the_copy_comes_along<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let moved = while_copied(&place, async || {
        for number in [1, 0] {
            let add = "ALTER TABLE customer ADD COLUMN nick VARCHAR(20)";
            place.at(number, add).await;
        }
        let key = literal::<DB>(place.ids[0]);
        let write = format!("UPDATE customer SET nick = 'Bo' WHERE g_user = {key}");
        place.at(0, &write).await;
    });
    let moved = moved.await;
    assert!(matches!(moved, Err(MoveError::Altered)), "{moved:?}");
    place.resume(place.moves().await[0].id()).await;
    let named = "SELECT count(*) FROM customer WHERE nick = 'Bo'";
    assert_eq!(place.bank.count(1, named).await, 1);
    place.is_whole(1).await;
}

async fn a_view_is_no_table_to_be_left_behind<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let moved = while_copied(&place, async || {
        let view = "CREATE VIEW seen AS SELECT g_user FROM customer";
        place.at(0, view).await;
    });
    let moved = moved.await;
    moved.unwrap_or_else(|error| panic!("{}", chain(&error)));
    place.is_whole(1).await;
}

/// Nobody's locks are in the way of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_is_too_short_is_called_that() {
    let place = Place::<Postgres>::new().await;
    // Whatever is changed last takes longer to come than briefcases may be fenced.
    for slow in [
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END'",
        "CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION slow()",
        "ALTER TABLE customer ENABLE ALWAYS TRIGGER slow",
    ] {
        place.at(1, slow).await;
    }
    // Processes acknowledge in less, and it is over when the briefcases are fenced.
    let patience = Duration::from_secs(5);
    let options = MoveOptions::new()
        .pause_target(Duration::ZERO)
        .patience(patience);
    let key = literal::<Postgres>(place.ids[0]);
    let write = format!("UPDATE customer SET name = 'Bo' WHERE g_user = {key}");
    let about_to_fence = async || place.is_in(MovePhase::Flipping).await;
    let moved = place.run_halted(&options, HaltSide::After, about_to_fence, async || {
        place.at(0, &write).await;
        tokio::time::sleep(patience).await;
    });
    match moved.await {
        Err(error @ MoveError::Window { .. }) => {
            assert!(error.is_transient());
            assert!(error.to_string().contains("within 50 ms"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    place.resume(place.moves().await[0].id()).await;
    place.is_whole(1).await;
}

/// Services write to it already, and nothing else names it.
async fn a_table_that_came_after_the_plan_is_not_left_behind<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let there = place.plan_to(1).await;
    place.make_notes("g_user").await;
    let altered = place.run(&there).await;
    assert!(matches!(altered, Err(MoveError::Altered)), "{altered:?}");
    is_refused(&place, "note").await;
}
