//! Limits that servers are used within: time-outs, and a budget of connections over all databases of a server.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mdb_core::{
    AcquireError, Briefcase, Isolation, TransactError, TransactionError, TransactionOptions,
    cause_of, is_transient,
};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, SOON, Store, TestEngine};
use tokio::task::JoinSet;

on_all_engines!(
    a_statement_that_takes_too_long_is_given_up,
    a_transaction_has_its_own_time_out,
    a_transaction_is_not_committed_after_its_time,
    a_longer_time_out_reaches_the_server,
    who_waits_too_long_for_a_connection_is_told,
    databases_of_a_server_share_its_connections,
    a_database_gets_the_idle_connections_of_another,
    connections_are_kept_and_old_ones_closed,
);

#[test]
fn a_transaction_takes_from_0_to_900_seconds() {
    let server = Duration::from_secs(30);
    let given = |seconds| {
        TransactionOptions::new()
            .timeout(Duration::from_secs(seconds))
            .timeout_or(server)
    };
    assert_eq!(given(0), server);
    assert_eq!(given(1), Duration::from_secs(1));
    assert_eq!(given(900), Duration::from_mins(15));
    assert_eq!(given(901), Duration::from_mins(15));
    assert_eq!(given(u64::MAX), Duration::from_mins(15));
}

/// Whether MDB or the server gave the statement up because of its time.
fn is_out_of_time(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57014" | "70100" | "9"))
                // MySQL has no code of its own for it.
                || error.message().contains("maximum statement execution time exceeded")
        }
        _ => matches!(cause_of(error), Some(TransactionError::OutOfTime { .. })),
    }
}

/// The server measures the time by its wall clock, which may be set meanwhile; so it may be a bit less.
fn assert_took(began: Instant, limit: Duration) {
    let took = began.elapsed();
    assert!(
        took >= limit.mul_f64(0.8),
        "gave up after {took:?} of {limit:?}"
    );
    assert!(
        took < limit + Duration::from_secs(2),
        "took {took:?} instead of {limit:?}"
    );
}

async fn a_statement_that_takes_too_long_is_given_up<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits {
        statement: Duration::from_millis(300),
        ..Limits::ROOMY
    })
    .await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let limit = Duration::from_millis(300);

    let began = Instant::now();
    let error = DB::number(&ann, DB::ENDLESS).await.unwrap_err();
    assert!(is_out_of_time(&error), "{error:?}");
    assert!(
        !is_transient::<DB>(&error),
        "it would be too slow the next time, too"
    );
    assert_took(began, limit);

    let tx = ann.begin().await.unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    let began = Instant::now();
    let error = DB::number(&tx, DB::ENDLESS).await.unwrap_err();
    assert!(is_out_of_time(&error), "{error:?}");
    assert_took(began, limit);
    tx.rollback().await.ok();

    store.rests().await;
    wait_for("the statements to end on the server", SOON, async || {
        store.sessions().await.running == 0
    })
    .await;
    DB::add(&ann, ann.id(), 10).await.unwrap();
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(10));
}

async fn a_transaction_has_its_own_time_out<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let limit = Duration::from_millis(300);
    let options = TransactionOptions::new().timeout(limit);

    // One long statement.
    let began = Instant::now();
    let tx = ann.begin_with(&options).await.unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    let error = DB::number(&tx, DB::ENDLESS).await.unwrap_err();
    assert!(is_out_of_time(&error), "{error:?}");
    assert_took(began, limit);
    drop(tx);

    // Many short ones.
    let began = Instant::now();
    let tx = ann.begin_with(&options).await.unwrap();
    let error = loop {
        if let Err(error) = DB::add(&tx, ann.id(), 1).await {
            break error;
        }
    };
    assert!(is_out_of_time(&error), "{error:?}");
    assert_took(began, limit);
    assert!(tx.commit().await.is_err());

    store.rests().await;
    assert_eq!(
        DB::get(&ann, ann.id()).await.unwrap(),
        Some(0),
        "nothing was committed"
    );
    assert!(
        DB::number(&ann, "SELECT count(*) FROM account")
            .await
            .is_ok()
    );
}

async fn a_transaction_is_not_committed_after_its_time<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let limit = Duration::from_millis(100);
    let began = Instant::now();
    let tx = ann
        .begin_with(&TransactionOptions::new().timeout(limit))
        .await
        .unwrap();
    DB::add(&tx, ann.id(), 1).await.unwrap();
    wait_for("the transaction's time to pass", SOON, async || {
        began.elapsed() > limit * 2
    })
    .await;
    let error = tx.commit().await.unwrap_err();
    assert_eq!(
        cause_of(&error),
        Some(&TransactionError::TooLate { limit }),
        "{error:?}"
    );
    assert_eq!(
        store.status("a0").server_in_use,
        0,
        "it is rolled back by then"
    );

    // The outcome is known: it is no `OutcomeUnknown`, and it would not fare better the next time.
    let options = TransactionOptions::new().timeout(limit);
    let work = ann.transact_with(&options, async |tx| {
        let began = Instant::now();
        DB::add(&tx, ann.id(), 1).await?;
        wait_for("the transaction's time to pass", SOON, async || {
            began.elapsed() > limit * 2
        })
        .await;
        Ok(())
    });
    let error = work.await.unwrap_err();
    let TransactError::Database(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        cause_of(&error),
        Some(&TransactionError::TooLate { limit }),
        "{error:?}"
    );
    assert!(!is_transient::<DB>(&error));
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(0));
}

async fn a_longer_time_out_reaches_the_server<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits {
        statement: Duration::from_millis(300),
        ..Limits::ROOMY
    })
    .await;
    let ann = store.briefcase_on("a0");
    let options = TransactionOptions::new()
        .timeout(Duration::from_secs(20))
        .isolation(Isolation::RepeatableRead);
    let began = Instant::now();
    let longer = ann
        .transact_with(&options, async |tx| Ok(DB::number(&tx, DB::LONG).await?))
        .await;
    longer.unwrap();
    assert!(
        began.elapsed() > Duration::from_millis(600),
        "only took {:?}",
        began.elapsed()
    );
    // The next one has the server's time again.
    assert!(is_out_of_time(
        &DB::number(&ann, DB::LONG).await.unwrap_err()
    ));
    let error = ann
        .transact(async |tx| Ok(DB::number(&tx, DB::LONG).await?))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransactError::Database(error) if is_out_of_time(error)),
        "{error:?}"
    );
}

async fn who_waits_too_long_for_a_connection_is_told<DB: TestEngine>() {
    let limits = Limits {
        connections: 2,
        acquire: Duration::from_millis(300),
        ..Limits::ROOMY
    };
    let store = Store::<DB>::start(limits).await;
    let [ann, bob, eve] = ["a0", "a1", "b0"].map(|short| store.briefcase_on(short));
    let held = [ann.begin().await.unwrap(), bob.begin().await.unwrap()];
    let began = Instant::now();
    let errors = [
        eve.begin().await.unwrap_err(),
        DB::get(&eve, eve.id()).await.unwrap_err(),
    ];
    assert_took(began, limits.acquire * 2);
    for error in errors {
        let Some(AcquireError::Busy {
            limit: 2, database, ..
        }) = cause_of(&error)
        else {
            panic!("{error:?}")
        };
        assert_eq!(database.as_str(), store.database("b0"));
        assert!(is_transient::<DB>(&error));
        assert!(
            error.to_string().contains("`max_connections`"),
            "says what to do: {error}"
        );
    }
    drop(held);
    DB::put(&eve, eve.id(), 1).await.unwrap();
    store.rests().await;
}

/// Looks at the server all the time, and keeps the largest number of sessions that it saw.
struct Watch(Arc<AtomicBool>, tokio::task::JoinHandle<i64>);

impl Watch {
    fn over<DB: TestEngine>(store: &Arc<Store<DB>>) -> Self {
        let (over, store) = (Arc::new(AtomicBool::new(false)), Arc::clone(store));
        let seen = Arc::clone(&over);
        let looks = tokio::spawn(async move {
            let mut most = 0;
            while !seen.load(Ordering::Relaxed) {
                most = most.max(store.sessions().await.open);
            }
            most
        });
        Self(over, looks)
    }

    async fn most(self) -> i64 {
        self.0.store(true, Ordering::Relaxed);
        self.1.await.unwrap()
    }
}

async fn databases_of_a_server_share_its_connections<DB: TestEngine>() {
    let store = Arc::new(
        Store::<DB>::start(Limits {
            connections: 3,
            ..Limits::ROOMY
        })
        .await,
    );
    let watch = Watch::over(&store);
    let in_use = Arc::new(AtomicI64::new(0));
    let mut users = JoinSet::new();
    for (user, short) in (0..12).zip(["a0", "b0"].into_iter().cycle()) {
        let id = store.ids_on(short).nth(user).unwrap();
        let (briefcase, in_use) = (store.area().briefcase(id).unwrap(), Arc::clone(&in_use));
        users.spawn(async move {
            let briefcase: Briefcase<DB> = briefcase;
            DB::put(&briefcase, id, 0).await.unwrap();
            for _ in 0..20 {
                let tx = briefcase.begin().await.unwrap();
                assert!(in_use.fetch_add(1, Ordering::SeqCst) < 3);
                DB::add(&tx, id, 1).await.unwrap();
                in_use.fetch_sub(1, Ordering::SeqCst);
                tx.commit().await.unwrap();
                DB::get(&briefcase, id).await.unwrap();
            }
            assert_eq!(DB::get(&briefcase, id).await.unwrap(), Some(20));
        });
    }
    users.join_all().await;
    let most = watch.most().await;
    let status = store.status("a0");
    assert!(status.server_open <= 3, "{status:?}");
    // A closed connection is still on the server's list until the server has read its goodbye.
    assert!(
        most <= 3 + i64::from(DB::SERVER.is_some()) * 2,
        "{most} connections were open"
    );
    if DB::SERVER.is_some() {
        assert!(most > 0, "the watch saw nothing");
        wait_for("closed sessions to be gone", SOON, async || {
            store.sessions().await.open <= 3
        })
        .await;
    }
}

async fn a_database_gets_the_idle_connections_of_another<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits {
        connections: 3,
        ..Limits::ROOMY
    })
    .await;
    for short in ["a0", "a1", "b0", "a0"] {
        let briefcase = store.briefcase_on(short);
        let reading = TransactionOptions::new().read_only();
        let begun = join_all((0..3).map(|_| briefcase.begin_with(&reading))).await;
        let transactions: Vec<_> = begun.into_iter().map(Result::unwrap).collect();
        assert_eq!(store.status(short).open, 3, "all connections are {short}'s");
        assert_eq!(store.status(short).server_open, 3);
        for tx in transactions {
            DB::number(&tx, "SELECT count(*) FROM account")
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        assert_eq!(store.status(short).idle, 3);
    }
}

async fn connections_are_kept_and_old_ones_closed<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits {
        test_after_idle: Duration::ZERO,
        ..Limits::ROOMY
    })
    .await;
    let ann = store.briefcase_on("a0");
    let steady = store.open_changed(|text| text);
    let briefcase = steady
        .area::<DB>("user")
        .unwrap()
        .briefcase(ann.id())
        .unwrap();
    for _ in 0..30 {
        DB::get(&briefcase, ann.id()).await.unwrap();
    }
    assert_eq!(
        steady.servers().status(store.shard("a0")).open,
        1,
        "one connection serves one user"
    );

    let hasty =
        store.open_changed(|text| text.replace("url = \"", "max_lifetime_ms = 50\nurl = \""));
    let briefcase = hasty
        .area::<DB>("user")
        .unwrap()
        .briefcase(ann.id())
        .unwrap();
    let began = Instant::now();
    wait_for("connections to pass their age", SOON, async || {
        DB::get(&briefcase, ann.id()).await.unwrap();
        began.elapsed() > Duration::from_millis(300)
    })
    .await;
    assert_eq!(hasty.servers().status(store.shard("a0")).open, 1);
}
