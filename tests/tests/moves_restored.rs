//! A CENTRAL that was restored from a backup, or begun anew, after briefcases were moved.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::Mutex;
use std::time::Duration;

use mdb_core::config::Config;
use mdb_core::error::chain;
use mdb_core::relocate::{
    EpochRaise, Fault, Misplaced, MoveOptions, MoveProgress, MoveRequest, Selection, ShardAhead,
    VerifyEvent, VerifyScope,
};
use mdb_core::topology::ShardId;
use mdb_core::{AcquireError, Gdid, InitLost, Mdb, cause_of};
use mdb_tests::bank::{Bank, SUM, literal, sum_of};
use mdb_tests::kit::wait_for;
use mdb_tests::store::TestEngine;
use mdb_tests::{on_all_engines, on_engines_with_servers};

on_all_engines!(
    services_are_let_in_again_when_a_person_says_so,
    services_that_go_on_are_turned_away_too,
    copies_forget_what_a_restored_catalog_does_not_know,
);
on_engines_with_servers!(a_shard_that_cant_be_asked_keeps_the_epoch_as_it_is);

/// Until a wait is taken for one that never ends.
const LIMIT: Duration = Duration::from_mins(1);

/// Moves briefcases to the second shard.
async fn move_west<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb, ids: &[Gdid]) {
    let selection = Selection::Briefcases(ids.to_vec());
    let request = MoveRequest::new("user", selection, bank.shard(mdb, 1));
    let relocator = mdb.relocator();
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let run = relocator.run(&plan, &options, &progress).await;
    run.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

async fn ahead<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb) -> Vec<ShardAhead> {
    let shards = [0, 1].map(|number| bank.shard(mdb, number));
    let ahead = mdb.relocator().ahead(&shards).await;
    ahead.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

async fn raise(mdb: &Mdb) -> EpochRaise {
    let raised = mdb.relocator().raise_epoch().await;
    raised.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// The strays of the area, each with where it is.
async fn strays(mdb: &Mdb) -> Vec<(Gdid, ShardId)> {
    let found: Mutex<Vec<Misplaced>> = Mutex::default();
    let tell = |event| {
        if let VerifyEvent::Found(misplaced) = event {
            found.lock().unwrap().push(misplaced);
        }
    };
    let relocator = mdb.relocator();
    let verified = relocator.verify("user", &VerifyScope::Area, &tell);
    verified.await.unwrap();
    let found = found.into_inner().unwrap();
    let mut strays: Vec<(Gdid, ShardId)> = found
        .iter()
        .filter(|found| matches!(found.fault(), Fault::Stray { .. }))
        .map(|found| (found.id().unwrap(), found.shard()))
        .collect();
    strays.sort();
    strays.dedup();
    strays
}

async fn services_are_let_in_again_when_a_person_says_so<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 3).await;
    let (moved, stayed) = (&ids[..2], ids[2]);
    move_west(&bank, &mdb, moved).await;
    assert_eq!(ahead(&bank, &mdb).await, []);
    let epoch = raise(&mdb).await;
    assert_eq!(epoch.before(), epoch.after());
    mdb.leave().await;

    let text = bank.text().replace("_central\"", "_anew\"");
    let config = Config::parse("mdb.toml", &text, bank.directory(), &|_| None).unwrap();
    let mdb = Mdb::from_config(config).unwrap();
    let central = mdb.topology().central().shards()[0];
    let made = mdb.init_shard_with(central, InitLost::Begin).await;
    made.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert!(mdb.join().await);
    let [east, west] = [0, 1].map(|number| bank.shard(&mdb, number));
    let briefcase = mdb.area::<DB>("user").unwrap().briefcase(stayed).unwrap();
    let sum = sum_of::<DB>(stayed);
    let turned_away = DB::number(&briefcase, &sum).await.unwrap_err();
    assert!(
        matches!(cause_of(&turned_away), Some(AcquireError::Outdated { .. })),
        "{turned_away:?}"
    );
    let found = ahead(&bank, &mdb).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].shard(), east);
    assert!(found[0].least() > found[0].catalog());
    let expected: Vec<_> = moved.iter().map(|id| (*id, west)).collect();
    assert_eq!(strays(&mdb).await, expected);

    let raised = raise(&mdb).await;
    assert_eq!(raised.before(), found[0].catalog());
    assert_eq!(raised.after().get(), found[0].least().get() + 1);
    assert_eq!(ahead(&bank, &mdb).await, []);
    wait_for("the process is let in", LIMIT, async || {
        DB::number(&briefcase, &sum).await.is_ok()
    })
    .await;
    let again = raise(&mdb).await;
    assert_eq!([again.before(), again.after()], [raised.after(); 2]);
    // Moves go on from there.
    move_west(&bank, &mdb, &[stayed]).await;
    assert_eq!(ahead(&bank, &mdb).await, []);
    bank_has::<DB>(&mdb, stayed).await;
}

/// They have connections to the shard from before a briefcase has left it.
async fn services_that_go_on_are_turned_away_too<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 1).await;
    let service = bank.open();
    let briefcase = service
        .area::<DB>("user")
        .unwrap()
        .briefcase(ids[0])
        .unwrap();
    let sum = sum_of::<DB>(ids[0]);
    assert_eq!(DB::number(&briefcase, &sum).await.unwrap(), SUM);
    assert!(service.join().await);
    let catalog = bank.catalog_url();
    let backed_up = "SELECT epoch FROM mdb_catalog";
    let backed_up = DB::number_at(&catalog, backed_up).await.unwrap();
    move_west(&bank, &mdb, &ids).await;
    mdb.leave().await;
    assert_eq!(DB::number(&briefcase, &sum).await.unwrap(), SUM);

    let restore = [
        format!("UPDATE mdb_catalog SET epoch = {backed_up}"),
        "DELETE FROM mdb_relocation".to_owned(),
        "DELETE FROM mdb_move".to_owned(),
    ];
    DB::run_at(&catalog, &restore).await.unwrap();
    wait_for(
        "the service is turned away",
        LIMIT,
        async || match DB::number(&briefcase, &sum).await {
            Ok(found) => {
                assert_eq!(found, SUM, "it looks where the briefcase is no more");
                false
            }
            Err(error) => {
                let cause = cause_of(&error);
                assert!(
                    matches!(cause, Some(AcquireError::Outdated { .. })),
                    "{error:?}"
                );
                true
            }
        },
    )
    .await;
}

/// A process that has just begun finds the briefcase.
async fn bank_has<DB: TestEngine>(mdb: &Mdb, id: Gdid) {
    let briefcase = mdb.area::<DB>("user").unwrap().briefcase(id).unwrap();
    let sum = DB::number(&briefcase, &sum_of::<DB>(id)).await;
    sum.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

async fn copies_forget_what_a_restored_catalog_does_not_know<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    let catalog = bank.catalog_url();
    move_west(&bank, &mdb, &ids[..1]).await;
    let epoch = "SELECT epoch FROM mdb_catalog";
    let backed_up = DB::number_at(&catalog, epoch).await.unwrap();
    move_west(&bank, &mdb, &ids[1..]).await;
    mdb.leave().await;
    let copied = |id: Gdid| {
        let key = literal::<DB>(id);
        format!("SELECT count(*) FROM mdb_relocation WHERE gdid = {key}")
    };
    // The first database of the second server has the copy.
    assert_eq!(bank.count(1, &copied(ids[1])).await, 1);

    // What a backup from between the two moves has.
    let later = literal::<DB>(ids[1]);
    let restore = [
        format!("UPDATE mdb_catalog SET epoch = {backed_up}"),
        format!("DELETE FROM mdb_relocation WHERE gdid = {later}"),
        "DELETE FROM mdb_router".to_owned(),
    ];
    DB::run_at(&catalog, &restore).await.unwrap();
    let mdb = bank.open();
    let raised = raise(&mdb).await;
    assert!(raised.after() > raised.before());
    assert_eq!(bank.count(1, &copied(ids[0])).await, 1);
    assert_eq!(bank.count(1, &copied(ids[1])).await, 0);
    let mark = "SELECT epoch FROM mdb_relocation WHERE area = ''";
    let mark = bank.count(1, mark).await;
    assert_eq!(mark.unsigned_abs(), raised.after().get());
}

async fn a_shard_that_cant_be_asked_keeps_the_epoch_as_it_is<DB: TestEngine>() {
    let bank = Bank::<DB>::alone().await;
    let mdb = bank.open();
    let ahead = ["UPDATE mdb_shard SET least_epoch = 50".to_owned()];
    DB::run_at(&bank.url(0), &ahead).await.unwrap();
    bank.server(1).kill().await;
    let refused = mdb.relocator().raise_epoch().await;
    assert!(refused.is_err(), "{refused:?}");
    let epoch = "SELECT epoch FROM mdb_catalog";
    let catalog = bank.catalog_url();
    assert_eq!(DB::number_at(&catalog, epoch).await.unwrap(), 0);
    bank.server(1).restart().await.unwrap();
    assert_eq!(raise(&mdb).await.after().get(), 51);
    assert_eq!(DB::number_at(&catalog, epoch).await.unwrap(), 51);
}
