//! What moves on SQLite are measured against.

use std::time::{Duration, Instant};

use mdb_tests::store::TestEngine;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Sqlite};

use crate::data::{TABLES, create, fill};
use crate::place::Place;

/// The source attached to a new file, into which everything is inserted in one transaction: foreign
/// keys on, durable as MDB's connections. The briefcases that stay at the source are copied too, those that stay at
/// the target are there before.
pub(crate) async fn attach(place: &Place<Sqlite>, from: usize) -> Duration {
    let directory = tempfile::tempdir_in(place.directory()).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("peer.db"))
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut target = options.connect().await.unwrap();
    for statement in create::<Sqlite>() {
        target.execute(statement.as_str()).await.unwrap();
    }
    for statement in fill::<Sqlite>(place.others(1 - from)).flatten() {
        target.execute(statement.as_str()).await.unwrap();
    }
    let source = place.url(from);
    let attach = format!(
        "ATTACH DATABASE '{}' AS source",
        source.trim_start_matches("sqlite:")
    );
    target.execute(attach.as_str()).await.unwrap();
    let started = Instant::now();
    target.execute("BEGIN IMMEDIATE").await.unwrap();
    for table in &TABLES {
        let name = table.name;
        let copy = format!("INSERT INTO main.{name} SELECT * FROM source.{name}");
        target.execute(copy.as_str()).await.unwrap();
    }
    target.execute("COMMIT").await.unwrap();
    let took = started.elapsed();
    let count = "SELECT count(*) FROM main.account";
    let copied = Sqlite::number(&mut target, count).await.unwrap();
    let there = Sqlite::number(&mut target, "SELECT count(*) FROM source.account");
    // As many stay on each side.
    let held = i64::try_from(place.others(0).len()).unwrap();
    assert_eq!(copied, there.await.unwrap() + held);
    target.close().await.unwrap();
    place.share_of_moving(took)
}
