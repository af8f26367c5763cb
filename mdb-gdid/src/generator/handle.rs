//! A thread's or task's own ids, taken from the generator a few at a time.

use super::Generator;
use super::lane::Lane;
use crate::authority::AuthorityError;
use crate::gdid::Gdid;

/// How many ids a handle holds at most.
const HELD: u64 = 256;

/// One thread's or task's way to a [`Generator`]: it takes more ids at a time the more it deals, up to
/// 256, and deals them with nothing that other threads write. Its ids ascend within an authority;
/// those of two handles are mixed.
///
/// Ids that it holds when it is dropped are lost, never issued again.
///
/// # Durability
///
/// As for the [`Generator`].
#[derive(Debug)]
pub struct GeneratorHandle {
    generator: Generator,
    lane: Lane,
}

impl GeneratorHandle {
    pub(super) fn new(generator: Generator) -> Self {
        let lane = Lane::new(0);
        Self { generator, lane }
    }

    /// The next id, if one is in memory. Never waits for an authority.
    #[inline]
    pub fn try_next(&mut self) -> Option<Gdid> {
        let shared = &self.generator.shared;
        let (era, id) = self
            .lane
            .deal(shared.id, |lapses| shared.dispenser.is_unlapsed(lapses))
            .or_else(|| self.refill())?;
        Some(Gdid::from_era_and_id(era, id))
    }

    #[inline(never)]
    fn refill(&self) -> Option<(u32, u64)> {
        let shared = &self.generator.shared;
        let length = self.lane.length(shared.id, HELD);
        // Read before they are taken: what lapses from here on makes them void.
        let lapses = shared.dispenser.lapses();
        let run = shared.try_run(|left| length.min(left))?;
        self.lane.note(lapses, |before| before == lapses);
        self.lane.fill(&run);
        self.lane.deal(shared.id, |_| true)
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
