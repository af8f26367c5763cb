//! Work over all shards after briefcases were moved, or while a move stands still: none is left out.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::num::{NonZeroU32, NonZeroUsize};

use futures_util::StreamExt as _;
use mdb_core::config::Config;
use mdb_core::error::chain;
use mdb_core::failpoint::{Failure, Outcome, fail_at};
use mdb_core::relocate::{MoveOptions, MoveProgress, MoveRequest, Selection, TakeOver};
use mdb_core::routing::RouteError;
use mdb_core::{Area, Gdid, Mdb, ScatterOptions, ShardHandle};
use mdb_tests::bank::{Bank, literal, word};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::{SOON, TestEngine};

on_all_engines!(
    partitions_from_an_id_on_have_all_that_were_moved_there,
    rows_without_a_briefcase_count_whatever_moves,
    a_mover_that_died_keeps_nobody_from_counting,
    who_lacks_a_shard_does_not_count,
);

/// How often a count is tried again.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// A move has a few more steps than this, or a few less.
const STEPS: usize = 40;

fn request<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb, ids: &[Gdid], to: usize) -> MoveRequest {
    let selection = Selection::Briefcases(ids.to_vec());
    MoveRequest::new("user", selection, bank.shard(mdb, to))
}

async fn move_to<DB: TestEngine>(bank: &Bank<DB>, mdb: &Mdb, ids: &[Gdid], to: usize) {
    let relocator = mdb.relocator();
    let plan = relocator.plan(&request(bank, mdb, ids, to)).await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let run = relocator.run(&plan, &options, &progress).await;
    run.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

/// The customers of a shard that count.
async fn customers<DB: TestEngine>(shard: ShardHandle<DB>) -> Result<i64, sqlx::Error> {
    let query = format!(
        "SELECT count(*) FROM customer WHERE {}",
        shard.present("g_user")
    );
    DB::number(&shard, &query).await
}

/// How many customers the shards have that are asked from `id` on, one shard after the other.
async fn counted_from<DB: TestEngine>(area: &Area<DB>, id: Option<Gdid>) -> Vec<i64> {
    let options = ScatterOptions::new().concurrency(NonZeroUsize::MIN);
    let scatter = area.each_partition_from(id, options, customers).unwrap();
    scatter.map(|(_, count)| count.unwrap()).collect().await
}

/// Waits until no more shards are asked from `id` on than those with these counts: a process that has lost touch with
/// the catalog asks all.
async fn are_asked<DB: TestEngine>(area: &Area<DB>, id: Gdid, counts: &[i64]) {
    let are_asked = async || counted_from(area, Some(id)).await == counts;
    wait_for(&format!("{counts:?} from {id} on"), SOON, are_asked).await;
}

async fn partitions_from_an_id_on_have_all_that_were_moved_there<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let older = bank.customers(&mdb, 0, 3).await;
    let area: Area<DB> = mdb.area("user").unwrap();
    let newer = Gdid::new(9, 0, 5).unwrap();
    let insert = format!(
        "INSERT INTO customer VALUES ({}, 'eve')",
        literal::<DB>(newer)
    );
    DB::run(&area.briefcase(newer).unwrap(), &insert)
        .await
        .unwrap();

    let service = bank.open();
    assert!(service.join().await);
    let area: Area<DB> = service.area("user").unwrap();
    assert_eq!(counted_from(&area, Some(older[0])).await, [3, 0, 1]);
    are_asked(&area, newer, &[1]).await;

    move_to(&bank, &mdb, &older[..1], 2).await;
    move_to(&bank, &mdb, &[newer], 0).await;
    for mdb in [service, bank.open()] {
        assert!(mdb.join().await);
        let area: Area<DB> = mdb.area("user").unwrap();
        assert_eq!(counted_from(&area, None).await, [3, 0, 1]);
        assert_eq!(counted_from(&area, Some(older[0])).await, [3, 0, 1]);
        are_asked(&area, newer, &[3, 1]).await;
        are_asked(&area, Gdid::new(9, 0, 6).unwrap(), &[1]).await;
    }
}

async fn rows_without_a_briefcase_count_whatever_moves<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let area: Area<DB> = mdb.area("user").unwrap();
    let gone = Gdid::new(0, 0, 77).unwrap();
    let stays = Gdid::new(0, 0, 78).unwrap();
    let [gone, stays] = [gone, stays].map(literal::<DB>);
    let (first, second) = (
        mdb.topology().shard_name(area.shards()[0].id()),
        mdb.topology().shard_name(area.shards()[1].id()),
    );
    let fence = |state: i64| {
        let target = if state == 3 { &second } else { &first };
        format!(
            "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) \
             VALUES ({gone}, 'a move', {state}, 0, '{target}', 1, 1)"
        )
    };
    // A column may be called as MDB's own is.
    for key in ["g_user", "gdid"] {
        let id = word::<DB>(["BLOB", "BYTEA", "BINARY(12)"]);
        let table = format!("note_about_{key}");
        let setup = [
            format!("CREATE TABLE {table} ({key} {id}, n BIGINT NOT NULL PRIMARY KEY)"),
            format!("INSERT INTO {table} VALUES ({gone}, 1), ({stays}, 2), (NULL, 3)"),
        ];
        let counts = async |fence: Option<String>| {
            let count = format!("SELECT count(*) FROM {table} WHERE n > 0 AND ");
            let of_alias = format!("SELECT count(*) FROM {table} a WHERE NOT ");
            let scatter = area.each_shard(ScatterOptions::new(), move |shard| {
                let (fence, count, of_alias) = (fence.clone(), count.clone(), of_alias.clone());
                async move {
                    DB::run(&shard, "DELETE FROM mdb_fence").await?;
                    if let Some(fence) = fence {
                        DB::run(&shard, &fence).await?;
                    }
                    let count = format!("{count}{}", shard.present(key));
                    let absent = format!("{of_alias}{}", shard.present_of("a", key));
                    let counts = (
                        DB::number(&shard, &count).await?,
                        DB::number(&shard, &absent).await?,
                    );
                    Ok::<_, sqlx::Error>(counts)
                }
            });
            let counts = scatter.all().await.unwrap();
            counts
                .into_iter()
                .map(|(_, counts)| counts)
                .collect::<Vec<_>>()
        };
        let setup = area.each_shard(ScatterOptions::new(), move |shard| {
            let setup = setup.clone();
            async move {
                for statement in setup {
                    DB::run(&shard, &statement).await?;
                }
                Ok::<_, sqlx::Error>(())
            }
        });
        setup.all().await.unwrap();
        assert_eq!(counts(None).await, [(3, 0); 2], "{key}");
        for state in [3, 4] {
            assert_eq!(counts(Some(fence(state))).await, [(2, 1); 2], "{key}");
        }
    }
}

async fn a_mover_that_died_keeps_nobody_from_counting<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 3).await;
    let service = bank.open();
    let area: Area<DB> = service.area("user").unwrap();
    let options = MoveOptions::new().take_over(TakeOver::FromAnybody);
    let relocator = mdb.relocator();
    let (mut from, mut between) = (0, 0);
    for at in 1..=STEPS {
        let request = request(&bank, &mdb, &ids, 1 - from);
        let plan = relocator.plan(&request).await.unwrap();
        let progress = MoveProgress::new();
        let run = relocator.run(&plan, &options, &progress);
        if let Outcome::NotReached(end) = fail_at(Failure::Death, at, run).await {
            end.unwrap_or_else(|error| panic!("{}", chain(&error)));
            break;
        }
        let leaving = "SELECT count(*) FROM mdb_fence WHERE state = 3 AND landed = 0";
        let arriving = "SELECT count(*) FROM mdb_fence WHERE state = 4";
        if bank.count(from, leaving).await > 0 && bank.count(1 - from, arriving).await > 0 {
            between += 1;
        }
        let counted = area
            .each_shard_settled(ScatterOptions::new(), ATTEMPTS, customers)
            .await;
        let counted = counted.unwrap_or_else(|error| panic!("at {at}: {}", chain(&error)));
        let total: i64 = counted.iter().map(|(_, count)| count).sum();
        assert_eq!(total, 3, "at {at}: {counted:?}");
        for record in relocator.list().await.unwrap() {
            if !record.phase().is_over() {
                let progress = MoveProgress::new();
                let resumed = Box::pin(relocator.resume(record.id(), &options, &progress)).await;
                resumed.unwrap_or_else(|error| panic!("at {at}: {}", chain(&error)));
            }
        }
        if bank.count(from, "SELECT count(*) FROM customer").await == 0 {
            from = 1 - from;
        }
    }
    assert!(
        between > 0,
        "no mover died between the flip and the landing"
    );
}

/// A process whose configuration has no third shard.
fn without_third<DB: TestEngine>(bank: &Bank<DB>) -> Mdb {
    let mut text = bank.text().to_owned();
    let third = text.rfind("[[area.partition]]").unwrap();
    let end = text.find("[[area.briefcase]]").unwrap();
    text.replace_range(third..end, "");
    let config = Config::parse("mdb.toml", &text, bank.directory(), &|_| None).unwrap();
    let mdb = Mdb::from_config(config).unwrap();
    assert_eq!(mdb.area::<DB>("user").unwrap().shards().len(), 2);
    mdb
}

async fn who_lacks_a_shard_does_not_count<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 3).await;
    let count = async |mdb: &Mdb| {
        let area: Area<DB> = mdb.area("user").unwrap();
        area.each_shard_settled(ScatterOptions::new(), ATTEMPTS, customers)
            .await
            .map(|counted| counted.iter().map(|(_, count)| count).sum::<i64>())
    };
    let third = mdb.topology().shard_name(bank.shard(&mdb, 2));
    let old = without_third(&bank);
    assert!(old.join().await);
    assert_eq!(count(&old).await.unwrap(), 3);
    move_to(&bank, &mdb, &ids[..1], 2).await;
    for old in [old, without_third(&bank)] {
        assert!(old.join().await);
        let text = chain(&count(&old).await.unwrap_err());
        assert!(text.contains(&format!("`{third}`")), "{text}");
        assert!(text.contains("which this configuration lacks"), "{text}");
    }
    assert_eq!(count(&mdb).await.unwrap(), 3);
    let old = without_third(&bank);
    assert!(old.join().await);
    let area: Area<DB> = old.area("user").unwrap();
    for from in [None, Some(ids[0])] {
        let refused = area.each_partition_from(from, ScatterOptions::new(), customers);
        assert!(
            matches!(refused, Err(RouteError::UnknownHome { .. })),
            "{from:?}"
        );
    }

    // It has left a sign, and the catalog does not tell yet.
    let old = without_third(&bank);
    let fence = format!(
        "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) \
         VALUES ({}, 'a move', 3, 0, '{third}', 1, 1)",
        literal::<DB>(Gdid::new(0, 0, 77).unwrap())
    );
    DB::run_at(&bank.url(1), &["DELETE FROM mdb_fence".to_owned(), fence])
        .await
        .unwrap();
    let text = chain(&count(&old).await.unwrap_err());
    assert!(text.contains("which this configuration lacks"), "{text}");
}
