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
mod tests {
    use super::*;
    use crate::authority::{AllocateFuture, AuthorityId, SequenceState};
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[derive(Debug)]
    struct Counted {
        state: Mutex<SequenceState>,
        fetches: AtomicUsize,
        gate: Semaphore,
    }

    impl BlockSource for Counted {
        fn allocate<'a>(
            &'a self,
            _: &'a ScopeName,
            _: &'a SequenceName,
            size: BlockSize,
        ) -> AllocateFuture<'a> {
            Box::pin(async move {
                self.fetches.fetch_add(1, Ordering::SeqCst);
                let _open = self.gate.acquire().await;
                let mut state = self.state.lock().unwrap();
                let (block, after) = state.advance(AuthorityId::new(1).unwrap(), size).unwrap();
                *state = after;
                Ok(block)
            })
        }
    }

    fn sequence(size: u16, permits: usize) -> (Arc<Counted>, Sequence) {
        let source = Arc::new(Counted {
            state: Mutex::new(SequenceState::START),
            fetches: AtomicUsize::new(0),
            gate: Semaphore::new(permits),
        });
        let sequence = Sequence::new(
            Arc::clone(&source) as Arc<dyn BlockSource>,
            "shop.main".parse().unwrap(),
            "user".parse().unwrap(),
            BlockSize::new(size).unwrap(),
        );
        (source, sequence)
    }

    #[tokio::test]
    async fn many_tasks_never_get_one_id_twice() {
        let (_, sequence) = sequence(7, 1);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let sequence = sequence.clone();
                tokio::spawn(async move {
                    let mut ids = Vec::new();
                    for _ in 0..250 {
                        ids.push(sequence.next().await.unwrap());
                        ids.extend(sequence.take(3).await.unwrap());
                    }
                    ids
                })
            })
            .collect();
        let mut seen = HashSet::new();
        for task in tasks {
            let ids = task.await.unwrap();
            assert!(ids.is_sorted(), "each task sees ids ascend");
            assert!(ids.into_iter().all(|id| seen.insert(id)));
        }
        assert_eq!(seen.len(), 8 * 250 * 4);
    }

    #[tokio::test]
    async fn waiters_share_one_fetch_and_a_cancelled_one_lets_others_go_on() {
        let (source, sequence) = sequence(100, 0);
        assert_eq!(sequence.try_next(), None);
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let sequence = sequence.clone();
                tokio::spawn(async move { sequence.next().await.unwrap() })
            })
            .collect();
        while source.fetches.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        waiting[0].abort();
        source.gate.add_permits(1);
        let mut ids = HashSet::new();
        for task in waiting.into_iter().skip(1) {
            assert!(ids.insert(task.await.unwrap()));
        }
        assert!(
            source.fetches.load(Ordering::SeqCst) <= 2,
            "one cancelled fetch, and one for all others"
        );
    }

    #[tokio::test]
    async fn a_block_is_dealt_in_order() {
        let (source, sequence) = sequence(4, 1);
        let ids = sequence.take(6).await.unwrap();
        let counters: Vec<u64> = ids.iter().map(|id| id.counter()).collect();
        assert_eq!(counters, [1, 2, 3, 4, 5, 6]);
        assert_eq!(
            source.fetches.load(Ordering::SeqCst),
            1,
            "asked for all six at once"
        );
        assert_eq!(sequence.try_next(), None);
    }
}
