//! Who has done with a server says so: MariaDB warns of each connection that ends without a word, and operators of that.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::process::Stdio;
use std::time::Duration;

use mdb_tests::bank::{Bank, Place};
use mdb_tests::kit::wait_for;
use sqlx::{Connection as _, MySql, MySqlConnection};
use tokio::process::Command;

/// No test waits longer for connections to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server's count, by its name.
async fn status(connection: &mut MySqlConnection, name: &str) -> i64 {
    let query = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status WHERE variable_name = ?";
    let count = sqlx::query_scalar(query).bind(name).fetch_one(connection);
    count.await.unwrap()
}

/// Waits until all others have gone; how many of those who ever came went without a word.
async fn gone_without_a_word(watchers: &mut [MySqlConnection]) -> i64 {
    let mut gone = 0;
    for watcher in watchers {
        wait_for("the connections to end", PATIENCE, async || {
            status(watcher, "THREADS_CONNECTED").await == 1
        })
        .await;
        gone += status(watcher, "ABORTED_CLIENTS").await;
    }
    gone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_taken_leave_of() {
    let place = Place::<MySql>::on(Bank::alone().await, 3).await;
    // What made the place does not count.
    place.mdb.close().await;
    let mut watchers = Vec::new();
    for number in 0..2 {
        let watcher = MySqlConnection::connect(&place.bank.url(number)).await;
        watchers.push(watcher.unwrap());
    }
    let before = gone_without_a_word(&mut watchers).await;

    let mdb = place.bank.open();
    let area = mdb.area::<MySql>("user").unwrap();
    let customer = area.briefcase(place.ids[0]).unwrap();
    for _ in 0..3 {
        let tx = customer.begin().await.unwrap();
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM customer");
        assert!(count.fetch_one(&tx).await.unwrap() > 0);
        tx.commit().await.unwrap();
    }
    mdb.leave().await;
    assert_eq!(
        gone_without_a_word(&mut watchers).await,
        before,
        "a service"
    );

    let there = mdb.topology().shard_place(place.bank.shard(&mdb, 1));
    let id = place.ids[0].to_string();
    for arguments in [
        vec!["check"],
        vec!["move", "run", "user", "--to", &there, "--gdid", &id],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdb-of-tests"));
        command.arg("--config").arg(place.bank.config());
        let ran = command.args(&arguments).stdin(Stdio::null()).output().await;
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        assert_eq!(
            gone_without_a_word(&mut watchers).await,
            before,
            "{arguments:?}"
        );
    }
}
