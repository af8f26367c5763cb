//! Blocks: consecutive ids that are given away together.

use super::AuthorityId;
use crate::gdid::Gdid;

/// How many ids a block is asked to have: 1 to 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u16);

impl BlockSize {
    /// The most that a block has.
    pub const MAX: Self = Self(1024);

    /// A size, or `None` when it is 0 or above 1,024.
    pub const fn new(ids: u16) -> Option<Self> {
        if ids == 0 || ids > Self::MAX.0 {
            None
        } else {
            Some(Self(ids))
        }
    }

    /// The size nearest to what is wanted: more than 1,024 become 1,024. `None` for 0.
    ///
    /// ```
    /// use mdb_gdid::BlockSize;
    ///
    /// assert_eq!(BlockSize::clamped(5_000), Some(BlockSize::MAX));
    /// assert_eq!(BlockSize::clamped(0), None);
    /// ```
    pub fn clamped(ids: usize) -> Option<Self> {
        u16::try_from(ids).map_or(Some(Self::MAX), |ids| Self::new(ids.min(Self::MAX.0)))
    }

    /// How many ids.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Consecutive ids of one sequence, given away to one process for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    era: u32,
    authority: AuthorityId,
    first: u64,
    count: u16,
}

/// Why ids are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The first id has counter 0, with which no era begins.
    #[error("a block can't begin with {first}: counters begin at 1")]
    ZeroCounter {
        /// The first id.
        first: Gdid,
    },
    /// The block would go on beyond the highest counter.
    #[error(
        "{count} ids from {first} on would go beyond counter {}",
        Gdid::MAX_COUNTER
    )]
    BeyondEra {
        /// The first id.
        first: Gdid,
        /// How many ids there would be.
        count: u16,
    },
}

impl Block {
    pub(super) const fn from_parts(
        era: u32,
        authority: AuthorityId,
        first: u64,
        size: BlockSize,
    ) -> Self {
        Self {
            era,
            authority,
            first,
            count: size.0,
        }
    }

    /// A block as an authority elsewhere has handed it out: `size` ids from `first` on.
    ///
    /// It is for [`BlockSource`](super::BlockSource)s that receive blocks from another process. An authority that
    /// keeps its own count gets its blocks from [`SequenceState::advance`](super::SequenceState::advance).
    ///
    /// # Errors
    ///
    /// - [`BlockError::ZeroCounter`]: the first id has counter 0.
    /// - [`BlockError::BeyondEra`]: the last one would be above [`Gdid::MAX_COUNTER`].
    pub const fn new(first: Gdid, size: BlockSize) -> Result<Self, BlockError> {
        let count = size.0;
        if first.counter() == 0 {
            return Err(BlockError::ZeroCounter { first });
        }
        if first.counter() > Gdid::MAX_COUNTER - (count as u64 - 1) {
            return Err(BlockError::BeyondEra { first, count });
        }
        Ok(Self {
            era: first.era(),
            authority: first.authority(),
            first: first.counter(),
            count,
        })
    }

    /// How many ids it has.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Its first id.
    pub const fn first(&self) -> Gdid {
        Gdid::from_era_and_id(self.era, ((self.authority.get() as u64) << 60) | self.first)
    }

    /// Its last id.
    pub const fn last(&self) -> Gdid {
        let last = self.first + (self.count as u64 - 1);
        Gdid::from_era_and_id(self.era, ((self.authority.get() as u64) << 60) | last)
    }

    /// The state of its authority right after it was handed out.
    pub const fn state_after(&self) -> super::SequenceState {
        super::SequenceState::before(crate::RangeKey::from_parts(
            self.era,
            self.first + self.count as u64,
        ))
    }

    /// The id at `place`, counted from 0; `None` beyond the end.
    #[inline]
    pub const fn get(&self, place: u16) -> Option<Gdid> {
        if place >= self.count {
            return None;
        }
        let counter = self.first + place as u64;
        Some(Gdid::from_era_and_id(
            self.era,
            ((self.authority.get() as u64) << 60) | counter,
        ))
    }

    /// Its ids, ascending.
    pub const fn ids(&self) -> BlockIds {
        BlockIds {
            block: *self,
            next: 0,
        }
    }
}

/// The ids of a block, ascending.
#[derive(Clone, Debug)]
pub struct BlockIds {
    block: Block,
    next: u16,
}

impl Iterator for BlockIds {
    type Item = Gdid;

    fn next(&mut self) -> Option<Gdid> {
        let id = self.block.get(self.next)?;
        self.next += 1;
        Some(id)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.block.count - self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for BlockIds {}
