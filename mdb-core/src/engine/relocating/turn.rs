//! The two short transactions around the time in which nobody uses the briefcases.

use mdb_gdid::Gdid;

use super::{Manifest, MoveId, Relocating, StepError};
use crate::engine::{Shape, Value};

/// What becomes of all briefcases of a move at the source, while nobody uses them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn<'t> {
    /// Nobody is to use them for so many milliseconds, if the tables and triggers still are what they were. What is altered
    /// after that look does the briefcases no harm: whoever writes them next does so at the target.
    Fence {
        milliseconds: i64,
        as_they_were: &'t Shape,
        /// What showed at that time; see [`Relocating::glance`].
        glance: Option<&'t str>,
    },
    /// They are at the target, as of that epoch: unless changes are left that the target has not got, or the time is over.
    Flip { target: &'t str, epoch: i64 },
}

/// Inside a mover's transaction that has locked the briefcases.
pub(crate) async fn take<DB: Relocating>(
    connection: &mut DB::Connection,
    manifest: &Manifest,
    id: &MoveId,
    ids: &[Gdid],
    turn: Turn<'_>,
) -> Result<(), StepError> {
    match turn {
        Turn::Fence {
            milliseconds,
            as_they_were,
            glance,
        } => {
            let fence = format!(
                "UPDATE mdb_fence SET state = 2, deadline = {} + ? WHERE move = ? AND state IN (1, 2)",
                DB::now()
            );
            let values = [Value::Integer(milliseconds), id.into()];
            if DB::execute_own(connection, &fence, &values).await? != ids.len() as u64 {
                return Err(StepError::NotOwner);
            }
            // Last: nobody who writes the briefcases has seen other tables.
            let is_still = glance.is_some()
                && DB::glance(connection, manifest).await?.as_deref() == glance
                || DB::words_of(connection, as_they_were.listed()).await? == *as_they_were.words();
            if !is_still {
                return Err(StepError::Altered);
            }
        }
        Turn::Flip { target, epoch } => {
            if DB::pending_changes(connection, manifest, id).await? > 0 {
                return Err(StepError::Busy);
            }
            let flip = format!(
                "UPDATE mdb_fence SET state = 3, target = ?, epoch = ?, landed = 0 \
                 WHERE move = ? AND state = 2 AND deadline > {}",
                DB::now()
            );
            let values = [target.into(), Value::Integer(epoch), id.into()];
            if DB::execute_own(connection, &flip, &values).await? != ids.len() as u64 {
                // Somebody may have gone on at the source since the deadline.
                return Err(StepError::Busy);
            }
            DB::execute_own(connection, COUNT_FLIP, &[]).await?;
        }
    }
    Ok(())
}

/// Tells those who work over all shards that there was a flip.
pub(crate) const COUNT_FLIP: &str = "UPDATE mdb_shard SET flips = flips + 1 WHERE only_row = 1";
