//! Authorities that count on CENTRAL's shards: floors, eras, restored databases, many at once.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::{Mdb, SequenceError};
use mdb_gdid::{AuthorityError, BlockSize, BlockSource, Gdid, RangeKey, SequenceState};
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

on_all_engines!(
    a_floor_holds_for_all_authorities,
    the_era_turns_and_the_last_one_ends,
    a_database_restored_to_yesterday_issues_nothing,
    what_is_no_count_is_no_start,
    nobody_fails_because_others_are_faster,
    the_next_authority_takes_over,
    blocks_are_counted_for_as_long_as_they_live,
);

const SCOPE: &str = "SHOP.MAIN.CENTRAL";

fn key(counter: u64) -> RangeKey {
    RangeKey::new(0, counter).unwrap()
}

async fn set<DB: TestEngine>(store: &CentralStore, position: usize, assignments: &str) {
    let update = format!("UPDATE mdb_sequence SET {assignments}");
    DB::run_at(&store.url(position), &[update]).await.unwrap();
}

/// Two authorities on the first shard, and one on the second.
fn several(store: &CentralStore) -> Mdb {
    store.open_changed(|text| {
        format!(
            "{text}\n[[authority]]\nname = \"a\"\nkind = \"central\"\nids = [1, 2]\n\
             [[authority]]\nname = \"b\"\nkind = \"central\"\nids = [9]\nshard = 1\n"
        )
    })
}

fn authority(mdb: &Mdb, name: &str) -> Arc<dyn BlockSource> {
    mdb.authority(name).unwrap()
}

async fn allocate(source: &Arc<dyn BlockSource>, size: u16) -> Result<Gdid, AuthorityError> {
    let (scope, sequence) = (SCOPE.parse().unwrap(), "user".parse().unwrap());
    let block = source
        .allocate(&scope, &sequence, BlockSize::new(size).unwrap())
        .await?;
    Ok(block.first())
}

async fn a_floor_holds_for_all_authorities<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = several(&store);
    let sequence = mdb.sequence("user");
    sequence.next().await.unwrap();
    let raised = sequence.raise_floor(key(5_000)).await.unwrap();
    let next: Vec<(u8, u64)> = raised
        .iter()
        .map(|status| (status.authority().get(), status.state().next().counter()))
        .collect();
    assert_eq!(next, [(1, 5_000), (2, 5_000), (9, 5_000)]);
    assert_eq!(sequence.status().await.unwrap().len(), 3);
    for name in ["a", "b"] {
        let first = allocate(&authority(&mdb, name), 7).await.unwrap();
        assert!(first.range_key() >= key(5_000), "{first}");
    }
    // A lower floor changes nothing; another process sees the same.
    let lower = several(&store)
        .sequence("user")
        .raise_floor(key(10))
        .await
        .unwrap();
    assert!(
        lower
            .iter()
            .all(|status| status.state().next() >= key(5_000))
    );
    // An authority that the configuration has lost is raised too.
    let less = store.open_changed(|text| {
        format!("{text}\n[[authority]]\nname = \"a\"\nkind = \"central\"\nids = [1]\n")
    });
    let raised = less.sequence("user").raise_floor(key(9_000)).await.unwrap();
    let lost = raised
        .iter()
        .find(|status| status.authority().get() == 2)
        .unwrap();
    assert_eq!(lost.state().next(), key(9_000));
    assert!(!lost.notes().is_empty());
}

async fn the_era_turns_and_the_last_one_ends<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let source = authority(&mdb, "central");
    allocate(&source, 1).await.unwrap();
    let near = Gdid::MAX_COUNTER - 12;
    set::<DB>(&store, 0, &format!("counter = {near}")).await;
    assert_eq!(
        allocate(&source, 10).await.unwrap(),
        Gdid::new(0, 0, near + 1).unwrap()
    );
    assert_eq!(
        allocate(&source, 10).await.unwrap(),
        Gdid::new(1, 0, 1).unwrap()
    );
    let late = store.open();
    assert_eq!(
        allocate(&authority(&late, "central"), 10).await.unwrap(),
        Gdid::new(1, 0, 11).unwrap()
    );
    assert_eq!(
        allocate(&source, 10).await.unwrap(),
        Gdid::new(1, 0, 21).unwrap()
    );

    let last = SequenceState::LAST_ERA;
    set::<DB>(&store, 0, &format!("era = {last}, counter = {near}")).await;
    assert!(
        mdb.sequence("user").status().await.unwrap()[0]
            .state()
            .is_near_the_end()
    );
    assert_eq!(allocate(&source, 10).await.unwrap().era(), last);
    for _ in 0..2 {
        let error = allocate(&source, 10).await.unwrap_err();
        assert!(
            matches!(error, AuthorityError::Exhausted { .. }),
            "{error:?}"
        );
        assert!(!error.is_transient());
    }
}

async fn a_database_restored_to_yesterday_issues_nothing<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let source = authority(&mdb, "central");
    for _ in 0..5 {
        allocate(&source, 10).await.unwrap();
    }
    for back in ["counter = 20", "counter = 49", "counter = 0"] {
        set::<DB>(&store, 0, back).await;
        let error = allocate(&source, 10).await.unwrap_err();
        assert!(
            matches!(error, AuthorityError::WentBack { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("mdb gdid floor"), "{error}");
    }
    DB::run_at(&store.url(0), &["DELETE FROM mdb_sequence".to_owned()])
        .await
        .unwrap();
    let error = allocate(&source, 10).await.unwrap_err();
    assert!(
        matches!(error, AuthorityError::WentBack { .. }),
        "{error:?}"
    );
    // Below what was issued it does not help, above it does.
    mdb.sequence("user").raise_floor(key(40)).await.unwrap();
    assert!(matches!(
        allocate(&source, 10).await,
        Err(AuthorityError::WentBack { .. })
    ));
    mdb.sequence("user").raise_floor(key(51)).await.unwrap();
    assert_eq!(allocate(&source, 10).await.unwrap().counter(), 51);
}

async fn what_is_no_count_is_no_start<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    allocate(&authority(&store.open(), "central"), 1)
        .await
        .unwrap();
    for nonsense in [
        "counter = -1",
        "counter = 1152921504606846976",
        "counter = 5, era = -1",
        "era = 4294967296",
    ] {
        set::<DB>(&store, 0, nonsense).await;
        let mdb = store.open();
        let error = allocate(&authority(&mdb, "central"), 10).await.unwrap_err();
        assert!(
            matches!(error, AuthorityError::Corrupt { .. }),
            "{nonsense}: {error:?}"
        );
        assert!(!error.is_transient());
        let error = mdb.sequence("user").next().await.unwrap_err();
        assert!(matches!(
            error,
            SequenceError::Allocate(AuthorityError::Corrupt { .. })
        ));
        set::<DB>(
            &store,
            0,
            "era = 0, counter = 100, blocks = 2, window_blocks = 0",
        )
        .await;
    }
}

async fn nobody_fails_because_others_are_faster<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        // Nobody is told to hurry: a busy machine is no failure.
        let mdb = store.open_changed(|text| {
            text.replace(
                "max_connections = 8",
                "max_connections = 8\nconnect_timeout_ms = 60000\nacquire_timeout_ms = 60000\n\
                 statement_timeout_ms = 60000",
            )
        });
        for _ in 0..16 {
            let source = authority(&mdb, "central");
            tasks.spawn(async move {
                let mut firsts = Vec::new();
                for _ in 0..10 {
                    let first = allocate(&source, 3).await;
                    firsts.push(first.unwrap_or_else(|error| panic!("{}", chain(&error))));
                }
                firsts
            });
        }
    }
    let firsts: Vec<Gdid> = tasks.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<Gdid> = firsts.iter().copied().collect();
    assert_eq!(distinct.len(), firsts.len());
    let last = firsts.iter().map(|id| id.counter()).max().unwrap();
    assert_eq!(
        last,
        3 * 640 - 2,
        "no counter was skipped, and none given twice"
    );
}

async fn the_next_authority_takes_over<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    // The nearest one's host is not there.
    let mdb = store.open_changed(|text| {
        format!(
            "{text}\n[[authority]]\nname = \"away\"\nkind = \"http\"\nids = [1]\nurls = [\"http://127.0.0.1:9\"]\n\
             token = \"0123456789abcdef\"\ntimeout_ms = 300\n\
             [[authority]]\nname = \"here\"\nkind = \"central\"\nids = [2]\n"
        )
    });
    let ids = mdb.sequence("user").take(300).await.unwrap();
    assert!(ids.iter().all(|id| id.authority().get() == 2));
    assert!(ids.is_sorted());
    let error = mdb
        .sequence("user")
        .raise_floor(key(5_000))
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(
        allocate(&authority(&mdb, "here"), 1)
            .await
            .unwrap()
            .range_key()
            >= key(5_000),
        "those that can be reached are raised"
    );
}

async fn blocks_are_counted_for_as_long_as_they_live<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open_changed(|text| {
        text.replace(
            "smallest_block = 100",
            "smallest_block = 100\nblock_life_ms = 1000",
        )
    });
    let source = authority(&mdb, "central");
    for _ in 0..3 {
        allocate(&source, 2).await.unwrap();
    }
    let status = &mdb.sequence("user").status().await.unwrap()[0];
    assert_eq!(status.blocks(), 3);
    assert!(status.outstanding() <= 3);
    assert!(status.lapses_after() <= Duration::from_secs(1));
    mdb_tests::kit::wait_for("blocks to lapse", Duration::from_secs(20), async || {
        mdb.sequence("user").status().await.unwrap()[0].outstanding() == 0
    })
    .await;
    // A window that is over is followed by another one, as the ledger has it.
    allocate(&source, 2).await.unwrap();
    let row = |column: &str| format!("SELECT {column} FROM mdb_sequence");
    for (column, expected) in [("blocks", 4), ("window_blocks", 3), ("counter", 8)] {
        let found = DB::number_at(&store.url(0), &row(column)).await.unwrap();
        assert_eq!(found, expected, "{column}");
    }
    let status = &mdb.sequence("user").status().await.unwrap()[0];
    assert!(status.outstanding() <= 4);
}
