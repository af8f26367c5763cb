//! Briefcases: routed statements, streams and transactions, and what is refused.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use futures_util::StreamExt as _;
use mdb_core::error::chain;
use mdb_core::routing::RouteError;
use mdb_core::{
    AcquireError, AreaError, Engine, Gdid, Isolation, TransactError, Transaction, TransactionError,
    TransactionOptions, cause_of, is_transient,
};
use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, Store, TestEngine};
use sqlx::{Executor as _, MySql, Postgres, Sqlite};

on_all_engines!(
    what_a_transaction_wrote_is_read_in_every_way,
    rows_land_on_the_shard_that_owns_them,
    what_can_not_be_routed_is_refused,
    nothing_is_committed_unless_commit_is_called,
    a_stream_that_is_left_early_does_no_harm,
    statements_of_one_transaction_do_not_overlap,
    a_transaction_that_is_over_refuses,
    work_that_aborts_is_undone_and_not_repeated,
    an_error_of_the_server_is_not_repeated,
    transactions_can_be_spawned,
    a_read_only_transaction_refuses_to_write,
    statements_can_be_prepared_and_described,
    a_closed_store_hands_out_nothing,
);

async fn what_a_transaction_wrote_is_read_in_every_way<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let inside = ann
        .transact(async |tx| {
            DB::put(&tx, ann.id(), 500).await?;
            DB::add(&tx, ann.id(), 20).await?;
            Ok(DB::get(&tx, ann.id()).await?)
        })
        .await
        .unwrap();
    assert_eq!(inside, Some(520));
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(520));
    assert_eq!(DB::get(&ann.read(), ann.id()).await.unwrap(), Some(520));
    DB::add(&ann, ann.id(), 1).await.unwrap();
    let reading = ann.read();
    let query = "SELECT cents FROM account";
    for rows in [DB::numbers(&ann, query), DB::numbers(&reading, query)] {
        assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>().await, [521]);
    }
    let tx = ann
        .begin_with(&TransactionOptions::new().read_only())
        .await
        .unwrap();
    assert_eq!(DB::number(&tx, query).await.unwrap(), 521);
    tx.rollback().await.unwrap();
    store.rests().await;
}

async fn rows_land_on_the_shard_that_owns_them<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    for short in ["a0", "a1", "b0"] {
        let ids: Vec<Gdid> = store.ids_on(short).take(3).collect();
        for (id, cents) in ids.iter().zip(1..) {
            let briefcase = store.area().briefcase(*id).unwrap();
            DB::put(&briefcase, *id, cents).await.unwrap();
        }
        assert_eq!(DB::accounts_in(&store, short).await, ids, "on {short}");
    }
    // The authority may decide over the shard, never over the partition.
    let foreign = Gdid::new(0, 7, 1500).unwrap();
    let route = store.area().route(foreign).unwrap();
    assert_eq!(route.shard_id(), store.shard("b0"));
}

async fn what_can_not_be_routed_is_refused<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let area = store.area();
    assert!(matches!(
        area.briefcase(Gdid::ZERO),
        Err(RouteError::ZeroId { .. })
    ));
    let below = Gdid::new(0, 0, 9).unwrap();
    let error = area.briefcase(below).unwrap_err();
    assert!(
        matches!(error, RouteError::BelowFirstPartition { .. }),
        "{error:?}"
    );
    for part in ["user", "0:0:9", "0:10"] {
        assert!(error.to_string().contains(part), "{error} lacks {part}");
    }
    let error = store.mdb().area::<DB>("device").unwrap_err();
    assert!(
        matches!(&error, AreaError::Unknown { name, known } if name == "device" && known == &["user"])
    );
    assert!(error.to_string().contains("`user`"), "{error}");
    assert!(
        store.mdb().area::<DB>("USER").is_ok(),
        "letter case is ignored"
    );
    is_refused_unless_same::<Sqlite, DB>(&store);
    is_refused_unless_same::<Postgres, DB>(&store);
    is_refused_unless_same::<MySql, DB>(&store);
}

fn is_refused_unless_same<Wanted: Engine, DB: TestEngine>(store: &Store<DB>) {
    match store.mdb().area::<Wanted>("user") {
        Ok(_) => assert_eq!(Wanted::KIND, DB::KIND),
        Err(AreaError::WrongEngine { wanted, found, .. }) => {
            assert_eq!((wanted, found), (Wanted::KIND, DB::KIND));
            assert_ne!(wanted, found);
        }
        Err(other) => panic!("{other}"),
    }
}

async fn nothing_is_committed_unless_commit_is_called<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let tx = ann.begin().await.unwrap();
    DB::put(&tx, ann.id(), 1).await.unwrap();
    tx.rollback().await.unwrap();
    let tx = ann.begin().await.unwrap();
    DB::put(&tx, ann.id(), 2).await.unwrap();
    drop(tx);
    let tx = ann.begin().await.unwrap();
    assert_eq!(DB::get(&tx, ann.id()).await.unwrap(), None);
    DB::put(&tx, ann.id(), 3).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(3));
    store.rests().await;
}

async fn a_stream_that_is_left_early_does_no_harm<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let series = DB::series(10_000);
    let tx = ann.begin().await.unwrap();
    DB::put(&tx, ann.id(), 1).await.unwrap();
    for taken in [1, 2, 500] {
        let rows: Vec<_> = DB::numbers(&tx, &series)
            .take(taken)
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(rows.len(), taken);
        DB::add(&tx, ann.id(), 1).await.unwrap();
    }
    // One that was never begun.
    drop(DB::numbers(&tx, &series));
    let whole: Vec<_> = DB::numbers(&tx, &series)
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(whole, (1..=10_000).collect::<Vec<_>>());
    tx.commit().await.unwrap();
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(4));

    // The end of a transaction comes straight after, too.
    let tx = ann.begin().await.unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    assert_eq!(DB::numbers(&tx, &series).next().await.unwrap().unwrap(), 1);
    tx.commit().await.unwrap();
    let tx = ann.begin().await.unwrap();
    DB::add(&tx, ann.id(), 100).await.unwrap();
    assert_eq!(DB::numbers(&tx, &series).next().await.unwrap().unwrap(), 1);
    drop(tx);
    store.rests().await;
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(5));

    // Outside a transaction.
    assert_eq!(DB::numbers(&ann, &series).next().await.unwrap().unwrap(), 1);
    assert_eq!(
        DB::numbers(&ann.read(), &series)
            .next()
            .await
            .unwrap()
            .unwrap(),
        1
    );
    store.rests().await;
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(5));
}

fn refusal(error: &sqlx::Error) -> Option<TransactionError> {
    cause_of(error).copied()
}

async fn statements_of_one_transaction_do_not_overlap<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let series = DB::series(10_000);
    let tx = ann.begin().await.unwrap();
    DB::put(&tx, ann.id(), 1).await.unwrap();
    let mut rows = DB::numbers(&tx, &series);
    rows.next().await.unwrap().unwrap();
    let error = DB::get(&tx, ann.id()).await.unwrap_err();
    assert_eq!(refusal(&error), Some(TransactionError::Overlapping));
    let error = DB::numbers(&tx, &series).next().await.unwrap().unwrap_err();
    assert_eq!(refusal(&error), Some(TransactionError::Overlapping));
    assert_eq!(
        rows.next().await.unwrap().unwrap(),
        2,
        "the first one goes on"
    );
    drop(rows);
    assert_eq!(DB::get(&tx, ann.id()).await.unwrap(), Some(1));
    tx.commit().await.unwrap();
}

async fn a_transaction_that_is_over_refuses<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    // `commit` takes the transaction; only the handle that `transact` lends can outlive its end.
    let mut kept: Option<Transaction<DB>> = None;
    ann.transact(|tx| {
        kept = Some(tx);
        async { Ok(()) }
    })
    .await
    .unwrap();
    let kept = kept.unwrap();
    let error = DB::put(&kept, ann.id(), 1).await.unwrap_err();
    assert_eq!(refusal(&error), Some(TransactionError::Over));
    assert!(!is_transient::<DB>(&error));
    let error = kept.rollback().await.unwrap_err();
    assert_eq!(refusal(&error), Some(TransactionError::Over));

    // Who rolls back inside the work is told so by `transact`, which has nothing left to commit.
    let error = ann
        .transact(async |tx| Ok(tx.rollback().await?))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransactError::Database(cause) if refusal(cause) == Some(TransactionError::Over))
    );
    store.rests().await;
}

#[derive(Debug, thiserror::Error)]
#[error("not enough money")]
struct Poor;

async fn work_that_aborts_is_undone_and_not_repeated<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let mut runs = 0;
    let result = ann
        .transact(|tx| {
            runs += 1;
            let id = ann.id();
            async move {
                DB::put(&tx, id, 1).await?;
                Err::<(), _>(TransactError::abort(Poor))
            }
        })
        .await;
    let error = result.unwrap_err();
    assert!(
        matches!(&error, TransactError::Aborted(cause) if cause.is::<Poor>()),
        "{error:?}"
    );
    assert_eq!(
        chain(&error),
        "the transaction was aborted and rolled back: not enough money"
    );
    assert_eq!(runs, 1);
    // At once: `transact` has waited for the rollback.
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), None);
    store.rests().await;
}

async fn an_error_of_the_server_is_not_repeated<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 1).await.unwrap();
    let mut runs = 0;
    let result = ann
        .transact(|tx| {
            runs += 1;
            let id = ann.id();
            async move {
                DB::add(&tx, id, 5).await?;
                Ok(DB::put(&tx, id, 2).await?)
            }
        })
        .await;
    let Err(TransactError::Database(sqlx::Error::Database(error))) = result else {
        panic!("{result:?}");
    };
    assert!(error.is_unique_violation(), "{error}");
    assert_eq!(runs, 1);
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(1));
    assert_eq!(
        store.status("a0").server_in_use,
        0,
        "the connection is given back"
    );
}

async fn transactions_can_be_spawned<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let tasks = ["a0", "a1", "b0"].map(|short| {
        let briefcase = store.briefcase_on(short);
        tokio::spawn(async move {
            let id = briefcase.id();
            let options = TransactionOptions::new().isolation(Isolation::RepeatableRead);
            briefcase
                .transact(async |tx| Ok(DB::put(&tx, id, 7).await?))
                .await?;
            briefcase
                .transact_with(&options, async |tx| Ok(DB::get(&tx, id).await?))
                .await
        })
    });
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), Some(7));
    }
}

async fn a_read_only_transaction_refuses_to_write<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 1).await.unwrap();
    for level in [
        Isolation::ReadCommitted,
        Isolation::RepeatableRead,
        Isolation::Serializable,
    ] {
        let options = TransactionOptions::new().read_only().isolation(level);
        let tx = ann.begin_with(&options).await.unwrap();
        assert_eq!(DB::get(&tx, ann.id()).await.unwrap(), Some(1));
        let error = DB::add(&tx, ann.id(), 1).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Database(_)), "{error:?}");
        assert!(!is_transient::<DB>(&error));
        tx.rollback().await.unwrap();
    }
    DB::add(&ann, ann.id(), 1).await.unwrap();
    let own = TransactionOptions::new()
        .isolation(Isolation::Serializable)
        .timeout(Duration::from_secs(5));
    let tx = ann.begin_with(&own).await.unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(3));
}

async fn statements_can_be_prepared_and_described<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let tx = ann.begin().await.unwrap();
    let query = "SELECT g_user, cents FROM account";
    let described = [
        (&ann).describe(query).await,
        (&ann.read()).describe(query).await,
        (&tx).describe(query).await,
    ];
    for described in described {
        assert_eq!(described.unwrap().columns.len(), 2);
    }
    (&ann).prepare(query).await.unwrap();
    (&tx).prepare(query).await.unwrap();
    assert!((&ann).prepare("SELECT nothing FROM nowhere").await.is_err());
    DB::put(&tx, ann.id(), 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(1));
}

async fn a_closed_store_hands_out_nothing<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let tx = ann.begin().await.unwrap();
    store.mdb().close().await;
    DB::put(&tx, ann.id(), 1).await.unwrap();
    tx.commit().await.unwrap();
    let errors = [
        DB::get(&ann, ann.id()).await.unwrap_err(),
        DB::get(&ann.read(), ann.id()).await.unwrap_err(),
        ann.begin().await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(cause_of(&error), Some(AcquireError::Closed { .. })),
            "{error:?}"
        );
        assert!(!is_transient::<DB>(&error));
    }
    assert_eq!(DB::accounts_in(&store, "a0").await, [ann.id()]);
}
