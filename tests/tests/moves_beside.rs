//! What others notice of a move, and a move of others: it waits behind nobody with a crowd behind itself, and goes slowly
//! where they are busy.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mdb_core::config::EngineKind;
use mdb_core::error::chain;
use mdb_core::failpoint::{Halt, HaltSide};
use mdb_core::relocate::{MoveError, MoveOptions, MoveProgress};
use mdb_tests::bank::{Bank, Place, literal};
use mdb_tests::kit::wait_for;
use mdb_tests::on_engines_with_servers;
use mdb_tests::store::TestEngine;
use sqlx::{Connection as _, Database, Executor as _, MySql, MySqlConnection};

on_engines_with_servers!(
    nobody_queues_for_long_behind_a_move_that_waits_for_a_table,
    a_move_rests_while_the_source_is_at_work,
);

/// Until a wait is taken for one that never ends.
const LIMIT: Duration = Duration::from_mins(2);

/// How often a move is seen to wait for a table, each time with somebody behind it.
const WAITS: usize = 4;

/// Longer than a move may hold anybody up, and shorter than servers hold him up if they are not told otherwise.
const EACH: Duration = Duration::from_millis(500);

/// Nobody is held up for longer, whatever else the machine does.
const ONCE: Duration = Duration::from_secs(3);

/// A query for how many movers wait for a table just now.
fn waiting<DB: TestEngine>() -> &'static str {
    match DB::KIND {
        EngineKind::Postgres => {
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE NOT l.granted AND l.locktype = 'relation' AND a.application_name LIKE 'mdb-mover%' \
             AND a.datname = current_database()"
        }
        EngineKind::MySql | EngineKind::Sqlite => {
            "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() \
             AND state = 'Waiting for table metadata lock' AND info LIKE '%CREATE%TRIGGER%'"
        }
    }
}

async fn nobody_queues_for_long_behind_a_move_that_waits_for_a_table<DB: TestEngine>() {
    let mut place = Place::<DB>::of(3).await;
    let neighbours = place.ids.split_off(1);
    let url = place.bank.url(0);
    let connect = async || <DB as Database>::Connection::connect(&url).await.unwrap();
    let [mut holds, mut works, mut looks] = [connect().await, connect().await, connect().await];
    let [held, written] = [0, 1].map(|neighbour| {
        let key = literal::<DB>(neighbours[neighbour]);
        format!("UPDATE account SET cents = cents + 1 WHERE g_user = {key} AND n = 0")
    });
    DB::execute_on(&mut holds, "BEGIN").await.unwrap();
    DB::execute_on(&mut holds, &held).await.unwrap();

    let is_over = AtomicBool::new(false);
    let moves = async {
        place.carry_to(1).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let writes = async {
        let mut took = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let written = DB::execute_on(&mut works, &written).await;
            assert_eq!(
                written.unwrap_or_else(|error| panic!("{}", chain(&error))),
                1
            );
            took.push(began.elapsed());
        }
        took.sort_unstable();
        took.into_iter().rev().take(WAITS).collect::<Vec<_>>()
    };
    let ends = async {
        for _ in 0..WAITS {
            for is_waiting in [true, false] {
                wait_for("the move to wait, and to give up", LIMIT, async || {
                    let movers = DB::number_on(&mut looks, waiting::<DB>()).await;
                    (movers.unwrap() > 0) == is_waiting
                })
                .await;
            }
        }
        assert!(!is_over.load(Ordering::Relaxed), "it has not waited");
        DB::execute_on(&mut holds, "ROLLBACK").await.unwrap();
    };
    let ((), longest, ()) = tokio::join!(moves, writes, ends);
    assert!(longest[0] < ONCE, "{longest:?}");
    assert!(longest[WAITS - 1] < EACH, "{longest:?}");
    let none = "SELECT count(*) FROM customer";
    assert_eq!(place.bank.count(0, none).await, 2, "it has gone");
    assert_eq!(place.bank.count(1, none).await, 1, "it has come");
}

/// Its client has gone, and MariaDB keeps the rows locked that it has changed, but not their table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_prepared_before_is_waited_for() {
    let place = Place::on(Bank::<MySql>::alone().await, 1).await;
    let key = literal::<MySql>(place.ids[0]);
    let account = |n: u8, by: i8| {
        format!("UPDATE account SET cents = cents + {by} WHERE g_user = {key} AND n = {n}")
    };
    let cents = format!("SELECT cents FROM account WHERE g_user = {key} AND n = 0");
    let before = place.bank.count(0, &cents).await;
    let prepared = [
        "XA START 'left'".to_owned(),
        account(0, -5),
        account(1, 5),
        "XA END 'left'".to_owned(),
        "XA PREPARE 'left'".to_owned(),
    ];
    let url = place.bank.url(0);
    let mut theirs = MySqlConnection::connect(&url).await.unwrap();
    for statement in &prepared {
        theirs.execute(statement.as_str()).await.unwrap();
    }
    theirs.close().await.unwrap();

    let there = place.plan_to(1).await;
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let options = options.patience(Duration::from_secs(1));
    let moved = place.mdb.relocator().run(&there, &options, &progress).await;
    let source = place
        .mdb
        .topology()
        .shard_place(place.bank.shard(&place.mdb, 0));
    assert!(
        matches!(&moved, Err(MoveError::Busy { shard: Some(shard), .. }) if *shard == source),
        "{moved:?}"
    );
    let mut theirs = MySqlConnection::connect(&url).await.unwrap();
    theirs.execute("XA COMMIT 'left'").await.unwrap();
    place.resume(place.moves().await[0].id()).await;
    assert_eq!(place.bank.count(1, &cents).await, before - 5);
    let none = "SELECT count(*) FROM account";
    assert_eq!(place.bank.count(0, none).await, 0);
}

/// How many sessions are at work.
const SESSIONS: usize = 12;

/// Fewer than that, and more than the move's own and those that look on.
const FEW: u32 = 6;

/// For how long a move rests after each chunk, of which copying has one at least.
const REST: Duration = Duration::from_millis(500);

async fn a_move_rests_while_the_source_is_at_work<DB: TestEngine>() {
    // Other tests' sessions count as well on a server that is shared.
    let place = Place::on(Bank::<DB>::alone().await, 1).await;
    let url = place.bank.url(0);
    let take = match DB::KIND {
        EngineKind::Postgres => "SELECT CAST(1 AS BIGINT) FROM pg_advisory_lock(7)",
        EngineKind::MySql | EngineKind::Sqlite => "SELECT CAST(GET_LOCK('seven', 600) AS SIGNED)",
    };
    let mut holds = <DB as Database>::Connection::connect(&url).await.unwrap();
    DB::number_on(&mut holds, take).await.unwrap();

    let there = place.plan_to(1).await;
    let (options, progress) = (MoveOptions::new().max_load(FEW), MoveProgress::new());
    let (halt, relocator) = (Halt::at_each(HaltSide::After), place.mdb.relocator());
    let moved = halt.scope(relocator.run(&there, &options, &progress));
    let others = async {
        // Whoever waits for the lock is at work.
        let at_work = join_all((0..SESSIONS).map(|_| DB::number_at(&url, take)));
        let looks_on = async {
            // Once it is in the journal it looks at the source.
            halt.reached().await;
            halt.go_on();
            halt.reached().await;
            assert_eq!(progress.rows(), 0);
            wait_for("the move to back off", LIMIT, async || {
                progress.is_backing_off()
            })
            .await;
            let step = async || {
                halt.go_on();
                halt.reached().await;
            };
            let mut began = Instant::now();
            while progress.rows() == 0 {
                began = Instant::now();
                step().await;
            }
            if began.elapsed() < REST {
                // The other side has come to the end of a step while the rows were copied.
                step().await;
            }
            let copied_in = began.elapsed();
            assert!(copied_in >= REST, "it has not rested: {copied_in:?}");
            assert!(progress.is_backing_off());
            holds.close().await.unwrap();
        };
        let (at_work, ()) = tokio::join!(at_work, looks_on);
        for ended in at_work {
            ended.unwrap();
        }
        wait_for("the move to go on", LIMIT, async || {
            !progress.is_backing_off()
        })
        .await;
        halt.let_go();
    };
    let (moved, ()) = tokio::join!(moved, others);
    moved.unwrap_or_else(|error| panic!("{}", chain(&error)));
    place.is_whole(1).await;
}
