//! What a generator holds besides the block that is being dealt, behind a lock that nobody takes as
//! long as that block lasts.
//!
//! Vocabulary:
//!
//! - **reserve**: blocks that came and are dealt later, in the order in which they came.
//! - **lapse**: the moment from which nothing of a block is dealt any more: a little before its life
//!   is over, for timers are late and clocks differ. Lapses of blocks that come soon after one another
//!   are moved to the earliest of them, so that there are only a few.
//! - **dormant**: the last block lapsed without anybody having taken of it. No other is fetched until
//!   somebody asks, so that a process that needs no ids has none outstanding.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::dispenser::Dispenser;
use super::options::GeneratorOptions;
use super::pace::Pace;
use crate::authority::{AuthorityError, Block, BlockSize, Place, SequenceState};
use crate::names::SequenceName;

/// Into how many parts a block's life is divided, each of which has one lapse.
const LAPSES_IN_A_LIFE: u32 = 8;
/// In how many sixteenths of its life a block is dealt from.
const DEALT_SIXTEENTHS: u32 = 15;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Stock {
    options: GeneratorOptions,
    made_at: Instant,
    pub(super) pace: Pace,
    reserve: VecDeque<Held>,
    /// When the block that is being dealt lapses.
    dealt_lapses: Option<Instant>,
    /// When something lapses that is in memory or has been taken from it, ascending.
    lapses: VecDeque<Instant>,
    dormant: bool,
    /// How many ids one who waits needs; 0 when nobody waits.
    wanted: usize,
    /// How far each authority was when its last block came.
    seen: [Option<SequenceState>; 16],
    pub(super) counts: Counts,
    /// How many ids had been taken when the last block came.
    taken_when_it_came: u64,
    pub(super) last_failure: Option<AuthorityError>,
    pub(super) near_the_end: bool,
    pub(super) filler: Filler,
}

/// Whether the filler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    Absent,
    Running,
    /// No generator is left, so it ends, and never runs again.
    Dismissed,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) blocks: u64,
    pub(super) failures: u64,
    /// Ids of blocks that are, or were, dealt.
    published: u64,
    /// Those of them that were dropped.
    dropped: u64,
}

#[derive(Debug)]
struct Held {
    block: Block,
    lapses: Instant,
}

/// What the filler does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for a block.
    Fetch(BlockSize),
    /// Wait until woken, or until then.
    Rest(Option<Instant>),
    /// No generator is left.
    End,
}

impl Stock {
    pub(super) fn new(options: GeneratorOptions) -> Self {
        Self {
            options,
            made_at: Instant::now(),
            pace: Pace::new(options),
            reserve: VecDeque::new(),
            dealt_lapses: None,
            lapses: VecDeque::new(),
            dormant: false,
            wanted: 0,
            seen: [None; 16],
            counts: Counts::default(),
            taken_when_it_came: 0,
            last_failure: None,
            near_the_end: false,
            filler: Filler::Absent,
        }
    }

    fn reserve_ids(&self) -> u64 {
        self.reserve
            .iter()
            .map(|held| u64::from(held.block.count()))
            .sum()
    }

    /// How many ids are in memory.
    pub(super) fn left(&self, dispenser: &Dispenser) -> u64 {
        dispenser.left() + self.reserve_ids()
    }

    /// How many ids were taken so far.
    pub(super) fn taken(&self, dispenser: &Dispenser) -> u64 {
        self.counts.published - self.counts.dropped - dispenser.left()
    }

    /// Whether the next block is to be fetched.
    pub(super) fn is_low(&self, dispenser: &Dispenser) -> bool {
        self.left(dispenser) <= self.pace.low_water()
    }

    /// Deals from the next block of the reserve from now on; false when there is none.
    fn publish_next(&mut self, dispenser: &Dispenser) -> bool {
        let Some(held) = self.reserve.pop_front() else {
            return false;
        };
        self.dealt_lapses = Some(held.lapses);
        self.counts.dropped += dispenser.publish(&held.block, self.mark());
        self.counts.published += u64::from(held.block.count());
        true
    }

    /// How many ids of the block that is being dealt are left when the next one is to be fetched.
    fn mark(&self) -> i64 {
        let signed = |ids: u64| i64::try_from(ids).unwrap_or(i64::MAX);
        signed(self.pace.low_water()) - signed(self.reserve_ids())
    }

    /// The block that is being dealt is used up: goes on with the next; false when there is none.
    pub(super) fn go_on(&mut self, dispenser: &Dispenser) -> bool {
        self.dormant = false;
        dispenser.left() > 0 || self.publish_next(dispenser)
    }

    /// Prepares for taking `count` ids that had better be consecutive: drops what is left of the block
    /// that is being dealt when it is less than half, and the next one, or a fresh one, has enough.
    pub(super) fn make_room(&mut self, dispenser: &Dispenser, count: u64) {
        let left = dispenser.left();
        if left > count / 2 {
            return;
        }
        let next = self.reserve.front().map(|held| held.block.count());
        if next.is_some_and(|ids| u64::from(ids) >= count) {
            self.publish_next(dispenser);
        } else if left + self.reserve_ids() <= count / 2 {
            while self.publish_next(dispenser) {}
            self.counts.dropped += dispenser.stop();
        }
    }

    /// Somebody waits for `count` ids.
    pub(super) fn want(&mut self, count: usize) {
        self.wanted = self.wanted.max(count);
    }

    #[cfg(test)]
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted > 0
    }

    /// What to do at `now`, when a failed fetch is not repeated before `retry_at` unless somebody
    /// waits.
    pub(super) fn step(
        &mut self,
        dispenser: &Dispenser,
        now: Instant,
        retry_at: Option<Instant>,
    ) -> Step {
        if self.filler == Filler::Dismissed {
            return Step::End;
        }
        if self.wanted == 0 {
            let left = dispenser.set_mark(self.mark()) + self.reserve_ids();
            if self.dormant || left > self.pace.low_water() {
                return Step::Rest(None);
            }
            if retry_at.is_some_and(|at| at > now) {
                return Step::Rest(retry_at);
            }
        }
        let taken = self.taken(dispenser);
        self.pace.fetch_begins(now - self.made_at, taken);
        let size = self.pace.size();
        let wanted = BlockSize::clamped(self.wanted).map_or(size, |wanted| size.max(wanted));
        Step::Fetch(wanted.min(self.options.largest()))
    }

    /// A block has come that was asked for at `asked_at`.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::WentBack`]: it is not above what its authority gave before.
    pub(super) fn block_came(
        &mut self,
        dispenser: &Dispenser,
        sequence: &SequenceName,
        block: Block,
        asked_at: Instant,
        now: Instant,
    ) -> Result<(), AuthorityError> {
        let authority = block.first().authority();
        let seen = &mut self.seen[usize::from(authority.get())];
        if let Some(before) = *seen
            && block.first().range_key() < before.next()
        {
            return Err(AuthorityError::WentBack {
                place: Place::new("the authority"),
                authority,
                sequence: sequence.clone(),
                found: block.first().range_key(),
                seen: before.next(),
            });
        }
        *seen = Some(block.state_after());
        self.pace.block_came(now - asked_at);
        self.near_the_end = block.state_after().is_near_the_end();
        let dealt_for = self.options.block_life().get() / 16 * DEALT_SIXTEENTHS;
        let lapses = self.lapse_of(asked_at + dealt_for);
        self.reserve.push_back(Held { block, lapses });
        self.counts.blocks += 1;
        self.last_failure = None;
        self.wanted = 0;
        if dispenser.left() == 0 {
            self.publish_next(dispenser);
        }
        self.taken_when_it_came = self.taken(dispenser);
        Ok(())
    }

    /// A fetch has failed.
    pub(super) fn fetch_failed(&mut self, error: AuthorityError) {
        self.counts.failures += 1;
        self.last_failure = Some(error);
        self.wanted = 0;
    }

    fn lapse_of(&mut self, at: Instant) -> Instant {
        let life: Duration = self.options.block_life().get();
        match self.lapses.back() {
            Some(&last) if at < last + life / LAPSES_IN_A_LIFE => last,
            _ => {
                self.lapses.push_back(at);
                at
            }
        }
    }

    /// When something lapses next.
    pub(super) fn next_lapse(&self) -> Option<Instant> {
        self.lapses.front().copied()
    }

    /// Drops what has lapsed at `now`; whether anything has, so that handles drop theirs.
    pub(super) fn drop_lapsed(&mut self, dispenser: &Dispenser, now: Instant) -> bool {
        let before = self.lapses.len();
        while self.lapses.front().is_some_and(|at| *at <= now) {
            self.lapses.pop_front();
        }
        if self.lapses.len() == before {
            return false;
        }
        if self.dealt_lapses.is_some_and(|at| at <= now) {
            self.counts.dropped += dispenser.stop();
            self.dealt_lapses = None;
        }
        self.reserve.retain(|held| held.lapses > now);
        if dispenser.left() == 0 && !self.publish_next(dispenser) {
            self.dormant = self.taken(dispenser) == self.taken_when_it_came;
        }
        true
    }

    /// Drops everything.
    pub(super) fn drop_all(&mut self, dispenser: &Dispenser) {
        self.lapses.clear();
        self.reserve.clear();
        self.dealt_lapses = None;
        self.counts.dropped += dispenser.stop();
    }
}

#[cfg(test)]
mod tests;
