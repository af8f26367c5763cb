//! A place that is opened when it is first asked: opening a store touches neither disks nor network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdb_gdid::{
    AllocateFuture, AuthorityError, BlockLife, BlockSize, BlockSource, DiskAuthority,
    DiskOpenError, DiskOptions, HttpAuthorities, HttpOptions, HttpOptionsError, Place, RangeKey,
    ScopeName, SequenceName, StatusFuture,
};
use tokio::sync::OnceCell;

use crate::config::{AuthorityConfig, AuthorityKind};

/// Authorities on disks or behind HTTP, opened by the first question; by the next one if that fails.
pub(super) struct Late {
    config: AuthorityConfig,
    life: BlockLife,
    opened: OnceCell<Arc<dyn BlockSource>>,
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late")
            .field("name", &self.config.name())
            .finish_non_exhaustive()
    }
}

/// Why a place could not be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("can't read the certificates in {}", path.display())]
    Certificates {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Http(#[from] HttpOptionsError),
    #[error(transparent)]
    Disks(#[from] DiskOpenError),
    #[error("the disks were not waited for")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl OpenError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Disks(error) => error.is_transient(),
            Self::Interrupted(_) => true,
            Self::Certificates { .. } | Self::Http(_) => false,
        }
    }
}

impl Late {
    pub(super) fn new(config: &AuthorityConfig, life: BlockLife) -> Self {
        Self {
            config: config.clone(),
            life,
            opened: OnceCell::new(),
        }
    }

    async fn source(
        &self,
        sequence: &SequenceName,
    ) -> Result<&Arc<dyn BlockSource>, AuthorityError> {
        let opened = self.opened.get_or_try_init(|| self.open()).await;
        opened.map_err(|error| {
            let (place, sequence) = (self.place(), sequence.clone());
            let is_transient = error.is_transient();
            let source = error.into();
            if is_transient {
                AuthorityError::Unavailable {
                    place,
                    sequence,
                    source,
                }
            } else {
                AuthorityError::Refused {
                    place,
                    sequence,
                    source,
                }
            }
        })
    }

    fn place(&self) -> Place {
        Place::new(format!("`{}`", self.config.name()))
    }

    async fn open(&self) -> Result<Arc<dyn BlockSource>, OpenError> {
        let ids = self.config.ids().clone();
        match self.config.kind() {
            AuthorityKind::Http {
                urls,
                token,
                ca,
                timeout,
            } => {
                let mut options =
                    HttpOptions::new(urls.clone(), ids, token.clone()).with_timeout(*timeout);
                if let Some(path) = ca {
                    options = options.with_ca_pem(read(path).await?);
                }
                Ok(Arc::new(HttpAuthorities::new(options)?))
            }
            AuthorityKind::Disk { paths } => {
                let options = DiskOptions::new(ids, paths.clone(), self.life, self.place());
                // Waiting for disks must not keep the runtime from its other work.
                let opened = tokio::task::spawn_blocking(move || DiskAuthority::open(&options));
                Ok(Arc::new(opened.await??))
            }
            AuthorityKind::Central { .. } => unreachable!("a database needs no opening"),
        }
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    let bytes = tokio::fs::read(path).await;
    bytes.map_err(|source| OpenError::Certificates {
        path: path.to_owned(),
        source,
    })
}

impl BlockSource for Late {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            let source = self.source(sequence).await?;
            source.allocate(scope, sequence, size).await
        })
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        Box::pin(async move {
            let source = self.source(sequence).await?;
            source.raise(scope, sequence, floor).await
        })
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async move { self.source(sequence).await?.status(scope, sequence).await })
    }
}
