//! Dealing single ids out of blocks.
//!
//! Vocabulary:
//!
//! - **fetch**: asking the authority for a block. A background task, the **filler**, does it, one at
//!   a time.
//! - **low-water mark**: how many ids are left in memory when the next block is fetched, so that it
//!   is there before they are used up.
//!
//! The parts: the `dispenser` deals the present block to all threads without a lock; a `lane` holds ids
//! that one thread has taken for later; the `stock` holds what comes after the block; the `pace`
//! chooses block sizes and the low-water mark.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::authority::{AuthorityError, BlockSource};
use crate::gdid::Gdid;
use crate::names::{ScopeName, SequenceName};
use dispenser::Run;
use shared::Shared;
use stock::Filler;

pub use handle::GeneratorHandle;
pub use metrics::GeneratorMetrics;
pub use options::{GeneratorOptions, LowWater};

mod dispenser;
mod filler;
mod handle;
mod lane;
mod metrics;
mod options;
mod pace;
mod shared;
mod stock;

/// A source of single ids of one sequence, from memory nearly always. Cheap to clone; clones share
/// their blocks.
///
/// Blocks are fetched before they are needed, by a task on the runtime that the generator is used
/// in; it ends with the last clone. The runtime needs its time driver
/// ([`enable_time`](tokio::runtime::Builder::enable_time)). When that runtime ends, what is in memory is
/// lost, and the next call in another one goes on.
///
/// Block sizes follow the rate at which ids are taken, and so does the moment at which the next block
/// is asked for. When the authority is slow, [`next`](Self::next) waits; when it fails, the fetch is
/// repeated in the background, and calls fail only once memory is empty.
///
/// Ids of one process ascend within an authority, in the order in which they are taken here.
///
/// # Durability
///
/// An id is dealt only out of a block that its authority returned, and an authority returns a block
/// only after its count is durable; see [`BlockSource`]. Ids of a block that the process does not use
/// up before it ends, or before its [`BlockLife`](crate::BlockLife) is over, are lost, never issued
/// again. A block that is not above all that came from the same authority before is refused with
/// [`AuthorityError::WentBack`].
///
/// ```no_run
/// use mdb_gdid::{BlockSource, Generator, GeneratorOptions};
/// use std::sync::Arc;
///
/// # async fn ids(authority: Arc<dyn BlockSource>) -> Result<(), Box<dyn std::error::Error>> {
/// let users = Generator::new(authority, "shop.main".parse()?, "user".parse()?, GeneratorOptions::USUAL);
/// let user = users.next().await?;
/// let three = users.take(3).await?;
/// assert!(user < three[0], "unless another authority has taken over meanwhile");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Generator {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

/// What all clones hold and the filler does not.
#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.stock().filler = Filler::Dismissed;
        self.0.wake.notify_one();
    }
}

impl Generator {
    /// Ids of the sequence `name` in `scope`, fetched from `source`. Needs no runtime yet.
    pub fn new(
        source: Arc<dyn BlockSource>,
        scope: ScopeName,
        name: SequenceName,
        options: GeneratorOptions,
    ) -> Self {
        let shared = Arc::new(Shared::new(source, scope, name, options));
        Self {
            _alive: Arc::new(Alive(Arc::clone(&shared))),
            shared,
        }
    }

    /// The sequence's name.
    pub fn name(&self) -> &SequenceName {
        &self.shared.name
    }

    /// The scope that the sequence is in.
    pub fn scope(&self) -> &ScopeName {
        &self.shared.scope
    }

    /// The next id, if one is in memory. Takes no lock as long as the present block lasts, and never
    /// waits for an authority. When memory is empty, a block is being fetched from now on; outside a
    /// tokio runtime it is not, unless the generator has been used inside one that still runs.
    #[inline]
    pub fn try_next(&self) -> Option<Gdid> {
        self.shared.try_next()
    }

    /// The next id; waits for a block when memory holds none. One fetch runs at a time.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`]: memory is empty and the authority gave no block, or there is no tokio
    /// runtime to ask it in. Calls that wait for the same fetch all get its error; the next call asks
    /// the authority again, at once.
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is lost by it, none is issued twice, and others that wait go on.
    pub async fn next(&self) -> Result<Gdid, AuthorityError> {
        match self.try_next() {
            Some(id) => Ok(id),
            None => self.shared.wait_for(|| self.try_next().ok_or(1)).await,
        }
    }

    /// The next `count` ids, ascending within an authority. They are consecutive where they can be: when
    /// the present block has enough, or when less than half of them is left of it, which is then
    /// dropped for a block that has enough. More than the largest block has are not.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next); the ids taken so far are lost.
    ///
    /// # Cancel safety
    ///
    /// Ids taken so far are lost; none is issued twice, and others that wait go on.
    pub async fn take(&self, count: usize) -> Result<Vec<Gdid>, AuthorityError> {
        let largest = usize::from(self.shared.options.largest().get());
        let mut ids = Vec::with_capacity(count.min(largest));
        // Now, when the wait begins, and once a block has come that may be too small; not for ever,
        // lest those who take together drop each other's blocks.
        let mut times_to_make_room = if count <= largest { 3 } else { 0 };
        while ids.len() < count {
            let missing = count - ids.len();
            let mut attempt = || {
                if times_to_make_room > 0 && missing == count {
                    self.shared.make_room(missing);
                    times_to_make_room -= 1;
                }
                let run = self.shared.try_run(|left| left.min(missing as u64));
                run.ok_or(missing)
            };
            let run = match attempt() {
                Ok(run) => run,
                Err(_) => self.shared.wait_for(attempt).await?,
            };
            let Run {
                era, first, count, ..
            } = run;
            ids.extend((0..count).map(|n| Gdid::from_era_and_id(era, first.wrapping_add(n))));
        }
        Ok(ids)
    }

    /// A way to take ids for one thread or task, which costs less than the shared one where several
    /// threads take ids at once.
    pub fn handle(&self) -> GeneratorHandle {
        GeneratorHandle::new(self.clone())
    }

    /// What it has done so far.
    pub fn metrics(&self) -> GeneratorMetrics {
        let shared = &self.shared;
        let stock = shared.stock();
        GeneratorMetrics {
            issued: stock
                .taken(&shared.dispenser)
                .saturating_sub(shared.lost.load(Ordering::Relaxed)),
            remaining: stock.left(&shared.dispenser),
            blocks: stock.counts.blocks,
            fetch_failures: stock.counts.failures,
            waits: shared.waits.load(Ordering::Relaxed),
            waited: shared.waited(),
            near_the_end: stock.near_the_end,
            last_failure: stock.last_failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
