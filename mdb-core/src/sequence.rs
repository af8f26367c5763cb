//! The store's sequences: ids from the authorities that the configuration names.
//!
//! An authority counts in a row of one of CENTRAL's shards, in files, or in another process that is
//! asked over HTTP; the nearest one that answers hands out the blocks, and a generator deals single
//! ids out of them.

mod central;
mod late;
mod sources;

use std::collections::HashMap;
use std::sync::Arc;

use mdb_gdid::{
    AuthorityError, AuthorityStatus, BlockSource, Gdid, Generator, GeneratorHandle,
    GeneratorMetrics, RangeKey, ScopeName,
};

use crate::config::{AuthorityConfig, SequenceConfig};
use crate::servers::Servers;
use sources::Sources;

/// The sequences of a configuration.
#[derive(Debug)]
pub(crate) struct Sequences {
    by_name: HashMap<String, Sequence>,
    sources: Sources,
}

#[derive(Clone, Debug)]
struct Sequence {
    generator: Generator,
    source: Arc<dyn BlockSource>,
}

impl Sequences {
    pub(crate) fn new(config: &SequenceConfig, servers: &Servers) -> Self {
        let sources = Sources::new(config, servers);
        let by_name = config
            .declared()
            .iter()
            .map(|declared| {
                let generator = Generator::new(
                    Arc::clone(sources.nearest()),
                    declared.scope().clone(),
                    declared.name().clone(),
                    config.options(),
                );
                let sequence = Sequence {
                    generator,
                    source: Arc::clone(sources.nearest()),
                };
                (declared.name().to_string(), sequence)
            })
            .collect();
        Self { by_name, sources }
    }

    pub(crate) fn get(&self, name: &str) -> StoreSequence {
        let known = name.to_ascii_lowercase();
        StoreSequence {
            inner: self.by_name.get(&known).cloned().ok_or_else(|| name.into()),
        }
    }

    /// The place of that name.
    pub(crate) fn authority(
        &self,
        name: &str,
    ) -> Option<(&AuthorityConfig, &Arc<dyn BlockSource>)> {
        self.sources.named(name)
    }
}

/// A sequence of the store; made by [`Mdb::sequence`](crate::Mdb::sequence). Cheap to clone; clones
/// share their blocks.
#[derive(Clone, Debug)]
pub struct StoreSequence {
    inner: Result<Sequence, Arc<str>>,
}

/// Why no id was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceError {
    /// The configuration has no such sequence.
    #[error(
        "there is no sequence called `{name}` in the configuration; declare it as [[sequence]]"
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The authority handed out no block, or did not do what it was asked.
    #[error(transparent)]
    Allocate(#[from] AuthorityError),
}

impl SequenceError {
    /// Whether the same call may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unknown { .. } => false,
            Self::Allocate(error) => error.is_transient(),
        }
    }
}

impl StoreSequence {
    fn sequence(&self) -> Result<&Sequence, SequenceError> {
        self.inner.as_ref().map_err(|name| SequenceError::Unknown {
            name: name.to_string(),
        })
    }

    /// A fresh id, from memory nearly always; else it waits for a block from an authority.
    ///
    /// # Errors
    ///
    /// - [`SequenceError::Unknown`]: there is no such sequence.
    /// - [`SequenceError::Allocate`]: memory is empty, and no authority gave a block.
    ///
    /// # Cancel safety
    ///
    /// Safe: no id is issued twice.
    ///
    /// # Durability
    ///
    /// The block that the id is from was durable at its authority before; no crash makes it come
    /// again.
    pub async fn next(&self) -> Result<Gdid, SequenceError> {
        Ok(self.sequence()?.generator.next().await?)
    }

    /// A fresh id, if one is in memory. Takes no lock and never waits; where it answers `None`, a
    /// block is being fetched.
    pub fn try_next(&self) -> Option<Gdid> {
        self.inner.as_ref().ok()?.generator.try_next()
    }

    /// `count` fresh ids, ascending, and consecutive where they can be; see [`Generator::take`].
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next); the ids taken so far are lost.
    ///
    /// # Cancel safety
    ///
    /// Ids taken so far are lost; none is issued twice.
    pub async fn take(&self, count: usize) -> Result<Vec<Gdid>, SequenceError> {
        Ok(self.sequence()?.generator.take(count).await?)
    }

    /// A way to take ids for one thread or task; see [`Generator::handle`].
    ///
    /// # Errors
    ///
    /// [`SequenceError::Unknown`]: there is no such sequence.
    pub fn handle(&self) -> Result<GeneratorHandle, SequenceError> {
        Ok(self.sequence()?.generator.handle())
    }

    /// What this process has issued so far, and how that went.
    ///
    /// # Errors
    ///
    /// [`SequenceError::Unknown`]: there is no such sequence.
    pub fn metrics(&self) -> Result<GeneratorMetrics, SequenceError> {
        Ok(self.sequence()?.generator.metrics())
    }

    /// The scope that the sequence is in.
    ///
    /// # Errors
    ///
    /// [`SequenceError::Unknown`]: there is no such sequence.
    pub fn scope(&self) -> Result<&ScopeName, SequenceError> {
        Ok(self.sequence()?.generator.scope())
    }

    /// How far each of its authorities is.
    ///
    /// # Errors
    ///
    /// - [`SequenceError::Unknown`]: there is no such sequence.
    /// - [`SequenceError::Allocate`]: one of the authorities could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn status(&self) -> Result<Vec<AuthorityStatus>, SequenceError> {
        let Sequence { generator, source } = self.sequence()?;
        Ok(source.status(generator.scope(), generator.name()).await?)
    }

    /// Sees to it that no authority hands out an id below `floor` from now on; see
    /// [`BlockSource::raise`].
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status). Authorities that were raised stay raised; repeating it is
    /// harmless.
    ///
    /// # Cancel safety
    ///
    /// Some may have been raised.
    ///
    /// # Durability
    ///
    /// When it returns `Ok`, the floor is durable at all authorities. Ids below it can still be dealt
    /// out of blocks that were handed out before, until these lapse.
    pub async fn raise_floor(
        &self,
        floor: RangeKey,
    ) -> Result<Vec<AuthorityStatus>, SequenceError> {
        let Sequence { generator, source } = self.sequence()?;
        Ok(source
            .raise(generator.scope(), generator.name(), floor)
            .await?)
    }
}
