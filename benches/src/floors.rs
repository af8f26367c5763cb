//! Routing written out flat, and other ways to search: what the router is measured against.

#![allow(
    clippy::cast_possible_truncation,
    reason = "shards and positions are below 257"
)]

use std::collections::BTreeMap;
use std::hint::select_unpredictable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mdb_core::Gdid;
use mdb_core::catalog::{LiveArea, LiveRouter};
use mdb_core::config::{EngineKind, HashKind};
use mdb_core::routing::slots::{Slot, SlotTable};
use mdb_core::routing::{RangeTable, Relocations, Router, azos};
use mdb_core::topology::{AreaBuilder, AreaIndex, TopologyBuilder};
use mdb_gdid::RangeKey;
use xxhash_rust::xxh3::xxh3_64;

/// How many shards each partition has.
pub const SHARDS: u32 = 4;

/// The partition sizes are uneven, as those of a grown installation are.
fn starts(partitions: usize) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut next = 0;
    let mut starts = Vec::with_capacity(partitions);
    for _ in 0..partitions {
        starts.push(next);
        next += random.u64(100_000..1_000_000);
    }
    starts
}

fn range_keys(partitions: usize) -> impl Iterator<Item = RangeKey> {
    let key = |start| RangeKey::new(0, start).expect("the counter is small");
    starts(partitions).into_iter().map(key)
}

/// Random ids over all partitions.
pub fn ids(partitions: usize, count: usize) -> Vec<Gdid> {
    let mut random = fastrand::Rng::with_seed(11);
    let last = starts(partitions).last().copied().unwrap_or_default();
    let limit = last + 500_000;
    (0..count)
        .map(|_| {
            let (authority, counter) = (random.u8(0..16), random.u64(1..limit));
            Gdid::new(0, authority, counter).expect("the counter is small")
        })
        .collect()
}

/// A live router of one area, and the handle to it.
pub fn live_area(partitions: usize) -> (Arc<LiveRouter>, LiveArea) {
    let name = |text: String| text.parse().expect("is a name");
    let server: mdb_core::config::ServerName = "one".parse().expect("is a name");
    let mut area = AreaBuilder::new(
        "user".parse().expect("is a name"),
        EngineKind::Postgres,
        HashKind::Xxh3,
    );
    for (place, start) in starts(partitions).into_iter().enumerate() {
        let shards = (0..SHARDS).map(|shard| (server.clone(), name(format!("u{place}_{shard}"))));
        let start = RangeKey::new(0, start).expect("the counter is small");
        area = area.partition(start, shards.collect());
    }
    let topology = TopologyBuilder::new(
        "shop".parse().expect("is a name"),
        EngineKind::Postgres,
        HashKind::Xxh3,
        vec![(server, name("central".to_owned()))],
    )
    .area(area)
    .build()
    .expect("the parts fit");
    let live = LiveRouter::new(Router::new(topology));
    let area = live.area(AreaIndex::new(0));
    (live, area)
}

/// The search that the router uses, alone.
pub fn range_table(partitions: usize) -> RangeTable<u32> {
    RangeTable::new(range_keys(partitions).zip(0..).collect())
}

/// The floor: a branch-free search over one sorted array of 64-bit starts.
#[derive(Debug)]
pub struct BranchFree(Vec<u64>);

impl BranchFree {
    /// With so many partitions.
    pub fn new(partitions: usize) -> Self {
        Self(starts(partitions))
    }

    /// How many starts are at or below `counter`.
    #[inline]
    pub fn find(&self, counter: u64) -> usize {
        let starts = self.0.as_slice();
        let (mut base, mut size) = (0, starts.len());
        while size > 1 {
            let half = size / 2;
            let middle = base + half;
            base = select_unpredictable(starts[middle] <= counter, middle, base);
            size -= half;
        }
        base + usize::from(starts[base] <= counter)
    }
}

/// A way to find the partition of a counter.
pub trait Search {
    /// How many starts are at or below the id's range key.
    fn find(&self, id: Gdid) -> usize;
}

impl Search for BranchFree {
    #[inline]
    fn find(&self, id: Gdid) -> usize {
        // The floor knows that there is one era.
        self.find(id.counter())
    }
}

/// A map of range keys, asked for the last at or below a key.
#[derive(Debug)]
pub struct Tree(BTreeMap<RangeKey, usize>);

impl Tree {
    /// With so many partitions.
    pub fn new(partitions: usize) -> Self {
        Self(range_keys(partitions).zip(1..).collect())
    }
}

impl Search for Tree {
    #[inline]
    fn find(&self, id: Gdid) -> usize {
        self.0
            .range(..=id.range_key())
            .next_back()
            .map_or(0, |(_, place)| *place)
    }
}

/// A list of range keys, walked from its beginning, as Azos does it.
#[derive(Debug)]
pub struct Scan(Vec<RangeKey>);

impl Scan {
    /// With so many partitions.
    pub fn new(partitions: usize) -> Self {
        Self(range_keys(partitions).collect())
    }
}

impl Search for Scan {
    #[inline]
    fn find(&self, id: Gdid) -> usize {
        let key = id.range_key();
        let above = self.0.iter().position(|&start| start > key);
        above.unwrap_or(self.0.len())
    }
}

/// The steps of routing with nothing around them: search, hash, slot, shard.
#[derive(Debug)]
pub struct Flat<S> {
    search: S,
    slots: Vec<u8>,
    first_shards: Vec<u32>,
}

impl<S: Search> Flat<S> {
    /// Over that search.
    pub fn new(search: S, partitions: usize) -> Self {
        let slots = SlotTable::for_shards(SHARDS as usize).expect("there are 1 to 256 shards");
        let owner = |slot: u64| {
            let slot = Slot::of_hash(slot << 52);
            u8::try_from(slots.owner(slot)).expect("there are at most 256 shards")
        };
        // CENTRAL's shard is 0.
        let first = |place: usize| 1 + u32::try_from(place).expect("is small") * SHARDS;
        Self {
            search,
            slots: (0..4096).map(owner).collect(),
            first_shards: (0..partitions).map(first).collect(),
        }
    }

    /// The shard of an id, if it has one.
    #[inline]
    pub fn route(&self, id: Gdid) -> Option<u32> {
        let partition = self.search.find(id).checked_sub(1)?;
        let slot = xxh3_64(id.as_bytes()) >> 52;
        Some(self.first_shards[partition] + u32::from(self.slots[(slot % 4096) as usize]))
    }
}

/// A router that keeps every promise of MDB's, but searches in another way.
///
/// It too looks whether it is outdated and whether there are relocations, refuses the zero id, and
/// answers with generation, partition, slot, position and shard.
#[derive(Debug)]
pub struct Peer<S> {
    live: Arc<AtomicU64>,
    version: u64,
    pinned: Arc<Pinned<S>>,
}

#[derive(Debug)]
struct Pinned<S> {
    relocations: Option<Relocations>,
    hash: HashKind,
    search: S,
    ranges: Vec<PeerRange>,
}

#[derive(Clone, Copy, Debug)]
struct PeerRange {
    slots: &'static SlotTable,
    first_shard: u32,
    shards: u16,
    generation: u16,
    partition: u32,
}

/// What a [`Peer`] answers.
#[derive(Clone, Copy, Debug)]
pub struct PeerRoute {
    /// The generation, from 0.
    pub generation: u16,
    /// The partition, from 0.
    pub partition: u32,
    /// The slot, if slots decide.
    pub slot: Option<Slot>,
    /// The shard's position in its partition.
    pub position: u8,
    /// The shard.
    pub shard: u32,
}

impl<S: Search> Peer<S> {
    /// Over that search.
    ///
    /// # Panics
    ///
    /// When there are 2³⁰ partitions or more.
    pub fn new(search: S, partitions: usize) -> Self {
        let slots = SlotTable::for_shards(SHARDS as usize).expect("there are 1 to 256 shards");
        let partitions = u32::try_from(partitions).expect("there are few partitions");
        let range = |partition| PeerRange {
            slots,
            first_shard: 1 + partition * SHARDS,
            shards: SHARDS as u16,
            generation: 0,
            partition,
        };
        Self {
            live: Arc::new(AtomicU64::new(0)),
            version: 0,
            pinned: Arc::new(Pinned {
                relocations: None,
                hash: HashKind::Xxh3,
                search,
                ranges: (0..partitions).map(range).collect(),
            }),
        }
    }

    /// Where an id lives; the id itself if it has no home.
    ///
    /// # Errors
    ///
    /// An id that is zero, or below the first start, or relocated (which is not written out here).
    #[inline]
    pub fn route(&self, id: Gdid) -> Result<PeerRoute, Gdid> {
        let pinned = &self.pinned;
        if self.live.load(Ordering::Acquire) != self.version || pinned.relocations.is_some() {
            return Err(id);
        }
        let place = pinned.search.find(id).checked_sub(1);
        let Some(range) = place.and_then(|place| pinned.ranges.get(place)) else {
            return Err(id);
        };
        if id.is_zero() {
            return Err(id);
        }
        let (slot, position) = match pinned.hash {
            HashKind::Xxh3 => {
                let slot = Slot::of_bytes(id.as_bytes());
                (Some(slot), range.slots.owner(slot))
            }
            HashKind::Azos => {
                let hash = azos::hash_gdid(id);
                (None, azos::shard_position(hash, usize::from(range.shards)))
            }
        };
        Ok(PeerRoute {
            generation: range.generation,
            partition: range.partition,
            slot,
            position: position as u8,
            shard: range.first_shard + position as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_come_to_the_same_shard() {
        for partitions in [1, 16, 4_096] {
            let (_live, area) = live_area(partitions);
            let flat = Flat::new(BranchFree::new(partitions), partitions);
            let tree = Peer::new(Tree::new(partitions), partitions);
            let scan = Peer::new(Scan::new(partitions), partitions);
            let table = range_table(partitions);
            for id in ids(partitions, 1_000) {
                let shard = Some(area.route(id).unwrap().shard_id().get());
                assert_eq!(flat.route(id), shard);
                assert_eq!(tree.route(id).ok().map(|route| route.shard), shard);
                assert_eq!(scan.route(id).ok().map(|route| route.shard), shard);
                let found = table.find(id.range_key()).map(|place| *place as usize + 1);
                assert_eq!(found, Some(BranchFree::new(partitions).find(id.counter())));
            }
        }
    }
}
