//! What is SQLite's own: one writer beside many readers, full disks, directories that can't be written.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use mdb_core::error::chain;
use mdb_core::{InitError, Mdb, TransactError, TransactionOptions, is_transient};
use mdb_tests::kit::wait_for;
use mdb_tests::store::{Limits, SOON, Store, TestEngine as _};
use sqlx::{Connection as _, Executor as _, Sqlite, SqliteConnection};

/// Far less than a wait for the writer would take.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_do_not_wait_for_the_writer() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    Sqlite::put(&ann, ann.id(), 1).await.unwrap();
    let tx = ann.begin().await.unwrap();
    Sqlite::add(&tx, ann.id(), 1).await.unwrap();
    let began = Instant::now();
    assert_eq!(Sqlite::get(&ann, ann.id()).await.unwrap(), Some(1));
    assert_eq!(Sqlite::get(&ann.read(), ann.id()).await.unwrap(), Some(1));
    let query = "SELECT cents FROM account WHERE cents > ?";
    let rows = sqlx::query_scalar::<_, i64>(query)
        .bind(0)
        .fetch(&ann)
        .map(Result::unwrap)
        .collect::<Vec<_>>()
        .await;
    assert_eq!(rows, [1]);
    let reading = ann
        .begin_with(&TransactionOptions::new().read_only())
        .await
        .unwrap();
    assert_eq!(Sqlite::get(&reading, ann.id()).await.unwrap(), Some(1));
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    tx.commit().await.unwrap();
    assert_eq!(
        Sqlite::get(&reading, ann.id()).await.unwrap(),
        Some(1),
        "it sees what it saw first"
    );
    reading.commit().await.unwrap();
    assert_eq!(Sqlite::get(&ann, ann.id()).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_statements_that_write_find_the_writer() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    let mdb = store.open_changed(|text| text);
    let ann = mdb
        .area::<Sqlite>("user")
        .unwrap()
        .briefcase(store.id_on("a0"))
        .unwrap();
    // With the rows, without them, as a stream and as one row.
    Sqlite::put(&ann, ann.id(), 0).await.unwrap();
    for round in 1..=3 {
        Sqlite::add(&ann, ann.id(), 1).await.unwrap();
        let returning = "UPDATE account SET cents = cents + ? WHERE g_user = ? RETURNING cents";
        let cents: i64 = sqlx::query_scalar(returning)
            .bind(1)
            .bind(ann.id())
            .fetch_one(&ann)
            .await
            .unwrap();
        assert_eq!(cents, 3 * round - 1);
        let cents: Vec<i64> = sqlx::query_scalar(returning)
            .bind(1)
            .bind(ann.id())
            .fetch_all(&ann)
            .await
            .unwrap();
        assert_eq!(cents, [3 * round], "it ran once");
    }
    let changed = sqlx::query("UPDATE account SET cents = cents + ?")
        .bind(1)
        .execute(&ann)
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    Sqlite::run(
        &ann,
        "CREATE TABLE two (i); INSERT INTO two VALUES (1); INSERT INTO two VALUES (2)",
    )
    .await
    .unwrap();
    assert_eq!(
        Sqlite::number(&ann, "SELECT count(*) FROM two")
            .await
            .unwrap(),
        2
    );
    // One writer and one reader did all that.
    assert_eq!(mdb.servers().status(store.shard("a0")).open, 2);

    // Writes wait for each other, and none is lost.
    let adds = (0..50).map(|_| Sqlite::add(&ann, ann.id(), 1));
    join_all(adds).await.into_iter().for_each(Result::unwrap);
    assert_eq!(Sqlite::get(&ann, ann.id()).await.unwrap(), Some(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_waits_for_the_one_before() {
    let store = Store::<Sqlite>::start(Limits {
        acquire: Duration::from_millis(300),
        ..Limits::ROOMY
    })
    .await;
    let ann = store.briefcase_on("a0");
    Sqlite::put(&ann, ann.id(), 0).await.unwrap();
    let tx = ann.begin().await.unwrap();
    let began = Instant::now();
    for error in [
        ann.begin().await.unwrap_err(),
        Sqlite::add(&ann, ann.id(), 1).await.unwrap_err(),
    ] {
        assert!(is_transient::<Sqlite>(&error), "{error:?}");
        assert!(
            chain(&error).contains("no free connection"),
            "{}",
            chain(&error)
        );
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    // Another database's writer is another one.
    let bob = store.briefcase_on("a1");
    Sqlite::put(&bob, bob.id(), 1).await.unwrap();
    tx.commit().await.unwrap();
    Sqlite::add(&ann, ann.id(), 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_nothing_half_written() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    // The writer is the only connection that writes, so its limit is the disk's. The readers know of none.
    let pages = Sqlite::number(&ann, "PRAGMA page_count").await.unwrap();
    Sqlite::run(&ann, &format!("PRAGMA max_page_count = {}", pages + 4))
        .await
        .unwrap();
    let mut runs = 0;
    let work = ann.transact(|tx| {
        runs += 1;
        let ids: Vec<_> = store.ids_on("a0").take(400).collect();
        async move {
            Sqlite::run(&tx, "CREATE TABLE blob (content BLOB)").await?;
            for id in ids {
                Sqlite::put(&tx, id, 1).await?;
                sqlx::query("INSERT INTO blob VALUES (zeroblob(?))")
                    .bind(4000)
                    .execute(&tx)
                    .await?;
            }
            Ok(())
        }
    });
    let error = work.await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("database or disk is full"), "{text}");
    let TransactError::Database(error) = error else {
        panic!("{error:?}")
    };
    assert!(
        !is_transient::<Sqlite>(&error) && runs == 1,
        "a full disk does not empty itself"
    );
    assert_eq!(
        Sqlite::number(&ann, "SELECT count(*) FROM account")
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        Sqlite::number(
            &ann,
            "SELECT count(*) FROM sqlite_schema WHERE name = 'blob'"
        )
        .await
        .unwrap(),
        0
    );
    store.rests().await;

    // There is room again.
    Sqlite::run(&ann, "PRAGMA max_page_count = 1000000")
        .await
        .unwrap();
    Sqlite::put(&ann, ann.id(), 1).await.unwrap();
    let mut past = SqliteConnection::connect(&store.url("a0")).await.unwrap();
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut past)
        .await
        .unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_wait_for_another_process_writes_nothing_later() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    // Statements go straight to the shard, without a transaction around them.
    assert!(store.mdb().join().await);
    let ann = store.briefcase_on("a0");
    Sqlite::put(&ann, ann.id(), 0).await.unwrap();
    let mut holder = SqliteConnection::connect(&store.url("a0")).await.unwrap();
    for round in 1..=5 {
        holder.execute("BEGIN IMMEDIATE").await.unwrap();
        let adder = ann.clone();
        let adds = tokio::spawn(async move { Sqlite::add(&adder, adder.id(), 100).await });
        wait_for("the statement to wait", SOON, async || {
            store.status("a0").server_in_use > 0
        })
        .await;
        adds.abort();
        assert!(adds.await.unwrap_err().is_cancelled());
        wait_for("the worker to have given up", SOON, async || {
            store.status("a0").server_in_use == 0
        })
        .await;
        holder.execute("COMMIT").await.unwrap();
        Sqlite::add(&ann, ann.id(), 1).await.unwrap();
        let cents = Sqlite::get(&ann, ann.id()).await.unwrap();
        assert_eq!(cents, Some(round));
    }
}

/// The store with its files somewhere else.
fn moved(store: &Store<Sqlite>, directory: &str) -> Mdb {
    store.open_changed(|text| text.replace("sqlite:files", &format!("sqlite:{directory}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_can_not_be_made_is_told() {
    let store = Store::<Sqlite>::start(Limits::SHORT).await;
    // Whoever runs the tests, root included, can't make a directory below a file.
    std::fs::write(store.directory().join("file"), "text").unwrap();
    let mdb = moved(&store, "file/data");
    let shard = store.shard("a0");
    let error = mdb.init_shard(shard).await.unwrap_err();
    let InitError::Directory { directory, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(directory, &store.directory().join("file/data"));
    assert!(
        chain(&error).contains("Not a directory"),
        "{}",
        chain(&error)
    );
    let error = mdb.servers().probe(shard).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(
        chain(&error).contains(&store.database("a0")),
        "{}",
        chain(&error)
    );
    assert_eq!(
        std::fs::read_to_string(store.directory().join("file")).unwrap(),
        "text"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_is_not_made_by_using_it() {
    let store = Store::<Sqlite>::start(Limits::SHORT).await;
    std::fs::create_dir(store.directory().join("empty")).unwrap();
    let mdb = moved(&store, "empty");
    let ann = mdb
        .area::<Sqlite>("user")
        .unwrap()
        .briefcase(store.id_on("a0"))
        .unwrap();
    Sqlite::get(&ann, ann.id()).await.unwrap_err();
    Sqlite::put(&ann, ann.id(), 1).await.unwrap_err();
    ann.begin().await.unwrap_err();
    assert_eq!(
        std::fs::read_dir(store.directory().join("empty"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_database_is_told_and_left() {
    let store = Store::<Sqlite>::start(Limits::SHORT).await;
    let directory = store.directory().join("other");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join(format!("{}.db", store.database("a0")));
    let content = "This is a letter, and longer than the header of a database: ".repeat(40);
    std::fs::write(&file, &content).unwrap();
    let mdb = moved(&store, "other");
    let shard = store.shard("a0");
    let errors = [
        chain(&mdb.servers().probe(shard).await.unwrap_err()),
        chain(&mdb.init_shard(shard).await.unwrap_err()),
    ];
    for text in errors {
        assert!(text.contains("file is not a database"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_in_the_file() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    ann.transact(async |tx| Ok(Sqlite::put(&tx, ann.id(), 5).await?))
        .await
        .unwrap();
    let mut past = SqliteConnection::connect(&store.url("a0")).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut past)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
    past.execute("UPDATE account SET cents = 6").await.unwrap();
    assert_eq!(
        Sqlite::get(&ann, ann.id()).await.unwrap(),
        Some(6),
        "other processes' writes are seen"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_can_not_be_opened_is_not_taken_for_a_missing_one() {
    let store = Store::<Sqlite>::start(Limits::SHORT).await;
    let directory = store.directory().join("other");
    let file = directory.join(format!("{}.db", store.database("a0")));
    let mdb = moved(&store, "other");
    std::fs::create_dir(&directory).unwrap();
    let shard = store.shard("a0");
    let missing = chain(&mdb.servers().probe(shard).await.unwrap_err());
    std::fs::create_dir(&file).unwrap();
    let barred = chain(&mdb.servers().probe(shard).await.unwrap_err());
    assert!(missing.contains("mdb init"), "{missing}");
    assert!(!barred.contains("mdb init"), "{barred}");
    assert!(barred.contains("it is a directory"), "{barred}");
}
