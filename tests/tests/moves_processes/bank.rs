//! The bank is open: services and a client that knows nothing of MDB transfer, while movers carry the briefcases back
//! and forth, and are killed at random.

use std::time::{Duration, Instant};

use mdb_core::Gdid;
use mdb_tests::bank::{Audit, Bank, Known, Worker, Workers};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

use crate::is_long;

on_all_engines!(the_bank_is_open_while_movers_are_killed);

/// How many services there are.
const SERVICES: usize = 3;

/// How many briefcases one mover carries.
const CARRIED: usize = 4;

/// How many movers are killed one after another, for each set of briefcases, at least.
const LIVES: usize = 9;

/// How often each set arrives, at least.
const TRIPS: usize = 8;

/// For how long the bank is open, at least.
const OPEN: Duration = Duration::from_secs(30);

/// For how long the long variant goes on.
const LONG: Duration = Duration::from_mins(5);

/// No test waits longer for what has to happen.
const PATIENCE: Duration = Duration::from_mins(3);

async fn the_bank_is_open_while_movers_are_killed<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let sets = [
        bank.customers(&mdb, 0, CARRIED).await,
        bank.customers(&mdb, 1, CARRIED).await,
    ];
    let mut clients = Workers::new(&bank, env!("CARGO_BIN_EXE_bank-worker"));
    let mut working = open(&bank, &mut clients, &sets.concat()).await;

    let trips = tokio::join!(carry(&bank, &sets[0]), carry(&bank, &sets[1]));
    let trips = trips.0 + trips.1;
    // The writer is the last; it has met both shards by now, unless the machine is very slow.
    let writer = u32::try_from(SERVICES).unwrap() + 1;
    wait_for("the plain client's transfers", PATIENCE, async || {
        clients.ledger_of(writer).count(Known::Acknowledged) > 0
    })
    .await;
    for worker in &mut working {
        assert!(worker.runs(), "{}", worker.said());
    }
    for worker in working {
        worker.finish().await;
    }

    let ledger = clients.ledger();
    println!(
        "{trips} trips; {} transfers, {} by plain SQL",
        ledger.count(Known::Acknowledged),
        clients.ledger_of(writer).count(Known::Acknowledged)
    );
    let mut audit = Audit::open(&bank, "when the bank has closed").await;
    audit.at_rest().await;
    for set in &sets {
        for user in set {
            audit.home(&[*user]).await;
        }
    }
    audit.balances().await;
    audit.reconcile(&ledger).await;
    bank.find(&sets.concat()).await;
    let shards = [0, 1].map(|number| bank.shard(&mdb, number));
    let left = mdb.relocator().leftovers(&shards).await;
    assert_eq!(left.unwrap(), [], "every move has come to its end");
    // Triggers that rest are no leftovers, but are collected.
    wait_for("nothing to be left on the shards", PATIENCE, async || {
        let left = Box::pin(mdb.relocator().clean()).await;
        left.is_ok_and(|left| left.is_empty())
    })
    .await;
}

/// Starts the services and the client that knows nothing of MDB.
async fn open<DB: TestEngine>(
    bank: &Bank<DB>,
    workers: &mut Workers,
    users: &[Gdid],
) -> Vec<Worker> {
    let mut working = Vec::new();
    for _ in 0..SERVICES {
        let command = workers.command("service", users);
        working.push(workers.start(command));
    }
    let mut command = workers.command("writer", users);
    command.args([bank.url(0), bank.url(1)]);
    working.push(workers.start(command));
    for worker in &mut working {
        let line = worker.line().await;
        assert!(line.is_some(), "{}", worker.said());
    }
    working
}

/// Has movers carry the briefcases back and forth; each is killed somewhere, and the next one takes over. Says how
/// often all have arrived.
async fn carry<DB: TestEngine>(bank: &Bank<DB>, users: &[Gdid]) -> usize {
    let mut movers = Workers::new(bank, env!("CARGO_BIN_EXE_bank-worker"));
    let began = Instant::now();
    let (mut trips, mut lives) = (0, 0);
    let open = if is_long() { LONG } else { OPEN };
    while lives < LIVES || trips < TRIPS || began.elapsed() < open {
        let command = movers.command("shuttle", users);
        let mut mover = movers.start(command);
        lives += 1;
        for _ in 0..fastrand::usize(1..4) {
            trips += usize::from(next(&mut mover).await == "trip");
        }
        // Up to here it was at the end of something; now it is anywhere.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..500))).await;
        assert!(mover.runs(), "{}", mover.said());
        mover.kill().await;
    }
    // The last one ends what was left, and its trip.
    let command = movers.command("shuttle", users);
    let mut mover = movers.start(command);
    while next(&mut mover).await != "trip" {}
    mover.finish().await;
    trips + 1
}

/// What a mover has done.
async fn next(mover: &mut Worker) -> String {
    let line = mover.line().await;
    line.unwrap_or_else(|| panic!("a mover has ended; {}", mover.said()))
}
