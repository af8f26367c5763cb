//! That the source's tables are what was planned, and stay so until the fence.

use std::sync::Arc;

use super::batch::{Batch, busy};
use super::error::MoveError;
use crate::engine::Shape;
use crate::engine::relocating::{Manifest, Relocating, StepError};

/// The source's tables, with the triggers that capture.
pub(super) struct Seen {
    manifest: Manifest,
    shape: Shape,
    /// See [`Relocating::glance`].
    glance: Option<String>,
}

impl Seen {
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn glance(&self) -> Option<&str> {
        self.glance.as_deref()
    }

    /// Whether it is what there is, if that shows at a glance.
    fn is_at_a_glance(&self, manifest: &Manifest, glance: Option<&str>) -> bool {
        glance.is_some() && self.glance() == glance && self.manifest == *manifest
    }
}

impl<DB: Relocating> Batch<'_, DB> {
    /// Makes sure that the source's tables are those of the plan, with triggers, and remembers them for the fence.
    pub(super) async fn remember_tables(&mut self) -> Result<(), MoveError> {
        let mut patience = self.patience("look at the tables").on(self.pools[0]);
        loop {
            match self.look().await {
                Ok(seen) => {
                    self.seen = Some(seen);
                    return Ok(());
                }
                Err(error) => patience.after::<DB>(error).await?,
            }
        }
    }

    async fn look(&mut self) -> Result<Arc<Seen>, StepError> {
        let planned = self.manifest.shape().ok_or(StepError::Altered)?;
        let source = &mut self.pair.source;
        let glance = DB::glance(source, self.manifest).await;
        let glance = glance.map_err(busy::<DB>)?;
        // An earlier batch has looked, and nothing has changed since.
        if let Some(seen) = &self.seen
            && seen.is_at_a_glance(self.manifest, glance.as_deref())
        {
            return Ok(Arc::clone(seen));
        }
        let shape = planned.again::<DB>(source).await.map_err(busy::<DB>)?;
        // Afterwards: what was found then is not of a time without them.
        let is_armed = DB::is_armed(source, self.manifest).await?;
        if !is_armed || !shape.has_tables_of(planned) {
            return Err(StepError::Altered);
        }
        DB::rehearse_fence(source, &shape).await?;
        // The fence must not take for looked at what was there before or after the look only.
        let again = DB::glance(source, self.manifest).await;
        let again = again.map_err(busy::<DB>)?;
        let glance = if glance == again { glance } else { None };
        Ok(Arc::new(Seen {
            manifest: self.manifest.clone(),
            shape,
            glance,
        }))
    }

    /// Whether the source's tables are defined in another way than when the move was planned.
    pub(super) async fn is_altered(&mut self) -> bool {
        let Some(planned) = self.manifest.shape() else {
            return true;
        };
        let found = planned.again::<DB>(&mut self.pair.source).await;
        found.is_ok_and(|found| !found.has_tables_of(planned))
    }
}
