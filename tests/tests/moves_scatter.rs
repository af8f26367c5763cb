//! All rows are counted over all shards while briefcases move: the counts are exact.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::relocate::{MoveOptions, MoveProgress, MoveRequest, Selection};
use mdb_core::topology::ShardId;
use mdb_core::{Area, Gdid, Mdb, ScatterOptions, ShardHandle};
use mdb_tests::bank::{ACCOUNTS, Bank, Teller};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    counts_are_exact_while_briefcases_move,
    counts_without_the_predicate_are_off,
    a_briefcase_on_its_way_is_not_settled
);

/// So many times, at least, the briefcases are moved to the other shard.
const TRIPS: usize = 12;

/// How long the server is left alone between two counts.
const BREATH: Duration = Duration::from_millis(5);

/// How often a count is tried again.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// Briefcases with one transfer each.
async fn briefcases<DB: TestEngine>(bank: &Bank<DB>, count: usize) -> Vec<Gdid> {
    let mdb = bank.open();
    let teller = Teller::<DB>::new(&mdb);
    let ids = bank.customers(&mdb, 0, count).await;
    for id in &ids {
        teller.transfer(*id, bank.transfer()).await.unwrap();
    }
    ids
}

/// Moves them back and forth, [`TRIPS`] times or until `enough`, and tells when it is over.
async fn moves<DB: TestEngine>(
    bank: &Bank<DB>,
    ids: &[Gdid],
    enough: impl Fn() -> bool,
    over: &AtomicBool,
) {
    let mdb = bank.open();
    for trip in 1.. {
        if trip > TRIPS && enough() {
            break;
        }
        assert!(trip < TRIPS * 20, "the moves did not matter");
        carry(&mdb, ids, bank.shard(&mdb, trip % 2)).await;
    }
    over.store(true, Ordering::SeqCst);
}

/// Moves them. A server that has too much to do may be given up on; the move is taken up again then.
async fn carry(mdb: &Mdb, ids: &[Gdid], to: ShardId) {
    let relocator = mdb.relocator();
    let request = MoveRequest::new("user", Selection::Briefcases(ids.to_vec()), to);
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new().batch(4), MoveProgress::new());
    let mut failed = relocator.run(&plan, &options, &progress).await.err();
    for _ in 0..10 {
        match failed.take() {
            None => break,
            Some(error) => assert!(error.is_transient(), "{}", chain(&error)),
        }
        let again = async {
            for record in relocator.list().await? {
                if !record.phase().is_over() {
                    let progress = MoveProgress::new();
                    Box::pin(relocator.resume(record.id(), &options, &progress)).await?;
                }
            }
            // Batches that had not begun.
            let plan = relocator.plan(&request).await?;
            relocator.run(&plan, &options, &MoveProgress::new()).await
        };
        failed = again.await.err();
    }
    assert!(failed.is_none(), "{failed:?}");
}

/// The rows of a shard that count, in each of the bank's tables.
async fn present<DB: TestEngine>(shard: ShardHandle<DB>) -> Result<[i64; 4], sqlx::Error> {
    let mut counts = [0; 4];
    for (count, table) in counts.iter_mut().zip(["customer", "account", "transfer"]) {
        let query = format!(
            "SELECT count(*) FROM {table} WHERE {}",
            shard.present("g_user")
        );
        *count = DB::number(&shard, &query).await?;
    }
    let entries = format!(
        "SELECT count(*) FROM entry e JOIN transfer t ON t.g_transfer = e.g_transfer WHERE {}",
        shard.present_of("t", "g_user")
    );
    counts[3] = DB::number(&shard, &entries).await?;
    Ok(counts)
}

/// What the counts have to come to.
fn expected(ids: &[Gdid]) -> [i64; 4] {
    let briefcases = i64::try_from(ids.len()).unwrap();
    [
        briefcases,
        briefcases * ACCOUNTS.cast_signed(),
        briefcases,
        briefcases * 2,
    ]
}

fn total(counts: impl Iterator<Item = [i64; 4]>) -> [i64; 4] {
    counts.fold([0; 4], |sum, counts| {
        std::array::from_fn(|table| sum[table] + counts[table])
    })
}

async fn counts_are_exact_while_briefcases_move<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let ids = briefcases(&bank, 12).await;
    let mdb = bank.open();
    let area: Area<DB> = mdb.area("user").unwrap();
    let over = AtomicBool::new(false);
    let counting = async {
        let mut counted = 0;
        while !over.load(Ordering::SeqCst) {
            let counts = area
                .each_shard_settled(ScatterOptions::new(), ATTEMPTS, present)
                .await
                .unwrap_or_else(|error| panic!("{}", chain(&error)));
            let total = total(counts.into_iter().map(|(_, counts)| counts));
            assert_eq!(total, expected(&ids), "after {counted} good counts");
            counted += 1;
            tokio::time::sleep(BREATH).await;
        }
        counted
    };
    let ((), counted) = tokio::join!(moves(&bank, &ids, || true, &over), counting);
    assert!(counted > 0);
}

async fn counts_without_the_predicate_are_off<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let ids = briefcases(&bank, 12).await;
    let mdb = bank.open();
    let area: Area<DB> = mdb.area("user").unwrap();
    let (over, off) = (AtomicBool::new(false), AtomicBool::new(false));
    let counting = async {
        while !over.load(Ordering::SeqCst) {
            let counts = area
                .each_shard(ScatterOptions::new(), |shard| async move {
                    DB::number(&shard, "SELECT count(*) FROM account").await
                })
                .all()
                .await
                .unwrap();
            let total: i64 = counts.iter().map(|(_, count)| count).sum();
            if total != expected(&ids)[1] {
                off.store(true, Ordering::SeqCst);
            }
            tokio::time::sleep(BREATH).await;
        }
    };
    let enough = || off.load(Ordering::SeqCst);
    tokio::join!(moves(&bank, &ids, enough, &over), counting);
    assert!(enough());
}

async fn a_briefcase_on_its_way_is_not_settled<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let area: Area<DB> = mdb.area("user").unwrap();
    // What the two shards say of the briefcase, and whether a count may be off by it.
    let cases: [([Option<&'static str>; 2], bool); 4] = [
        ([None, None], false),
        ([None, Some(RECEIVING)], false),
        ([Some(GONE), Some(RECEIVING)], true),
        ([Some(GONE), None], false),
    ];
    let first = area.shards()[0].id();
    let second = mdb.topology().shard_name(area.shards()[1].id());
    for (fences, moved) in cases {
        let target = second.clone();
        area.each_shard(ScatterOptions::new(), move |shard| {
            let target = target.clone();
            async move {
                DB::run(&shard, "DELETE FROM mdb_fence").await?;
                if let Some(insert) = fences[usize::from(shard.info().id() != first)] {
                    let insert = insert.replace("{id}", &id::<DB>());
                    DB::run(&shard, &insert.replace("{target}", &target)).await?;
                }
                Ok::<_, sqlx::Error>(())
            }
        })
        .all()
        .await
        .unwrap();
        let watched = area.each_shard_watched(ScatterOptions::new(), present);
        assert_eq!(
            watched.await.unwrap().moved_meanwhile(),
            moved,
            "{fences:?}"
        );
        // What stood still between two shards was brought to its end.
        let again = area.each_shard_watched(ScatterOptions::new(), present);
        assert!(!again.await.unwrap().moved_meanwhile(), "{fences:?}");
    }
}

fn id<DB: TestEngine>() -> String {
    mdb_tests::bank::literal::<DB>(Gdid::new(0, 0, 77).unwrap())
}

const GONE: &str = "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) \
     VALUES ({id}, 'a move', 3, 0, '{target}', 1, 0)";
const RECEIVING: &str = "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) \
     VALUES ({id}, 'a move', 4, 0, NULL, 0, 0)";
