//! Moves that are to take little of the servers.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::relocate::{MoveError, MoveOptions, MoveProgress, MoveRequest, Selection};
use mdb_tests::bank::{ACCOUNTS, Bank};
use mdb_tests::kit::wait_for;
use mdb_tests::store::TestEngine;
use mdb_tests::{on_all_engines, on_engines_with_servers};
use tokio::time::timeout;

on_all_engines!(a_slow_move_stops_when_it_is_asked_to);
on_engines_with_servers!(a_move_says_which_shard_is_lost);

/// Until a wait is taken for one that never ends. At a row a second, copying would take longer.
const LIMIT: Duration = Duration::from_mins(1);

async fn a_slow_move_stops_when_it_is_asked_to<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 50).await;
    let rows = u64::try_from(ids.len()).unwrap() * (1 + ACCOUNTS);
    let relocator = mdb.relocator();
    let request = MoveRequest::new("user", Selection::Briefcases(ids), bank.shard(&mdb, 1));
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let slowly = options.max_rows_per_second(1);
    let moved = relocator.run(&plan, &slowly, &progress);
    let stops = async {
        wait_for("rows to flow", LIMIT, async || progress.rows() > 0).await;
        progress.stop();
    };
    let stopped = timeout(LIMIT, async { tokio::join!(moved, stops).0 }).await;
    let stopped = stopped.expect("it stops before everything is copied");
    assert!(matches!(stopped, Err(MoveError::Stopped)), "{stopped:?}");
    assert!(progress.rows() < rows, "{}", progress.rows());

    let id = progress.unfinished().remove(0);
    let progress = MoveProgress::new();
    let resumed = relocator.resume(&id, &options, &progress);
    assert_eq!(Box::pin(resumed).await.unwrap().rows(), rows);
}

async fn a_move_says_which_shard_is_lost<DB: TestEngine>() {
    let bank = Bank::<DB>::alone().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 50).await;
    let (relocator, target) = (mdb.relocator(), bank.shard(&mdb, 1));
    let request = MoveRequest::new("user", Selection::Briefcases(ids), target);
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let slowly = options.max_rows_per_second(1);
    let moved = relocator.run(&plan, &slowly, &progress);
    let killed = async {
        wait_for("rows to flow", LIMIT, async || progress.rows() > 0).await;
        bank.server(1).kill().await;
    };
    let failed = timeout(LIMIT, async { tokio::join!(moved, killed).0 }).await;
    match failed.expect("it ends before everything is copied") {
        Err(error @ MoveError::OnShard { .. }) => {
            let place = mdb.topology().shard_place(target);
            let expected = format!("the move failed on shard {place}");
            assert_eq!(error.to_string(), expected);
            assert!(error.is_transient(), "{error:?}");
        }
        other => panic!("{other:?}"),
    }

    bank.server(1).restart().await.unwrap();
    let id = progress.unfinished().remove(0);
    let progress = MoveProgress::new();
    let resumed = relocator.resume(&id, &options, &progress);
    Box::pin(resumed).await.unwrap();
}
