//! Verification finds each row that is not where it belongs, and nothing else while briefcases move.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::relocate::{
    Fault, LeftoverState, Misplaced, MoveError, MoveOptions, MovePhase, MoveProgress, MoveRequest,
    Selection, VerifyEvent, VerifyScope,
};
use mdb_core::{Area, Gdid, Mdb, TransactionOptions};
use mdb_tests::bank::{Bank, Teller, literal};
use mdb_tests::kit::Kind;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    a_good_store_has_no_findings,
    strays_and_split_briefcases_are_named,
    rows_without_a_parent_are_counted,
    fences_of_unknown_moves_are_named_and_removed,
    half_a_copy_is_collected,
    briefcases_on_their_way_are_no_findings
);

/// The area's rows, verified; in no order.
async fn findings(mdb: &Mdb, scope: &VerifyScope) -> Vec<Misplaced> {
    let found = Mutex::new(Vec::new());
    let tell = |event| {
        if let VerifyEvent::Found(misplaced) = event {
            found.lock().unwrap().push(misplaced);
        }
    };
    let verified = mdb.relocator().verify("user", scope, &tell).await;
    verified.unwrap_or_else(|error| panic!("{}", chain(&error)));
    found.into_inner().unwrap()
}

async fn all(mdb: &Mdb) -> Vec<Misplaced> {
    findings(mdb, &VerifyScope::Area).await
}

/// Runs statements on the shard of that number, past MDB.
async fn run<DB: TestEngine>(bank: &Bank<DB>, number: usize, statements: &[String]) {
    let url = bank.url(number);
    let ran = DB::run_at(&url, statements).await;
    ran.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

fn customer<DB: TestEngine>(id: Gdid) -> String {
    format!("INSERT INTO customer VALUES ({}, 'bo')", literal::<DB>(id))
}

fn fence<DB: TestEngine>(id: Gdid, by: &str, state: u8) -> String {
    format!(
        "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) \
         VALUES ({}, '{by}', {state}, 0, NULL, 0, 0)",
        literal::<DB>(id)
    )
}

/// The bank with a few briefcases on the first shard, each with a transfer.
async fn busy_bank<DB: TestEngine>(count: usize) -> (Bank<DB>, Mdb, Vec<Gdid>) {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, count).await;
    let teller = Teller::<DB>::new(&mdb);
    for id in &ids {
        teller.transfer(*id, bank.transfer()).await.unwrap();
    }
    (bank, mdb, ids)
}

async fn carry<DB: TestEngine>(
    bank: &Bank<DB>,
    mdb: &Mdb,
    ids: &[Gdid],
    to: usize,
    options: MoveOptions,
) -> Result<(), MoveError> {
    let relocator = mdb.relocator();
    let selection = Selection::Briefcases(ids.to_vec());
    let request = MoveRequest::new("user", selection, bank.shard(mdb, to));
    let plan = relocator.plan(&request).await?;
    let progress = MoveProgress::new();
    relocator.run(&plan, &options, &progress).await.map(drop)
}

async fn a_good_store_has_no_findings<DB: TestEngine>() {
    let (bank, mdb, ids) = busy_bank::<DB>(3).await;
    assert_eq!(all(&mdb).await, []);
    let moved = carry(&bank, &mdb, &ids[..2], 1, MoveOptions::new()).await;
    moved.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(all(&mdb).await, [], "two were moved");
    assert_eq!(findings(&mdb, &VerifyScope::Briefcases(ids)).await, []);
    let shards = [bank.shard(&mdb, 0), bank.shard(&mdb, 1)];
    assert_eq!(mdb.relocator().leftovers(&shards).await.unwrap(), []);
}

async fn strays_and_split_briefcases_are_named<DB: TestEngine>() {
    let (bank, mdb, ids) = busy_bank::<DB>(2).await;
    let (home, other) = (bank.shard(&mdb, 0), bank.shard(&mdb, 1));
    let area: Area<DB> = mdb.area("user").unwrap();
    let unused = (1000..).map(|counter| Gdid::new(0, 0, counter).unwrap());
    let mut unused = unused.filter(|id| area.route(*id).unwrap().shard_id() == home);
    let stray = unused.next().unwrap();
    run(&bank, 1, &[customer::<DB>(stray), customer::<DB>(ids[1])]).await;
    let mut found = all(&mdb).await;
    found.sort_by_key(Misplaced::id);
    let named: Vec<_> = found
        .iter()
        .map(|found| {
            (
                found.id(),
                found.table(),
                found.shard(),
                found.rows(),
                found.fault(),
            )
        })
        .collect();
    let (split, alone) = (Fault::Split { home }, Fault::Stray { home });
    assert_eq!(
        named,
        [
            (Some(ids[1]), "customer", other, 1, &split),
            (Some(stray), "customer", other, 1, &alone),
        ]
    );
    let some = VerifyScope::Briefcases(vec![ids[0], stray]);
    assert_eq!(findings(&mdb, &some).await, found[1..]);
    // Nobody but a person can say which rows are right.
    mdb.relocator().clean().await.unwrap();
    assert_eq!(all(&mdb).await.len(), 2);
    assert_eq!(bank.count(1, "SELECT count(*) FROM customer").await, 2);
}

async fn rows_without_a_parent_are_counted<DB: TestEngine>() {
    let (bank, mdb, _) = busy_bank::<DB>(1).await;
    let (id, rest) = match DB::SERVER {
        None => ("BLOB", ""),
        Some(Kind::Postgres) => ("BYTEA", ""),
        Some(Kind::MariaDb) => ("BINARY(12)", " ENGINE = InnoDB"),
    };
    let parent = literal::<DB>(Gdid::new(9, 0, 9).unwrap());
    run(&bank, 1, &[
        "DROP TABLE entry".to_owned(),
        format!(
            "CREATE TABLE entry (g_transfer {id} NOT NULL, side BIGINT NOT NULL, n BIGINT NOT NULL, \
             cents BIGINT NOT NULL, PRIMARY KEY (g_transfer, side)){rest}"
        ),
        format!("INSERT INTO entry VALUES ({parent}, 0, 1, 5), ({parent}, 1, 2, 5)"),
    ])
    .await;
    let found = all(&mdb).await;
    let [found] = found.as_slice() else {
        panic!("not one finding: {found:#?}");
    };
    let orphans = Fault::Orphans {
        parent: "transfer".to_owned(),
    };
    assert_eq!(found.fault(), &orphans);
    assert_eq!(
        (found.table(), found.rows(), found.id()),
        ("entry", 2, None)
    );
    assert_eq!(found.shard(), bank.shard(&mdb, 1));

    // More than are counted by one statement: few of many parents, and many of one.
    let row = |counter, side: u64| {
        let parent = literal::<DB>(Gdid::new(9, 0, counter).unwrap());
        format!("({parent}, {side}, 1, 5)")
    };
    let of_many = (10..2_510).flat_map(|counter| [row(counter, 0), row(counter, 1)]);
    let of_one = (2..2_502).map(|side| row(9, side));
    let rows: Vec<String> = of_many.chain(of_one).collect();
    let inserts = rows
        .chunks(500)
        .map(|rows| format!("INSERT INTO entry VALUES {}", rows.join(", ")));
    run(&bank, 1, &inserts.collect::<Vec<_>>()).await;
    let found = all(&mdb).await;
    let found: Vec<(&str, u64)> = found
        .iter()
        .map(|found| (found.table(), found.rows()))
        .collect();
    assert_eq!(found, [("entry", 7_502)]);
}

async fn fences_of_unknown_moves_are_named_and_removed<DB: TestEngine>() {
    let (bank, mdb, ids) = busy_bank::<DB>(3).await;
    let other = bank.shard(&mdb, 1);
    let harmless = fence::<DB>(ids[0], "lost", 2);
    run(&bank, 0, &[harmless]).await;
    // Somebody may have received rows by it, and nobody knows.
    run(
        &bank,
        1,
        &[fence::<DB>(ids[1], "lost", 4), customer::<DB>(ids[1])],
    )
    .await;
    let unknown = Fault::UnknownMove {
        by: "lost".to_owned(),
    };
    let found = all(&mdb).await;
    let named = found.iter().filter(|found| found.fault() == &unknown);
    let named: Vec<_> = named.map(|found| (found.table(), found.rows())).collect();
    assert_eq!(named, [("mdb_fence", 1), ("mdb_fence", 1)]);
    let leftover = found
        .iter()
        .find(|found| found.table() == "customer")
        .unwrap();
    assert_eq!(
        (leftover.id(), leftover.fault().as_str()),
        (Some(ids[1]), "leftover")
    );

    let cleaned = mdb.relocator().clean().await.unwrap();
    let states: Vec<_> = cleaned
        .iter()
        .map(|left| (left.shard(), left.state()))
        .collect();
    assert_eq!(
        states,
        [
            (bank.shard(&mdb, 0), LeftoverState::Removed),
            (other, LeftoverState::Doubtful),
        ]
    );
    assert_eq!(bank.count(0, "SELECT count(*) FROM mdb_fence").await, 0);
    assert_eq!(bank.count(1, "SELECT count(*) FROM customer").await, 1);
}

async fn half_a_copy_is_collected<DB: TestEngine>() {
    let (bank, mdb, ids) = busy_bank::<DB>(2).await;
    let id = ids[1];
    // A process that is at work does not hear of a move.
    let service = bank.open();
    assert!(service.join().await);
    let working = Teller::<DB>::new(&service).briefcase(ids[0]);
    let read = working
        .begin_with(&TransactionOptions::new().read_only())
        .await
        .unwrap();
    let hurried = MoveOptions::new().patience(Duration::from_millis(300));
    let stopped = carry(&bank, &mdb, &[id], 1, hurried).await;
    assert!(
        matches!(stopped, Err(MoveError::Unacknowledged { .. })),
        "{stopped:?}"
    );
    let relocator = mdb.relocator();
    let undone = relocator.list().await.unwrap().remove(0);
    let abort = relocator.abort(undone.id(), &hurried);
    Box::pin(abort).await.unwrap();
    assert_eq!(
        relocator.find(undone.id()).await.unwrap().phase(),
        MovePhase::Aborted
    );
    read.rollback().await.unwrap();

    let (key, transfer) = (literal::<DB>(id), literal::<DB>(bank.transfer()));
    run(
        &bank,
        1,
        &[
            fence::<DB>(id, undone.id(), 4),
            customer::<DB>(id),
            format!("INSERT INTO account VALUES ({key}, 0, 5), ({key}, 1, 5)"),
            format!("INSERT INTO transfer VALUES ({transfer}, {key}, 5)"),
            format!("INSERT INTO entry VALUES ({transfer}, 0, 0, 5)"),
        ],
    )
    .await;
    let leftover = Fault::Leftover {
        home: bank.shard(&mdb, 0),
        by: undone.id().to_owned(),
    };
    let mut found = all(&mdb).await;
    found.sort_by(|a, b| a.table().cmp(b.table()));
    let named: Vec<_> = found
        .iter()
        .map(|found| (found.table(), found.rows(), found.fault()))
        .collect();
    assert_eq!(
        named,
        [
            ("account", 2, &leftover),
            ("customer", 1, &leftover),
            ("transfer", 1, &leftover)
        ]
    );
    let shards = [bank.shard(&mdb, 0), bank.shard(&mdb, 1)];
    let listed = relocator.leftovers(&shards).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (listed[0].shard(), listed[0].state()),
        (shards[1], LeftoverState::Removable)
    );
    assert_eq!(all(&mdb).await.len(), 3, "listing removes nothing");

    let cleaned = relocator.clean().await;
    let cleaned = cleaned.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert!(cleaned.len() == 1 && cleaned[0].is_removed(), "{cleaned:?}");
    assert_eq!(all(&mdb).await, []);
    for table in ["customer", "account", "transfer", "entry", "mdb_fence"] {
        let rows = format!("SELECT count(*) FROM {table}");
        assert_eq!(bank.count(1, &rows).await, 0, "{table}");
    }
    assert_eq!(bank.count(0, "SELECT count(*) FROM customer").await, 2);
    assert_eq!(bank.count(0, "SELECT count(*) FROM entry").await, 4);
}

async fn briefcases_on_their_way_are_no_findings<DB: TestEngine>() {
    const TRIPS: usize = 10;
    let (bank, mdb, ids) = busy_bank::<DB>(8).await;
    let (bank, over) = (Arc::new(bank), Arc::new(AtomicBool::new(false)));
    let (service, users) = (bank.open(), ids.clone());
    let (of_teller, until) = (Arc::clone(&bank), Arc::clone(&over));
    let teller = tokio::spawn(async move {
        let teller = Teller::<DB>::new(&service);
        while !until.load(Ordering::SeqCst) {
            let user = users[fastrand::usize(..users.len())];
            let done = teller.transfer(user, of_teller.transfer()).await;
            done.unwrap_or_else(|error| panic!("{}", chain(&error)));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let moving = async {
        let mover = bank.open();
        for trip in 1..=TRIPS {
            let moved = carry(&bank, &mover, &ids, trip % 2, MoveOptions::new().batch(3)).await;
            moved.unwrap_or_else(|error| panic!("{}", chain(&error)));
        }
        over.store(true, Ordering::SeqCst);
    };
    let verifying = async {
        let mut verified = 0;
        while !over.load(Ordering::SeqCst) {
            let found = all(&mdb).await;
            assert_eq!(found, [], "after {verified} good looks");
            verified += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        verified
    };
    let ((), verified) = tokio::join!(moving, verifying);
    assert!(verified > 0);
    teller.await.unwrap();
    assert_eq!(all(&mdb).await, []);
}
