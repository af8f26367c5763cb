//! An authority in memory that takes as long as it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdb_gdid::{
    AllocateFuture, AuthorityId, BlockSize, BlockSource, Generator, GeneratorOptions, RangeKey,
    ScopeName, SequenceName, SequenceState, StatusFuture,
};

#[derive(Debug)]
pub(crate) struct InMemory {
    state: Mutex<SequenceState>,
    latency: Duration,
}

impl BlockSource for InMemory {
    fn allocate<'a>(
        &'a self,
        _: &'a ScopeName,
        _: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            if !self.latency.is_zero() {
                tokio::time::sleep(self.latency).await;
            }
            let mut state = self.state.lock().unwrap();
            let authority = AuthorityId::new(0).unwrap();
            let (block, after) = state.advance(authority, size).unwrap();
            *state = after;
            Ok(block)
        })
    }

    fn raise<'a>(&'a self, _: &'a ScopeName, _: &'a SequenceName, _: RangeKey) -> StatusFuture<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn status<'a>(&'a self, _: &'a ScopeName, _: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A generator on an authority that answers after `latency`.
pub(crate) fn generator(latency: Duration, options: GeneratorOptions) -> Generator {
    let source = InMemory {
        state: Mutex::new(SequenceState::START),
        latency,
    };
    let (scope, name) = ("shop.main".parse().unwrap(), "user".parse().unwrap());
    Generator::new(Arc::new(source), scope, name, options)
}
