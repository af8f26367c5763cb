//! The places of the configuration where authorities count, opened when they are first needed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdb_gdid::{
    AllocateFuture, Authorities, AuthorityError, BlockLife, BlockSize, BlockSource, Cause,
    HttpAuthorities, HttpOptions, Place, RangeKey, ScopeName, SequenceName, StatusFuture,
};
use tokio::sync::OnceCell;

use super::central::CentralAuthority;
use crate::config::{AuthorityConfig, AuthorityKind, SequenceConfig};
use crate::servers::Servers;

/// All places, the nearest first.
#[derive(Debug)]
pub(super) struct Sources {
    named: Vec<(AuthorityConfig, Arc<dyn BlockSource>)>,
    nearest: Arc<dyn BlockSource>,
}

impl Sources {
    pub(super) fn new(config: &SequenceConfig, servers: &Servers) -> Self {
        let life = config.options().block_life();
        let named: Vec<(AuthorityConfig, Arc<dyn BlockSource>)> = config
            .authorities()
            .iter()
            .map(|authority| (authority.clone(), source(authority, life, servers)))
            .collect();
        let nearest = match &named[..] {
            [(_, only)] => Arc::clone(only),
            several => {
                let sources = several.iter().map(|(_, source)| Arc::clone(source));
                let all = Authorities::new(sources.collect());
                Arc::new(all.expect("a configuration has at least one authority"))
            }
        };
        Self { named, nearest }
    }

    pub(super) fn nearest(&self) -> &Arc<dyn BlockSource> {
        &self.nearest
    }

    pub(super) fn named(&self, name: &str) -> Option<(&AuthorityConfig, &Arc<dyn BlockSource>)> {
        self.named
            .iter()
            .find(|(config, _)| config.name() == name)
            .map(|(config, source)| (config, source))
    }
}

fn source(config: &AuthorityConfig, life: BlockLife, servers: &Servers) -> Arc<dyn BlockSource> {
    match config.kind() {
        AuthorityKind::Central { shard } => {
            let shard = servers.topology().central().shards()[*shard];
            let servers = servers.clone();
            Arc::new(CentralAuthority::new(config, shard, life, servers))
        }
        AuthorityKind::Disk { .. } | AuthorityKind::Http { .. } => Arc::new(Late {
            config: config.clone(),
            life,
            opened: OnceCell::new(),
        }),
    }
}

/// A place that is opened when it is first asked: opening a store touches neither disks nor network.
struct Late {
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

/// A file with certificates that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read the certificates in {}", path.display())]
struct CertificatesError {
    path: PathBuf,
    source: std::io::Error,
}

impl Late {
    /// The place, opened; tried again by the next call if that fails.
    async fn open(&self, sequence: &SequenceName) -> Result<&Arc<dyn BlockSource>, AuthorityError> {
        let opened = self
            .opened
            .get_or_try_init(async || match self.config.kind() {
                AuthorityKind::Http {
                    urls,
                    token,
                    ca,
                    timeout,
                } => {
                    let mut options =
                        HttpOptions::new(urls.clone(), self.config.ids().clone(), token.clone())
                            .with_timeout(*timeout);
                    if let Some(path) = ca {
                        options = options.with_ca_pem(read(path).await?);
                    }
                    Ok(Arc::new(HttpAuthorities::new(options)?) as Arc<dyn BlockSource>)
                }
                AuthorityKind::Disk { paths } => open_disk(&self.config, paths, self.life).await,
                AuthorityKind::Central { .. } => unreachable!("is not opened late"),
            });
        opened
            .await
            .map_err(|source: Cause| AuthorityError::Refused {
                place: Place::new(self.config.name()),
                sequence: sequence.clone(),
                source,
            })
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, Cause> {
    let bytes = tokio::fs::read(path).await;
    Ok(bytes.map_err(|source| CertificatesError {
        path: path.to_owned(),
        source,
    })?)
}

async fn open_disk(
    _config: &AuthorityConfig,
    _paths: &[PathBuf],
    _life: BlockLife,
) -> Result<Arc<dyn BlockSource>, Cause> {
    Err(Cause::from("authorities on disks are not built yet"))
}

impl BlockSource for Late {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            let source = self.open(sequence).await?;
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
            let source = self.open(sequence).await?;
            source.raise(scope, sequence, floor).await
        })
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async move { self.open(sequence).await?.status(scope, sequence).await })
    }
}
