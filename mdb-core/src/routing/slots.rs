//! The slot table: which of a partition's shards each of the 4,096 slots belongs to.
//!
//! A key's **slot** is the top 12 bits of the XXH3-64 of its bytes. The table for `n` shards is
//! fixed for ever by this rule:
//!
//! 1. With one shard, every slot is shard 0's.
//! 2. To add shard `k` to `k` shards, take ⌊4096/(k+1)⌋ slots, one at a time.
//! 3. Each is the highest-numbered slot of the shard that holds most (the lowest index on a tie).
//! 4. Give them to shard `k`.
//!
//! So shards differ by one slot at the most, a new shard re-homes exactly the slots that it needs
//! and none between old shards, and taking the last shard away undoes adding it.

use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64;

use crate::topology::MAX_SHARDS;

/// How many slots there are.
pub const SLOT_COUNT: usize = 4096;

/// One of the 4,096 buckets that a key's hash falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a 64-bit hash: its top 12 bits.
    #[inline]
    pub const fn of_hash(hash: u64) -> Self {
        Self((hash >> 52) as u16)
    }

    /// The slot of a key's bytes, by XXH3-64 with seed 0.
    #[inline]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::of_hash(xxh3_64(bytes))
    }

    /// The slot's number, below [`SLOT_COUNT`].
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The slot table for one number of shards; see the [module](self) for the rule.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotTable {
    owner: [u8; SLOT_COUNT],
}

impl std::fmt::Debug for SlotTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotTable")
            .field(
                "shards",
                &(usize::from(*self.owner.iter().max().unwrap_or(&0)) + 1),
            )
            .finish_non_exhaustive()
    }
}

static TABLES: [OnceLock<SlotTable>; MAX_SHARDS] = [const { OnceLock::new() }; MAX_SHARDS];

impl SlotTable {
    /// The table for `shards` shards, built once per process and shared by all partitions.
    ///
    /// Returns `None` when `shards` is 0 or above [`MAX_SHARDS`].
    ///
    /// ```
    /// use mdb_core::routing::slots::SlotTable;
    ///
    /// let three = SlotTable::for_shards(3).expect("between 1 and 256");
    /// let held = (0..3).map(|shard| three.slots_of(shard).count()).collect::<Vec<_>>();
    /// assert_eq!(held, [1365, 1366, 1365]);
    /// assert!(SlotTable::for_shards(0).is_none());
    /// ```
    pub fn for_shards(shards: usize) -> Option<&'static Self> {
        if shards == 0 || shards > MAX_SHARDS {
            return None;
        }
        let mut table = TABLES[0].get_or_init(|| Self {
            owner: [0; SLOT_COUNT],
        });
        for (added, next) in TABLES.iter().enumerate().take(shards).skip(1) {
            table = next.get_or_init(|| table.with_one_more(added));
        }
        Some(table)
    }

    /// The position of the shard that owns `slot`.
    #[inline]
    pub fn owner(&self, slot: Slot) -> usize {
        usize::from(self.owner[usize::from(slot.0) % SLOT_COUNT])
    }

    /// The numbers of the slots that the shard at `position` owns, ascending.
    pub fn slots_of(&self, position: usize) -> impl Iterator<Item = u16> + '_ {
        (0u16..)
            .zip(&self.owner)
            .filter(move |(_, owner)| usize::from(**owner) == position)
            .map(|(slot, _)| slot)
    }

    fn with_one_more(&self, added: usize) -> Self {
        let mut held: Vec<Vec<u16>> = (0..added)
            .map(|shard| self.slots_of(shard).collect())
            .collect();
        let mut owner = self.owner;
        let new_owner = u8::try_from(added).expect("at most 256 shards, so positions fit a byte");
        for _ in 0..SLOT_COUNT / (added + 1) {
            let mut fullest = 0;
            for shard in 1..added {
                if held[shard].len() > held[fullest].len() {
                    fullest = shard;
                }
            }
            let slot = held[fullest]
                .pop()
                .expect("the fullest shard of at most 256 holds at least one of 4,096 slots");
            owner[usize::from(slot)] = new_owner;
        }
        Self { owner }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_balanced_to_one_slot_and_rehomes_only_to_the_new_shard() {
        for shards in 1..=MAX_SHARDS {
            let table = SlotTable::for_shards(shards).unwrap();
            let held: Vec<usize> = (0..shards)
                .map(|shard| table.slots_of(shard).count())
                .collect();
            assert_eq!(held.iter().sum::<usize>(), SLOT_COUNT);
            let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
            assert!(
                most - least <= 1,
                "{shards} shards hold {least}..{most} slots"
            );
            if shards > 1 {
                let before = SlotTable::for_shards(shards - 1).unwrap();
                let moved = (0..SLOT_COUNT)
                    .filter(|&s| before.owner[s] != table.owner[s])
                    .collect::<Vec<_>>();
                assert_eq!(
                    moved.len(),
                    SLOT_COUNT / shards,
                    "exactly the new shard's share moves"
                );
                assert!(
                    moved
                        .iter()
                        .all(|&s| usize::from(table.owner[s]) == shards - 1),
                    "and only to it"
                );
            }
        }
    }

    #[test]
    fn tables_are_frozen() {
        // XXH3-64 over the 4,096 owner bytes: a changed rule re-homes keys everywhere.
        let digest = |shards| xxh3_64(&SlotTable::for_shards(shards).unwrap().owner);
        let digests: Vec<String> = [1, 2, 3, 5, 16, 100, 256]
            .map(|shards| format!("{shards}:{:016x}", digest(shards)))
            .into();
        insta::assert_snapshot!(digests.join(" "));
    }

    #[test]
    fn the_table_for_three_shards_by_hand() {
        let three = SlotTable::for_shards(3).unwrap();
        // Two shards: 0 keeps 0..2048. Then 1,365 slots go, taken from 0 and 1 in turn, from the top.
        assert_eq!(three.owner(Slot(0)), 0);
        assert_eq!(three.owner(Slot(2047)), 2);
        assert_eq!(three.owner(Slot(2048)), 1);
        assert_eq!(three.owner(Slot(4095)), 2);
    }
}
