//! The places of the configuration where authorities count.

use std::sync::Arc;

use mdb_gdid::{Authorities, AuthorityError, AuthorityId, BlockLife, BlockSource};

use super::central::CentralAuthority;
use super::late::Late;
use crate::config::{AuthorityConfig, AuthorityKind, SequenceConfig};
use crate::error::chain;
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
        let all = config.authorities();
        let named: Vec<(AuthorityConfig, Arc<dyn BlockSource>)> = all
            .iter()
            .map(|authority| (authority.clone(), source(authority, all, life, servers)))
            .collect();
        let nearest = match &named[..] {
            [(_, only)] => Arc::clone(only),
            several => {
                let sources = several.iter().map(|(_, source)| Arc::clone(source));
                let all = Authorities::new(sources.collect(), passed_over);
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

/// Nobody else hears of it: whoever wanted ids gets them from the next place.
fn passed_over(error: &AuthorityError) {
    tracing::warn!(
        "the next authority is asked, because one failed: {}",
        chain(error)
    );
}

fn source(
    config: &AuthorityConfig,
    all: &[AuthorityConfig],
    life: BlockLife,
    servers: &Servers,
) -> Arc<dyn BlockSource> {
    match config.kind() {
        AuthorityKind::Central { shard } => {
            let neighbours = neighbours(config, *shard, all);
            let shard = servers.topology().central().shards()[*shard];
            let servers = servers.clone();
            let source = CentralAuthority::new(config, neighbours, shard, life, servers);
            Arc::new(source)
        }
        AuthorityKind::Disk { .. } | AuthorityKind::Http { .. } => {
            Arc::new(Late::new(config, life))
        }
    }
}

/// The numbers that count in the same table under another name.
fn neighbours(config: &AuthorityConfig, shard: usize, all: &[AuthorityConfig]) -> Vec<AuthorityId> {
    all.iter()
        .filter(|other| other.name() != config.name())
        .filter(|other| matches!(other.kind(), AuthorityKind::Central { shard: s } if *s == shard))
        .flat_map(|other| other.ids().as_slice())
        .copied()
        .collect()
}
