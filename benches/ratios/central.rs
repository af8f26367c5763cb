//! A hit in CENTRAL's cache.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mdb_benches::compare::{Comparison, in_turn_async};
use mdb_benches::stores::{Store, id};
use mdb_core::Gdid;
use moka::Expiry;
use moka::future::Cache;

use crate::print;

/// What the cache keeps for a key, field by field.
#[derive(Clone, Copy)]
struct Kept {
    holder: Option<Gdid>,
    _keep: bool,
    _writes: u64,
}

struct Hour;

impl Expiry<Vec<u8>, Kept> for Hour {
    fn expire_after_create(&self, _: &Vec<u8>, _: &Kept, _: Instant) -> Option<Duration> {
        Some(Duration::from_hours(1))
    }
}

pub(crate) async fn central_hit() {
    let store = Store::sqlite().await;
    let index = store.mdb().central().index("plain");
    let folded = store.mdb().central().index("folded");
    let keys: Vec<String> = (0..1_000)
        .map(|row| format!("account{row}@example.org"))
        .collect();
    let build = || Cache::builder().max_capacity(100_000);
    let hasher = foldhash::fast::RandomState::default;
    let bare: Cache<Vec<u8>, Kept, _> = build().build_with_hasher(hasher());
    let expiring: Cache<Vec<u8>, Kept, _> = build().expire_after(Hour).build_with_hasher(hasher());
    for (row, key) in (0..).zip(&keys) {
        index.insert(key.as_str(), id(row)).await.unwrap();
        folded.insert(key.as_str(), id(row)).await.unwrap();
        let kept = Kept {
            holder: Some(id(row)),
            _keep: true,
            _writes: row,
        };
        bare.insert(key.clone().into_bytes(), kept).await;
        expiring.insert(key.clone().into_bytes(), kept).await;
    }
    let ours = async |index: &mdb_core::Index| {
        for key in &keys {
            black_box(index.get(black_box(key.as_str())).await.unwrap());
        }
    };
    let theirs = async |cache: &Cache<Vec<u8>, Kept, foldhash::fast::RandomState>| {
        for key in &keys {
            black_box(cache.get(black_box(key.as_bytes())).await.unwrap().holder);
        }
    };
    let per_key = |comparison: Comparison| comparison.per(1_000);
    let comparison = in_turn_async(
        1_001,
        async || ours(&index).await,
        async || theirs(&expiring).await,
    )
    .await;
    print(
        "central hit / moka get, expiring",
        per_key(comparison),
        Some(1.1),
    );
    let comparison = in_turn_async(
        1_001,
        async || ours(&index).await,
        async || theirs(&bare).await,
    )
    .await;
    print(
        "central hit / moka get, no expiry",
        per_key(comparison),
        None,
    );
    let comparison = in_turn_async(
        1_001,
        async || ours(&folded).await,
        async || theirs(&expiring).await,
    )
    .await;
    print("central hit, folded / moka get", per_key(comparison), None);
}
