//! A catalog, a shard or a configuration that is of another time than a move: nothing is deleted for it then that may be
//! the only copy.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::error::chain;
use mdb_core::relocate::{MoveError, MoveOptions, MovePhase, MoveProgress, MoveReport, TakeOver};
use mdb_tests::bank::{Place, literal};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    a_move_that_the_catalog_has_forgotten_the_end_of_deletes_nothing,
    a_move_whose_source_was_begun_anew_deletes_nothing,
    what_was_listed_since_is_not_deleted,
    a_move_that_is_not_decided_goes_on_with_its_own_tables_only,
);

fn at_once() -> MoveOptions {
    MoveOptions::new().take_over(TakeOver::FromAnybody)
}

async fn try_resume<DB: TestEngine>(place: &Place<DB>, id: &str) -> Result<MoveReport, MoveError> {
    let (relocator, options, progress) = (place.mdb.relocator(), at_once(), MoveProgress::new());
    Box::pin(relocator.resume(id, &options, &progress)).await
}

async fn abort<DB: TestEngine>(place: &Place<DB>, id: &str) {
    let undone = place.mdb.relocator().abort(id, &at_once()).await;
    undone.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

async fn killed_copied<DB: TestEngine>(place: &Place<DB>) -> String {
    let copied = "SELECT count(*) FROM customer";
    let copied = async || place.bank.count(1, copied).await == 1;
    place.killed_when(1, copied).await
}

/// A backup of CENTRAL that was made while the move was under way is restored after its end.
async fn a_move_that_the_catalog_has_forgotten_the_end_of_deletes_nothing<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    let id = killed_copied(&place).await;
    assert_eq!(place.moves().await[0].phase(), MovePhase::Copying);
    let catalog = place.bank.catalog_url();
    let backed_up = "SELECT epoch FROM mdb_catalog";
    let backed_up = DB::number_at(&catalog, backed_up).await.unwrap();
    place.resume(&id).await;
    place.is_whole(1).await;
    place.mdb.leave().await;

    let restore = [
        format!("UPDATE mdb_catalog SET epoch = {backed_up}"),
        format!(
            "UPDATE mdb_move SET phase = 2, published = 0, lease_until = 0 WHERE move = '{id}'"
        ),
        format!(
            "UPDATE mdb_relocation SET state = 1, home = NULL, epoch = {backed_up} WHERE move = '{id}'"
        ),
        "DELETE FROM mdb_router".to_owned(),
    ];
    DB::run_at(&catalog, &restore).await.unwrap();
    place.mdb = place.bank.open();
    let refused = try_resume(&place, &id).await;
    assert!(
        matches!(refused, Err(MoveError::CatalogBehind { .. })),
        "{refused:?}"
    );
    match place.mdb.relocator().raise_epoch().await {
        Err(MoveError::UnderWay { moves }) => assert_eq!(moves, [id.as_str()]),
        other => panic!("{other:?}"),
    }
    // Somebody has let services in all the same.
    place.at(0, "UPDATE mdb_shard SET least_epoch = 0").await;
    match try_resume(&place, &id).await {
        Err(MoveError::FencesLost { shard }) => {
            let source = place.bank.shard(&place.mdb, 0);
            assert_eq!(shard, place.mdb.topology().shard_place(source));
        }
        other => panic!("{other:?}"),
    }
    let fences = "SELECT count(*) FROM mdb_fence";
    assert_eq!(place.bank.count(0, fences).await, 0);
    abort(&place, &id).await;
    for (table, rows) in [("customer", 1), ("account", 4)] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(place.bank.count(1, &count).await, rows, "{table}");
    }
}

/// The source's disk was lost while the move was under way: what was copied is all that is left.
async fn a_move_whose_source_was_begun_anew_deletes_nothing<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let id = killed_copied(&place).await;
    place.at(0, "DELETE FROM mdb_fence").await;
    for table in ["entry", "transfer", "account", "customer"] {
        place.at(0, &format!("DELETE FROM {table}")).await;
    }
    let refused = try_resume(&place, &id).await;
    assert!(
        matches!(refused, Err(MoveError::FencesLost { .. })),
        "{refused:?}"
    );
    let copied = "SELECT count(*) FROM account";
    assert_eq!(place.bank.count(1, copied).await, 4);
}

/// How the configuration will list a table of the customer's that is there already.
const NOTES: &str = "[[area.briefcase.table]]\nname = \"note\"\nkey = \"whose\"\n";

fn is_relisted<T: std::fmt::Debug>(refused: Result<T, MoveError>) {
    match refused {
        Err(MoveError::Relisted { tables }) => assert_eq!(tables, ["table `note`"]),
        other => panic!("{other:?}"),
    }
}

async fn what_was_listed_since_is_not_deleted<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    place.make_notes("whose").await;
    let id = place.killed_decided(1).await;
    place.mdb = place.bank.open_with(NOTES);
    is_relisted(try_resume(&place, &id).await);

    place.mdb = place.bank.open();
    place.resume(&id).await;
    place.is_whole(1).await;
    let notes = "SELECT count(*) FROM note";
    assert_eq!(place.bank.count(0, notes).await, 1);
}

async fn a_move_that_is_not_decided_goes_on_with_its_own_tables_only<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    place.make_notes("whose").await;
    let id = killed_copied(&place).await;
    // A stray.
    let key = literal::<DB>(place.ids[0]);
    place
        .at(1, &format!("INSERT INTO note VALUES ({key}, 2)"))
        .await;
    place.mdb = place.bank.open_with(NOTES);
    is_relisted(try_resume(&place, &id).await);
    is_relisted(place.mdb.relocator().abort(&id, &at_once()).await);

    place.mdb = place.bank.open();
    abort(&place, &id).await;
    place.is_whole(0).await;
    let notes = "SELECT count(*) FROM note";
    assert_eq!(place.bank.count(1, notes).await, 1);
    // What is listed when a move begins may be listed no more.
    place.at(1, "DELETE FROM note").await;
    place.mdb = place.bank.open_with(NOTES);
    let id = killed_copied(&place).await;
    place.mdb = place.bank.open();
    is_relisted(try_resume(&place, &id).await);
    place.mdb = place.bank.open_with(NOTES);
    place.resume(&id).await;
    assert_eq!(place.bank.count(1, notes).await, 1);
    place.is_whole(1).await;
}
