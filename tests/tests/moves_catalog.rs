//! The catalog: what processes know of it while its home is away, and that they are told of its changes.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::mpsc;
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::failpoint::HaltSide;
use mdb_core::relocate::{MoveOptions, MoveProgress, MoveRequest, Selection};
use mdb_core::{Gdid, InitLost, Mdb, ScatterOptions};
use mdb_tests::bank::{Bank, Place, SUM, Teller};
use mdb_tests::kit::wait_for;
use mdb_tests::store::TestEngine;
use mdb_tests::{on_all_engines, on_engines_with_servers};
use sqlx::Postgres;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

on_engines_with_servers!(what_was_moved_is_not_read_from_replicas);
on_all_engines!(who_starts_while_the_catalog_is_away_finds_what_was_moved);

/// Until a wait is taken for one that never ends.
const LIMIT: Duration = Duration::from_mins(1);

async fn move_to<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb, ids: &[Gdid], to: usize) {
    let relocator = mdb.relocator();
    let selection = Selection::Briefcases(ids.to_vec());
    let request = MoveRequest::new("user", selection, bank.shard(mdb, to));
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let run = relocator.run(&plan, &options, &progress).await;
    run.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

async fn who_starts_while_the_catalog_is_away_finds_what_was_moved<DB: TestEngine>() {
    let bank = Bank::<DB>::alone().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 3).await;
    move_to(&bank, &mdb, &ids, 1).await;
    drop(mdb);
    let home = bank.directory().join("catalog");
    match DB::SERVER {
        None => std::fs::rename(&home, home.with_extension("away")).unwrap(),
        Some(_) => bank.server(2).kill().await,
    }

    let mdb = bank.open();
    let teller = Teller::<DB>::new(&mdb);
    for id in &ids {
        let sum = teller.sum(*id).await;
        assert_eq!(sum.unwrap_or_else(|error| panic!("{}", chain(&error))), SUM);
        let done = teller.transfer(*id, bank.transfer()).await;
        done.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
    let transfers = bank.count(1, "SELECT count(*) FROM transfer").await;
    assert_eq!(transfers, 3);
}

async fn what_was_moved_is_not_read_from_replicas<DB: TestEngine>() {
    let bank = Bank::<DB>::alone().await;
    let mdb = bank.open();
    let moved = bank.customers(&mdb, 0, 1).await[0];
    let stayed = bank.customers(&mdb, 1, 1).await[0];
    move_to(&bank, &mdb, &[moved], 1).await;
    drop(mdb);
    // It follows nobody: it has neither customer's rows.
    let [west, replica] = [1, 2].map(|number| bank.server(number).url_template());
    let elsewhere = bank.open_changed(|text| text.replace(&west, &replica));
    let begun = bank.shard(&elsewhere, 1);
    let begun = elsewhere.init_shard_with(begun, InitLost::Begin).await;
    begun.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let empty = elsewhere.area::<DB>("user").unwrap();
    let empty = empty.each_shard(ScatterOptions::new(), |shard| async move {
        let create = "CREATE TABLE IF NOT EXISTS account (g_user INTEGER, cents BIGINT)";
        DB::run(&shard, create).await
    });
    empty.all().await.unwrap();

    let url = format!("url = \"{west}\"");
    let mdb =
        bank.open_changed(|text| text.replace(&url, &format!("{url}\nreplicas = [\"{replica}\"]")));
    assert!(mdb.join().await);
    let accounts = "SELECT count(*) FROM account";
    let area = mdb.area::<DB>("user").unwrap();
    let stayed = area.briefcase(stayed).unwrap();
    assert_eq!(DB::number(&stayed.read(), accounts).await.unwrap(), 0);
    let moved = area.briefcase(moved).unwrap();
    assert_ne!(DB::number(&moved.read(), accounts).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_listen_for_changes_and_listen_again_after_a_loss() {
    let bank = Bank::<Postgres>::alone().await;
    let mdb = bank.open();
    bank.customers(&mdb, 0, 1).await;
    let central = bank.server(2).url("postgres");
    let listens = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
    let somebody_listens = async || {
        Postgres::number_at(&central, listens)
            .await
            .unwrap_or_default()
            == 1
    };
    wait_for("somebody listens", LIMIT, somebody_listens).await;
    let end =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
    assert_eq!(Postgres::number_at(&central, end).await.unwrap(), 1);
    wait_for("somebody listens again", LIMIT, somebody_listens).await;
}

/// A process whose clock stands still asks for nothing any more: a move would go on without it when its lease is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_of_a_move_need_not_ask() {
    let place = Place::on(Bank::<Postgres>::alone().await, 1).await;
    let (config, catalog) = (place.bank.config(), place.bank.catalog_url());
    let (ready, is_ready) = oneshot::channel();
    let (end, ends) = oneshot::channel::<()>();
    let other = spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let mdb = Mdb::open(&config).await.unwrap();
            assert!(mdb.join().await);
            wait_for("both to listen", LIMIT, async || {
                let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
                Postgres::number_at(&catalog, listening).await.unwrap() == 2
            })
            .await;
            tokio::time::pause();
            // With a thread at work, the clock does not skip to what is waited for next either.
            let (holds, held) = mpsc::channel::<()>();
            let works = spawn_blocking(move || held.recv());
            ready.send(()).unwrap();
            let _ended = ends.await;
            drop(holds);
            assert!(works.await.unwrap().is_err());
        });
    });
    is_ready.await.unwrap();
    let catalog = place.bank.catalog_url();
    let copied = async || place.bank.count(1, "SELECT count(*) FROM customer").await == 1;
    let options = MoveOptions::new();
    let moved = place.run_halted(&options, HaltSide::After, copied, async || {
        let know =
            "SELECT count(*) FROM mdb_router r JOIN mdb_catalog c ON r.acknowledged = c.epoch";
        let know = Postgres::number_at(&catalog, know).await.unwrap();
        assert_eq!(know, 2, "the mover's process, and the one that was told");
    });
    moved.await.unwrap();
    end.send(()).unwrap();
    other.await.unwrap();
    place.is_whole(1).await;
}
