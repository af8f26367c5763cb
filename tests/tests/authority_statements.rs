//! The statements of authorities on CENTRAL's shards: they count as the ledger does, and lose ids but repeat none when
//! they break off. Besides, what a store makes of its other places.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mdb_core::Mdb;
use mdb_core::error::chain;
use mdb_core::failpoint::{Failure, Outcome, fail_at};
use mdb_gdid::{
    AuthorityError, AuthorityId, AuthorityIds, Block, BlockLife, BlockSize, BlockSource,
    DiskAuthority, DiskOptions, Gdid, Ledger, Place, RangeKey, SequenceState, UnixMillis,
};
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::kit::{temp_dir, wait_for};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::Sqlite;

on_all_engines!(
    the_statement_counts_as_the_ledger_does,
    ids_of_a_statement_that_breaks_off_are_lost,
    a_floor_that_breaks_off_is_raised_again,
    a_floor_hides_no_damage,
    places_on_one_shard_speak_for_themselves,
);

const SCOPE: &str = "SHOP.MAIN.CENTRAL";

fn source(mdb: &Mdb) -> Arc<dyn BlockSource> {
    mdb.authority("central").unwrap()
}

async fn allocate(source: &Arc<dyn BlockSource>, size: u16) -> Result<Block, AuthorityError> {
    let (scope, sequence) = (SCOPE.parse().unwrap(), "user".parse().unwrap());
    let size = BlockSize::new(size).unwrap();
    source.allocate(&scope, &sequence, size).await
}

const COLUMNS: [&str; 7] = [
    "era",
    "counter",
    "blocks",
    "last_at",
    "window_at",
    "window_blocks",
    "earlier_blocks",
];

async fn read<DB: TestEngine>(url: &str) -> [u64; 7] {
    let mut columns = [0; 7];
    for (name, value) in COLUMNS.iter().zip(&mut columns) {
        let query = format!("SELECT {name} FROM mdb_sequence");
        *value = u64::try_from(DB::number_at(url, &query).await.unwrap()).unwrap();
    }
    columns
}

async fn write<DB: TestEngine>(url: &str, columns: [u64; 7]) {
    let assignments: Vec<String> = COLUMNS
        .iter()
        .zip(columns)
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let update = format!("UPDATE mdb_sequence SET {}", assignments.join(", "));
    DB::run_at(url, &[update]).await.unwrap();
}

fn ledger(
    [
        era,
        counter,
        blocks,
        last_at,
        window_at,
        window_blocks,
        earlier_blocks,
    ]: [u64; 7],
) -> Ledger {
    let state = SequenceState::new(u32::try_from(era).unwrap(), counter).unwrap();
    let [last_at, window_at] = [last_at, window_at].map(UnixMillis::new);
    let ledger = Ledger::new(
        state,
        blocks,
        last_at,
        window_at,
        window_blocks,
        earlier_blocks,
    );
    ledger.unwrap()
}

async fn the_statement_counts_as_the_ledger_does<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let url = store.url(0);
    allocate(&source(&store.open()), 1).await.unwrap();
    let [_, _, _, clock, ..] = read::<DB>(&url).await;
    let life = u64::try_from(BlockLife::USUAL.get().as_millis()).unwrap();
    let mut random = fastrand::Rng::with_seed(2_606);
    for case in 0..40 {
        let era = random.u64(0..3);
        let size = random.u16(1..=1024);
        let limit = Gdid::MAX_COUNTER - (u64::from(size) + 1);
        let counter = *random
            .choice(&[0, 17, limit - 1, limit, limit + 1, Gdid::MAX_COUNTER])
            .unwrap();
        // The clock stands still while the last block is in the future; so it can be at the very end
        // of a window, too.
        let last_at = *random
            .choice(&[clock - life, clock, clock + 9 * life])
            .unwrap();
        let ago = *random
            .choice(&[0, life - 1, life, life + 1, 3 * life])
            .unwrap();
        let blocks = random.u64(2..1000);
        let window_blocks = random.u64(0..=blocks);
        let earlier_blocks = random.u64(0..=window_blocks);
        let before = [
            era,
            counter,
            blocks,
            last_at,
            last_at - ago,
            window_blocks,
            earlier_blocks,
        ];
        write::<DB>(&url, before).await;
        // One that knows nothing yet, so that it may find whatever there is.
        let block = allocate(&source(&store.open()), size).await;
        let after = read::<DB>(&url).await;
        let now = UnixMillis::new(after[3]);
        let (zero, size) = (AuthorityId::new(0).unwrap(), BlockSize::new(size).unwrap());
        let (expected_block, expected) = ledger(before)
            .issue(zero, size, now, BlockLife::USUAL)
            .unwrap();
        assert_eq!(block.unwrap(), expected_block, "case {case}: {before:?}");
        assert_eq!(ledger(after), expected, "case {case}: {before:?}");
    }
}

/// Where a sequence is when a statement breaks off.
#[derive(Clone, Copy, Debug)]
enum Start {
    Unused,
    Going,
    AtEndOfEra,
}

async fn ids_of_a_statement_that_breaks_off_are_lost<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let url = store.url(0);
    for start in [Start::Unused, Start::Going, Start::AtEndOfEra] {
        for failure in Failure::ALL {
            for at in 1..=4 {
                let context = format!("{start:?}, {failure:?} at {at}");
                DB::run_at(&url, &["DELETE FROM mdb_sequence".to_owned()])
                    .await
                    .unwrap();
                let broken = source(&store.open());
                let mut last = RangeKey::new(0, 0).unwrap();
                if !matches!(start, Start::Unused) {
                    last = allocate(&broken, 5).await.unwrap().last().range_key();
                }
                if let Start::AtEndOfEra = start {
                    let counter = Gdid::MAX_COUNTER - 2;
                    let update = format!("UPDATE mdb_sequence SET counter = {counter}");
                    DB::run_at(&url, &[update]).await.unwrap();
                    last = RangeKey::new(0, counter).unwrap();
                }
                let outcome = fail_at(failure, at, allocate(&broken, 5)).await;
                let mut blocks = Vec::new();
                match outcome {
                    Outcome::NotReached(block) => blocks.push(block.unwrap()),
                    Outcome::Failed(result) => {
                        let error = result.expect_err(&context);
                        assert!(error.is_transient(), "{context}: {}", chain(&error));
                    }
                    Outcome::Died => {}
                }
                for after in [broken, source(&store.open())] {
                    blocks.push(allocate(&after, 5).await.unwrap());
                }
                for block in blocks {
                    let first = block.first().range_key();
                    assert!(first > last, "{context}: {first} after {last}");
                    last = block.last().range_key();
                }
                assert!(last.counter() >= 10 || last.era() == 1, "{context}: {last}");
            }
        }
    }
}

async fn a_floor_that_breaks_off_is_raised_again<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let (scope, sequence) = (SCOPE.parse().unwrap(), "user".parse().unwrap());
    let mut floor = 1000;
    for failure in Failure::ALL {
        let source = source(&store.open());
        floor += 1000;
        let key = RangeKey::new(0, floor).unwrap();
        let broken = fail_at(failure, 1, source.raise(&scope, &sequence, key)).await;
        assert!(
            !matches!(broken, Outcome::NotReached(_) | Outcome::Failed(Ok(_))),
            "{failure:?}: {broken:?}"
        );
        let raised = source.raise(&scope, &sequence, key).await.unwrap();
        assert_eq!(raised[0].state().next(), key);
        assert_eq!(
            allocate(&source, 10).await.unwrap().first().range_key(),
            key
        );
    }
}

async fn a_floor_hides_no_damage<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let sequence = store.open().sequence("user");
    sequence.next().await.unwrap();
    for (column, nonsense) in [("counter", -7), ("counter", 1 << 60), ("era", -1)] {
        let update = format!("UPDATE mdb_sequence SET {column} = {nonsense}");
        DB::run_at(&store.url(0), &[update]).await.unwrap();
        let error = sequence
            .raise_floor(RangeKey::new(1, 5_000).unwrap())
            .await
            .unwrap_err();
        assert!(
            chain(&error).contains("no valid count"),
            "{}",
            chain(&error)
        );
        let query = format!("SELECT {column} FROM mdb_sequence");
        let found = DB::number_at(&store.url(0), &query).await.unwrap();
        assert_eq!(found, nonsense, "somebody has to look at it");
        let mend = "UPDATE mdb_sequence SET era = 0, counter = 100".to_owned();
        DB::run_at(&store.url(0), &[mend]).await.unwrap();
    }
}

async fn places_on_one_shard_speak_for_themselves<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open_changed(|text| {
        format!(
            "{text}\n[[authority]]\nname = \"a\"\nkind = \"central\"\nids = [1]\n\
             [[authority]]\nname = \"b\"\nkind = \"central\"\nids = [2]\n"
        )
    });
    let sequence = mdb.sequence("user");
    let floor = RangeKey::new(0, 700).unwrap();
    for statuses in [
        sequence.raise_floor(floor).await.unwrap(),
        sequence.status().await.unwrap(),
    ] {
        let told: Vec<(u8, &[String])> = statuses
            .iter()
            .map(|status| (status.authority().get(), status.notes()))
            .collect();
        assert_eq!(told, [(1, &[][..]), (2, &[][..])]);
        assert!(statuses.iter().all(|status| status.state().next() == floor));
    }
}

/// A file that was put back while a process was issuing from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_of_yesterday_issues_nothing() {
    let store = CentralStore::start::<Sqlite>(CentralTimes::LONG).await;
    // Its connections are new ones, so that it sees the file that is there.
    let mdb = store.open_changed(|text| {
        text.replace(
            "max_connections = 8",
            "max_connections = 8\nidle_timeout_ms = 1",
        )
    });
    let source = source(&mdb);
    allocate(&source, 10).await.unwrap();
    let url = store.url(0);
    let file = Path::new(url.strip_prefix("sqlite:").unwrap());
    let yesterday = file.with_extension("yesterday");
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    assert_eq!(Sqlite::number_at(&url, checkpoint).await.unwrap(), 0);
    std::fs::copy(file, &yesterday).unwrap();
    let issued = allocate(&source, 10).await.unwrap().last();

    for part in ["db-wal", "db-shm"] {
        let _is_gone = std::fs::remove_file(file.with_extension(part));
    }
    std::fs::rename(&yesterday, file).unwrap();
    let mut refused = None;
    wait_for(
        "the file to be noticed",
        Duration::from_secs(20),
        async || {
            refused = allocate(&source, 10).await.err();
            refused.is_some()
        },
    )
    .await;
    let refused = refused.unwrap();
    assert!(
        matches!(refused, AuthorityError::WentBack { .. }),
        "{}",
        chain(&refused)
    );
    let status = mdb.sequence("user").status().await.unwrap();
    assert!(
        status[0].notes()[0].contains("gone back"),
        "{:?}",
        status[0].notes()
    );
    assert!(status[0].state().counter() < issued.counter());
}

/// A store that counts on disks, and elsewhere while these are not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_are_opened_when_they_are_first_asked() {
    let store = CentralStore::start::<Sqlite>(CentralTimes::LONG).await;
    let disks = temp_dir().unwrap();
    let paths: Vec<_> = ["a", "b", "c"].map(|disk| disks.path().join(disk)).into();
    let more = format!(
        "\n[[authority]]\nname = \"disks\"\nkind = \"disk\"\nids = [4]\npaths = {paths:?}\n\
         [[authority]]\nname = \"here\"\nkind = \"central\"\nids = [5]\n"
    );
    let mdb = store.open_changed(|text| text + &more);
    let authorities = async |mdb: &Mdb| {
        let ids = mdb.sequence("user").take(500).await.unwrap();
        assert!(ids.is_sorted());
        ids.last().unwrap().authority().get()
    };
    assert_eq!(
        authorities(&mdb).await,
        5,
        "nobody has initialised the disks"
    );

    let ids = AuthorityIds::new(vec![AuthorityId::new(4).unwrap()]).unwrap();
    let options = DiskOptions::new(ids, paths, BlockLife::USUAL, Place::new("disks"));
    DiskAuthority::initialise(&options).unwrap();
    let holder = store.open_changed(|text| text + &more);
    assert_eq!(authorities(&holder).await, 4);
    let other = store.open_changed(|text| text + &more);
    assert_eq!(authorities(&other).await, 5, "one process holds the disks");
    let error = allocate(&other.authority("disks").unwrap(), 1)
        .await
        .unwrap_err();
    assert!(error.is_transient(), "until it ends: {}", chain(&error));
    assert_eq!(holder.sequence("user").status().await.unwrap().len(), 2);
}
