//! Work over all shards: results as they come, bounded, with a deadline for each, and what becomes of failures.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mdb_core::error::chain;
use mdb_core::routing::RouteError;
use mdb_core::{
    AcquireError, Area, Gdid, Mdb, ScatterOptions, ShardError, ShardInfo, TransactionOptions,
    cause_of,
};
use mdb_tests::kit::{free_port, wait_for};
use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, SOON, Store, TestEngine};
use tokio::sync::{Notify, Semaphore};

on_all_engines!(
    every_shard_is_asked_once,
    results_come_as_they_are_ready,
    no_more_shards_at_once_than_wanted,
    each_shard_has_its_own_deadline,
    all_stops_at_the_first_failure,
    a_report_has_the_failures_too,
    a_dropped_scatter_leaves_nothing,
    shards_are_asked_from_a_partition_on,
    shards_are_dealt_out_in_contiguous_runs,
);

fn at_once(shards: usize) -> ScatterOptions {
    ScatterOptions::new().concurrency(NonZeroUsize::new(shards).unwrap())
}

fn databases(shards: &[ShardInfo]) -> Vec<&str> {
    shards
        .iter()
        .map(|shard| shard.database().as_str())
        .collect()
}

async fn every_shard_is_asked_once<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    for (short, rows) in [("a0", 3), ("a1", 1), ("b0", 2)] {
        for id in store.ids_on(short).take(rows) {
            DB::put(&store.area().briefcase(id).unwrap(), id, 1)
                .await
                .unwrap();
        }
    }
    let query = "SELECT count(*) FROM account";
    let counted = store
        .area()
        .each_shard(ScatterOptions::new(), move |shard| async move {
            let alone = DB::number(&shard, query).await?;
            let tx = shard
                .begin_with(&TransactionOptions::new().read_only())
                .await?;
            assert_eq!(DB::number(&tx, query).await?, alone);
            tx.commit().await?;
            Ok::<_, sqlx::Error>((shard.info().clone(), alone))
        });
    let counted = counted.all().await.unwrap();
    let (shards, counts): (Vec<_>, Vec<_>) = counted
        .iter()
        .map(|(shard, (_, count))| (shard.clone(), *count))
        .unzip();
    assert_eq!(
        databases(&shards),
        ["a0", "a1", "b0"].map(|short| store.database(short))
    );
    assert_eq!(shards, store.area().shards());
    assert_eq!(counts, [3, 1, 2]);
    assert!(counted.iter().all(|(shard, (inside, _))| shard == inside));
    let described: Vec<_> = shards
        .iter()
        .map(|s| {
            (
                s.generation().counter(),
                s.partition().counter(),
                s.position().get(),
            )
        })
        .collect();
    assert_eq!(described, [(0, 10, 0), (0, 10, 1), (0, 1000, 0)]);
    store.rests().await;
}

async fn results_come_as_they_are_ready<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let (first, last) = (store.database("a0"), store.database("b0"));
    let release = Arc::new(Notify::new());
    let (held, free) = (first.clone(), Arc::clone(&release));
    let mut scatter = store.area().each_shard(at_once(3), move |shard| {
        let (held, free) = (held.clone(), Arc::clone(&free));
        async move {
            if shard.info().database().as_str() == held {
                free.notified().await;
            }
            DB::number(&shard, "SELECT count(*) FROM account").await
        }
    });
    let mut come = Vec::new();
    for _ in 0..2 {
        let (shard, count) = scatter.next().await.unwrap();
        assert_eq!(count.unwrap(), 0);
        come.push(shard.database().to_string());
    }
    assert!(come.contains(&last) && !come.contains(&first), "{come:?}");
    release.notify_one();
    assert_eq!(scatter.next().await.unwrap().0.database().as_str(), first);
    assert!(scatter.next().await.is_none());
}

async fn no_more_shards_at_once_than_wanted<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    for wanted in 1..=4 {
        let (running, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, wait) = (Arc::clone(&running), Arc::clone(&gate));
        let scatter = store.area().each_shard(at_once(wanted), move |shard| {
            let (count, wait) = (Arc::clone(&count), Arc::clone(&wait));
            async move {
                DB::number(&shard, "SELECT count(*) FROM account").await?;
                let now = 1 + count.fetch_add(1, Ordering::SeqCst);
                wait.acquire().await.expect("nobody closes it").forget();
                count.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, sqlx::Error>(now)
            }
        });
        assert_eq!(
            running.load(Ordering::SeqCst),
            0,
            "nothing runs before the results are asked for"
        );
        let opens = async {
            let expected = wanted.min(3);
            wait_for("as many as wanted to run", SOON, async || {
                running.load(Ordering::SeqCst) == expected
            })
            .await;
            gate.add_permits(3);
        };
        let (all, ()) = tokio::join!(scatter.all(), opens);
        let most = all.unwrap().into_iter().map(|(_, now)| now).max().unwrap();
        assert_eq!(most, wanted.min(3));
    }
}

async fn each_shard_has_its_own_deadline<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let (slow, limit) = (store.database("a0"), Duration::from_millis(300));
    let began = Instant::now();
    // One at a time: the deadline counts from when a shard is begun, not from the beginning of all.
    let report = store
        .area()
        .each_shard(at_once(1).deadline(limit), move |shard| {
            let query = if shard.info().database().as_str() == slow {
                DB::ENDLESS
            } else {
                "SELECT count(*) FROM account"
            };
            async move { DB::number(&shard, query).await }
        });
    let report = report.report().await;
    assert!(began.elapsed() >= limit && began.elapsed() < SOON);
    assert_eq!(report.succeeded().len(), 2);
    let [(shard, error)] = report.failed() else {
        panic!("{report:?}")
    };
    assert_eq!(shard.database().as_str(), store.database("a0"));
    assert!(
        matches!(error, ShardError::OutOfTime { limit: told } if *told == limit),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "gave up after 300 ms");
    store.rests().await;
    wait_for("the statement to end on the server", SOON, async || {
        store.sessions().await.running == 0
    })
    .await;
}

/// The store with the server of `a1` gone.
fn with_one_gone<DB: TestEngine>(store: &Store<DB>) -> (Mdb, Area<DB>) {
    let place = match DB::SERVER {
        None => "sqlite:nowhere".to_owned(),
        Some(kind) => format!(
            "{}://mdb:mdb@127.0.0.1:{}/{{database}}",
            kind.scheme(),
            free_port().unwrap()
        ),
    };
    let database = store.database("a1");
    let mdb = store.open_changed(|text| {
        let text = text.replace(
            "[central]",
            &format!("[[server]]\nname = \"gone\"\nurl = \"{place}\"\n\n[central]"),
        );
        text.replace(
            &format!("\"main\", database = \"{database}\""),
            &format!("\"gone\", database = \"{database}\""),
        )
    });
    let area = mdb.area("user").unwrap();
    (mdb, area)
}

async fn all_stops_at_the_first_failure<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let (_mdb, area) = with_one_gone(&store);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let counted = area.each_shard(at_once(1), move |shard| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { DB::number(&shard, "SELECT count(*) FROM account").await }
    });
    let error = counted.all().await.unwrap_err();
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2,
        "the third shard was asked for nothing"
    );
    assert_eq!(error.shard().database().as_str(), store.database("a1"));
    let ShardError::Failed(cause) = error.cause() else {
        panic!("{error:?}")
    };
    assert!(cause_of::<AcquireError>(cause).is_some(), "{cause:?}");
    let text = chain(&error);
    for part in ["shard 1 of partition 0:10", "`gone`", &store.database("a1")] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

async fn a_report_has_the_failures_too<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let (_mdb, area) = with_one_gone(&store);
    let report = area.each_shard(ScatterOptions::new(), |shard| async move {
        DB::number(&shard, "SELECT count(*) FROM account").await
    });
    let report = report.report().await;
    assert!(!report.is_complete());
    let names = |shards: Vec<&ShardInfo>| {
        shards
            .iter()
            .map(|shard| shard.database().to_string())
            .collect::<Vec<_>>()
    };
    let succeeded = report.succeeded().iter().map(|(shard, _)| shard).collect();
    assert_eq!(
        names(succeeded),
        ["a0", "b0"].map(|short| store.database(short))
    );
    let failed = report.failed().iter().map(|(shard, _)| shard).collect();
    assert_eq!(names(failed), [store.database("a1")]);
}

async fn a_dropped_scatter_leaves_nothing<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let scatter = store
        .area()
        .each_shard(ScatterOptions::new(), |shard| async move {
            let tx = shard.begin_with(&TransactionOptions::new()).await?;
            DB::number(&tx, DB::ENDLESS).await
        });
    tokio::select! {
        _ = scatter.all() => panic!("an endless query ended"),
        () = wait_for("all to run", SOON, async || {
            store.status("a0").server_in_use == 3 && (DB::SERVER.is_none() || store.sessions().await.running == 3)
        }) => {}
    }
    store.rests().await;
    wait_for("the statements to end on the server", SOON, async || {
        store.sessions().await.running == 0
    })
    .await;
}

async fn shards_are_asked_from_a_partition_on<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    assert!(store.mdb().join().await);
    let asked_from = async |id: Option<Gdid>| {
        let scatter = store
            .area()
            .each_partition_from(id, at_once(1), |shard| async move {
                DB::number(&shard, "SELECT count(*) FROM account").await
            });
        let answers = scatter.unwrap().map(|(shard, count)| {
            assert_eq!(count.unwrap(), 0);
            shard.database().to_string()
        });
        answers.collect::<Vec<_>>().await
    };
    let all = ["a0", "a1", "b0"].map(|short| store.database(short));
    let id = |counter| Some(Gdid::new(0, 3, counter).unwrap());
    assert_eq!(asked_from(None).await, all);
    assert_eq!(asked_from(id(10)).await, all);
    assert_eq!(asked_from(id(999)).await, all);
    for id in [id(1000), Some(Gdid::new(5, 0, 1).unwrap())] {
        // A process that has lost touch with the catalog asks all.
        let asked = async || asked_from(id).await == all[2..];
        wait_for("the last partition alone to be asked", SOON, asked).await;
    }
    let work = |_| async { Ok::<_, sqlx::Error>(()) };
    let error = store
        .area()
        .each_partition_from(id(9), ScatterOptions::new(), work)
        .unwrap_err();
    assert!(
        matches!(error, RouteError::BelowFirstPartition { .. }),
        "{error:?}"
    );
}

async fn shards_are_dealt_out_in_contiguous_runs<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let shards = store.area().shards();
    for workers in 1..=shards.len() + 2 {
        let runs = store.area().segments(NonZeroUsize::new(workers).unwrap());
        let lengths: Vec<usize> = runs.iter().map(Vec::len).collect();
        let (each, longer) = (shards.len() / workers, shards.len() % workers);
        let expected = (0..workers).map(|worker| each + usize::from(worker < longer));
        assert_eq!(lengths, expected.collect::<Vec<_>>());
        assert_eq!(runs.concat(), shards, "together they are all, in order");
    }
}
