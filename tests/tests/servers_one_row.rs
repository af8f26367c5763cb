//! Statements of which one row is wanted: their answers are read to the end.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, Store, TestEngine};
use sqlx::{MySql, Sqlite};

on_all_engines!(the_rest_of_an_answer_is_in_nobodys_way);

async fn the_rest_of_an_answer_is_in_nobodys_way<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    // Statements go straight to the shard, without a transaction around them.
    assert!(store.mdb().join().await);
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let series = DB::series(10_000);
    for round in 1..=3 {
        assert_eq!(DB::number(&ann, &series).await.unwrap(), 1);
        DB::add(&ann, ann.id(), 1).await.unwrap();
        assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(round));
    }
    let tx = ann.begin().await.unwrap();
    assert_eq!(DB::number(&tx, &series).await.unwrap(), 1);
    DB::add(&tx, ann.id(), 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(4));
    store.rests().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_after_the_first_row_is_that_statements() {
    let store = Store::<MySql>::start(Limits::ROOMY).await;
    // Statements go straight to the shard, without a transaction around them.
    assert!(store.mdb().join().await);
    let ann = store.briefcase_on("a0");
    let overflows = "SELECT 9223372036854775707 + CAST(seq AS SIGNED) FROM seq_1_to_1000";
    for _ in 0..3 {
        let error = MySql::number(&ann, overflows).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Database(_)), "{error:?}");
        assert_eq!(MySql::get(&ann, ann.id()).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_sqlite_takes_back_at_the_end_is_not_answered_with() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    // Statements go straight to the shard, without a transaction around them.
    assert!(store.mdb().join().await);
    let ann = store.briefcase_on("a0");
    Sqlite::run(
        &ann,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY); \
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
    )
    .await
    .unwrap();
    let insert = || {
        let insert = "INSERT INTO child VALUES (?) RETURNING id";
        sqlx::query_scalar::<_, i64>(insert).bind(7)
    };
    insert().fetch_one(&ann).await.unwrap_err();
    insert().fetch_optional(&ann).await.unwrap_err();
    let count = "SELECT count(*) FROM child";
    assert_eq!(Sqlite::number(&ann, count).await.unwrap(), 0);
    Sqlite::run(&ann, "INSERT INTO parent VALUES (7)")
        .await
        .unwrap();
    assert_eq!(insert().fetch_one(&ann).await.unwrap(), 7);
    assert_eq!(Sqlite::number(&ann, count).await.unwrap(), 1);
}
