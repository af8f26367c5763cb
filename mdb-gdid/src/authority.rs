//! Authorities: who may issue which ids, and the seam to whoever keeps count.
//!
//! An authority remembers one [`SequenceState`] per sequence, the last counter that it has given
//! away. It hands out [`Block`]s: it advances the state, makes the new state durable, and only then
//! returns the block. Whoever asks deals single ids out of it. What this module holds is pure; the
//! keeping is done behind [`BlockSource`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::gdid::{Gdid, GdidPartsError};
use crate::names::{ScopeName, SequenceName};

/// The number of an authority, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityId(u8);

impl AuthorityId {
    /// An authority's number, or `None` when it is above 15.
    pub const fn new(number: u8) -> Option<Self> {
        if number > 15 {
            None
        } else {
            Some(Self(number))
        }
    }

    #[inline]
    pub(crate) const fn from_high_bits(byte: u8) -> Self {
        Self(byte >> 4)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for AuthorityId {
    type Error = GdidPartsError;

    fn try_from(number: u8) -> Result<Self, GdidPartsError> {
        Self::new(number).ok_or(GdidPartsError::Authority(number))
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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

/// How far an authority is with one sequence: the last counter that it has given away.
///
/// [`START`](Self::START) is before the first id, which has counter 1: `0:0:0` is never issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceState {
    era: u32,
    counter: u64,
}

/// Why a sequence can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// The last era is used up.
    #[error("the eras are used up: the sequence is at the end of era {era}")]
    ErasExhausted {
        /// The last era.
        era: u32,
    },
}

impl SequenceState {
    /// The state of a sequence that nobody has used.
    pub const START: Self = Self { era: 0, counter: 0 };

    /// The era after which there is none: the very last one is kept back.
    pub const LAST_ERA: u32 = u32::MAX - 1;

    /// A state as it was stored; `None` when the counter is above [`Gdid::MAX_COUNTER`].
    pub const fn new(era: u32, counter: u64) -> Option<Self> {
        if counter > Gdid::MAX_COUNTER {
            None
        } else {
            Some(Self { era, counter })
        }
    }

    /// The era.
    pub const fn era(self) -> u32 {
        self.era
    }

    /// The last counter that was given away.
    pub const fn counter(self) -> u64 {
        self.counter
    }

    /// The next block and the state after it. The state has to be durable before the block is used.
    ///
    /// Every era begins at counter 1. Near the end of an era's counters the rest is skipped: once
    /// the last counter given away is 2⁶⁰ − 1 − (size + 1) or above, the next era begins.
    ///
    /// # Errors
    ///
    /// [`AdvanceError::ErasExhausted`]: there is no next era, or the state is beyond
    /// [`LAST_ERA`](Self::LAST_ERA).
    ///
    /// ```
    /// use mdb_gdid::{AuthorityId, BlockSize, Gdid, SequenceState};
    ///
    /// let authority = AuthorityId::new(3).expect("below 16");
    /// let size = BlockSize::new(10).expect("1 to 1,024");
    /// let (block, after) = SequenceState::START.advance(authority, size)?;
    /// assert_eq!(block.ids().next(), Some(Gdid::new(0, 3, 1)?));
    /// assert_eq!(after.counter(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(
        self,
        authority: AuthorityId,
        size: BlockSize,
    ) -> Result<(Block, Self), AdvanceError> {
        if self.era > Self::LAST_ERA {
            return Err(AdvanceError::ErasExhausted { era: self.era });
        }
        let count = u64::from(size.get());
        let before = if self.counter >= Gdid::MAX_COUNTER - (count + 1) {
            if self.era >= Self::LAST_ERA {
                return Err(AdvanceError::ErasExhausted { era: self.era });
            }
            Self {
                era: self.era + 1,
                counter: 0,
            }
        } else {
            self
        };
        let block = Block {
            era: before.era,
            authority,
            first: before.counter + 1,
            count: size.get(),
        };
        Ok((
            block,
            Self {
                era: before.era,
                counter: before.counter + count,
            },
        ))
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
    /// A block as an authority elsewhere has handed it out: `size` ids from `first` on.
    ///
    /// It is for [`BlockSource`]s that receive blocks from another process. An authority that
    /// keeps its own count gets its blocks from [`SequenceState::advance`].
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

/// Why an authority handed out no block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// The authority, or where it keeps its count, can't be used just now.
    #[error("authority {authority} can't hand out ids of sequence `{sequence}` just now")]
    Unavailable {
        /// The authority.
        authority: AuthorityId,
        /// The sequence.
        sequence: SequenceName,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What it has stored is no count. It is never taken for a fresh start.
    #[error(
        "authority {authority} has stored no valid count of sequence `{sequence}`; restore it before issuing ids"
    )]
    Corrupt {
        /// The authority.
        authority: AuthorityId,
        /// The sequence.
        sequence: SequenceName,
    },
    /// The sequence has come to its end.
    #[error("sequence `{sequence}` of authority {authority} has come to its end")]
    Exhausted {
        /// The authority.
        authority: AuthorityId,
        /// The sequence.
        sequence: SequenceName,
        /// Where.
        #[source]
        source: AdvanceError,
    },
}

impl AllocateError {
    /// Whether the same call may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Corrupt { .. } | Self::Exhausted { .. } => false,
        }
    }
}

/// What [`BlockSource::allocate`] returns.
pub type AllocateFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Block, AllocateError>> + Send + 'a>>;

/// An authority, wherever it keeps its count.
///
/// # Durability
///
/// An implementation makes the advanced state durable **before** it returns the block. Nothing
/// that was ever returned is returned again, whatever crashes, and whatever is restored.
pub trait BlockSource: Send + Sync + fmt::Debug {
    /// Hands out a block of `sequence` in `scope`, of at most `size` ids.
    ///
    /// # Errors
    ///
    /// [`AllocateError`]; then no id was given away, or those that were are lost for good.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, a block may have been given away; its ids are lost, never
    /// issued again.
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a>;
}

#[cfg(test)]
mod tests;
