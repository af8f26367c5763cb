//! The way back of a move that is done.
//!
//! To *revert* a move is to move its briefcases back, as any others are moved: those that are still where it brought
//! them. Whoever has moved one on since then did that on purpose.

use mdb_gdid::Gdid;

use super::error::MoveError;
use super::plan::{MoveRequest, Selection};
use super::record::MovePhase;
use super::relocator::Relocator;
use super::whereabouts::Places;

/// What would revert a move; see [`Relocator::way_back`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayBack {
    request: MoveRequest,
    briefcases: usize,
    back: usize,
    elsewhere: usize,
}

impl WayBack {
    /// What has to be planned: from the move's target to its source.
    pub fn request(&self) -> &MoveRequest {
        &self.request
    }

    /// How many briefcases the move had.
    pub fn briefcases(&self) -> usize {
        self.briefcases
    }

    /// How many of them are at the move's source already.
    pub fn back(&self) -> usize {
        self.back
    }

    /// How many are on neither of the two shards; they are left alone.
    pub fn elsewhere(&self) -> usize {
        self.elsewhere
    }
}

impl Relocator {
    /// What would revert a move that is done: it moves those of its briefcases back that are where it brought them.
    /// Plan that, and run the plan, as for any other move; it is verified like one. Changes nothing.
    ///
    /// # Errors
    ///
    /// - [`MoveError::Unknown`]: no move is called so.
    /// - [`MoveError::WrongPhase`]: it is not done. Resume or abort it first.
    /// - [`MoveError::Plan`]: the configuration has its area or its shards no more.
    /// - [`MoveError::Catalog`], [`MoveError::Database`]: the catalog could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use mdb_core::relocate::{MoveError, MoveOptions, MoveProgress, Relocator};
    ///
    /// async fn revert(relocator: &Relocator, id: &str) -> Result<(), MoveError> {
    ///     let way_back = relocator.way_back(id).await?;
    ///     let plan = relocator.plan(way_back.request()).await?;
    ///     relocator.run(&plan, &MoveOptions::new(), &MoveProgress::new()).await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn way_back(&self, id: &str) -> Result<WayBack, MoveError> {
        let record = self.journal().find(id).await?;
        if record.phase != MovePhase::Done {
            let advice = if record.phase.is_over() {
                "its briefcases are where they were"
            } else {
                "resume or abort it first"
            };
            return Err(MoveError::WrongPhase {
                phase: record.phase,
                advice,
            });
        }
        let area = self.area(&record)?;
        let source = self.shard(&record, area, record.source())?;
        let target = self.shard(&record, area, record.target())?;
        let ids = self.journal().briefcases(&record.id).await?;
        let places = Places::now(self).await?;
        let at = |id: &Gdid| places.of(area, *id).ok().map(|place| place.shard());
        let there: Vec<Gdid> = ids
            .iter()
            .copied()
            .filter(|id| at(id) == Some(target))
            .collect();
        let back = ids.iter().filter(|id| at(id) == Some(source)).count();
        Ok(WayBack {
            briefcases: ids.len(),
            back,
            elsewhere: ids.len() - there.len() - back,
            request: MoveRequest::new(record.area(), Selection::Briefcases(there), source),
        })
    }
}
