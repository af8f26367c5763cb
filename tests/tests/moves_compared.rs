//! Source and target are compared before a move is decided: what was changed past MDB's triggers is found.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::config::EngineKind;
use mdb_core::failpoint::HaltSide;
use mdb_core::relocate::{MoveError, MoveOptions, MovePhase, TakeOver};
use mdb_tests::bank::{Place, Teller, literal};
use mdb_tests::kit::Kind;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    what_was_changed_at_the_target_is_copied_anew,
    what_was_changed_at_the_source_comes_along,
    what_differs_after_every_copy_is_named,
    what_is_changed_before_the_last_round_is_compared_again,
    what_is_changed_before_the_fence_is_compared_again,
);

/// So many customers have rows enough for several spans.
const CUSTOMERS: usize = 450;

/// Nobody is fenced for so long, however slow the machine is.
fn unhurried() -> MoveOptions {
    MoveOptions::new()
        .batch(CUSTOMERS)
        .pause_target(Duration::from_secs(10))
}

/// Has the customer of that place be called otherwise.
fn rename<DB: TestEngine>(place: &Place<DB>, customer: usize) -> String {
    let key = literal::<DB>(place.ids[customer]);
    format!("UPDATE customer SET name = 'Bo' WHERE g_user = {key}")
}

/// How many customers the second shard has of that name.
async fn called<DB: TestEngine>(place: &Place<DB>, name: &str) -> i64 {
    let called = format!("SELECT count(*) FROM customer WHERE name = '{name}'");
    place.bank.count(1, &called).await
}

/// Moves the customer; does `work` when he has been copied.
async fn while_copied<DB: TestEngine>(place: &Place<DB>, work: impl AsyncFnOnce()) {
    let copied = async || called(place, "ann").await == 1;
    let options = unhurried();
    let moved = place.run_halted(&options, HaltSide::After, copied, work);
    moved.await.unwrap();
    place.is_whole(1).await;
}

async fn what_was_changed_at_the_target_is_copied_anew<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    while_copied(&place, async || {
        place.past_triggers_at(1, &rename(&place, 0)).await;
        let key = literal::<DB>(place.ids[0]);
        let delete = format!("DELETE FROM account WHERE g_user = {key} AND n = 2");
        place.past_triggers_at(1, &delete).await;
    })
    .await;
    assert_eq!(called(&place, "ann").await, 1);
}

async fn what_was_changed_at_the_source_comes_along<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    while_copied(&place, async || {
        place.past_triggers_at(0, &rename(&place, 0)).await;
        // A row that nobody has at the target yet.
        let (key, id) = (
            literal::<DB>(place.ids[0]),
            literal::<DB>(place.bank.transfer()),
        );
        let insert = format!("INSERT INTO transfer VALUES ({id}, {key}, 5)");
        let entries = format!("INSERT INTO entry VALUES ({id}, 0, 1, -5), ({id}, 1, 1, 5)");
        for statement in [insert, entries] {
            place.past_triggers_at(0, &statement).await;
        }
    })
    .await;
    assert_eq!(called(&place, "Bo").await, 1);
    let entries = "SELECT count(*) FROM entry";
    assert_eq!(place.bank.count(1, entries).await, 2);
}

/// The statements that make a trigger of the user's, which changes each customer who comes.
fn renaming<DB: TestEngine>() -> &'static [&'static str] {
    match DB::SERVER {
        None => &["CREATE TRIGGER renaming AFTER INSERT ON customer BEGIN \
             UPDATE customer SET name = 'Bo' WHERE g_user = NEW.g_user; END"],
        Some(Kind::Postgres) => &[
            "CREATE FUNCTION renaming() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := ''Bo''; RETURN NEW; END'",
            "CREATE TRIGGER renaming BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION renaming()",
        ],
        Some(Kind::MariaDb) => {
            &["CREATE TRIGGER renaming BEFORE INSERT ON customer FOR EACH ROW SET NEW.name = 'Bo'"]
        }
    }
}

/// The source stays in use, and whole; the move can be undone, and made once nothing changes what comes.
async fn what_differs_after_every_copy_is_named<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    for statement in renaming::<DB>() {
        place.at(1, statement).await;
    }
    let user = place.ids[0];
    match place.run(&place.plan_to(1).await).await {
        Err(error @ MoveError::Mismatch { .. }) => {
            assert!(!error.is_transient());
            let said = error.to_string().to_lowercase();
            for word in ["`customer`".to_owned(), format!("{user:x}")] {
                assert!(said.contains(&word), "no {word}: {said}");
            }
        }
        other => panic!("{other:?}"),
    }
    let fenced = "SELECT count(*) FROM mdb_fence WHERE state <> 1";
    assert_eq!(place.bank.count(0, fenced).await, 0, "it is still fenced");
    let teller = Teller::<DB>::new(&place.mdb);
    let transfer = place.bank.transfer();
    teller.transfer(user, transfer).await.unwrap();
    place.at(0, &rename(&place, 0)).await;

    let options = MoveOptions::new().take_over(TakeOver::FromAnybody);
    let id = place.moves().await[0].id().to_owned();
    place.mdb.relocator().abort(&id, &options).await.unwrap();
    place.is_whole(0).await;
    let drop = match DB::KIND {
        EngineKind::Postgres => "DROP TRIGGER renaming ON customer",
        EngineKind::MySql | EngineKind::Sqlite => "DROP TRIGGER renaming",
    };
    place.at(1, drop).await;
    place.carry_to(1).await;
    place.is_whole(1).await;
    assert_eq!(teller.has(user, transfer).await.unwrap(), 1);
}

/// A move of many spans has found all of them equal, and is about to take its step number `step` since. A row at the target
/// changes past the triggers, and one of the same briefcase at the source in view of them: that its span is compared once
/// more is what finds the first.
async fn is_compared_again<DB: TestEngine>(step: usize) {
    let place = Place::<DB>::of(CUSTOMERS).await;
    let mut steps = 0;
    let has_come = async || {
        let moves = place.moves().await;
        let is_flipping = moves.iter().any(|m| m.phase() == MovePhase::Flipping);
        steps += usize::from(is_flipping);
        steps == step
    };
    let key = literal::<DB>(place.ids[CUSTOMERS / 2]);
    let options = unhurried();
    let moved = place.run_halted(&options, HaltSide::Before, has_come, async || {
        let lose = format!("UPDATE account SET cents = 1 WHERE g_user = {key} AND n = 0");
        place.past_triggers_at(1, &lose).await;
        place.at(0, &rename(&place, CUSTOMERS / 2)).await;
    });
    moved.await.unwrap();
    place.is_whole(1).await;
    assert_eq!(called(&place, "Bo").await, 1);
}

/// The round of catching up that says which spans are compared once more before the fence.
async fn what_is_changed_before_the_last_round_is_compared_again<DB: TestEngine>() {
    is_compared_again::<DB>(1).await;
}

/// The one under the fence says it of the last ones.
async fn what_is_changed_before_the_fence_is_compared_again<DB: TestEngine>() {
    is_compared_again::<DB>(2).await;
}
