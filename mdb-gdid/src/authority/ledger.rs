//! What an authority remembers of one sequence.

use std::time::{Duration, SystemTime};

use super::{AdvanceError, AuthorityId, Block, BlockSize, SequenceState};

/// A moment as an authority's own clock tells it: milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);

    /// A moment as it was stored.
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn get(self) -> u64 {
        self.0
    }

    fn after(self, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// Moments before 1970 count as its beginning.
impl From<SystemTime> for UnixMillis {
    fn from(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// How long ids of a block may be dealt, from before it was asked for: 1 second to 1 day. What is
/// left afterwards is lost.
///
/// It bounds how long ids from below a floor can still appear after the floor was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockLife(Duration);

impl BlockLife {
    /// The usual one: 10 minutes.
    pub const USUAL: Self = Self(Duration::from_mins(10));
    /// The shortest: 1 second.
    pub const MIN: Self = Self(Duration::from_secs(1));
    /// The longest: 1 day.
    pub const MAX: Self = Self(Duration::from_hours(24));

    /// A life, or `None` when it is too short or too long.
    pub fn new(life: Duration) -> Option<Self> {
        let life = Self(life);
        (Self::MIN..=Self::MAX).contains(&life).then_some(life)
    }

    /// How long.
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// What an authority remembers of one sequence: how far it is, and how many blocks it has handed out
/// of late.
///
/// The blocks are counted in two windows, each at least as long as a [`BlockLife`]; so the number of
/// those that may still be dealt from is known, never too low, without remembering each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    state: SequenceState,
    blocks: u64,
    last_at: UnixMillis,
    window_at: UnixMillis,
    window_blocks: u64,
    earlier_blocks: u64,
}

impl Ledger {
    /// The ledger of a sequence that nobody has used.
    pub const START: Self = Self {
        state: SequenceState::START,
        blocks: 0,
        last_at: UnixMillis::EPOCH,
        window_at: UnixMillis::EPOCH,
        window_blocks: 0,
        earlier_blocks: 0,
    };

    /// A ledger as it was stored: the state, how many blocks were handed out ever, when the last one
    /// was, when the present window began, how many blocks there were then, and how many when the
    /// window before it began. `None` when the numbers contradict each other.
    pub const fn new(
        state: SequenceState,
        blocks: u64,
        last_at: UnixMillis,
        window_at: UnixMillis,
        window_blocks: u64,
        earlier_blocks: u64,
    ) -> Option<Self> {
        if earlier_blocks > window_blocks || window_blocks > blocks || window_at.0 > last_at.0 {
            return None;
        }
        Some(Self {
            state,
            blocks,
            last_at,
            window_at,
            window_blocks,
            earlier_blocks,
        })
    }

    /// How far the sequence is.
    pub const fn state(&self) -> SequenceState {
        self.state
    }

    /// How many blocks were handed out ever.
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// When the last block was handed out.
    pub const fn last_at(&self) -> UnixMillis {
        self.last_at
    }

    /// When the present window began.
    pub const fn window_at(&self) -> UnixMillis {
        self.window_at
    }

    /// How many blocks had been handed out when the present window began.
    pub const fn window_blocks(&self) -> u64 {
        self.window_blocks
    }

    /// How many blocks had been handed out when the window before it began.
    pub const fn earlier_blocks(&self) -> u64 {
        self.earlier_blocks
    }

    /// The next block, handed out at `now`, and the ledger after it, which has to be durable before
    /// the block is used. A clock that has gone back counts as standing still.
    ///
    /// # Errors
    ///
    /// [`AdvanceError`], as [`SequenceState::advance`].
    pub fn issue(
        self,
        authority: AuthorityId,
        size: BlockSize,
        now: UnixMillis,
        life: BlockLife,
    ) -> Result<(Block, Self), AdvanceError> {
        let (block, state) = self.state.advance(authority, size)?;
        let now = now.max(self.last_at);
        let mut after = Self {
            state,
            blocks: self.blocks + 1,
            last_at: now,
            ..self
        };
        if now >= self.window_at.after(life.get()) {
            after.earlier_blocks = self.window_blocks;
            after.window_blocks = self.blocks;
            after.window_at = now;
        }
        Ok((block, after))
    }

    /// The ledger from which no id below the state's next one is handed out; as it was if it is
    /// there already.
    pub fn raised(self, floor: SequenceState) -> Self {
        Self {
            state: self.state.max(floor),
            ..self
        }
    }

    /// How many blocks may still be dealt from at `now`, or a few more.
    pub fn outstanding(&self, now: UnixMillis, life: BlockLife) -> u64 {
        if self.lapses_after(now, life).is_zero() {
            0
        } else if now >= self.window_at.after(life.get()) {
            self.blocks - self.window_blocks
        } else {
            self.blocks - self.earlier_blocks
        }
    }

    /// How long, from `now`, until no block that was handed out is dealt from any more.
    pub fn lapses_after(&self, now: UnixMillis, life: BlockLife) -> Duration {
        if self.blocks == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.last_at.after(life.get()).0.saturating_sub(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list of all blocks: never too few, and none that is two lives old.
        #[test]
        fn outstanding_blocks_are_bounded(steps in proptest::collection::vec(0..5_000_u64, 1..60), later in 0..5_000_u64) {
            let life = BlockLife::new(Duration::from_secs(2)).unwrap();
            let (authority, size) = (AuthorityId::new(0).unwrap(), BlockSize::new(3).unwrap());
            let (mut ledger, mut now, mut handed_out) = (Ledger::START, 1_000_000, Vec::new());
            for step in steps {
                now += step;
                ledger = ledger.issue(authority, size, UnixMillis::new(now), life).unwrap().1;
                handed_out.push(now);
            }
            now += later;
            let younger_than = |lives: u64| handed_out.iter().filter(|at| now < **at + lives * 2_000).count() as u64;
            let outstanding = ledger.outstanding(UnixMillis::new(now), life);
            prop_assert!(outstanding >= younger_than(1), "{} < {}", outstanding, younger_than(1));
            prop_assert_eq!(outstanding == 0, younger_than(1) == 0);
            prop_assert_eq!(ledger.blocks(), handed_out.len() as u64);
        }
    }

    #[test]
    fn a_clock_that_goes_back_stands_still() {
        let life = BlockLife::MIN;
        let (authority, size) = (AuthorityId::new(0).unwrap(), BlockSize::new(3).unwrap());
        let at = |millis| UnixMillis::new(millis);
        let (_, ledger) = Ledger::START
            .issue(authority, size, at(9_000), life)
            .unwrap();
        let (_, ledger) = ledger.issue(authority, size, at(1_000), life).unwrap();
        assert_eq!(ledger.last_at(), at(9_000));
        assert_eq!(ledger.outstanding(at(9_999), life), 2);
        assert_eq!(ledger.outstanding(at(10_000), life), 0);
    }
}
