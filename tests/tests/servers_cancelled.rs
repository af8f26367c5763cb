//! What is dropped before its end: no lock, transaction, permit or unusable connection stays behind.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use mdb_core::{Briefcase, TransactionError, TransactionOptions, cause_of};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, SOON, Store, TestEngine};
use tokio::time::timeout;

on_all_engines!(
    a_cancelled_begin_leaves_nothing,
    a_cancelled_transaction_leaves_nothing,
    a_dropped_transaction_lets_its_lock_go,
    a_cancelled_query_ends_on_the_server,
    a_cancelled_query_ends_its_transaction,
    a_cancelled_wait_for_a_lock_ends,
    a_cancelled_commit_is_whole_or_nothing,
);

/// Polls a future so many times at the most, then drops it.
async fn within_polls<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// As [`within_polls`], for a future that waits for what does not come about.
async fn ends_within_polls(polls: usize, future: impl Future) -> bool {
    let end = timeout(Duration::from_millis(20), within_polls(polls, future)).await;
    end.is_ok_and(|end| end.is_some())
}

/// Every permit is there, every connection works, and the server holds no more sessions than it may.
async fn is_as_new<DB: TestEngine>(store: &Store<DB>) {
    store.rests().await;
    let briefcases = ["a0", "a1", "b0"].map(|short| store.briefcase_on(short));
    let reading = TransactionOptions::new().read_only();
    let all = (0..Limits::ROOMY.connections).zip(briefcases.iter().cycle());
    let begun = join_all(all.map(|(_, briefcase)| briefcase.begin_with(&reading))).await;
    let transactions: Vec<_> = begun.into_iter().map(Result::unwrap).collect();
    assert_eq!(store.status("a0").server_in_use, transactions.len());
    for transaction in transactions {
        assert_eq!(
            DB::number(&transaction, "SELECT count(*) FROM account WHERE cents < 0")
                .await
                .unwrap(),
            0
        );
        transaction.rollback().await.unwrap();
    }
    for briefcase in &briefcases {
        let count = briefcase
            .transact(async |tx| Ok(DB::number(&tx, "SELECT count(*) FROM account").await?))
            .await;
        assert!(count.unwrap() <= 1);
    }
    store.rests().await;
    let limit = i64::from(Limits::ROOMY.connections);
    wait_for("ended sessions to be gone", SOON, async || {
        store.sessions().await.open <= limit
    })
    .await;
    assert!(store.status("a0").server_open <= Limits::ROOMY.connections as usize);
}

async fn a_cancelled_begin_leaves_nothing<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    let mut outcomes = [0, 0];
    for attempt in 0..120 {
        if attempt % 3 == 0 {
            // There is an idle connection to take.
            DB::get(&ann, ann.id()).await.unwrap();
        }
        match within_polls(1 + attempt % 40, ann.begin()).await {
            None => outcomes[0] += 1,
            Some(transaction) => {
                outcomes[1] += 1;
                DB::put(&transaction.unwrap(), ann.id(), 1).await.unwrap();
            }
        }
    }
    assert!(
        outcomes.iter().all(|count| *count > 0),
        "{outcomes:?}: none was cancelled, or all"
    );
    is_as_new(&store).await;
    assert_eq!(
        DB::get(&ann, ann.id()).await.unwrap(),
        None,
        "nothing was committed"
    );
}

async fn a_cancelled_transaction_leaves_nothing<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let mut committed = 0;
    for attempt in 0..100 {
        let work = ann.transact(async |tx| {
            DB::add(&tx, ann.id(), 1).await?;
            DB::add(&tx, ann.id(), 1).await?;
            Ok(())
        });
        if let Some(end) = within_polls(1 + attempt % 25, work).await {
            end.unwrap();
            committed += 2;
        }
    }
    store.rests().await;
    let cents = DB::get(&ann, ann.id()).await.unwrap().unwrap();
    assert_eq!(cents % 2, 0, "half of a transaction was committed");
    // A commit that was under way may have been completed by the server.
    assert!(cents >= committed, "{cents} < {committed}");
    is_as_new(&store).await;
}

async fn a_cancelled_commit_is_whole_or_nothing<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    for attempt in 0..30 {
        let tx = ann.begin().await.unwrap();
        DB::add(&tx, ann.id(), 1).await.unwrap();
        DB::add(&tx, ann.id(), 1).await.unwrap();
        within_polls(1 + attempt % 4, tx.commit())
            .await
            .unwrap_or(Ok(()))
            .unwrap();
    }
    store.rests().await;
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap().unwrap() % 2, 0);
    is_as_new(&store).await;
}

/// How long another transaction waits for the account's lock.
async fn time_to_lock<DB: TestEngine>(ann: &Briefcase<DB>) -> Duration {
    let began = Instant::now();
    let tx = ann.begin().await.unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    tx.rollback().await.unwrap();
    began.elapsed()
}

async fn a_dropped_transaction_lets_its_lock_go<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    for _ in 0..10 {
        let tx = ann.begin().await.unwrap();
        DB::add(&tx, ann.id(), 1).await.unwrap();
        drop(tx);
        let waited = time_to_lock(&ann).await;
        assert!(waited < Duration::from_secs(1), "{waited:?}");
    }
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(0));
    is_as_new(&store).await;
}

/// Waits until a statement that was begun is under way on the server, as far as that can be seen.
async fn is_under_way<DB: TestEngine>(store: &Store<DB>) {
    wait_for("the statement to be under way", SOON, async || {
        store.status("a0").server_in_use > 0
            && (DB::SERVER.is_none() || store.sessions().await.running > 0)
    })
    .await;
}

async fn a_cancelled_query_ends_on_the_server<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    for way in 0..3 {
        let briefcase = ann.clone();
        let task = tokio::spawn(async move {
            match way {
                0 => DB::number(&briefcase, DB::ENDLESS).await.map(drop),
                1 => DB::number(&briefcase.read(), DB::ENDLESS).await.map(drop),
                _ => DB::numbers(&briefcase, DB::ENDLESS)
                    .next()
                    .await
                    .transpose()
                    .map(drop),
            }
        });
        is_under_way(&store).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        wait_for("the statement to end on the server", SOON, async || {
            store.sessions().await.running == 0
        })
        .await;
    }
    is_as_new(&store).await;
}

async fn a_cancelled_query_ends_its_transaction<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let tx = ann.begin().await.unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    tokio::select! {
        biased;
        result = DB::number(&tx, DB::ENDLESS) => panic!("{result:?}"),
        () = is_under_way(&store) => {}
    }
    // The lock goes although the transaction is still held.
    let waited = time_to_lock(&ann).await;
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    let error = DB::get(&tx, ann.id()).await.unwrap_err();
    assert_eq!(cause_of(&error), Some(&TransactionError::Interrupted));
    let error = tx.commit().await.unwrap_err();
    assert_eq!(cause_of(&error), Some(&TransactionError::Interrupted));
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(0));
    is_as_new(&store).await;
}

/// Waits until one transaction is the only one that is left.
async fn waiting_ends<DB: TestEngine>(store: &Store<DB>) {
    wait_for("the waiting to end on the server", SOON, async || {
        let sessions = store.sessions().await;
        sessions.running == 0 && sessions.transactions <= 1 && store.status("a0").server_in_use == 1
    })
    .await;
}

async fn a_cancelled_wait_for_a_lock_ends<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let tx = ann.begin().await.unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    for in_transaction in [true, false] {
        let briefcase = ann.clone();
        let task = tokio::spawn(async move {
            if in_transaction {
                briefcase
                    .transact(async |tx| Ok(DB::add(&tx, briefcase.id(), 10).await?))
                    .await
                    .unwrap();
            } else {
                DB::add(&briefcase, briefcase.id(), 10).await.unwrap();
            }
        });
        is_under_way(&store).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        waiting_ends(&store).await;
    }
    for polls in 1..20 {
        assert!(!ends_within_polls(polls, DB::add(&ann, ann.id(), 10)).await);
        assert!(!ends_within_polls(polls, time_to_lock(&ann)).await);
    }
    waiting_ends(&store).await;
    tx.commit().await.unwrap();
    assert!(time_to_lock(&ann).await < Duration::from_secs(1));
    assert_eq!(
        DB::get(&ann, ann.id()).await.unwrap(),
        Some(1),
        "nothing that was cancelled happened later"
    );
    is_as_new(&store).await;
}
