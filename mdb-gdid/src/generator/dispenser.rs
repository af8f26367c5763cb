//! Dealing places of the current block to any number of threads, with one atomic addition each.
//!
//! Vocabulary:
//!
//! - **serial**: the number of a block in the order in which blocks are published here; 40 bits.
//! - **place**: where in a block an id is. Places count up to [`FULL`], so that whether a block is
//!   used up can be seen from the place alone.
//! - **ticket**: serial and place in one word. Taking an id is adding 1 to it.
//! - **slot**: where the block of a serial is described. A few slots are used in turn.
//! - **mark**: the place whose taker is told that memory runs low.
//! - **lapses**: how often ids have lapsed. A handle drops those that it holds when it changes.
//!
//! Why no id is dealt twice: a place of a serial is given to one taker only, for it comes out of an
//! atomic addition, and a ticket never returns to a place of the same serial below [`FULL`]. The
//! taker then reads the slot. What it finds there is the block of its serial or of a later one,
//! because the slot is written before the ticket is (release, acquire). Should it be a later one, for
//! the taker has slept while all slots were used again, the slot's serial tells, which is read last
//! and was made invalid before anything else changed; then the place is lost and another is taken.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

#[cfg(mdb_loom)]
use loom::sync::atomic::{AtomicU64, fence};
#[cfg(not(mdb_loom))]
use std::sync::atomic::{AtomicU64, fence};

use crate::authority::Block;

const PLACE_BITS: u32 = 24;
const PLACES: u64 = 1 << PLACE_BITS;
const MAX_SERIAL: u64 = u64::MAX >> PLACE_BITS;
/// The place after a block's last one. Takers that come too late count on from here.
const FULL: u64 = PLACES / 2;
/// From here on they set the ticket back to [`FULL`], long before it could reach the serial.
const FAR_BEYOND: u64 = FULL + PLACES / 16;
/// No serial, and no place.
const NONE: u64 = u64::MAX;

/// Keeps what all threads write apart from what they only read.
#[repr(align(128))]
#[derive(Debug)]
struct Line<T>(T);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Dispenser<const SLOTS: usize = 64> {
    ticket: Line<AtomicU64>,
    lapses: Line<AtomicU64>,
    slots: [Slot; SLOTS],
}

#[derive(Debug)]
struct Slot {
    serial: AtomicU64,
    era: AtomicU64,
    /// The lower 64 bits of the id at place 0, were there one; wraps around.
    base: AtomicU64,
    mark: AtomicU64,
}

/// An id that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// The ticket that it was taken with.
    pub(super) ticket: u64,
    pub(super) era: u32,
    /// Its lower 64 bits.
    pub(super) id: u64,
    /// Whether memory runs low from here on; one taker is told so.
    pub(super) at_mark: bool,
}

/// Consecutive ids that were taken together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The ticket that the first one was taken with.
    pub(super) ticket: u64,
    pub(super) era: u32,
    /// The lower 64 bits of the first id.
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) at_mark: bool,
}

/// What a taker found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Take<T> {
    Got(T),
    /// The slot was used again meanwhile; this many ids are lost. Try again.
    Lost(u64),
    /// The block is used up.
    Empty,
}

impl<const SLOTS: usize> Dispenser<SLOTS> {
    /// One with nothing to deal.
    pub(super) fn new() -> Self {
        Self {
            ticket: Line(AtomicU64::new(FULL)),
            lapses: Line(AtomicU64::new(0)),
            slots: std::array::from_fn(|_| Slot {
                serial: AtomicU64::new(NONE),
                era: AtomicU64::new(0),
                base: AtomicU64::new(0),
                mark: AtomicU64::new(NONE),
            }),
        }
    }

    /// Takes an id. No lock, and no wait for anybody.
    #[inline]
    pub(super) fn next(&self) -> Take<Taken> {
        // Release as well, because whoever moves the mark relies on the order; see `set_mark`.
        let ticket = self.ticket.0.fetch_add(1, AcqRel);
        let place = place_of(ticket);
        if place >= FULL {
            return self.too_late(place);
        }
        match self.look_up(ticket) {
            Some((era, base, mark)) => Take::Got(Taken {
                ticket,
                era,
                id: base.wrapping_add(place),
                at_mark: place == mark,
            }),
            None => Take::Lost(1),
        }
    }

    /// Takes as many ids as `wanted` says for what is left of the block; at least one.
    pub(super) fn run(&self, wanted: impl Fn(u64) -> u64) -> Take<Run> {
        let mut ticket = self.ticket.0.load(Relaxed);
        loop {
            let place = place_of(ticket);
            if place >= FULL {
                return Take::Empty;
            }
            let left = FULL - place;
            let count = wanted(left).clamp(1, left);
            match self
                .ticket
                .0
                .compare_exchange_weak(ticket, ticket + count, AcqRel, Relaxed)
            {
                Err(now) => ticket = now,
                Ok(_) => {
                    return match self.look_up(ticket) {
                        Some((era, base, mark)) => Take::Got(Run {
                            ticket,
                            era,
                            first: base.wrapping_add(place),
                            count,
                            at_mark: (place..place + count).contains(&mark),
                        }),
                        None => Take::Lost(count),
                    };
                }
            }
        }
    }

    /// Era, base and mark of the block that a ticket belongs to, unless its slot was used again.
    #[inline]
    fn look_up(&self, ticket: u64) -> Option<(u32, u64, u64)> {
        let serial = serial_of(ticket);
        let slot = self.slot(serial);
        let (era, base) = (slot.era.load(Relaxed), slot.base.load(Relaxed));
        let mark = slot.mark.load(Relaxed);
        // Whoever has read a later block's field sees its invalid serial, or a later one, after this.
        fence(Acquire);
        let unchanged = slot.serial.load(Relaxed) == serial;
        #[expect(clippy::cast_possible_truncation, reason = "an era was stored")]
        unchanged.then_some((era as u32, base, mark))
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a remainder of the number of slots"
    )]
    fn slot(&self, serial: u64) -> &Slot {
        &self.slots[(serial % SLOTS as u64) as usize]
    }

    #[cold]
    fn too_late(&self, place: u64) -> Take<Taken> {
        if place > FAR_BEYOND {
            let mut ticket = self.ticket.0.load(Relaxed);
            while place_of(ticket) > FAR_BEYOND {
                let back = ticket_of(serial_of(ticket), FULL);
                match self
                    .ticket
                    .0
                    .compare_exchange_weak(ticket, back, AcqRel, Relaxed)
                {
                    Ok(_) => break,
                    Err(now) => ticket = now,
                }
            }
        }
        Take::Empty
    }

    /// Deals from `block` from now on; whoever takes the last id but `low` is told so. Returns how
    /// many ids of the block before are lost by it.
    ///
    /// Publishing, stopping and marking are for one thread at a time: callers hold a lock.
    pub(super) fn publish(&self, block: &Block, low: i64) -> u64 {
        let count = u64::from(block.count());
        let serial = (serial_of(self.ticket.0.load(Relaxed)) + 1) & MAX_SERIAL;
        let slot = self.slot(serial);
        slot.serial.store(NONE, Relaxed);
        fence(Release);
        slot.era.store(u64::from(block.first().era()), Relaxed);
        let base = block.first().id().wrapping_sub(FULL - count);
        slot.base.store(base, Relaxed);
        slot.mark.store(mark_of(low), Relaxed);
        slot.serial.store(serial, Release);
        let before = self.ticket.0.swap(ticket_of(serial, FULL - count), AcqRel);
        left_at(before)
    }

    /// Deals nothing from now on. Returns how many ids are lost by it.
    pub(super) fn stop(&self) -> u64 {
        // Another serial, so that the ticket is another one even if the block was used up.
        let serial = (serial_of(self.ticket.0.load(Relaxed)) + 1) & MAX_SERIAL;
        left_at(self.ticket.0.swap(ticket_of(serial, FULL), AcqRel))
    }

    /// Moves the mark of the current block: whoever leaves only `low` ids is told. Returns how many
    /// are left; when they are no more than `low`, nobody may be told.
    pub(super) fn set_mark(&self, low: i64) -> u64 {
        let serial = serial_of(self.ticket.0.load(Relaxed));
        self.slot(serial).mark.store(mark_of(low), Relaxed);
        // As an addition it is in one order with all takers': those before it are counted, those
        // after it see the mark.
        left_at(self.ticket.0.fetch_add(0, AcqRel))
    }

    /// Whether nobody has taken an id, and nothing was published or stopped, since the ticket was this.
    #[inline]
    pub(super) fn is_at(&self, ticket: u64) -> bool {
        // What another thread did before it told this one of it, in whatever way, is seen here.
        self.ticket.0.load(Relaxed) == ticket
    }

    /// Whether nobody took an id of the same block between two tickets.
    pub(super) fn is_undisturbed(before: u64, after: u64) -> bool {
        before == after || serial_of(before) != serial_of(after)
    }

    /// Makes ids void that were taken for later; after [`stop`](Self::stop), if that is called for.
    pub(super) fn lapse(&self) {
        self.lapses.0.fetch_add(1, Release);
    }

    /// To be read before ids are taken for later.
    pub(super) fn lapses(&self) -> u64 {
        // Who reads the count after a lapse takes nothing that was stopped before.
        self.lapses.0.load(Acquire)
    }

    /// Whether nothing has lapsed since [`lapses`](Self::lapses) was read.
    #[inline]
    pub(super) fn is_unlapsed(&self, lapses: u64) -> bool {
        self.lapses.0.load(Relaxed) == lapses
    }

    /// How many ids are left.
    pub(super) fn left(&self) -> u64 {
        left_at(self.ticket.0.load(Acquire))
    }
}

/// The place whose taker leaves `low` ids; none when that would be before or after the block.
fn mark_of(low: i64) -> u64 {
    u64::try_from(low)
        .ok()
        .and_then(|low| (FULL - 1).checked_sub(low))
        .unwrap_or(NONE)
}

fn left_at(ticket: u64) -> u64 {
    FULL.saturating_sub(place_of(ticket))
}

const fn place_of(ticket: u64) -> u64 {
    ticket & (PLACES - 1)
}

const fn serial_of(ticket: u64) -> u64 {
    ticket >> PLACE_BITS
}

const fn ticket_of(serial: u64, place: u64) -> u64 {
    serial << PLACE_BITS | place
}

#[cfg(test)]
mod tests;
