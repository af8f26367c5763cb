//! Many tasks in several processes that insert, rename and remove the same keys at once.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::{Gdid, IndexError};
use mdb_tests::central_store::{CentralStore, CentralTimes, settle_all};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

on_all_engines!(
    a_moving_entry_is_always_found_once,
    ids_are_conserved_in_a_storm,
    ids_are_conserved_when_living_renames_are_taken_for_dead,
);

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

async fn a_moving_entry_is_always_found_once<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let mut keys = vec!["station0@example.org".to_owned()];
    let shard = |key: &str| mdb.central().route(key).shard_id();
    for number in 1..40 {
        let key = (0..).map(|n| format!("station{number}.{n}@example.org"));
        let before = keys.last().unwrap();
        keys.push({ key }.find(|key| shard(key) != shard(before)).unwrap());
    }
    let keys = Arc::new(keys);
    mdb.central()
        .index("email")
        .insert(&keys[0], id(1))
        .await
        .unwrap();

    // Two movers in different processes, both of which move it on from key to key.
    let mut movers = JoinSet::new();
    for mover in [
        mdb.central().index("email"),
        store.open().central().index("email"),
    ] {
        let keys = Arc::clone(&keys);
        movers.spawn(async move {
            for step in keys.windows(2) {
                loop {
                    match mover.rename(&step[0], &step[1]).await {
                        Ok(_) | Err(IndexError::NotFound { .. } | IndexError::Taken { .. }) => {
                            break;
                        }
                        Err(IndexError::Renaming { .. }) => tokio::task::yield_now().await,
                        Err(error) => panic!("{}", chain(&error)),
                    }
                }
            }
        });
    }
    let arrived = Arc::new(AtomicBool::new(false));
    let mut checkers = JoinSet::new();
    for _ in 0..2 {
        let (index, keys, arrived) = (
            store.open().central().index("email"),
            Arc::clone(&keys),
            Arc::clone(&arrived),
        );
        checkers.spawn(async move {
            let mut rounds = 0;
            while !arrived.load(Ordering::Relaxed) || rounds < 3 {
                // Whoever follows it meets it at least once; whoever comes towards it, at most once.
                let mut met = [0, 0];
                for key in keys.iter() {
                    met[0] += usize::from(index.get_uncached(key).await.unwrap().is_some());
                }
                assert!(met[0] >= 1, "an entry was found nowhere");
                for key in keys.iter().rev() {
                    met[1] += usize::from(index.get_uncached(key).await.unwrap().is_some());
                }
                assert!(met[1] <= 1, "an entry was found at two keys at once");
                rounds += 1;
            }
        });
    }
    movers.join_all().await;
    arrived.store(true, Ordering::Relaxed);
    checkers.join_all().await;
    let emails = store.emails();
    assert_eq!(
        emails.get_uncached(keys.last().unwrap()).await.unwrap(),
        Some(id(1))
    );
    assert!(emails.unfinished(Duration::ZERO).await.unwrap().is_empty());
}

async fn ids_are_conserved_in_a_storm<DB: TestEngine>() {
    storm::<DB>(CentralTimes::LONG).await;
}

async fn ids_are_conserved_when_living_renames_are_taken_for_dead<DB: TestEngine>() {
    storm::<DB>(CentralTimes::IMPATIENT).await;
}

/// Several tasks in two processes insert, rename and remove the same few keys.
async fn storm<DB: TestEngine>(times: CentralTimes) {
    let store = CentralStore::start::<DB>(times).await;
    let keys: Vec<String> = (0..6).map(|n| format!("key{n}@example.org")).collect();
    let fresh = Arc::new(AtomicU64::new(1));
    let mut tasks = JoinSet::new();
    for mdb in [store.open(), store.open()] {
        for _ in 0..3 {
            let (index, keys, fresh) = (
                mdb.central().index("email"),
                keys.clone(),
                Arc::clone(&fresh),
            );
            let mut random = fastrand::Rng::with_seed(42 + tasks.len() as u64);
            tasks.spawn(async move {
                let (mut inserted, mut removed) = (Vec::new(), Vec::new());
                for _ in 0..300 {
                    let key = &keys[random.usize(..keys.len())];
                    let result = match random.u8(..10) {
                        0..3 => {
                            let id = id(fresh.fetch_add(1, Ordering::Relaxed));
                            index.insert(key, id).await.map(|()| inserted.push(id))
                        }
                        3..5 => index.remove(key).await.map(|id| removed.extend(id)),
                        _ => index
                            .rename(key, &keys[random.usize(..keys.len())])
                            .await
                            .map(drop),
                    };
                    match result {
                        Ok(())
                        | Err(
                            IndexError::Taken { .. }
                            | IndexError::NotFound { .. }
                            | IndexError::Renaming { .. }
                            | IndexError::RenameStopped { .. },
                        ) => {}
                        Err(error) => panic!("{}", chain(&error)),
                    }
                }
                (inserted, removed)
            });
        }
    }
    let (mut expected, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for (inserted, gone) in tasks.join_all().await {
        expected.extend(inserted);
        for id in gone {
            assert!(removed.insert(id), "{id} was removed twice");
        }
    }
    assert!(removed.is_subset(&expected));
    expected.retain(|id| !removed.contains(id));
    let index = store.emails();
    if times.claim < Duration::from_secs(1) {
        settle_all(&index).await;
    }
    assert!(
        index.unfinished(Duration::ZERO).await.unwrap().is_empty(),
        "everybody finished"
    );
    let mut found = BTreeSet::new();
    for id in index.get_many(&keys).await.unwrap().into_iter().flatten() {
        assert!(found.insert(id), "{id} is found at two keys");
    }
    assert_eq!(found, expected);
}
