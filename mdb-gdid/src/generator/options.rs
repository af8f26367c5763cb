//! What a generator may be told: how large its blocks are, when it asks for the next, how long it
//! deals from one.

use crate::authority::{BlockLife, BlockSize};

/// At how many percent of a block the next one is asked for: 1 to 90.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LowWater(u8);

impl LowWater {
    /// The usual one: 25 %.
    pub const USUAL: Self = Self(25);

    /// A low-water mark, or `None` when it is 0 or above 90.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent == 0 || percent > 90 {
            None
        } else {
            Some(Self(percent))
        }
    }

    /// How many percent.
    pub const fn percent(self) -> u8 {
        self.0
    }
}

/// How a [`Generator`](super::Generator) fetches blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorOptions {
    smallest: BlockSize,
    largest: BlockSize,
    low_water: LowWater,
    block_life: BlockLife,
}

impl GeneratorOptions {
    /// The usual ones: blocks of 8 to 1,024 ids, [`LowWater::USUAL`], [`BlockLife::USUAL`].
    pub const USUAL: Self = match (BlockSize::new(8), BlockSize::new(1024)) {
        (Some(smallest), Some(largest)) => Self {
            smallest,
            largest,
            low_water: LowWater::USUAL,
            block_life: BlockLife::USUAL,
        },
        _ => panic!("both sizes are valid"),
    };

    /// Blocks of `smallest` to `largest` ids, else as [`USUAL`](Self::USUAL); `None` when the
    /// smallest is larger than the largest.
    pub fn new(smallest: BlockSize, largest: BlockSize) -> Option<Self> {
        (smallest <= largest).then_some(Self {
            smallest,
            largest,
            ..Self::USUAL
        })
    }

    /// Asks for the next block at this low-water mark; or earlier, when ids are taken so fast that
    /// they would be used up before it came.
    #[must_use]
    pub const fn with_low_water(self, low_water: LowWater) -> Self {
        Self { low_water, ..self }
    }

    /// Deals ids of a block no longer than this. It has to be the same in every process that uses
    /// the sequence, and where its authorities count.
    #[must_use]
    pub const fn with_block_life(self, block_life: BlockLife) -> Self {
        Self { block_life, ..self }
    }

    /// The size of the first block, and of all when ids are taken slowly.
    pub const fn smallest(&self) -> BlockSize {
        self.smallest
    }

    /// The size that no block exceeds.
    pub const fn largest(&self) -> BlockSize {
        self.largest
    }

    /// The low-water mark.
    pub const fn low_water(&self) -> LowWater {
        self.low_water
    }

    /// How long ids of a block are dealt.
    pub const fn block_life(&self) -> BlockLife {
        self.block_life
    }
}
