//! Moves between MariaDB servers that are set to cut, refuse or write otherwise what is asked of them.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::error::chain;
use mdb_core::relocate::{MoveError, MoveOptions, MoveProgress, MoveRequest, Selection};
use mdb_tests::bank::{Bank, Place, literal};
use mdb_tests::store::TestEngine;
use sqlx::MySql;

/// How many customers there are.
const CUSTOMERS: usize = 3;

/// Runs a statement on each of the bank's servers: whoever connects from now on has what it sets.
async fn everywhere(bank: &Bank<MySql>, statement: &str) {
    for url in [bank.url(0), bank.url(1), bank.catalog_url()] {
        let ran = MySql::run_at(&url, &[statement.to_owned()]).await;
        ran.unwrap_or_else(|error| panic!("{statement}: {}", chain(&error)));
    }
}

/// Customers of a bank on servers of its own that have these settings, opened by a process that has just begun.
async fn place(settings: &str) -> Place<MySql> {
    let bank = Bank::<MySql>::alone().await;
    everywhere(&bank, &format!("SET GLOBAL {settings}")).await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, CUSTOMERS).await;
    Place { bank, mdb, ids }
}

/// Moves them one after another to the second shard.
async fn carry_each(place: &Place<MySql>) {
    for id in &place.ids {
        let selection = Selection::Briefcases(vec![*id]);
        let request = MoveRequest::new("user", selection, place.bank.shard(&place.mdb, 1));
        let relocator = place.mdb.relocator();
        let plan = relocator.plan(&request).await.unwrap();
        let (options, progress) = (MoveOptions::new(), MoveProgress::new());
        let moved = relocator.run(&plan, &options, &progress).await;
        moved.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
}

/// More rows than the server's catalogue has, and fewer than a briefcase.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_rows_cuts_no_briefcase() {
    let place = place("sql_select_limit = 100").await;
    let key = literal::<MySql>(place.ids[0]);
    let many = format!("INSERT INTO account SELECT {key}, 100 + seq, 0 FROM seq_1_to_150");
    place.at(0, &many).await;
    carry_each(&place).await;
    let accounts = "SELECT count(*) FROM account";
    assert_eq!(place.bank.count(1, accounts).await, 162);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_rows_cuts_no_catalogue() {
    let place = place("sql_select_limit = 2").await;
    carry_each(&place).await;
    assert_eq!(place.moves().await.len(), CUSTOMERS);
    place.bank.find(&place.ids).await;
    // What tests count past MDB would be cut, too.
    everywhere(&place.bank, "SET GLOBAL sql_select_limit = DEFAULT").await;
    place.is_whole(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_begins_no_transaction() {
    let place = place("completion_type = CHAIN").await;
    carry_each(&place).await;
    place.bank.find(&place.ids).await;
    everywhere(&place.bank, "SET GLOBAL completion_type = DEFAULT").await;
    place.is_whole(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_without_a_condition_are_let_through() {
    let place = place("sql_safe_updates = 1").await;
    carry_each(&place).await;
    place.is_whole(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_mean_the_same_in_all_modes() {
    let modes = "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION,\
                 NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES";
    let place = place(&format!("sql_mode = '{modes}'")).await;
    let nick = "ALTER TABLE customer ADD COLUMN nick CHAR(8), ADD COLUMN said VARCHAR(20)";
    place.on_both(nick).await;
    let said = "UPDATE customer SET nick = 'bo', said = 'c:\\'";
    place.at(0, said).await;
    carry_each(&place).await;
    let same =
        "SELECT count(*) FROM customer WHERE nick = 'bo' AND said = 'c:\\' AND length(said) = 3";
    assert_eq!(place.bank.count(1, same).await, 3);
    place.bank.find(&place.ids).await;
    place.is_whole(1).await;
}

/// A statement that is longer than the server takes would end the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_takes_short_statements_gets_short_ones() {
    const PAGE: &str = "[[area.briefcase.table]]\nname = \"page\"\nkey = \"g_user\"\n";
    let bank = Bank::<MySql>::alone().await;
    let set = async |bytes: u64| {
        let set = format!("SET GLOBAL max_allowed_packet = {bytes}");
        MySql::run_at(&bank.url(1), &[set]).await.unwrap();
    };
    set(1 << 20).await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    for url in [bank.url(0), bank.url(1)] {
        let page = "CREATE TABLE page (g_user BINARY(12) NOT NULL, n INT, body LONGTEXT, PRIMARY KEY (g_user, n))";
        MySql::run_at(&url, &[page.to_owned()]).await.unwrap();
    }
    let keys: Vec<String> = ids.iter().map(|id| literal::<MySql>(*id)).collect();
    // As text, each quotation mark is two bytes.
    let pages = [
        format!(
            "INSERT INTO page SELECT {}, seq, REPEAT('\\'', 120000) FROM seq_1_to_30",
            keys[0]
        ),
        format!(
            "INSERT INTO page VALUES ({}, 31, REPEAT('x', 1000000))",
            keys[0]
        ),
        format!(
            "INSERT INTO page VALUES ({}, 1, REPEAT('x', 1100000))",
            keys[1]
        ),
    ];
    MySql::run_at(&bank.url(0), &pages).await.unwrap();
    drop(mdb);
    let mdb = bank.open_with(PAGE);
    let (one, other) = (vec![ids[0]], vec![ids[1]]);
    let mut place = Place {
        bank,
        mdb,
        ids: one,
    };
    place.carry_to(1).await;
    let pages = "SELECT CAST(SUM(LENGTH(body)) AS SIGNED) FROM page";
    assert_eq!(place.bank.count(1, pages).await, 30 * 120_000 + 1_000_000);

    place.ids = other;
    let moved = place.try_carry_to(1).await;
    let Err(error @ MoveError::OnShard { .. }) = moved else {
        panic!("{moved:?}");
    };
    let second = place.bank.shard(&place.mdb, 1);
    let second = place.mdb.topology().shard_place(second);
    let text = chain(&error);
    for word in [
        &*second,
        "table `page`",
        "1100",
        "`max_allowed_packet`",
        "1048576",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!error.is_transient());
    let set = "SET GLOBAL max_allowed_packet = 16 << 20";
    MySql::run_at(&place.bank.url(1), &[set.to_owned()])
        .await
        .unwrap();
    let moves = place.moves().await;
    let left = moves
        .iter()
        .find(|record| !record.phase().is_over())
        .unwrap();
    place.resume(left.id()).await;
    place.is_whole(1).await;
}
