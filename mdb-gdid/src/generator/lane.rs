//! Ids that one thread, or one handle, has taken for later, so that most ids cost no atomic operation
//! that other processors notice.
//!
//! A **lane** holds a few consecutive ids. It takes more at a time the longer it is left alone:
//!
//! - The lane of a thread is used only as long as nobody else has taken an id since it was filled,
//!   which the ticket tells; else its ids are dropped, because a higher one is out. So ids ascend over all
//!   threads as if each was taken from the block, and threads that take turns take single ones.
//! - The lane of a handle is used until something lapses. Its ids ascend by themselves.

use std::cell::Cell;

use super::dispenser::Run;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Lane {
    /// Whose ids they are; 0 for nobody's.
    generator: Cell<u64>,
    /// What must not have changed since it was filled.
    seen: Cell<u64>,
    era: Cell<u32>,
    /// The lower 64 bits of the next id.
    next: Cell<u64>,
    left: Cell<u64>,
    /// Whether to let others go first; see [`step_aside`](Self::step_aside).
    aside: Cell<bool>,
    /// How often in a row ids were taken undisturbed.
    undisturbed: Cell<u32>,
    /// How often that has to be before more than one id is taken.
    singles: u32,
}

/// After how many single ids a thread takes more of them. Threads that get into each other's way now and
/// then have runs of undisturbed ones, too, and each id that they drop costs them more than it saves.
const SINGLES_OF_THREAD: u32 = 64;

/// How long a thread lets others go first: about the time that they need for ten ids.
const SPINS_ASIDE: u32 = 4;

/// How many generators a thread has lanes for. With more, some take single ids.
const LANES: usize = 8;

thread_local! {
    static OF_THREAD: [Lane; LANES] = const { [const { Lane::new(SINGLES_OF_THREAD) }; LANES] };
}

/// Does something with this thread's lane for a generator, which may be another one's as yet.
#[inline]
pub(super) fn with_lane_of_thread<T>(generator: u64, act: impl FnOnce(&Lane) -> T) -> T {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a remainder of the number of lanes"
    )]
    OF_THREAD.with(|lanes| act(&lanes[(generator % LANES as u64) as usize]))
}

impl Lane {
    pub(super) const fn new(singles: u32) -> Self {
        Self {
            generator: Cell::new(0),
            seen: Cell::new(0),
            era: Cell::new(0),
            next: Cell::new(0),
            left: Cell::new(0),
            aside: Cell::new(false),
            undisturbed: Cell::new(0),
            singles,
        }
    }

    /// Era and lower 64 bits of the next id of `generator` that it holds, if `is_current` says so of
    /// what was seen when it was filled.
    ///
    /// Not the id itself: as 12 bytes in memory it would be copied, in pieces that processors wait
    /// for.
    #[inline]
    pub(super) fn deal(
        &self,
        generator: u64,
        is_current: impl FnOnce(u64) -> bool,
    ) -> Option<(u32, u64)> {
        let left = self.left.get();
        if left == 0 || self.generator.get() != generator || !is_current(self.seen.get()) {
            return None;
        }
        let next = self.next.get();
        self.left.set(left - 1);
        self.next.set(next.wrapping_add(1));
        Some((self.era.get(), next))
    }

    /// Drops what it holds, becomes `generator`'s, and says how many ids to take next: at most `most`.
    pub(super) fn length(&self, generator: u64, most: u64) -> u64 {
        let was_disturbed = self.left.replace(0) > 0;
        let was_another_s = self.generator.replace(generator) != generator;
        if was_disturbed || was_another_s {
            self.undisturbed.set(0);
        }
        let doublings = self.undisturbed.get().saturating_sub(self.singles);
        most.min(1 << doublings.min(63))
    }

    /// Notes that ids were taken: what was seen before, if nobody was in between, and what is to be seen
    /// from now on.
    pub(super) fn note(&self, seen: u64, is_undisturbed: impl FnOnce(u64) -> bool) {
        let undisturbed = is_undisturbed(self.seen.replace(seen));
        self.undisturbed.set(if undisturbed {
            self.undisturbed.get().saturating_add(1)
        } else {
            0
        });
        self.aside.set(!undisturbed && !self.aside.get());
    }

    /// Waits for a moment when another thread was in between the last time, but not twice in a row.
    ///
    /// Threads that take ids at the same time each pass the ticket's memory on for every single one, if none
    /// waits; so each in turn takes a few.
    pub(super) fn step_aside(&self) {
        if self.aside.get() {
            for _ in 0..SPINS_ASIDE {
                std::hint::spin_loop();
            }
        }
    }

    /// Takes ids in.
    pub(super) fn fill(&self, run: &Run) {
        self.era.set(run.era);
        self.next.set(run.first);
        self.left.set(run.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many ids are taken at a time, when it is disturbed before each of the given fills.
    fn lengths(singles: u32, fills: usize, disturbed_at: &[usize]) -> Vec<u64> {
        let lane = Lane::new(singles);
        let fill = |n| {
            let length = lane.length(1, 64);
            lane.note(0, |_| !disturbed_at.contains(&n));
            length
        };
        (0..fills).map(fill).collect()
    }

    #[test]
    fn a_lane_takes_more_the_longer_it_is_left_alone() {
        assert_eq!(lengths(0, 9, &[]), [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(lengths(3, 8, &[]), [1, 1, 1, 1, 2, 4, 8, 16]);
        assert_eq!(lengths(0, 8, &[3]), [1, 2, 4, 8, 1, 2, 4, 8]);
    }

    #[test]
    fn what_a_lane_holds_is_dealt_once_and_to_its_generator_alone() {
        let lane = Lane::new(0);
        let run = Run {
            ticket: 5,
            era: 3,
            first: u64::MAX,
            count: 2,
            at_mark: false,
        };
        assert_eq!(lane.length(9, 64), 1);
        lane.note(7, |_| true);
        lane.fill(&run);
        assert_eq!(lane.deal(8, |_| true), None, "another generator's");
        assert_eq!(lane.deal(9, |seen| seen == 7), Some((3, u64::MAX)));
        assert_eq!(lane.deal(9, |seen| seen == 6), None, "no longer current");
        assert_eq!(lane.deal(9, |_| true), Some((3, 0)));
        assert_eq!(lane.deal(9, |_| true), None, "used up");

        lane.fill(&run);
        assert_eq!(lane.length(8, 64), 1, "the other one's from now on");
        assert_eq!(lane.deal(8, |_| true), None);
        assert_eq!(lane.deal(9, |_| true), None);
    }
}
