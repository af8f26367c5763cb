//! Moves that were under way when CENTRAL was lost: the one that was restored, or begun anew, doesn't know them.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::Mutex;

use mdb_core::error::chain;
use mdb_core::failpoint::{Halt, HaltSide};
use mdb_core::relocate::{
    Fault, Leftover, LeftoverState, MoveError, MoveOptions, MoveProgress, VerifyEvent, VerifyScope,
};
use mdb_tests::bank::{Place, literal};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    a_decided_move_that_nobody_knows_is_ended,
    a_copying_move_that_nobody_knows_is_ended_under_its_mover,
);

/// Takes the journal and the relocations away; says which move there was.
async fn lose_central<DB: TestEngine>(place: &mut Place<DB>) -> String {
    let id = place.moves().await[0].id().to_owned();
    let known = place.mdb.relocator().forget_unknown(&id).await;
    assert!(matches!(known, Err(MoveError::Known { .. })), "{known:?}");
    let lost = ["mdb_move_briefcase", "mdb_move", "mdb_relocation"];
    let lost = lost.map(|table| format!("DELETE FROM {table}"));
    let catalog = place.bank.catalog_url();
    DB::run_at(&catalog, &lost).await.unwrap();
    place.mdb.leave().await;
    place.mdb = place.bank.open();
    id
}

/// The moves that verifying finds and that nobody knows.
async fn unknown<DB: TestEngine>(place: &Place<DB>) -> Vec<String> {
    let found: Mutex<Vec<String>> = Mutex::default();
    let tell = |event| {
        if let VerifyEvent::Found(misplaced) = event
            && let Fault::UnknownMove { by } = misplaced.fault()
        {
            found.lock().unwrap().push(by.clone());
        }
    };
    let relocator = place.mdb.relocator();
    let verified = relocator.verify("user", &VerifyScope::Area, &tell);
    verified.await.unwrap();
    found.into_inner().unwrap()
}

/// Whether somebody who knows nothing of MDB can write the customer on the shard of that number.
async fn can_write<DB: TestEngine>(place: &Place<DB>, number: usize) -> bool {
    let key = literal::<DB>(place.ids[0]);
    let write = format!("UPDATE customer SET name = 'Bo' WHERE g_user = {key}");
    let written = DB::run_at(&place.bank.url(number), &[write]).await;
    written.is_ok()
}

async fn forget<DB: TestEngine>(place: &Place<DB>, id: &str) -> Vec<Leftover> {
    let forgotten = place.mdb.relocator().forget_unknown(id).await;
    forgotten.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// How many customers and accounts each shard has.
async fn rows<DB: TestEngine>(place: &Place<DB>) -> [i64; 2] {
    let count = "SELECT (SELECT count(*) FROM customer) + (SELECT count(*) FROM account)";
    [
        place.bank.count(0, count).await,
        place.bank.count(1, count).await,
    ]
}

/// What a person does who has compared the two: the first shard is the customer's home.
async fn keep_what_is_at_home<DB: TestEngine>(place: &Place<DB>) {
    for table in ["account", "customer"] {
        place.at(1, &format!("DELETE FROM {table}")).await;
    }
    place.is_whole(0).await;
    assert_eq!(unknown(place).await, [""; 0]);
}

async fn a_decided_move_that_nobody_knows_is_ended<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    let there = place.plan_to(1).await;
    let relocator = place.mdb.relocator();
    let (halt, options) = (Halt::at_each(HaltSide::After), MoveOptions::new());
    let progress = MoveProgress::new();
    let dies = async {
        halt.reached().await;
        let decided = "SELECT count(*) FROM mdb_fence WHERE state = 3";
        while place.bank.count(0, decided).await == 0 {
            halt.go_on();
            halt.reached().await;
        }
    };
    tokio::select! {
        end = halt.scope(relocator.run(&there, &options, &progress)) => panic!("{end:?}"),
        () = dies => {}
    }
    let id = lose_central(&mut place).await;
    let before = rows(&place).await;
    assert_eq!(before[0], before[1], "it has been copied");
    assert!(!can_write(&place, 0).await);
    let found = unknown(&place).await;
    assert!(!found.is_empty() && found.iter().all(|found| *found == id));
    let cleaned = place.mdb.relocator().clean().await.unwrap();
    let doubtful = |left: &Leftover| left.state() == LeftoverState::Doubtful;
    assert!(cleaned.iter().any(doubtful), "{cleaned:?}");

    let forgotten = forget(&place, &id).await;
    let topology = place.mdb.topology();
    let [east, west] = [0, 1].map(|number| place.bank.shard(&place.mdb, number));
    let gone = forgotten.iter().find(|left| left.shard() == east).unwrap();
    let went = format!("1 briefcase went to {}", topology.shard_place(west));
    assert!(gone.what().contains(&went), "{gone:?}");
    assert!(forgotten.iter().all(Leftover::is_removed), "{forgotten:?}");
    assert_eq!(rows(&place).await, before, "no row is touched");
    assert!(can_write(&place, 0).await && can_write(&place, 1).await);
    let again = place.mdb.relocator().forget_unknown(&id).await;
    assert!(matches!(again, Err(MoveError::Unknown { .. })), "{again:?}");
    keep_what_is_at_home(&place).await;
    place.carry_to(1).await;
    place.is_whole(1).await;
}

async fn a_copying_move_that_nobody_knows_is_ended_under_its_mover<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    let there = place.plan_to(1).await;
    let mover = place.bank.open();
    let relocator = mover.relocator();
    let (halt, options) = (Halt::at_each(HaltSide::After), MoveOptions::new());
    let progress = MoveProgress::new();
    let moved = halt.scope(relocator.run(&there, &options, &progress));
    let loses = async {
        halt.reached().await;
        let copied = "SELECT count(*) FROM customer";
        while place.bank.count(1, copied).await == 0 {
            halt.go_on();
            halt.reached().await;
        }
        let id = lose_central(&mut place).await;
        let before = rows(&place).await;
        assert!(!can_write(&place, 1).await);
        let forgotten = forget(&place, &id).await;
        assert!(forgotten.iter().all(Leftover::is_removed), "{forgotten:?}");
        assert_eq!(rows(&place).await, before, "no row is touched");
        assert!(can_write(&place, 0).await && can_write(&place, 1).await);
        halt.let_go();
    };
    let (moved, ()) = tokio::join!(moved, loses);
    assert!(matches!(moved, Err(MoveError::NotOwner)), "{moved:?}");
    keep_what_is_at_home(&place).await;
}
