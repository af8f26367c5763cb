//! What it costs that briefcases could be moved, while none is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mdb_benches::compare::{Comparison, in_turn_async};
use mdb_benches::stores::{ROWS, Store, id, only_shard};
use mdb_core::{Area, ShardHandle, TransactionOptions};
use mdb_tests::bank::literal;
use mdb_tests::kit::Kind;
use mdb_tests::store::TestEngine;

use crate::table::{Goal, micros, print};

/// How many statements and transactions are timed on each side.
const ROUNDS: usize = 20_000;

/// How long locks are waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Transactions that write one row of a table whose triggers stay, against the same on a table that is no part of
/// briefcases. Commits are not forced to the disk.
async fn with_triggers<DB: TestEngine>(
    store: &Store,
    area: &Area<DB>,
    shard: &ShardHandle<DB>,
) -> Comparison {
    let plain = DB::CREATE_ACCOUNT
        .replace("account", "plain")
        .replace("g_user", "id");
    DB::run(shard, &plain).await.unwrap();
    let fill = "INSERT INTO plain (id, cents) SELECT g_user, cents FROM account";
    DB::run(shard, fill).await.unwrap();
    let relocator = store.mdb().relocator();
    relocator.prepare("user", PATIENCE).await.unwrap();
    let row = AtomicU64::new(0);
    let write = async |table: &str, key: &str| {
        let id = id(row.fetch_add(1, Ordering::Relaxed) / 2 * 7);
        let literal = literal::<DB>(id);
        let update = format!("UPDATE {table} SET cents = cents + 1 WHERE {key} = {literal}");
        let tx = area.briefcase(id).unwrap().begin().await.unwrap();
        DB::run(&tx, &update).await.unwrap();
        tx.commit().await.unwrap();
    };
    in_turn_async(
        ROUNDS,
        async || write("account", "g_user").await,
        async || write("plain", "id").await,
    )
    .await
}

/// Single statements and transactions of a briefcase, in a process with a lease, against the same on the
/// shard's own handle: it takes connections from the very same pool and knows nothing of moves.
pub(crate) async fn compare<DB: TestEngine>(engine: &str) {
    let store = match DB::SERVER {
        None => Store::sqlite().await,
        Some(Kind::Postgres) => Store::on(Kind::Postgres).await,
        Some(Kind::MariaDb) => Store::on(Kind::MariaDb).await,
    };
    let area = store.area::<DB>();
    let shard = only_shard(&area).await;
    DB::run(&shard, DB::CREATE_ACCOUNT).await.unwrap();
    for row in 0..ROWS {
        DB::put(&shard, id(row), 100).await.unwrap();
    }
    assert!(store.mdb().join().await, "there is a lease");
    // Both sides of a round read the same row.
    let row = AtomicU64::new(0);
    let next = || id(row.fetch_add(1, Ordering::Relaxed) / 2 * 7);
    let statements = in_turn_async(
        ROUNDS,
        async || {
            let id = next();
            let briefcase = area.briefcase(id).unwrap();
            assert!(DB::get(&briefcase, id).await.unwrap().is_some());
        },
        async || {
            let id = next();
            assert!(DB::get(&shard, id).await.unwrap().is_some());
        },
    )
    .await;
    let options = TransactionOptions::new();
    let transactions = in_turn_async(
        ROUNDS,
        async || {
            let id = next();
            let tx = area.briefcase(id).unwrap().begin().await.unwrap();
            assert!(DB::get(&tx, id).await.unwrap().is_some());
            tx.commit().await.unwrap();
        },
        async || {
            let id = next();
            let tx = shard.begin_with(&options).await.unwrap();
            assert!(DB::get(&tx, id).await.unwrap().is_some());
            tx.commit().await.unwrap();
        },
    )
    .await;
    let kept = with_triggers::<DB>(&store, &area, &shard).await;
    print(
        &format!("steady {engine}: write with triggers / without"),
        &micros(kept.ours()),
        &micros(kept.against()),
        kept.ratio(),
        Goal::None,
    );
    for (what, comparison) in [("statement", statements), ("transaction", transactions)] {
        print(
            &format!("steady {engine}: {what} / same pool"),
            &micros(comparison.ours()),
            &micros(comparison.against()),
            comparison.ratio(),
            Goal::AtMost(1.01),
        );
    }
}
