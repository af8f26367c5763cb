//! Dealing single ids out of blocks.
//!
//! A **fetch** asks the authority for a block. At most one runs for a sequence; whoever finds
//! memory empty meanwhile waits for it, and shares its failure instead of repeating it, so that an
//! authority that can't be reached costs all of them one time-out and not one each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::authority::{AuthorityError, BlockIds, BlockSize, BlockSource};
use crate::gdid::Gdid;
use crate::names::{ScopeName, SequenceName};

/// A source of single ids of one sequence, from memory nearly always. Cheap to clone; clones share
/// their block.
///
/// Ids ascend as long as one authority answers. Ids of a block that the process does not use up
/// before it ends are lost, never issued again.
///
/// # Durability
///
/// An id is dealt only out of a block that its authority returned, and an authority returns a
/// block only after its count is durable; see [`BlockSource`].
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
    /// Held by the one who fetches the next block; holds why the last fetch failed, if it did.
    fetching: tokio::sync::Mutex<Option<AuthorityError>>,
    /// How many fetches have failed. It is written only by the holder of `fetching`.
    failures: AtomicU64,
}

impl Sequence {
    /// Ids of the sequence `name` in `scope`, fetched from `source` in blocks of `size`.
    pub fn new(
        source: Arc<dyn BlockSource>,
        scope: ScopeName,
        name: SequenceName,
        size: BlockSize,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                source,
                scope,
                name,
                size,
                left: Mutex::new(None),
                fetching: tokio::sync::Mutex::new(None),
                failures: AtomicU64::new(0),
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
    /// [`AuthorityError`]: the authority gave no block. Calls that wait for the same fetch all get
    /// its error; the next call asks the authority again.
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is issued twice, and others that wait go on. A block whose fetch is cancelled is
    /// lost.
    pub async fn next(&self) -> Result<Gdid, AuthorityError> {
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
    /// [`AuthorityError`]: the authority gave no block; the ids taken so far are lost.
    ///
    /// # Cancel safety
    ///
    /// Ids taken so far are lost; none is issued twice.
    pub async fn take(&self, count: usize) -> Result<Vec<Gdid>, AuthorityError> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let wanted = count - ids.len();
            if let Some(left) = self.left().as_mut() {
                ids.extend(left.take(wanted));
            }
            if let Some(missing) = BlockSize::clamped(count - ids.len()) {
                let size = missing.max(self.inner.size);
                self.fetch(size).await?;
            }
        }
        Ok(ids)
    }

    /// Puts a fresh block into memory, unless somebody has done so meanwhile.
    async fn fetch(&self, size: BlockSize) -> Result<(), AuthorityError> {
        let failures = self.inner.failures.load(Ordering::Acquire);
        let mut last_failure = self.inner.fetching.lock().await;
        if self.left().as_ref().is_some_and(|left| left.len() > 0) {
            return Ok(());
        }
        if self.inner.failures.load(Ordering::Acquire) != failures
            && let Some(failure) = last_failure.as_ref()
        {
            return Err(failure.clone());
        }
        let allocated = self
            .inner
            .source
            .allocate(&self.inner.scope, &self.inner.name, size)
            .await;
        match allocated {
            Ok(block) => {
                *last_failure = None;
                *self.left() = Some(block.ids());
                Ok(())
            }
            Err(error) => {
                *last_failure = Some(error.clone());
                self.inner.failures.fetch_add(1, Ordering::Release);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
