//! A thread's or task's own ids, taken from the generator a few at a time.

use super::Generator;
use super::dispenser::Run;
use crate::authority::AuthorityError;
use crate::gdid::Gdid;

/// How many ids a handle holds at most.
const HELD: u64 = 64;

/// One thread's or task's way to a [`Generator`]: it takes up to 64 ids at a time and deals them with
/// nothing that other threads write. Its ids ascend within an authority; those of two handles are
/// mixed.
///
/// Ids that it holds when it is dropped are lost, never issued again.
///
/// # Durability
///
/// As for the [`Generator`].
#[derive(Debug)]
pub struct GeneratorHandle {
    generator: Generator,
    era: u32,
    /// The lower 64 bits of the next id.
    next: u64,
    held: u64,
    /// How often something had lapsed before the held ids were taken.
    lapses: u64,
}

impl GeneratorHandle {
    pub(super) fn new(generator: Generator) -> Self {
        Self {
            generator,
            era: 0,
            next: 0,
            held: 0,
            lapses: 0,
        }
    }

    /// The next id, if one is in memory. Never waits for an authority.
    #[inline]
    pub fn try_next(&mut self) -> Option<Gdid> {
        if self.held > 0 && self.generator.shared.dispenser.is_unlapsed(self.lapses) {
            return Some(self.deal());
        }
        self.refill().then(|| self.deal())
    }

    #[inline]
    fn deal(&mut self) -> Gdid {
        let id = Gdid::from_era_and_id(self.era, self.next);
        self.next = self.next.wrapping_add(1);
        self.held -= 1;
        id
    }

    /// Takes ids from the generator; false when it has none in memory.
    #[cold]
    fn refill(&mut self) -> bool {
        let shared = &self.generator.shared;
        self.held = 0;
        // Read before they are taken: what lapses from here on makes them void.
        self.lapses = shared.dispenser.lapses();
        // Fewer near a block's end, so that one handle does not take all of a small block.
        let Some(run) = shared.try_run(|left| (left / 4).clamp(1, HELD)) else {
            return false;
        };
        let Run {
            era, first, count, ..
        } = run;
        (self.era, self.next, self.held) = (era, first, count);
        true
    }

    /// The next id; waits for a block when memory holds none.
    ///
    /// # Errors
    ///
    /// As [`Generator::next`].
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is lost by it, none is issued twice.
    pub async fn next(&mut self) -> Result<Gdid, AuthorityError> {
        if let Some(id) = self.try_next() {
            return Ok(id);
        }
        let generator = self.generator.clone();
        generator.shared.wait_for(|| self.try_next().ok_or(1)).await
    }

    /// The generator that it takes from.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }
}
