//! Undoing moves that are stuck.

use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::relocate::{MoveError, MoveOptions, MoveProgress, MoveRequest, Selection};
use mdb_tests::bank::{Bank, literal};
use mdb_tests::store::TestEngine;
use sqlx::Postgres;

/// Services wait for the lock under which the fences go, and the server gives it up soon.
#[tokio::test]
async fn many_recorded_changes_are_no_obstacle() {
    let bank = Bank::<Postgres>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    let neighbour = bank.customers(&mdb, 1, 1).await[0];
    let number = literal::<Postgres>(bank.transfer());
    for (at, owner) in [(0, ids[1]), (1, neighbour)] {
        let owner = literal::<Postgres>(owner);
        let insert = format!("INSERT INTO transfer VALUES ({number}, {owner}, 5)");
        Postgres::run_at(&bank.url(at), &[insert]).await.unwrap();
    }
    let relocator = mdb.relocator();
    let selection = Selection::Briefcases(ids.clone());
    let request = MoveRequest::new("user", selection, bank.shard(&mdb, 1));
    let plan = relocator.plan(&request).await.unwrap();
    let options = MoveOptions::new().patience(Duration::from_secs(5));
    let refused = relocator.run(&plan, &options, &MoveProgress::new()).await;
    assert!(matches!(refused, Err(MoveError::Taken(_))), "{refused:?}");

    // Each takes its time: all of them more than services are to wait.
    let owner = literal::<Postgres>(ids[0]);
    let slow = [
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_sleep(0.005); RETURN OLD; END'"
            .to_owned(),
        "CREATE TRIGGER slow BEFORE DELETE ON mdb_change_0 FOR EACH ROW EXECUTE FUNCTION slow()"
            .to_owned(),
        format!("UPDATE customer SET name = 'x' WHERE g_user = {owner}"),
        "INSERT INTO mdb_change_0 SELECT c.* FROM mdb_change_0 c, generate_series(1, 100)"
            .to_owned(),
    ];
    Postgres::run_at(&bank.url(0), &slow).await.unwrap();
    let moves = relocator.list().await.unwrap();
    let aborted = relocator.abort(moves[0].id(), &options).await;
    aborted.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let left = bank.count(0, "SELECT count(*) FROM mdb_change_0").await;
    assert_eq!(left, 0);
}
