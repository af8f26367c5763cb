//! The numbers that name things inside one topology.

use std::fmt;

macro_rules! index {
    ($(#[$about:meta])* $name:ident($inner:ty)) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// Wraps a number.
            #[inline]
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            /// The number.
            #[inline]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

index!(
    /// An area's place in its topology.
    AreaIndex(usize)
);
index!(
    /// A generation's place in its area, ascending by breakpoint.
    GenerationIndex(u16)
);
index!(
    /// A partition's place in its generation, ascending by start.
    PartitionIndex(u32)
);
index!(
    /// A shard, counted over a whole topology.
    ShardId(u32)
);

/// How many shards one list, a partition's or CENTRAL's, can have at the most.
pub const MAX_SHARDS: usize = 256;

/// A shard's place in its partition's (or CENTRAL's) list, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardPosition(u8);

impl ShardPosition {
    /// Wraps a place below 256; a shard list is no longer than that.
    ///
    /// # Panics
    ///
    /// When `place` is above 255.
    #[inline]
    pub const fn new(place: usize) -> Self {
        assert!(place < MAX_SHARDS, "a shard list holds at most 256 shards");
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        Self(place as u8)
    }

    /// The place.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for ShardPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
