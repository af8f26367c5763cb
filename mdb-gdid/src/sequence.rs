//! Dealing single ids out of blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::authority::{AllocateError, BlockIds, BlockSize, BlockSource};
use crate::gdid::Gdid;
use crate::names::{ScopeName, SequenceName};

/// A source of single ids of one sequence, from memory nearly always. Cheap to clone; clones share
/// their block.
///
/// Ids ascend as long as one authority answers. Ids of a block that the process does not use up
/// before it ends are lost, never issued again.
#[derive(Clone, Debug)]
pub struct Sequence {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Arc<dyn BlockSource>,
    scope: ScopeName,
    name: SequenceName,
    size: BlockSize,
    left: Mutex<Option<BlockIds>>,
    /// Held by the one who fetches the next block.
    fetching: tokio::sync::Mutex<()>,
}

impl Sequence {
    /// Ids of the sequence `name` in `scope`, fetched from `source` in blocks of `size`.
    pub fn new(
        source: Arc<dyn BlockSource>,
        scope: ScopeName,
        name: SequenceName,
        size: BlockSize,
    ) -> Self {
        let (left, fetching) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        Self {
            inner: Arc::new(Inner {
                source,
                scope,
                name,
                size,
                left,
                fetching,
            }),
        }
    }

    /// The sequence's name.
    pub fn name(&self) -> &SequenceName {
        &self.inner.name
    }

    fn left(&self) -> MutexGuard<'_, Option<BlockIds>> {
        self.inner
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next id, if one is in memory. Never waits for an authority.
    pub fn try_next(&self) -> Option<Gdid> {
        self.left().as_mut()?.next()
    }

    /// The next id; waits for a block when memory holds none. One fetch runs at a time.
    ///
    /// # Errors
    ///
    /// [`AllocateError`]: the authority gave no block.
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is issued twice. A block whose fetch is cancelled is lost.
    pub async fn next(&self) -> Result<Gdid, AllocateError> {
        loop {
            if let Some(id) = self.try_next() {
                return Ok(id);
            }
            self.fetch(self.inner.size).await?;
        }
    }

    /// The next `count` ids, ascending; consecutive only as far as one block reaches.
    ///
    /// # Errors
    ///
    /// [`AllocateError`]: the authority gave no block; the ids taken so far are lost.
    ///
    /// # Cancel safety
    ///
    /// Ids taken so far are lost; none is issued twice.
    pub async fn take(&self, count: usize) -> Result<Vec<Gdid>, AllocateError> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let wanted = count - ids.len();
            if let Some(left) = self.left().as_mut() {
                ids.extend(left.take(wanted));
            }
            if ids.len() < count {
                let missing = u16::try_from(count - ids.len())
                    .unwrap_or(u16::MAX)
                    .min(BlockSize::MAX.get());
                let size = BlockSize::new(missing)
                    .map_or(self.inner.size, |missing| missing.max(self.inner.size));
                self.fetch(size).await?;
            }
        }
        Ok(ids)
    }

    /// Puts a fresh block into memory, unless somebody has done so meanwhile.
    async fn fetch(&self, size: BlockSize) -> Result<(), AllocateError> {
        let _fetching = self.inner.fetching.lock().await;
        if self.left().as_ref().is_some_and(|left| left.len() > 0) {
            return Ok(());
        }
        let block = self
            .inner
            .source
            .allocate(&self.inner.scope, &self.inner.name, size)
            .await?;
        *self.left() = Some(block.ids());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
