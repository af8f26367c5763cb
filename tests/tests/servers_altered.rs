//! Tables that are altered while connections have statements on them prepared.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use futures_util::future::join_all;
use mdb_core::{Area, Briefcase, Mdb, is_transient};
use mdb_tests::store::{Limits, Store, TestEngine};
use sqlx::postgres::PgRow;
use sqlx::{Executor, Postgres, Row as _};

/// How many columns `account` has at first.
const COLUMNS: usize = 2;

/// A briefcase with a row, in that process' hands.
async fn briefcase(store: &Store<Postgres>, mdb: &Mdb) -> Briefcase<Postgres> {
    let area: Area<Postgres> = mdb.area("user").unwrap();
    let ann = area.briefcase(store.id_on("a0")).unwrap();
    Postgres::put(&ann, ann.id(), 7).await.unwrap();
    ann
}

/// Has three connections prepare the query.
async fn prepare(ann: &Briefcase<Postgres>) {
    // All are begun before one is given back.
    for transaction in join_all((0..3).map(|_| ann.begin())).await {
        let transaction = transaction.unwrap();
        row(&transaction, ann).await.unwrap();
        transaction.rollback().await.unwrap();
    }
}

fn all(ann: &Briefcase<Postgres>) -> sqlx::query::Query<'_, Postgres, sqlx::postgres::PgArguments> {
    sqlx::query("SELECT * FROM account WHERE g_user = $1").bind(ann.id())
}

/// How many columns the only row has.
async fn row(
    on: impl Executor<'_, Database = Postgres>,
    ann: &Briefcase<Postgres>,
) -> Result<usize, sqlx::Error> {
    let row: PgRow = all(ann).fetch_one(on).await?;
    Ok(row.len())
}

async fn add_column(store: &Store<Postgres>, name: &str) {
    let alter = format!("ALTER TABLE account ADD COLUMN {name} TEXT");
    Postgres::run_at(&store.url("a0"), &[alter]).await.unwrap();
}

async fn notice_nothing(store: &Store<Postgres>, mdb: &Mdb) {
    let ann = briefcase(store, mdb).await;
    prepare(&ann).await;
    add_column(store, "note").await;
    for _ in 0..4 {
        assert_eq!(row(&ann, &ann).await.unwrap(), COLUMNS + 1);
    }
    prepare(&ann).await;
    add_column(store, "more").await;
    for _ in 0..4 {
        let rows = all(&ann).fetch_all(&ann).await.unwrap();
        assert_eq!(rows[0].len(), COLUMNS + 2);
    }
    store.rests().await;
}

#[tokio::test]
async fn single_statements_notice_nothing() {
    let store = Store::<Postgres>::start(Limits::ROOMY).await;
    assert!(store.mdb().join().await);
    notice_nothing(&store, store.mdb()).await;
}

#[tokio::test]
async fn single_statements_notice_nothing_without_a_lease_either() {
    let store = Store::<Postgres>::start(Limits::ROOMY).await;
    let mdb = store.open_changed(|text| text.replace("sqlite:central", "sqlite:nowhere"));
    notice_nothing(&store, &mdb).await;
}

#[tokio::test]
async fn a_transaction_is_run_again() {
    let store = Store::<Postgres>::start(Limits::ROOMY).await;
    let ann = briefcase(&store, store.mdb()).await;
    prepare(&ann).await;
    add_column(&store, "note").await;
    let mut runs = 0;
    let work = ann.transact(|tx| {
        runs += 1;
        let ann = ann.clone();
        async move { Ok(row(&tx, &ann).await?) }
    });
    assert_eq!(work.await.unwrap(), COLUMNS + 1);
    assert_eq!(
        runs, 2,
        "no connection of before is taken for the second run"
    );
    store.rests().await;
}

#[tokio::test]
async fn connections_of_before_are_not_used_again() {
    let store = Store::<Postgres>::start(Limits::ROOMY).await;
    let ann = briefcase(&store, store.mdb()).await;
    prepare(&ann).await;
    let held = ann.begin().await.unwrap();
    add_column(&store, "note").await;
    let transaction = ann.begin().await.unwrap();
    let error = row(&transaction, &ann).await.unwrap_err();
    assert!(is_transient::<Postgres>(&error), "{error:?}");
    transaction.rollback().await.unwrap();
    held.rollback().await.unwrap();
    for transaction in join_all((0..3).map(|_| ann.begin())).await {
        let transaction = transaction.unwrap();
        assert_eq!(row(&transaction, &ann).await.unwrap(), COLUMNS + 1);
        transaction.rollback().await.unwrap();
    }
    store.rests().await;
}
