//! Servers that stall, die, never answer, refuse or are something else than configured.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mdb_core::error::chain;
use mdb_core::{AcquireError, Briefcase, Mdb, TransactError, cause_of, is_transient};
use mdb_tests::kit::{BlackHole, PASSWORD, shared_mariadb, shared_postgres, wait_for};
use mdb_tests::on_engines_with_servers;
use mdb_tests::store::{Limits, SOON, Store, TestEngine};

on_engines_with_servers!(
    a_stalled_server_is_given_up_and_found_again,
    a_killed_server_fails_at_once_and_is_found_again,
    a_connection_that_died_while_idle_is_replaced,
    a_transaction_on_a_killed_server_is_not_committed,
    a_commit_without_an_answer_is_of_unknown_outcome,
    a_server_that_never_answers_is_given_up,
    a_wrong_password_is_told_and_not_shown,
    another_engine_behind_the_url_is_an_error,
    a_missing_database_is_told,
);

/// Every kind of work fails with a clear error within `limit`.
async fn all_work_fails<DB: TestEngine>(store: &Store<DB>, limit: Duration) -> Vec<sqlx::Error> {
    let [ann, bob] = ["a0", "b0"].map(|short| store.briefcase_on(short));
    let mut errors = Vec::new();
    for briefcase in [&ann, &bob] {
        let began = Instant::now();
        errors.push(DB::get(briefcase, briefcase.id()).await.unwrap_err());
        assert!(
            began.elapsed() < limit,
            "a statement took {:?}",
            began.elapsed()
        );
        let began = Instant::now();
        errors.push(briefcase.begin().await.unwrap_err());
        assert!(
            began.elapsed() < limit,
            "a begin took {:?}",
            began.elapsed()
        );
        let began = Instant::now();
        errors.push(
            DB::get(&briefcase.read(), briefcase.id())
                .await
                .unwrap_err(),
        );
        assert!(began.elapsed() < limit, "a read took {:?}", began.elapsed());
    }
    errors
}

/// All connections of the budget can be used at once, and the server keeps nothing of before.
async fn all_work_succeeds<DB: TestEngine>(store: &Store<DB>) {
    store.rests().await;
    let ann = store.briefcase_on("a0");
    let begun = join_all((0..Limits::SHORT.connections).map(|_| ann.begin())).await;
    for transaction in begun {
        let transaction = transaction.unwrap();
        DB::get(&transaction, ann.id()).await.unwrap();
        transaction.rollback().await.unwrap();
    }
    DB::add(&ann, ann.id(), 1).await.unwrap();
    ann.transact(async |tx| Ok(DB::add(&tx, ann.id(), 1).await?))
        .await
        .unwrap();
    store.rests().await;
    wait_for("abandoned sessions to be gone", SOON, async || {
        store.sessions().await.open <= i64::from(Limits::SHORT.connections)
    })
    .await;
}

async fn a_stalled_server_is_given_up_and_found_again<DB: TestEngine>() {
    let store = Store::<DB>::alone(Limits::SHORT).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let [open, locked] = [ann.begin().await.unwrap(), ann.begin().await.unwrap()];
    DB::add(&locked, ann.id(), 100).await.unwrap();
    store.server().stall();

    // At the worst, an idle connection is tried, and then a new one is opened.
    let limit = Limits::SHORT.statement + Limits::SHORT.connect * 2;
    let began = Instant::now();
    DB::get(&open, ann.id()).await.unwrap_err();
    DB::get(&locked, ann.id()).await.unwrap_err();
    assert!(began.elapsed() < limit * 2, "took {:?}", began.elapsed());
    for error in all_work_fails(&store, limit).await {
        let text = chain(&error);
        assert!(text.contains(" ms"), "says how long it waited: {text}");
        assert!(
            !matches!(cause_of(&error), Some(AcquireError::Busy { .. })),
            "no permit is lost: {text}"
        );
    }
    drop((open, locked));

    store.server().resume();
    wait_for("the server to be found again", SOON, async || {
        DB::get(&ann, ann.id()).await.is_ok()
    })
    .await;
    assert_eq!(
        DB::get(&ann, ann.id()).await.unwrap(),
        Some(0),
        "nothing was committed"
    );
    all_work_succeeds(&store).await;
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(2));
}

async fn a_killed_server_fails_at_once_and_is_found_again<DB: TestEngine>() {
    let store = Store::<DB>::alone(Limits::SHORT).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    for _ in 0..2 {
        store.server().kill().await;
        // The first use of a database may find an idle connection dead; from then on, every one is refused.
        for short in ["a0", "b0"] {
            let _found_dead = store.briefcase_on(short).begin().await.unwrap_err();
        }
        for error in all_work_fails(&store, Duration::from_millis(500)).await {
            let acquire: &AcquireError = cause_of(&error).unwrap_or_else(|| panic!("{error:?}"));
            let AcquireError::Connect {
                source: sqlx::Error::Io(io),
                ..
            } = acquire
            else {
                panic!("{acquire:?}")
            };
            assert_eq!(io.kind(), std::io::ErrorKind::ConnectionRefused);
            assert!(acquire.is_unreachable() && is_transient::<DB>(&error));
            let text = chain(&error);
            for part in ["server `main`", "refused", store.prefix()] {
                assert!(text.contains(part), "{text} lacks {part}");
            }
        }
        let began = Instant::now();
        let error = ann
            .transact(async |tx| Ok(DB::add(&tx, ann.id(), 50).await?))
            .await
            .unwrap_err();
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "a bounded number of runs: {:?}",
            began.elapsed()
        );

        store.server().restart().await.unwrap();
        ann.begin().await.unwrap().rollback().await.unwrap();
        all_work_succeeds(&store).await;
    }
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(4));
}

async fn a_connection_that_died_while_idle_is_replaced<DB: TestEngine>() {
    let store = Store::<DB>::alone(Limits::SHORT).await;
    let [ann, bob] = ["a0", "b0"].map(|short| store.briefcase_on(short));
    DB::put(&ann, ann.id(), 0).await.unwrap();
    for round in 0..3 {
        // Idle connections to two databases, all of them dead after the restart.
        let idle = join_all([&ann, &ann, &bob].map(Briefcase::begin)).await;
        drop(idle);
        store.rests().await;
        let began = Instant::now();
        store.server().restart().await.unwrap();
        match round {
            // A begin comes back by itself, however short they have been idle.
            0 => drop(
                join_all((0..3).map(|_| ann.begin()))
                    .await
                    .into_iter()
                    .map(Result::unwrap)
                    .collect::<Vec<_>>(),
            ),
            1 => ann
                .transact(async |tx| Ok(DB::add(&tx, ann.id(), 1).await?))
                .await
                .unwrap(),
            // A statement can't be repeated; it does when they are tested before.
            _ => {
                wait_for("connections to be idle for long", SOON, async || {
                    began.elapsed() > Limits::SHORT.test_after_idle
                })
                .await;
                DB::add(&ann, ann.id(), 1).await.unwrap();
                assert_eq!(DB::get(&bob, bob.id()).await.unwrap(), None);
            }
        }
        store.rests().await;
    }
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(2));
}

async fn a_transaction_on_a_killed_server_is_not_committed<DB: TestEngine>() {
    let store = Store::<DB>::alone(Limits::SHORT).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    let [in_use, at_commit] = ["a0", "a1"].map(|short| store.briefcase_on(short));
    let [in_use, at_commit] = [
        in_use.begin().await.unwrap(),
        at_commit.begin().await.unwrap(),
    ];
    DB::add(&in_use, ann.id(), 1).await.unwrap();
    DB::put(&at_commit, ann.id(), 1).await.unwrap();
    store.server().kill().await;
    let began = Instant::now();
    assert!(is_transient::<DB>(
        &DB::get(&in_use, ann.id()).await.unwrap_err()
    ));
    assert!(in_use.commit().await.is_err());
    assert!(at_commit.commit().await.is_err());
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "took {:?}",
        began.elapsed()
    );
    store.server().restart().await.unwrap();

    // A whole transaction runs again when its server dies under it.
    let mut runs = 0;
    ann.transact(|tx| {
        runs += 1;
        let (store, id, first) = (&store, ann.id(), runs == 1);
        async move {
            DB::add(&tx, id, 10).await?;
            if first {
                store.server().restart().await.unwrap();
            }
            Ok(DB::add(&tx, id, 10).await?)
        }
    })
    .await
    .unwrap();
    assert_eq!(runs, 2);
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(20));
    assert!(DB::accounts_in(&store, "a1").await.is_empty());
    all_work_succeeds(&store).await;
}

async fn a_commit_without_an_answer_is_of_unknown_outcome<DB: TestEngine>() {
    let store = Store::<DB>::alone(Limits::SHORT).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 0).await.unwrap();
    for dies in [false, true] {
        let mut runs = 0;
        let work = ann.transact(|tx| {
            runs += 1;
            let (store, id) = (&store, ann.id());
            async move {
                DB::add(&tx, id, 1).await?;
                if dies {
                    store.server().kill().await;
                } else {
                    store.server().stall();
                }
                Ok(())
            }
        });
        let error = work.await.unwrap_err();
        assert!(
            matches!(error, TransactError::OutcomeUnknown { .. }),
            "{error:?}"
        );
        assert_eq!(runs, 1, "what may have been committed is not repeated");
        if dies {
            store.server().restart().await.unwrap();
        } else {
            store.server().resume();
        }
        store.rests().await;
    }
    let cents = DB::get(&ann, ann.id()).await.unwrap();
    assert!(
        cents <= Some(1),
        "{cents:?}: the dead one committed nothing"
    );
    all_work_succeeds(&store).await;
}

/// The store with its server somewhere else.
fn moved<DB: TestEngine>(store: &Store<DB>, url: &str) -> Mdb {
    let own = store.server().url_template();
    store.open_changed(|text| text.replace(&own, url))
}

async fn error_of<DB: TestEngine>(store: &Store<DB>, mdb: &Mdb) -> sqlx::Error {
    let ann = mdb
        .area::<DB>("user")
        .unwrap()
        .briefcase(store.id_on("a0"))
        .unwrap();
    let began = Instant::now();
    let error = DB::get(&ann, ann.id()).await.unwrap_err();
    let begin = ann.begin().await.unwrap_err();
    assert_eq!(chain(&begin), chain(&error));
    let limit = Limits::SHORT.connect * 2 + Duration::from_millis(500);
    assert!(began.elapsed() < limit, "took {:?}", began.elapsed());
    assert_eq!(mdb.servers().status(store.shard("a0")).server_in_use, 0);
    assert_eq!(mdb.servers().status(store.shard("a0")).server_open, 0);
    error
}

async fn a_server_that_never_answers_is_given_up<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::SHORT).await;
    let hole = BlackHole::start().await.unwrap();
    let own = store.server().port().to_string();
    let url = store
        .server()
        .url_template()
        .replace(&own, &hole.port().to_string());
    let error = error_of(&store, &moved(&store, &url)).await;
    assert!(hole.accepted() > 0);
    assert!(
        matches!(cause_of(&error), Some(AcquireError::ConnectTimeout { .. })),
        "{error:?}"
    );
    assert!(is_transient::<DB>(&error));
    assert!(
        chain(&error).contains("server `main` did not answer within 500 ms"),
        "{}",
        chain(&error)
    );
}

async fn a_wrong_password_is_told_and_not_shown<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::SHORT).await;
    let url = store
        .server()
        .url_template()
        .replace(&format!(":{PASSWORD}@"), ":not-the-secret@");
    let mdb = moved(&store, &url);
    let error = error_of(&store, &mdb).await;
    let Some(acquire @ AcquireError::Connect { .. }) = cause_of(&error) else {
        panic!("{error:?}")
    };
    assert!(!acquire.is_transient() && !acquire.is_unreachable());
    assert!(!is_transient::<DB>(&error));
    let text = chain(&error);
    assert!(
        text.contains("server `main`") && text.to_lowercase().contains("password"),
        "{text}"
    );
    for text in [
        text,
        format!("{error:?}"),
        format!("{mdb:?}"),
        format!("{:#?}", mdb.config()),
    ] {
        assert!(!text.contains("not-the-secret"), "{text}");
    }
    for (_, report) in mdb.init().await.into_iter().skip(1) {
        let error = report.unwrap_err();
        assert!(!chain(&error).contains("not-the-secret"));
        assert!(!error.is_unreachable());
    }
}

async fn another_engine_behind_the_url_is_an_error<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::SHORT).await;
    let [postgres, mariadb] = [
        shared_postgres(0).await.unwrap(),
        shared_mariadb(0).await.unwrap(),
    ];
    let own = store.server().port();
    let other = if own == postgres.port() {
        mariadb.port()
    } else {
        postgres.port()
    };
    let url = store
        .server()
        .url_template()
        .replace(&own.to_string(), &other.to_string());
    let error = error_of(&store, &moved(&store, &url)).await;
    let acquire: &AcquireError = cause_of(&error).unwrap_or_else(|| panic!("{error:?}"));
    let expected = matches!(
        acquire,
        AcquireError::Connect { .. } | AcquireError::ConnectTimeout { .. }
    );
    assert!(expected, "{acquire:?}");
}

async fn a_missing_database_is_told<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::SHORT).await;
    let mdb = store.open_changed(|text| text.replace(&store.database("a0"), "nowhere_at_all"));
    let error = error_of(&store, &mdb).await;
    assert!(!is_transient::<DB>(&error));
    assert!(
        matches!(cause_of(&error), Some(AcquireError::Missing { .. })),
        "{error:?}"
    );
    let said = chain(&error);
    let hint = "has no database `nowhere_at_all`: run `mdb init`";
    assert!(said.contains(hint), "{said}");
}
