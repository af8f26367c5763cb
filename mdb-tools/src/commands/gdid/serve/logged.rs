//! An authority whose blocks are logged. What it is raised by, and what fails, the server itself logs.

use std::sync::Arc;

use mdb_gdid::{
    AllocateFuture, BlockSize, BlockSource, RangeKey, ScopeName, SequenceName, StatusFuture,
};

/// Logs which blocks another source hands out, and whose status it tells.
#[derive(Debug)]
pub(super) struct Logged {
    source: Arc<dyn BlockSource>,
}

impl Logged {
    pub(super) fn new(source: Arc<dyn BlockSource>) -> Self {
        Self { source }
    }
}

impl BlockSource for Logged {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            let block = self.source.allocate(scope, sequence, size).await?;
            tracing::info!(%scope, %sequence, first = %block.first(), ids = block.count(), "handed out a block");
            Ok(block)
        })
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        self.source.raise(scope, sequence, floor)
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async move {
            let status = self.source.status(scope, sequence).await?;
            tracing::info!(%scope, %sequence, "told how far it is");
            Ok(status)
        })
    }
}
