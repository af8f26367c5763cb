//! The cache of an index: own writes are seen at once, others' in time.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mdb_core::error::chain;
use mdb_core::{Gdid, Index, IndexError};
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

on_all_engines!(
    answers_expire_each_in_its_time,
    a_cache_without_room_remembers_nothing,
    every_task_sees_its_own_writes,
);

/// How long anything may take that happens at once on an idle machine.
const LIMIT: Duration = Duration::from_secs(20);

const KEY: &str = "ann@example.org";

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

async fn answers_expire_each_in_its_time<DB: TestEngine>() {
    let times = CentralTimes {
        found: Duration::from_secs(2),
        absent: Duration::from_secs(1),
        ..CentralTimes::LONG
    };
    let store = CentralStore::start::<DB>(times).await;
    let (here, there) = (store.emails(), store.emails());
    // Open connections, so that what follows is quick.
    there.insert("bob@example.org", id(2)).await.unwrap();
    for (remembered, then, time) in [
        (None, Some(id(1)), times.absent),
        (Some(id(1)), None, times.found),
    ] {
        let asked = Instant::now();
        assert_eq!(here.get(KEY).await.unwrap(), remembered);
        let answered = Instant::now();
        if then.is_some() {
            there.insert(KEY, id(1)).await.unwrap();
        } else {
            there.remove(KEY).await.unwrap();
        }
        let again = here.get(KEY).await.unwrap();
        // A machine that is too slow for the first answer to be remembered proves nothing.
        if asked.elapsed() < time {
            assert_eq!(again, remembered, "another process' write is not seen yet");
            assert_eq!(
                here.get_uncached(KEY).await.unwrap(),
                then,
                "but past the cache"
            );
        }
        wait_for("the answer to expire", LIMIT, async || {
            here.get(KEY).await.unwrap() == then
        })
        .await;
        assert!(
            answered.elapsed() < time + Duration::from_millis(900),
            "it expired after {:?}",
            answered.elapsed()
        );
    }
}

async fn a_cache_without_room_remembers_nothing<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb =
        store.open_changed(|text| text.replace("[central.cache]", "[central.cache]\ncapacity = 0"));
    let (here, there) = (mdb.central().index("email"), store.emails());
    for n in 1..=50 {
        assert_eq!(here.get(KEY).await.unwrap(), None);
        there.insert(KEY, id(n)).await.unwrap();
        assert_eq!(here.get(KEY).await.unwrap(), Some(id(n)));
        assert_eq!(here.get_many([KEY]).await.unwrap(), [Some(id(n))]);
        there.remove(KEY).await.unwrap();
    }
}

/// Keys that only one task writes, and what they hold.
struct Model {
    index: Index,
    random: fastrand::Rng,
    keys: Vec<String>,
    holders: HashMap<String, Gdid>,
    next: u64,
}

impl Model {
    fn key(&mut self) -> String {
        self.keys[self.random.usize(..self.keys.len())].clone()
    }

    fn fresh(&mut self) -> Gdid {
        self.next += 1;
        id(self.next)
    }

    async fn assert_is(&self, keys: &[&String]) {
        let expected: Vec<_> = keys
            .iter()
            .map(|key| self.holders.get(*key).copied())
            .collect();
        for (key, holder) in keys.iter().zip(&expected) {
            assert_eq!(self.index.get(*key).await.unwrap(), *holder, "{key}");
        }
        assert_eq!(
            self.index.get_many(keys.iter().copied()).await.unwrap(),
            expected
        );
    }

    /// One random operation, here and in the model, which have to agree.
    async fn step(&mut self) {
        let (key, other) = (self.key(), self.key());
        if self.random.bool() {
            // The cache learns what is about to change.
            self.assert_is(&[&key, &other]).await;
        }
        let holder = self.holders.get(&key).copied();
        match self.random.u8(..5) {
            0 => {
                let id = self.fresh();
                match (self.index.insert(&key, id).await, holder) {
                    (Ok(()), None) => drop(self.holders.insert(key.clone(), id)),
                    (Err(IndexError::Taken { holder: found, .. }), Some(holder)) => {
                        assert_eq!(found, holder);
                    }
                    (result, holder) => panic!("insert: {result:?}, {holder:?}"),
                }
            }
            1 => {
                assert_eq!(self.index.remove(&key).await.unwrap(), holder);
                self.holders.remove(&key);
            }
            2 => {
                let id = self.fresh();
                let claim = match (self.index.claim(&key, id).await, holder) {
                    (Ok(claim), None) => claim,
                    (Err(IndexError::Taken { .. }), Some(_)) => return,
                    (result, holder) => panic!("claim: {result:?}, {holder:?}"),
                };
                self.assert_is(&[&key]).await;
                if self.random.bool() {
                    self.index.confirm(&claim).await.unwrap();
                    self.holders.insert(key.clone(), id);
                } else {
                    assert!(self.index.release(&claim).await.unwrap());
                }
            }
            _ => match (
                self.index.rename(&key, &other).await,
                holder,
                self.holders.get(&other),
            ) {
                (Ok(renamed), Some(holder), _) => {
                    assert_eq!(renamed, holder);
                    self.holders.remove(&key);
                    self.holders.insert(other.clone(), holder);
                }
                (Err(IndexError::NotFound { .. }), None, _) => {}
                (Err(IndexError::Taken { holder: found, .. }), Some(_), Some(taken)) => {
                    assert_eq!(found, *taken);
                }
                (result, holder, taken) => panic!("rename: {result:?}, {holder:?}, {taken:?}"),
            },
        }
        self.assert_is(&[&key, &other]).await;
    }
}

async fn every_task_sees_its_own_writes<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let index = mdb.central().index("email");
    let shared: Vec<String> = (0..4).map(|n| format!("shared{n}@example.org")).collect();
    let mut writers = JoinSet::new();
    let mut all = shared.clone();
    for task in 0..4 {
        let keys: Vec<String> = (0..8)
            .map(|n| format!("key{n}of{task}@example.org"))
            .collect();
        all.extend_from_slice(&keys);
        let (index, shared) = (index.clone(), shared.clone());
        let random = fastrand::Rng::with_seed(task);
        let mut model = Model {
            index,
            random,
            keys,
            holders: HashMap::new(),
            next: 1_000_000 * (task + 1),
        };
        writers.spawn(async move {
            for _ in 0..150 {
                model.step().await;
                let key = &shared[model.random.usize(..shared.len())];
                let result = match model.random.u8(..4) {
                    0 => model.index.remove(key).await.map(drop),
                    1 => model.index.rename(key, &shared[0]).await.map(drop),
                    2 => model.index.get(key).await.map(drop),
                    _ => model.index.insert(key, id(task + 1)).await,
                };
                match result {
                    Ok(())
                    | Err(
                        IndexError::Taken { .. }
                        | IndexError::NotFound { .. }
                        | IndexError::Renaming { .. },
                    ) => {}
                    Err(error) => panic!("{}", chain(&error)),
                }
            }
        });
    }
    // Readers whose lookups are under way while keys are written.
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for reader in 0..3 {
        let (index, all, done) = (index.clone(), all.clone(), Arc::clone(&done));
        readers.spawn(async move {
            let mut random = fastrand::Rng::with_seed(100 + reader);
            while !done.load(Ordering::Relaxed) {
                index.get(&all[random.usize(..all.len())]).await.unwrap();
                index
                    .get_many(random.choose_multiple(&all, 5))
                    .await
                    .unwrap();
                // An answer from the cache waits for nothing, so it lets nobody else run.
                tokio::task::yield_now().await;
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::Relaxed);
    readers.join_all().await;
    for key in &all {
        assert_eq!(
            index.get(key).await.unwrap(),
            index.get_uncached(key).await.unwrap(),
            "{key}"
        );
    }
}
