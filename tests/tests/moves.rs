//! Briefcases are moved while services use them.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::relocate::{
    Leftover, MoveError, MoveOptions, MovePhase, MoveProgress, MoveReport, MoveRequest, Selection,
};
use mdb_core::{Gdid, Mdb};
use mdb_tests::bank::{Audit, Bank, SUM, Teller, literal, sum_of, transfer_of, transfers_of};
use mdb_tests::kit::Kind;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

on_all_engines!(
    briefcases_that_rest_are_moved_and_come_back,
    nothing_is_lost_while_tellers_work,
    triggers_that_stay_serve_every_move,
    many_briefcases_are_moved_together_while_a_teller_works,
    what_was_at_the_target_before_survives_an_abort,
    a_neighbour_at_the_target_keeps_its_rows,
    movers_that_end_together_remove_their_triggers,
);

async fn move_all<DB: TestEngine>(
    bank: &Bank<DB>,
    mdb: &Mdb,
    ids: &[Gdid],
    to: usize,
    batch: usize,
) {
    let relocator = mdb.relocator();
    let selection = Selection::Briefcases(ids.to_vec());
    let request = MoveRequest::new("user", selection, bank.shard(mdb, to));
    let plan = relocator
        .plan(&request)
        .await
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
    let options = MoveOptions::new().batch(batch);
    let progress = MoveProgress::new();
    let reports = relocator.run(&plan, &options, &progress).await;
    let reports = reports.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let moved: usize = reports.iter().map(MoveReport::briefcases).sum();
    assert_eq!(moved, plan.briefcases());
}

async fn briefcases_that_rest_are_moved_and_come_back<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let teller = Teller::<DB>::new(&mdb);
    let ids = bank.customers(&mdb, 0, 7).await;
    for id in &ids {
        teller.transfer(*id, bank.transfer()).await.unwrap();
    }
    for to in [1, 0, 1] {
        move_all(&bank, &mdb, &ids, to, 3).await;
        for table in ["customer", "account", "transfer", "entry"] {
            let rows = format!("SELECT count(*) FROM {table}");
            assert_eq!(bank.count(1 - to, &rows).await, 0, "{table} at the source");
            assert!(bank.count(to, &rows).await > 0, "{table} at the target");
        }
        for number in [0, 1] {
            for table in ["mdb_fence", "mdb_mover"] {
                assert_eq!(
                    bank.count(number, &format!("SELECT count(*) FROM {table}"))
                        .await,
                    0
                );
            }
        }
        for id in &ids {
            assert_eq!(teller.sum(*id).await.unwrap(), SUM);
            assert_eq!(teller.transfers(*id).await.unwrap(), 1);
            teller.area().briefcase(*id).unwrap();
        }
        assert!(
            mdb.relocator()
                .list()
                .await
                .unwrap()
                .iter()
                .all(|m| m.phase() == MovePhase::Done)
        );
    }
}

async fn nothing_is_lost_while_tellers_work<DB: TestEngine>() {
    let bank = Arc::new(Bank::<DB>::start().await);
    let mdb = bank.open();
    move_while_tellers_work(&bank, &mdb).await;
    let shards = [0, 1].map(|number| bank.shard(&mdb, number));
    let relocator = mdb.relocator();
    assert_eq!(relocator.leftovers(&shards).await.unwrap(), []);
    // What moves have disabled is not there for good.
    let always = bank.open_capturing_always().relocator();
    assert_eq!(always.unprepared(&shards).await.unwrap(), shards);
    let cleaned = relocator.clean().await.unwrap();
    assert!(cleaned.iter().all(Leftover::is_removed), "{cleaned:?}");
    let disabled = if DB::SERVER == Some(Kind::Postgres) {
        2
    } else {
        0
    };
    assert_eq!(cleaned.len(), disabled, "{cleaned:?}");
    assert_eq!(relocator.clean().await.unwrap(), []);
}

async fn triggers_that_stay_serve_every_move<DB: TestEngine>() {
    let bank = Arc::new(Bank::<DB>::start().await);
    let mdb = bank.open_capturing_always();
    let relocator = mdb.relocator();
    let shards = [0, 1].map(|number| bank.shard(&mdb, number));
    assert_eq!(relocator.unprepared(&shards).await.unwrap(), shards);
    let prepared = relocator.prepare("user", Duration::from_secs(30)).await;
    assert_eq!(prepared.unwrap_or_else(|e| panic!("{}", chain(&e))), shards);
    assert_eq!(relocator.unprepared(&shards).await.unwrap(), []);
    // Who does not know that they are to stay takes them for leftovers.
    let other = bank.open().relocator();
    let installed = other.leftovers(&shards).await.unwrap();
    assert_eq!(installed.len(), 2, "{installed:?}");

    move_while_tellers_work(&bank, &mdb).await;
    assert_eq!(other.leftovers(&shards).await.unwrap(), installed);
    assert_eq!(relocator.leftovers(&shards).await.unwrap(), []);
}

/// Moves briefcases there, back and there again, while three processes use them.
async fn move_while_tellers_work<DB: TestEngine>(bank: &Arc<Bank<DB>>, mdb: &Mdb) {
    let ids = bank.customers(mdb, 0, 6).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut tellers = JoinSet::new();
    for _ in 0..3 {
        // A process of its own.
        let (mdb, bank, over, ids) = (
            bank.open(),
            Arc::clone(bank),
            Arc::clone(&over),
            ids.clone(),
        );
        tellers.spawn(async move {
            let teller = Teller::<DB>::new(&mdb);
            let mut acknowledged = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let user = ids[fastrand::usize(..ids.len())];
                let transfer = bank.transfer();
                match teller.transfer(user, transfer).await {
                    Ok(()) => acknowledged.push((user, transfer)),
                    Err(error) => panic!("{}", chain(&error)),
                }
                assert_eq!(teller.sum(user).await.unwrap(), SUM);
                // As services do, not as fast as it can: then there is something to catch up with for ever.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            acknowledged
        });
    }
    for to in [1, 0, 1] {
        move_all(bank, mdb, &ids, to, 3).await;
    }
    over.store(true, Ordering::Relaxed);
    let acknowledged: Vec<(Gdid, Gdid)> = tellers.join_all().await.into_iter().flatten().collect();
    assert!(!acknowledged.is_empty());
    for (user, transfer) in &acknowledged {
        assert_eq!(bank.count(1, &transfer_of::<DB>(*user, *transfer)).await, 1);
    }
    let mut transfers = 0;
    for id in &ids {
        assert_eq!(bank.count(1, &sum_of::<DB>(*id)).await, SUM);
        transfers += bank.count(1, &transfers_of::<DB>(*id)).await;
    }
    assert_eq!(usize::try_from(transfers).unwrap(), acknowledged.len());
}

/// So many that they are verified before the fence, and once more where the teller was meanwhile.
async fn many_briefcases_are_moved_together_while_a_teller_works<DB: TestEngine>() {
    let bank = Arc::new(Bank::<DB>::start().await);
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 450).await;
    let over = AtomicBool::new(false);
    let works = async {
        let other = bank.open();
        let teller = Teller::<DB>::new(&other);
        let mut done = 0;
        while !over.load(Ordering::Relaxed) {
            let user = ids[fastrand::usize(..ids.len())];
            teller.transfer(user, bank.transfer()).await.unwrap();
            assert_eq!(teller.sum(user).await.unwrap(), SUM);
            done += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        done
    };
    let moves = async {
        for to in [1, 0] {
            move_all(&bank, &mdb, &ids, to, ids.len()).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(works, moves);
    let mut audit = Audit::open(&bank, "many briefcases").await;
    assert_eq!(audit.home(&ids).await, 0);
    audit.balances().await;
    audit.at_rest().await;
    let transfers = bank.count(0, "SELECT count(*) FROM transfer").await;
    assert_eq!(transfers, done);
}

async fn what_was_at_the_target_before_survives_an_abort<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    let stray = literal::<DB>(ids[1]);
    let insert = format!("INSERT INTO customer VALUES ({stray}, 'stray')");
    DB::run_at(&bank.url(1), &[insert]).await.unwrap();

    let relocator = mdb.relocator();
    let request = MoveRequest::new(
        "user",
        Selection::Briefcases(ids.clone()),
        bank.shard(&mdb, 1),
    );
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let refused = relocator.run(&plan, &options, &progress).await;
    assert!(
        matches!(&refused, Err(MoveError::Strays { table }) if table == "customer"),
        "{refused:?}"
    );
    let moves = relocator.list().await.unwrap();
    assert_eq!(moves[0].phase(), MovePhase::Aborted, "undone at once");
    let name = "SELECT count(*) FROM customer WHERE name = 'stray'";
    assert_eq!(bank.count(1, name).await, 1);

    // Nothing is in the way of who removes it.
    let delete = format!("DELETE FROM customer WHERE g_user = {stray}");
    DB::run_at(&bank.url(1), &[delete]).await.unwrap();
    move_all(&bank, &mdb, &ids, 1, 2).await;
    assert_eq!(Audit::open(&bank, "moved").await.home(&ids).await, 1);
}

async fn a_neighbour_at_the_target_keeps_its_rows<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    let neighbour = bank.customers(&mdb, 1, 1).await[0];
    // Both have counted up to the same number.
    let number = literal::<DB>(bank.transfer());
    for (at, owner, cents) in [(0, ids[1], 5), (1, neighbour, 7)] {
        let owner = literal::<DB>(owner);
        let insert = format!("INSERT INTO transfer VALUES ({number}, {owner}, {cents})");
        DB::run_at(&bank.url(at), &[insert]).await.unwrap();
    }

    let relocator = mdb.relocator();
    let shards = [0, 1].map(|number| bank.shard(&mdb, number));
    let selection = Selection::Briefcases(ids.clone());
    let request = MoveRequest::new("user", selection, shards[1]);
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let refused = relocator.run(&plan, &options, &progress).await;
    let Err(refused @ MoveError::Taken(_)) = refused else {
        panic!("{refused:?}");
    };
    assert!(!refused.is_transient());
    let moves = relocator.list().await.unwrap();
    relocator.abort(moves[0].id(), &options).await.unwrap();
    assert_eq!(relocator.leftovers(&shards).await.unwrap(), []);
    for (at, cents) in [(0, 5), (1, 7)] {
        let found = format!("SELECT cents FROM transfer WHERE g_transfer = {number}");
        assert_eq!(bank.count(at, &found).await, cents);
    }

    let delete = format!("DELETE FROM transfer WHERE g_transfer = {number}");
    DB::run_at(&bank.url(0), &[delete]).await.unwrap();
    move_all(&bank, &mdb, &ids, 1, 2).await;
    assert_eq!(Audit::open(&bank, "moved").await.home(&ids).await, 1);
}

/// Of batches, and of movers, that end at the same time each may think that another one still needs the triggers.
async fn movers_that_end_together_remove_their_triggers<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let movers = [bank.open(), bank.open()];
    let ids = bank.customers(&movers[0], 0, 8).await;
    for round in 0..16 {
        let to = 1 - round % 2;
        let moves = movers.iter().zip(ids.chunks(4));
        let moves = moves.map(|(mdb, ids)| async {
            let selection = Selection::Briefcases(ids.to_vec());
            let request = MoveRequest::new("user", selection, bank.shard(mdb, to));
            let relocator = mdb.relocator();
            let plan = relocator.plan(&request).await.unwrap();
            let options = MoveOptions::new().batch(1).parallel(2);
            let run = relocator.run(&plan, &options, &MoveProgress::new()).await;
            run.unwrap_or_else(|error| panic!("{}", chain(&error)));
        });
        futures_util::future::join_all(moves).await;
        let shards = [0, 1].map(|number| bank.shard(&movers[0], number));
        let left = movers[0].relocator().leftovers(&shards).await.unwrap();
        assert_eq!(left, [], "after round {round}");
    }
}
