//! How far an authority is with a sequence, and how it goes on.

use super::{AuthorityId, Block, BlockSize};
use crate::gdid::Gdid;
use crate::range_key::RangeKey;

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

    /// The state after which no id below `floor` comes: the one right before it.
    pub const fn before(floor: RangeKey) -> Self {
        Self {
            era: floor.era(),
            counter: floor.counter().saturating_sub(1),
        }
    }

    /// The range key that comes next, unless the era turns before: it does a little early, when a
    /// block would come too near to the end.
    pub const fn next(self) -> RangeKey {
        if self.counter < Gdid::MAX_COUNTER {
            RangeKey::from_parts(self.era, self.counter + 1)
        } else {
            RangeKey::from_parts(self.era.saturating_add(1), 1)
        }
    }

    /// How many counters the era has left.
    pub const fn remaining(self) -> u64 {
        Gdid::MAX_COUNTER - self.counter
    }

    /// Whether the eras themselves are running out: 16 or fewer are left.
    pub const fn is_near_the_end(self) -> bool {
        self.era > Self::LAST_ERA - 16
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
        let block = Block::from_parts(before.era, authority, before.counter + 1, size);
        Ok((
            block,
            Self {
                era: before.era,
                counter: before.counter + count,
            },
        ))
    }
}
