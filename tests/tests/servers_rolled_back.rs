//! Errors that are ignored: what the server has rolled back is never taken for committed.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::config::EngineKind;
use mdb_core::error::chain;
use mdb_core::{Gdid, TransactError, Transaction, TransactionError, cause_of, is_transient};
use mdb_gdid::RangeKey;
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::store::{Limits, Store, TestEngine};
use mdb_tests::{on_all_engines, on_engines_with_servers};
use sqlx::{MySql, Sqlite};

on_all_engines!(
    an_ignored_error_is_never_a_silent_rollback,
    what_comes_after_a_savepoint_is_undone_alone,
    work_can_not_commit_by_itself,
);
on_engines_with_servers!(
    after_a_deadlock_nothing_is_done_apart,
    a_lock_that_is_not_given_undoes_no_more_than_its_statement,
);

fn is_rolled_back(error: &sqlx::Error) -> bool {
    matches!(cause_of(error), Some(TransactionError::RolledBack { .. }))
}

/// Inserts, and ignores that it can't be done again.
async fn put_twice<DB: TestEngine>(tx: &Transaction<DB>, id: Gdid) {
    DB::put(tx, id, 1).await.unwrap();
    let error = DB::put(tx, id, 2).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::Database(_)), "{error:?}");
}

async fn an_ignored_error_is_never_a_silent_rollback<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    // Only PostgreSQL takes the whole transaction for failed.
    let is_kept = DB::KIND != EngineKind::Postgres;
    let id = ann.id();

    let tx = ann.begin().await.unwrap();
    put_twice(&tx, id).await;
    match tx.commit().await {
        Ok(()) => assert!(is_kept),
        Err(error) => {
            assert!(!is_kept && is_rolled_back(&error), "{error:?}");
            assert!(!is_transient::<DB>(&error), "it would fail again");
        }
    }
    assert_eq!(DB::get(&ann, id).await.unwrap(), is_kept.then_some(1));

    DB::run(&ann, "DELETE FROM account").await.unwrap();
    let mut runs = 0;
    let end = ann.transact(|tx| {
        runs += 1;
        async move {
            put_twice(&tx, id).await;
            Ok(())
        }
    });
    match end.await {
        Ok(()) => assert!(is_kept),
        Err(TransactError::Database(error)) => {
            assert!(!is_kept && is_rolled_back(&error), "{error:?}");
        }
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(runs, 1);
    assert_eq!(DB::get(&ann, id).await.unwrap(), is_kept.then_some(1));
    store.rests().await;
}

async fn what_comes_after_a_savepoint_is_undone_alone<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let tx = ann.begin().await.unwrap();
    DB::put(&tx, ann.id(), 1).await.unwrap();
    for _ in 0..2 {
        DB::run(&tx, "SAVEPOINT mark").await.unwrap();
        DB::put(&tx, ann.id(), 2).await.unwrap_err();
        DB::run(&tx, "ROLLBACK TO SAVEPOINT mark").await.unwrap();
        DB::add(&tx, ann.id(), 1).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(3));
    store.rests().await;
}

async fn work_can_not_commit_by_itself<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let error = ann
        .transact(async |tx| {
            DB::put(&tx, ann.id(), 1).await?;
            Ok(tx.commit().await?)
        })
        .await
        .unwrap_err();
    let TransactError::Database(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(cause_of(&error), Some(&TransactionError::Lent));
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), None);
    // Rolling back does no harm: nothing is committed in any case.
    let end = ann
        .transact(async |tx| {
            DB::put(&tx, ann.id(), 1).await?;
            Ok(tx.rollback().await?)
        })
        .await;
    assert!(matches!(end, Err(TransactError::Database(_))), "{end:?}");
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), None);
    store.rests().await;
}

/// Puts accounts there, and has two transactions lock one of them each.
async fn two_locks<DB: TestEngine>(store: &Store<DB>) -> ([Gdid; 3], [Transaction<DB>; 2]) {
    let ann = store.briefcase_on("a0");
    let ids: Vec<Gdid> = store.ids_on("a0").take(3).collect();
    for id in &ids {
        DB::put(&ann, *id, 0).await.unwrap();
    }
    let locks = [ann.begin().await.unwrap(), ann.begin().await.unwrap()];
    for (tx, id) in locks.iter().zip(&ids) {
        DB::add(tx, *id, 1).await.unwrap();
    }
    ([ids[0], ids[1], ids[2]], locks)
}

async fn after_a_deadlock_nothing_is_done_apart<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    for ends in [true, false] {
        DB::run(&ann, "DELETE FROM account").await.unwrap();
        let ([one, other, third], [first, second]) = two_locks(&store).await;
        let (first_ends, second_ends) =
            tokio::join!(DB::add(&first, other, 1), DB::add(&second, one, 1));
        let (winner, loser, of_loser) = match (first_ends, second_ends) {
            (Ok(()), Err(_)) => (first, second, other),
            (Err(_), Ok(())) => (second, first, one),
            ends => panic!("{ends:?}"),
        };
        let error = DB::add(&loser, third, 1).await.unwrap_err();
        if DB::KIND == EngineKind::MySql {
            assert!(is_rolled_back(&error), "{error:?}");
            assert!(is_transient::<DB>(&error));
        }
        if ends {
            let error = loser.commit().await.unwrap_err();
            assert!(
                is_rolled_back(&error) && is_transient::<DB>(&error),
                "{error:?}"
            );
        } else {
            loser.rollback().await.unwrap();
        }
        winner.commit().await.unwrap();
        assert_eq!(DB::get(&ann, third).await.unwrap(), Some(0));
        assert_eq!(DB::get(&ann, of_loser).await.unwrap(), Some(1));
        store.rests().await;
    }

    // Work that ignores it is run again as a whole.
    DB::run(&ann, "DELETE FROM account").await.unwrap();
    let ([one, other, third], [first, second]) = two_locks(&store).await;
    second.rollback().await.unwrap();
    let mut first = Some(first);
    let work = ann.transact(|tx| {
        let first = first.take();
        async move {
            DB::add(&tx, other, 1).await?;
            DB::add(&tx, third, 1).await?;
            if let Some(first) = first {
                // Either of the two loses.
                let _ = tokio::join!(DB::add(&tx, one, 1), DB::add(&first, other, 1));
                first.rollback().await?;
            }
            Ok(())
        }
    });
    work.await.unwrap();
    assert_eq!(DB::get(&ann, third).await.unwrap(), Some(1));
    assert_eq!(DB::get(&ann, other).await.unwrap(), Some(1));
    store.rests().await;
}

async fn a_lock_that_is_not_given_undoes_no_more_than_its_statement<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let ([one, other, third], [first, second]) = two_locks(&store).await;
    DB::run(&second, DB::SHORT_LOCK_WAIT).await.unwrap();
    DB::run(&second, "SAVEPOINT mark").await.unwrap();
    DB::add(&second, one, 1).await.unwrap_err();
    DB::run(&second, "ROLLBACK TO SAVEPOINT mark")
        .await
        .unwrap();
    DB::add(&second, third, 1).await.unwrap();
    second.commit().await.unwrap();
    first.rollback().await.unwrap();
    for (id, cents) in [(one, 0), (other, 1), (third, 1)] {
        assert_eq!(DB::get(&ann, id).await.unwrap(), Some(cents));
    }
    store.rests().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sqlite_has_rolled_back_does_not_go_on_statement_by_statement() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let ids: Vec<Gdid> = store.ids_on("a0").take(2).collect();
    let (one, other) = (ids[0], ids[1]);
    // As it is when the disk is full.
    let insert = "INSERT OR ROLLBACK INTO account (g_user, cents) VALUES (?, 2)";
    for commits in [true, false] {
        let tx = ann.begin().await.unwrap();
        Sqlite::put(&tx, one, 1).await.unwrap();
        sqlx::query(insert)
            .bind(one)
            .execute(&tx)
            .await
            .unwrap_err();
        let error = Sqlite::put(&tx, other, 1).await.unwrap_err();
        assert!(is_rolled_back(&error), "{error:?}");
        if commits {
            assert!(is_rolled_back(&tx.commit().await.unwrap_err()));
        } else {
            tx.rollback().await.unwrap();
        }
        for id in [one, other] {
            assert_eq!(Sqlite::get(&ann, id).await.unwrap(), None);
        }
    }
    let end = ann.transact(async |tx| {
        Sqlite::put(&tx, one, 1).await?;
        let _ = sqlx::query(insert).bind(one).execute(&tx).await;
        Ok(())
    });
    let Err(TransactError::Database(error)) = end.await else {
        panic!("nothing was committed")
    };
    assert!(is_rolled_back(&error), "{error:?}");
    // The only writer is of use.
    Sqlite::put(&ann, one, 1).await.unwrap();
    store.rests().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_waits_for_commits_gets_them() {
    let store = Store::<MySql>::alone(Limits::ROOMY).await;
    let statement = "SET GLOBAL autocommit = 0".to_owned();
    MySql::run_at(&store.url("a0"), &[statement]).await.unwrap();
    let mdb = store.open_changed(|text| text);
    // Statements go straight to the shard, without a transaction around them.
    assert!(mdb.join().await);
    let ann = mdb
        .area::<MySql>("user")
        .unwrap()
        .briefcase(store.id_on("a0"))
        .unwrap();
    MySql::put(&ann, ann.id(), 1).await.unwrap();
    let count = "SELECT count(*) FROM account";
    let seen = MySql::number_at(&store.url("a0"), count).await;
    assert_eq!(seen.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_fails_hides_no_error_and_no_writer() {
    let store = CentralStore::start::<Sqlite>(CentralTimes::LONG).await;
    let mdb = store.open();
    let sequence = mdb.sequence("user");
    sequence.next().await.unwrap();
    let at = async |statement: &str| {
        let statements = [statement.to_owned()];
        Sqlite::run_at(&store.url(0), &statements).await.unwrap();
    };
    // It rolls back all by itself, as a full disk does.
    at("CREATE TRIGGER refuse BEFORE UPDATE ON mdb_sequence BEGIN SELECT RAISE(ROLLBACK, 'not now'); END").await;
    let floor = RangeKey::new(0, 5_000).unwrap();
    for _ in 0..2 {
        let error = sequence.raise_floor(floor).await.unwrap_err();
        assert!(chain(&error).contains("not now"), "{}", chain(&error));
    }
    at("DROP TRIGGER refuse").await;
    sequence.raise_floor(floor).await.unwrap();
}
