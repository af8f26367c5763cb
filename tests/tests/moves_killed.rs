//! Movers lose their connections at each of their steps, so that they don't know whether it took effect; whoever comes
//! next brings the move to its end, or undoes it. Services go on all the time. Movers that die are processes: see
//! `moves_processes`.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::failpoint::{Failure, Outcome, fail_at};
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePhase, MoveProgress, MoveRequest, Selection, TakeOver,
};
use mdb_core::{Gdid, Mdb};
use mdb_tests::bank::{Audit, Bank, Known, Ledger, SUM, Teller};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use tokio::task::JoinHandle;

on_all_engines!(
    a_move_that_broke_off_is_resumed,
    a_move_that_broke_off_is_undone_or_past_its_commit_point
);

/// A move has a few more steps than this, or a few less: rounds of catching up are steps too.
const STEPS: usize = 40;

/// A service that transfers all the time, and remembers what was acknowledged.
struct Service {
    over: Arc<AtomicBool>,
    works: JoinHandle<Ledger>,
}

impl Service {
    fn start<DB: TestEngine>(bank: &Arc<Bank<DB>>, ids: &[Gdid]) -> Self {
        let (mdb, over) = (bank.open(), Arc::new(AtomicBool::new(false)));
        let (bank, ids, seen) = (Arc::clone(bank), ids.to_vec(), Arc::clone(&over));
        let works = tokio::spawn(async move {
            let teller = Teller::<DB>::new(&mdb);
            let mut acknowledged = Ledger::default();
            while !seen.load(Ordering::Relaxed) {
                let (user, transfer) = (ids[fastrand::usize(..ids.len())], bank.transfer());
                let done = teller.transfer(user, transfer).await;
                done.unwrap_or_else(|error| panic!("{}", chain(&error)));
                acknowledged.note(Known::Acknowledged, user, transfer);
                assert_eq!(teller.sum(user).await.unwrap(), SUM);
                // Not as fast as it can, lest there is something to catch up with for ever.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            acknowledged
        });
        Self { over, works }
    }

    async fn stop(self) -> Ledger {
        self.over.store(true, Ordering::Relaxed);
        self.works.await.unwrap()
    }
}

fn request<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb, ids: &[Gdid], to: usize) -> MoveRequest {
    let selection = Selection::Briefcases(ids.to_vec());
    MoveRequest::new("user", selection, bank.shard(mdb, to))
}

/// Runs a move that breaks off after its step number `at`; whether it came that far.
async fn broken_off<DB: TestEngine>(
    bank: &Bank<DB>,
    mdb: &Mdb,
    ids: &[Gdid],
    to: usize,
    failure: Failure,
    at: usize,
) -> bool {
    let relocator = mdb.relocator();
    let plan = relocator.plan(&request(bank, mdb, ids, to)).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let run = relocator.run(&plan, &options, &progress);
    match fail_at(failure, at, run).await {
        Outcome::NotReached(end) => {
            end.unwrap_or_else(|error| panic!("{}", chain(&error)));
            false
        }
        Outcome::Failed(_) | Outcome::Died => true,
    }
}

/// Where the briefcases are, after looking at everything that has to be so when no move is under way.
async fn home<DB: TestEngine>(bank: &Bank<DB>, ids: &[Gdid], context: &str) -> usize {
    let mut audit = Audit::open(bank, context).await;
    audit.at_rest().await;
    audit.balances().await;
    audit.home(ids).await
}

async fn a_move_that_broke_off_is_resumed<DB: TestEngine>() {
    let bank = Arc::new(Bank::<DB>::start().await);
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 3).await;
    let service = Service::start(&bank, &ids);
    let options = MoveOptions::new().take_over(TakeOver::FromAnybody);
    let mut to = 1;
    let is_long = std::env::var_os("MDB_TEST_LONG").is_some();
    let failures = [Failure::LostAnswer, Failure::Outage];
    for failure in failures.into_iter().take(if is_long { 2 } else { 1 }) {
        let mut at = 1;
        while at <= STEPS && broken_off(&bank, &mdb, &ids, to, failure, at).await {
            let context = format!("{failure:?} at {at}");
            let relocator = mdb.relocator();
            for record in relocator.list().await.unwrap() {
                if !record.phase().is_over() {
                    let progress = MoveProgress::new();
                    let resumed =
                        Box::pin(relocator.resume(record.id(), &options, &progress)).await;
                    let ended =
                        resumed.unwrap_or_else(|error| panic!("{}: {context}", chain(&error)));
                    assert_eq!(ended.tables()[0].rows(), ids.len() as u64, "{context}");
                }
            }
            // Nothing was journalled yet, or everything is there.
            if home(&bank, &ids, &context).await == to {
                to = 1 - to;
            } else {
                assert_eq!(at, 1, "{context}");
            }
            at += 1;
        }
        assert!(at > 12, "only {at} steps were seen");
        to = 1 - home(&bank, &ids, "at the end").await;
    }
    let ledger = service.stop().await;
    Audit::open(&bank, "at the end")
        .await
        .reconcile(&ledger)
        .await;
}

async fn a_move_that_broke_off_is_undone_or_past_its_commit_point<DB: TestEngine>() {
    let bank = Arc::new(Bank::<DB>::start().await);
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 3).await;
    let service = Service::start(&bank, &ids);
    let options = MoveOptions::new().take_over(TakeOver::FromAnybody);
    let (mut to, mut at) = (1, 1);
    let (mut undone, mut decided) = (0, 0);
    while at <= STEPS && broken_off(&bank, &mdb, &ids, to, Failure::LostAnswer, at).await {
        let (context, undone_before) = (format!("at {at}"), undone);
        let relocator = mdb.relocator();
        for record in relocator.list().await.unwrap() {
            if record.phase().is_over() {
                continue;
            }
            match Box::pin(relocator.abort(record.id(), &options)).await {
                Ok(()) => undone += 1,
                Err(MoveError::WrongPhase { .. }) => {
                    decided += 1;
                    let progress = MoveProgress::new();
                    let resumed =
                        Box::pin(relocator.resume(record.id(), &options, &progress)).await;
                    resumed.unwrap_or_else(|error| panic!("{}: {context}", chain(&error)));
                }
                Err(error) => panic!("{}: {context}", chain(&error)),
            }
        }
        let home = home(&bank, &ids, &context).await;
        // When only the last answer was lost, nothing was left to do.
        assert!(undone == undone_before || home == 1 - to, "{context}");
        to = 1 - home;
        at += 1;
    }
    assert!(
        undone > 5 && decided > 3,
        "{undone} undone, {decided} decided"
    );
    let records = mdb.relocator().list().await.unwrap();
    assert!(
        records
            .iter()
            .any(|record| record.phase() == MovePhase::Aborted)
    );
    let ledger = service.stop().await;
    Audit::open(&bank, "at the end")
        .await
        .reconcile(&ledger)
        .await;
}
