//! Transactions that lose against others: run again, a bounded number of times, until they win.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mdb_core::{Isolation, TransactError, TransactionOptions, is_transient};
use mdb_tests::store::{Limits, Store, TestEngine};
use mdb_tests::{on_all_engines, on_engines_with_servers};
use sqlx::{Connection as _, Executor as _, Sqlite, SqliteConnection};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

on_all_engines!(
    many_writers_of_one_row_all_succeed,
    work_that_fails_for_ever_is_given_up
);
on_engines_with_servers!(
    a_serialization_failure_is_run_again,
    a_deadlock_is_run_again,
    a_lock_that_is_not_given_in_time_is_run_again,
);

async fn many_writers_of_one_row_all_succeed<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let briefcase = ann.clone();
        writers.spawn(async move {
            for _ in 0..5 {
                let id = briefcase.id();
                briefcase
                    .transact(async |tx| {
                        DB::add(&tx, id, 1).await?;
                        let cents = DB::get(&tx, id).await?.expect("it was put there");
                        // Doubles it; wrong if anybody else has written since.
                        Ok(DB::add(&tx, id, cents).await?)
                    })
                    .await
                    .unwrap();
            }
        });
    }
    writers.join_all().await;
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some((1 << 21) - 2));
    store.rests().await;
}

// MariaDB looks at all constraints at once: nothing is left to refuse at the commit.
on_all_engines!(@module on_sqlite_deferred, Sqlite, [a_refused_commit_leaves_a_usable_connection]);
on_all_engines!(@module on_postgres_deferred, Postgres, [a_refused_commit_leaves_a_usable_connection]);

async fn a_refused_commit_leaves_a_usable_connection<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let reference = "id BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED";
    DB::run(&ann, "CREATE TABLE parent (id BIGINT PRIMARY KEY)")
        .await
        .unwrap();
    DB::run(&ann, &format!("CREATE TABLE child ({reference})"))
        .await
        .unwrap();
    for _ in 0..3 {
        let tx = ann.begin().await.unwrap();
        DB::put(&tx, ann.id(), 1).await.unwrap();
        DB::run(&tx, "INSERT INTO child VALUES (1)").await.unwrap();
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Database(_)), "{error:?}");
        let orphan = ann
            .transact(async |tx| Ok(DB::run(&tx, "INSERT INTO child VALUES (2)").await?))
            .await;
        assert!(
            matches!(
                orphan,
                Err(TransactError::Database(sqlx::Error::Database(_)))
            ),
            "{orphan:?}"
        );
        assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), None);
        store.rests().await;
    }
    ann.transact(async |tx| Ok(DB::put(&tx, ann.id(), 1).await?))
        .await
        .unwrap();
    assert_eq!(
        DB::number(&ann, "SELECT count(*) FROM child")
            .await
            .unwrap(),
        0
    );
}

/// An error that may pass, without a server's help.
fn passing() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
}

async fn work_that_fails_for_ever_is_given_up<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    assert!(is_transient::<DB>(&passing()));
    let (mut runs, began) = (0, Instant::now());
    let work = ann.transact(|tx| {
        runs += 1;
        let id = ann.id();
        async move {
            DB::put(&tx, id, 1).await?;
            Err::<(), _>(TransactError::from(passing()))
        }
    });
    let error = work.await.unwrap_err();
    assert!(
        matches!(error, TransactError::Database(sqlx::Error::Io(_))),
        "{error:?}"
    );
    assert_eq!(runs, 10);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), None);
    store.rests().await;

    // It stops as soon as it works.
    let mut runs = 0;
    let work = ann.transact(|tx| {
        runs += 1;
        let (id, fails) = (ann.id(), runs < 4);
        async move {
            DB::put(&tx, id, 1).await?;
            if fails { Err(passing().into()) } else { Ok(()) }
        }
    });
    work.await.unwrap();
    assert_eq!(runs, 4);
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(1));
}

async fn a_serialization_failure_is_run_again<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let mut ids = store.ids_on("a0");
    let (one, other) = (ids.next().unwrap(), ids.next().unwrap());
    let ann = store.area().briefcase(one).unwrap();
    for id in [one, other] {
        DB::put(&ann, id, 10).await.unwrap();
    }
    // Each reads one row and writes the other: both can't have been first.
    let options = TransactionOptions::new().isolation(Isolation::Serializable);
    let (runs, both_have_read) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(2)));
    let mut writers = JoinSet::new();
    for (read, write) in [(one, other), (other, one)] {
        let (briefcase, runs, meet) = (ann.clone(), Arc::clone(&runs), Arc::clone(&both_have_read));
        writers.spawn(async move {
            let mut first = true;
            let work = briefcase.transact_with(&options, |tx| {
                let (runs, meet, meets) = (
                    Arc::clone(&runs),
                    Arc::clone(&meet),
                    std::mem::take(&mut first),
                );
                async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    let seen = DB::get(&tx, read).await?.expect("it was put there");
                    if meets {
                        meet.wait().await;
                    }
                    Ok(DB::add(&tx, write, seen).await?)
                }
            });
            work.await.unwrap();
        });
    }
    writers.join_all().await;
    let mut cents = [
        DB::get(&ann, one).await.unwrap().unwrap(),
        DB::get(&ann, other).await.unwrap().unwrap(),
    ];
    cents.sort_unstable();
    assert_eq!(cents, [20, 30], "as if one had run after the other");
    assert!(runs.load(Ordering::SeqCst) > 2, "none was run again");
    store.rests().await;
}

async fn a_deadlock_is_run_again<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let mut ids = store.ids_on("a0");
    let (one, other) = (ids.next().unwrap(), ids.next().unwrap());
    let ann = store.area().briefcase(one).unwrap();
    for id in [one, other] {
        DB::put(&ann, id, 0).await.unwrap();
    }
    let (runs, both_have_locked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(2)));
    let mut writers = JoinSet::new();
    for (first, second) in [(one, other), (other, one)] {
        let (briefcase, runs, meet) = (
            ann.clone(),
            Arc::clone(&runs),
            Arc::clone(&both_have_locked),
        );
        writers.spawn(async move {
            let mut is_first = true;
            let work = briefcase.transact(|tx| {
                let (runs, meet, meets) = (
                    Arc::clone(&runs),
                    Arc::clone(&meet),
                    std::mem::take(&mut is_first),
                );
                async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    DB::add(&tx, first, 1).await?;
                    if meets {
                        meet.wait().await;
                    }
                    Ok(DB::add(&tx, second, 1).await?)
                }
            });
            work.await.unwrap();
        });
    }
    writers.join_all().await;
    assert_eq!(
        runs.load(Ordering::SeqCst),
        3,
        "one of the two was run again"
    );
    for id in [one, other] {
        assert_eq!(DB::get(&ann, id).await.unwrap(), Some(2));
    }
    store.rests().await;
}

async fn a_lock_that_is_not_given_in_time_is_run_again<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let mut holder = Some(ann.begin().await.unwrap());
    DB::add(holder.as_ref().unwrap(), ann.id(), 1)
        .await
        .unwrap();
    let mut runs = 0;
    let work = ann.transact(|tx| {
        runs += 1;
        let (id, released) = (ann.id(), if runs > 1 { holder.take() } else { None });
        async move {
            if let Some(holder) = released {
                holder.commit().await?;
            }
            DB::run(&tx, DB::SHORT_LOCK_WAIT).await?;
            Ok(DB::add(&tx, id, 1).await?)
        }
    });
    work.await.unwrap();
    assert_eq!(runs, 2);
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(2));
    store.rests().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_another_process_writes_is_tried_again() {
    let limits = Limits {
        acquire: Duration::from_millis(100),
        ..Limits::ROOMY
    };
    let store = Store::<Sqlite>::start(limits).await;
    let ann = store.briefcase_on("a0");
    Sqlite::put(&ann, ann.id(), 0).await.unwrap();
    let mut other = SqliteConnection::connect(&store.url("a0")).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();

    let began = Instant::now();
    let error = ann.begin().await.unwrap_err();
    assert!(
        matches!(&error, sqlx::Error::Database(_)) && is_transient::<Sqlite>(&error),
        "{error:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "waited {:?}",
        began.elapsed()
    );
    assert_eq!(
        Sqlite::get(&ann, ann.id()).await.unwrap(),
        Some(0),
        "reading goes on"
    );

    let add = tokio::spawn(async move {
        ann.transact(async |tx| Ok(Sqlite::add(&tx, ann.id(), 1).await?))
            .await
    });
    tokio::time::sleep(limits.acquire * 2).await;
    assert!(!add.is_finished());
    other.execute("COMMIT").await.unwrap();
    add.await.unwrap().unwrap();
    let ann = store.briefcase_on("a0");
    assert_eq!(Sqlite::get(&ann, ann.id()).await.unwrap(), Some(1));
}
