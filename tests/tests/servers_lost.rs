//! A CENTRAL that is not there, or a shard together with it: they are made anew only where the whole store says that it is
//! new.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::error::chain;
use mdb_core::topology::ShardId;
use mdb_core::{AcquireError, InitError, InitLost, InitOutcome, Mdb};
use mdb_tests::bank::Bank;
use mdb_tests::kit::{PASSWORD, USER};
use mdb_tests::on_engines_with_servers;
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres};

on_engines_with_servers!(
    a_shard_that_is_silent_may_be_in_use,
    a_shard_that_refuses_the_log_in_may_be_in_use,
    a_shard_is_not_begun_beside_one_that_is_silent,
    a_silent_catalog_may_know_of_moves,
);

/// A sequence for the ids of the area.
const SEQUENCE: &str = "[[sequence]]\nname = \"user\"\narea = \"user\"\n";

/// A bank with customers on its second shard alone.
async fn in_use_in_the_west<DB: TestEngine>() -> Bank<DB> {
    let bank = Bank::<DB>::alone().await;
    bank.customers(&bank.open(), 1, 2).await;
    bank
}

/// The bank, of which CENTRAL and the first shard are lost, with blank servers in their place.
fn half_lost<DB: TestEngine>(bank: &Bank<DB>, change: impl Fn(String) -> String) -> Mdb {
    bank.open_changed(|text| {
        let text = text.replace("_central\"", "_blank\"");
        change(text.replace("_0\"", "_blank\""))
    })
}

fn central(mdb: &Mdb) -> ShardId {
    mdb.topology().central().shards()[0]
}

/// CENTRAL is refused, since the second shard can't be asked; says why that is so.
async fn uncertain(mdb: &Mdb) -> (InitError, String) {
    let error = mdb.init_shard(central(mdb)).await.unwrap_err();
    let InitError::CentralUncertain { source, .. } = &error else {
        panic!("{}", chain(&error));
    };
    let said = chain(source);
    assert!(said.contains("`west`"), "{said}");
    (error, said)
}

async fn a_shard_that_is_silent_may_be_in_use<DB: TestEngine>() {
    let bank = in_use_in_the_west::<DB>().await;
    bank.server(1).kill().await;
    let mdb = half_lost(&bank, |text| text);
    let (error, _) = uncertain(&mdb).await;
    assert!(error.is_unreachable());

    bank.server(1).restart().await.unwrap();
    let error = mdb.init_shard(central(&mdb)).await.unwrap_err();
    assert!(
        matches!(error, InitError::CentralLost { .. }),
        "{}",
        chain(&error)
    );
}

async fn a_shard_that_refuses_the_log_in_may_be_in_use<DB: TestEngine>() {
    let bank = in_use_in_the_west::<DB>().await;
    let right = bank.server(1).url_template();
    let wrong = right.replace(&format!("{USER}:{PASSWORD}@"), &format!("{USER}:wrong@"));
    let mdb = half_lost(&bank, |text| text.replace(&right, &wrong));
    let (error, _) = uncertain(&mdb).await;
    assert!(!error.is_unreachable());
}

/// As where one server had CENTRAL too, and that was begun anew before the others were back.
async fn a_shard_is_not_begun_beside_one_that_is_silent<DB: TestEngine>() {
    let bank = in_use_in_the_west::<DB>().await;
    bank.server(1).kill().await;
    let mdb = half_lost(&bank, |text| text + SEQUENCE);
    let begun = mdb.init_shard_with(central(&mdb), InitLost::Begin).await;
    begun.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let lost = bank.shard(&mdb, 0);
    let error = mdb.init_shard(lost).await.unwrap_err();
    let InitError::ShardUncertain { source, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert!(error.is_unreachable());
    assert!(error.to_string().contains("--new-shard east/"), "{error}");
    assert!(chain(source).contains("`west`"), "{}", chain(source));

    bank.server(1).restart().await.unwrap();
    let error = mdb.init_shard(lost).await.unwrap_err();
    assert!(
        matches!(error, InitError::ShardLost { .. }),
        "{}",
        chain(&error)
    );
}

async fn a_silent_catalog_may_know_of_moves<DB: TestEngine>() {
    let bank = in_use_in_the_west::<DB>().await;
    bank.server(2).kill().await;
    let mdb = bank.open_changed(|text| text.replace("_0\"", "_blank\""));
    let error = mdb.init_shard(bank.shard(&mdb, 0)).await.unwrap_err();
    let InitError::MovesUncertain { source, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert!(error.is_unreachable());
    assert!(error.to_string().contains("--new-shard east/"), "{error}");
    assert!(chain(source).contains("`catalog`"), "{}", chain(source));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_must_not_be_connected_to_may_be_in_use() {
    let bank = in_use_in_the_west::<Postgres>().await;
    let url = bank.url(1);
    let (_, database) = url.rsplit_once('/').unwrap();
    let revoke = ["PUBLIC", USER]
        .map(|role| format!("REVOKE CONNECT ON DATABASE \"{database}\" FROM {role}"));
    Postgres::run_at(&url, &revoke).await.unwrap();
    let (_, said) = uncertain(&half_lost(&bank, |text| text)).await;
    assert!(said.contains("permission denied"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_hidden_from_the_user_is_not_there() {
    let bank = Bank::<MySql>::alone().await;
    for number in 0..3 {
        let guest = "CREATE USER guest@'127.0.0.1' IDENTIFIED BY 'guest'";
        let url = bank.server(number).url(USER);
        MySql::run_at(&url, &[guest.to_owned()]).await.unwrap();
    }
    // As an administrator makes it for somebody who may make none.
    let rights = "GRANT ALL ON `made`.* TO guest@'127.0.0.1'";
    let made = ["CREATE DATABASE `made`", rights].map(str::to_owned);
    let url = bank.server(2).url(USER);
    MySql::run_at(&url, &made).await.unwrap();

    let mdb = bank.open_changed(|text| {
        let text = text.replace(&format!("{USER}:{PASSWORD}@"), "guest:guest@");
        let (_, after) = text.split_once("[central]").unwrap();
        let (list, _) = after.split_once(']').unwrap();
        let list = list.to_owned();
        text.replace(
            &list,
            "\nshards = [{ server = \"catalog\", database = \"made\" }",
        )
    });
    for shard in mdb.topology().areas()[0].shards() {
        let error = mdb.servers().probe(shard).await.unwrap_err();
        assert!(matches!(error, AcquireError::Connect { .. }), "{error:?}");
    }
    let report = mdb.init_shard(central(&mdb)).await;
    let report = report.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(report.outcome(), InitOutcome::Stamped);
}
