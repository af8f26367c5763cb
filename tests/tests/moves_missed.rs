//! Processes that have missed a move: they were cut off from the catalog, or slow, while it passed.
//!
//! What the moves would have written is written by hand here, so that they pass at the very moment that is wanted.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use mdb_core::config::{Config, EngineKind};
use mdb_core::{
    AcquireError, Gdid, Isolation, Mdb, TransactError, TransactionError, TransactionOptions,
    cause_of, is_transient,
};
use mdb_tests::bank::{Bank, SUM, Teller, literal, sum_of};
use mdb_tests::kit::wait_for;
use mdb_tests::store::TestEngine;
use mdb_tests::{on_all_engines, on_engines_with_servers};
use sqlx::{Connection as _, Database, Postgres};

on_all_engines!(
    what_began_before_a_missed_move_holds_up_its_acknowledgement,
    what_began_while_a_move_was_known_holds_nothing_up,
    a_move_that_a_copy_tells_of_has_been_missed_too,
);
on_engines_with_servers!(
    a_snapshot_from_before_a_missed_move_is_not_committed,
    a_commit_that_was_not_sent_leaves_nothing_open,
    a_statement_that_was_executed_is_not_one_to_run_again,
);

/// Until a wait is taken for one that never ends.
const LIMIT: Duration = Duration::from_mins(1);

/// Opens the store with one connection to the first server, which is waited for that long.
fn narrow<DB: TestEngine>(bank: &Bank<DB>, acquire: Duration) -> Mdb {
    let east = "name = \"east\"\n";
    let acquire = acquire.as_millis();
    let narrow = format!("{east}max_connections = 1\nacquire_timeout_ms = {acquire}\n");
    let text = bank.text().replace(east, &narrow);
    let config = Config::parse("mdb.toml", &text, bank.directory(), &|_| None).unwrap();
    Mdb::from_config(config).unwrap()
}

/// What a move leaves in the catalog: in motion from `source`, or at home at `home`. Says in which epoch.
async fn publish<DB: TestEngine>(
    bank: &Bank<DB>,
    id: Gdid,
    home: Option<&str>,
    source: &str,
) -> i64 {
    let catalog = bank.catalog_url();
    let key = literal::<DB>(id);
    let epoch = DB::number_at(&catalog, "SELECT epoch FROM mdb_catalog");
    let epoch = epoch.await.unwrap() + 2;
    let (state, home) = match home {
        None => (1, "NULL".to_owned()),
        Some(home) => (0, format!("'{home}'")),
    };
    let statements = [
        format!("DELETE FROM mdb_relocation WHERE gdid = {key}"),
        format!(
            "INSERT INTO mdb_relocation (area, gdid, move, state, home, source, epoch) \
             VALUES ('user', {key}, 'by hand', {state}, {home}, '{source}', {epoch})"
        ),
        format!("UPDATE mdb_catalog SET epoch = {epoch}"),
    ];
    DB::run_at(&catalog, &statements).await.unwrap();
    epoch
}

/// Writes a fence by hand.
async fn fence<DB: TestEngine>(bank: &Bank<DB>, number: usize, id: Gdid, by: &str, rest: &str) {
    let key = literal::<DB>(id);
    let fence = format!(
        "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) VALUES ({key}, '{by}', {rest})"
    );
    DB::run_at(&bank.url(number), &[fence]).await.unwrap();
}

fn names<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb) -> [String; 2] {
    [0, 1].map(|number| mdb.topology().shard_name(bank.shard(mdb, number)))
}

async fn what_began_before_a_missed_move_holds_up_its_acknowledgement<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let id = bank.customers(&mdb, 0, 1).await[0];
    assert!(mdb.join().await);
    let teller = Teller::<DB>::new(&mdb);
    let transaction = teller.briefcase(id).begin().await.unwrap();
    assert_eq!(
        DB::number(&transaction, &sum_of::<DB>(id)).await.unwrap(),
        SUM
    );

    let [east, west] = names(&bank, &mdb);
    let epoch = publish(&bank, id, Some(&west), &east).await;
    let catalog = bank.catalog_url();
    let routers = async |condition: String| {
        let count = format!("SELECT count(*) FROM mdb_router WHERE {condition}");
        DB::number_at(&catalog, &count).await.unwrap()
    };
    wait_for("the process says what it waits for", LIMIT, async || {
        routers("waits_for <> ''".to_owned()).await == 1
    })
    .await;
    assert_eq!(routers(format!("acknowledged >= {epoch}")).await, 0);
    let place = mdb.topology().shard_place(bank.shard(&mdb, 0));
    wait_for("the process says for how long", LIMIT, async || {
        let said = mdb.relocator().waits_for().await.unwrap().concat();
        let (_, age) = said
            .split_once(&format!("operations on {place} that began more than "))
            .unwrap_or_else(|| panic!("{said}"));
        age.strip_suffix(" s ago").unwrap().parse::<u64>().unwrap() > 0
    })
    .await;
    transaction.rollback().await.unwrap();
    wait_for("the process acknowledges", LIMIT, async || {
        routers(format!("acknowledged >= {epoch}")).await == 1
    })
    .await;
}

async fn what_began_while_a_move_was_known_holds_nothing_up<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    assert!(mdb.join().await);
    let [east, west] = names(&bank, &mdb);
    let catalog = bank.catalog_url();
    let acknowledges = async |epoch: i64| {
        let count = format!("SELECT count(*) FROM mdb_router WHERE acknowledged >= {epoch}");
        wait_for("the process acknowledges", LIMIT, async || {
            DB::number_at(&catalog, &count).await.unwrap() == 1
        })
        .await;
    };
    acknowledges(publish(&bank, ids[0], None, &east).await).await;
    let teller = Teller::<DB>::new(&mdb);
    let neighbour = teller.briefcase(ids[1]).begin().await.unwrap();
    acknowledges(publish(&bank, ids[0], Some(&west), &east).await).await;
    neighbour.rollback().await.unwrap();
}

async fn a_move_that_a_copy_tells_of_has_been_missed_too<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let id = bank.customers(&mdb, 0, 1).await[0];
    assert!(mdb.join().await);
    let teller = Teller::<DB>::new(&mdb);
    let options = TransactionOptions::new().read_only().timeout(LIMIT);
    let transaction = teller.briefcase(id).begin_with(&options).await.unwrap();
    assert_eq!(
        DB::number(&transaction, &sum_of::<DB>(id)).await.unwrap(),
        SUM
    );

    // A copy knows what comes to pass while the catalog can't be asked.
    let (catalog, [east, west]) = (bank.catalog_url(), names(&bank, &mdb));
    let row = |area: &str, id: Gdid, home: &str| {
        let key = literal::<DB>(id);
        format!(
            "INSERT INTO mdb_relocation (area, gdid, move, state, home, source, epoch) \
             VALUES ('{area}', {key}, 'by hand', 0, '{home}', '{east}', 2)"
        )
    };
    let moved = row("user", id, &west);
    let complete = row("", Gdid::new(0, 0, 0).unwrap(), "");
    let copy = [moved.clone(), complete];
    DB::run_at(&bank.url(1), &copy).await.unwrap();
    // Nor can the process register anew.
    let hide = ["mdb_catalog", "mdb_router"]
        .map(|name| format!("ALTER TABLE {name} RENAME TO hidden_{name}"));
    DB::run_at(&catalog, &hide).await.unwrap();
    let routers_in = async |table: &str, condition: &str| {
        let count = format!("SELECT count(*) FROM {table} WHERE {condition}");
        DB::number_at(&catalog, &count).await.unwrap()
    };
    wait_for("the lease runs out", LIMIT, async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let holds = format!("lease_until > {}", now.as_millis());
        routers_in("hidden_mdb_router", &holds).await == 0
    })
    .await;

    let publish = "UPDATE hidden_mdb_catalog SET epoch = 2".to_owned();
    let [catalogs, routers] = ["mdb_catalog", "mdb_router"]
        .map(|name| format!("ALTER TABLE hidden_{name} RENAME TO {name}"));
    let come_back = [moved, publish, catalogs, routers];
    DB::run_at(&catalog, &come_back).await.unwrap();
    let routers = async |condition: &str| routers_in("mdb_router", condition).await;
    wait_for("the process says how far it knows", LIMIT, async || {
        routers("waits_for <> '' OR acknowledged >= 2").await == 1
    })
    .await;
    assert_eq!(routers("acknowledged >= 2").await, 0);
    transaction.rollback().await.unwrap();
    wait_for("the process acknowledges", LIMIT, async || {
        routers("acknowledged >= 2").await == 1
    })
    .await;
}

async fn a_snapshot_from_before_a_missed_move_is_not_committed<DB: TestEngine>() {
    let bank = Bank::<DB>::alone().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    assert!(mdb.join().await);
    let teller = Teller::<DB>::new(&mdb);
    let [_, west] = names(&bank, &mdb);

    let options = TransactionOptions::new().isolation(Isolation::RepeatableRead);
    let options = options.timeout(LIMIT);
    let [gone, stays] = [ids[0], ids[1]];
    let mut transactions = Vec::new();
    for id in [gone, stays] {
        let transaction = teller.briefcase(id).begin_with(&options).await.unwrap();
        assert_eq!(
            DB::number(&transaction, &sum_of::<DB>(id)).await.unwrap(),
            SUM
        );
        transactions.push(transaction);
    }
    bank.server(2).kill().await;
    fence(&bank, 0, gone, "by hand", &format!("3, 0, '{west}', 1, 1")).await;
    wait_for("the lease runs out, and others follow", LIMIT, async || {
        !matches!(teller.sum(gone).await, Ok(SUM))
    })
    .await;
    for (transaction, is_good) in transactions.into_iter().zip([false, true]) {
        assert_eq!(transaction.commit().await.is_ok(), is_good);
    }
}

async fn a_commit_that_was_not_sent_leaves_nothing_open<DB: TestEngine>() {
    let bank = Bank::<DB>::alone().await;
    let wide = bank.open();
    let id = bank.customers(&wide, 0, 1).await[0];
    let gone = bank.customers(&wide, 1, 1).await[0];
    // The transaction has the only connection, so there is none to look apart on.
    let mdb = narrow(&bank, Duration::from_millis(100));
    assert!(mdb.join().await);
    let teller = Teller::<DB>::new(&mdb);
    let [east, _] = names(&bank, &mdb);

    let options = TransactionOptions::new().isolation(Isolation::RepeatableRead);
    let mut is_first = true;
    let end = teller
        .briefcase(id)
        .transact_with(&options.timeout(LIMIT), |tx| {
            let cuts = std::mem::take(&mut is_first);
            let (bank, teller, east) = (&bank, &teller, &east);
            async move {
                let sum = DB::number(&tx, &sum_of::<DB>(id)).await?;
                if cuts {
                    bank.server(2).kill().await;
                    fence(bank, 1, gone, "by hand", &format!("3, 0, '{east}', 1, 1")).await;
                    wait_for("the lease runs out, and others follow", LIMIT, async || {
                        !matches!(teller.sum(gone).await, Ok(SUM))
                    })
                    .await;
                }
                Ok(sum)
            }
        })
        .await;
    match end {
        // It was run again, and saw the fence in its own snapshot.
        Ok(sum) => assert_eq!((DB::KIND, sum), (EngineKind::MySql, SUM)),
        Err(TransactError::Database(error)) => {
            let is_busy = matches!(cause_of(&error), Some(AcquireError::Busy { .. }));
            assert!(is_busy && DB::KIND == EngineKind::Postgres, "{error:?}");
        }
        Err(error) => panic!("{error:?}"),
    }
}

async fn a_statement_that_was_executed_is_not_one_to_run_again<DB: TestEngine>() {
    let bank = Bank::<DB>::alone().await;
    let wide = bank.open();
    let at_east = bank.customers(&wide, 0, 2).await;
    let at_west = bank.customers(&wide, 1, 2).await;
    let mdb = narrow(&bank, Duration::from_secs(5));
    assert!(mdb.join().await);
    let teller = Teller::<DB>::new(&mdb);
    let [east, _] = names(&bank, &mdb);

    // Two writes that go straight on and are held up by locks, until the lease has run out.
    let (mut holders, mut writes) = (Vec::new(), Vec::new());
    for (number, id) in [(0, at_east[0]), (1, at_west[0])] {
        let key = literal::<DB>(id);
        let url = bank.url(number);
        let mut holder = <DB as Database>::Connection::connect(&url).await.unwrap();
        let lock = format!("SELECT name FROM customer WHERE g_user = {key} FOR UPDATE");
        for statement in ["BEGIN", &lock] {
            DB::execute_on(&mut holder, statement).await.unwrap();
        }
        holders.push(holder);
        let briefcase = teller.briefcase(id);
        let update = format!("UPDATE customer SET name = 'bob' WHERE g_user = {key}");
        writes.push(tokio::spawn(async move {
            DB::run(&briefcase, &update).await.unwrap_err()
        }));
        let shard = bank.shard(&mdb, number);
        wait_for("the write is under way", LIMIT, async || {
            mdb.servers().status(shard).server_in_use == 1
        })
        .await;
    }
    bank.server(2).kill().await;
    for gone in &at_west {
        fence(&bank, 1, *gone, "by hand", &format!("3, 0, '{east}', 1, 1")).await;
    }
    wait_for("the lease runs out, and others follow", LIMIT, async || {
        !matches!(teller.sum(at_west[1]).await, Ok(SUM))
    })
    .await;

    // Somebody gets the only connection to the one shard before its fence can be looked at; at the other the fence says
    // that the briefcase has gone.
    let other = teller.briefcase(at_east[1]);
    let mut queued = std::pin::pin!(other.begin());
    tokio::select! {
        biased;
        _ = &mut queued => panic!("the only connection is in use"),
        () = std::future::ready(()) => {}
    }
    for holder in &mut holders {
        DB::execute_on(holder, "ROLLBACK").await.unwrap();
    }
    let (transaction, errors) = tokio::join!(queued, join_all(writes));
    transaction.unwrap().rollback().await.unwrap();
    for (number, (error, id)) in errors.into_iter().zip([at_east[0], at_west[0]]).enumerate() {
        let error = error.unwrap();
        assert!(!is_transient::<DB>(&error), "{error:?}");
        let unconfirmed = TransactionError::Unconfirmed { id };
        assert_eq!(cause_of(&error), Some(&unconfirmed), "{error:?}");
        let done = "SELECT count(*) FROM customer WHERE name = 'bob'";
        assert_eq!(bank.count(number, done).await, 1);
    }
}

#[tokio::test]
async fn who_followed_a_move_does_not_stay_when_another_one_has_passed() {
    let bank = Bank::<Postgres>::start().await;
    let id = bank.customers(&bank.open(), 0, 1).await[0];
    let mdb = bank.open();
    let [east, west] = names(&bank, &mdb);
    // It has gone west by one move, and just leaves again by another one.
    publish(&bank, id, None, &east).await;
    fence(&bank, 0, id, "first", &format!("3, 0, '{west}', 1, 1")).await;
    let long = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint + 600000";
    fence(&bank, 1, id, "second", &format!("2, {long}, NULL, 0, 0")).await;

    let teller = Teller::<Postgres>::new(&mdb);
    let transfer = teller.transfer(id, bank.transfer());
    let come_back = async {
        let here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        wait_for("it has followed the first move", LIMIT, async || {
            Postgres::number_at(&bank.url(1), here).await.unwrap() > 0
        })
        .await;
        let epoch = publish(&bank, id, Some(&east), &west).await;
        let forget = "DELETE FROM mdb_fence".to_owned();
        let least = format!("UPDATE mdb_shard SET least_epoch = {epoch}");
        Postgres::run_at(&bank.url(0), std::slice::from_ref(&forget))
            .await
            .unwrap();
        Postgres::run_at(&bank.url(1), &[least, forget])
            .await
            .unwrap();
    };
    let (transferred, ()) = tokio::join!(transfer, come_back);
    transferred.unwrap();
    let transfers = "SELECT count(*) FROM transfer";
    assert_eq!(bank.count(1, transfers).await, 0);
    assert_eq!(bank.count(0, transfers).await, 1);
}
