//! Finding rows that are not where they belong, at any time.
//!
//! Every distinct key of every table that carries the key is held against the catalog, page by page in
//! the order of the keys. What looks wrong is looked at again before it is reported, since briefcases
//! may be moved meanwhile:
//!
//! - **stray**: rows on a shard that is not their briefcase's home.
//! - **split**: such rows while their home has rows of the briefcase too.
//! - **leftover**: such rows with a fence of a move that is over.
//! - **orphans**: rows that are reached through a parent that is not there.

mod examine;
mod orphans;

use futures_util::{StreamExt, TryStreamExt};
use mdb_gdid::Gdid;

use super::error::MoveError;
use super::relocator::Relocator;
use super::whereabouts::Places;
use crate::catalog::HomeError;
use crate::topology::ShardId;
use examine::Examiner;

/// How many shards are looked at together.
const SHARDS_AT_ONCE: usize = 4;

/// Which briefcases are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyScope {
    /// All that have rows, and rows that belong to none.
    Area,
    /// These.
    Briefcases(Vec<Gdid>),
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Rows of a briefcase whose home has none.
    Stray {
        /// Its home.
        home: ShardId,
    },
    /// Rows of a briefcase whose home has some too.
    Split {
        /// Its home.
        home: ShardId,
    },
    /// Rows that a move has left which is over, or which no journal knows.
    Leftover {
        /// Their briefcase's home.
        home: ShardId,
        /// The move.
        by: String,
    },
    /// Rows of a briefcase that no partition has.
    Homeless,
    /// Rows whose parent is not there.
    Orphans {
        /// The parent's table.
        parent: String,
    },
    /// Fences of a move that no journal knows.
    UnknownMove {
        /// The move.
        by: String,
    },
    /// Keys that are no ids.
    NoIds,
}

impl Fault {
    /// Its name, as the command prints it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Stray { .. } => "stray",
            Self::Split { .. } => "split",
            Self::Leftover { .. } => "leftover",
            Self::Homeless => "homeless",
            Self::Orphans { .. } => "orphans",
            Self::UnknownMove { .. } => "unknown_move",
            Self::NoIds => "no_ids",
        }
    }

    /// The shard where the rows belong, where there is one.
    pub fn home(&self) -> Option<ShardId> {
        match self {
            Self::Stray { home } | Self::Split { home } | Self::Leftover { home, .. } => {
                Some(*home)
            }
            Self::Homeless | Self::Orphans { .. } | Self::UnknownMove { .. } | Self::NoIds => None,
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    shard: ShardId,
    table: String,
    id: Option<Gdid>,
    rows: u64,
    fault: Fault,
}

impl Misplaced {
    /// Where it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The briefcase, if it is about one.
    pub fn id(&self) -> Option<Gdid> {
        self.id
    }

    /// How many rows it is about.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

/// What is told while an area is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyEvent {
    /// So many keys more have been looked at.
    Looked(u64),
    /// A briefcase was skipped, for it is in motion.
    InMotion(Gdid),
    /// Something was found.
    Found(Misplaced),
    /// Rows have no parent, but briefcases arrived there all the time: verify again when no move is
    /// under way.
    Undecided {
        /// The shard.
        shard: ShardId,
        /// The rows' table.
        table: String,
    },
    /// A shard is done.
    ShardDone(ShardId),
}

/// Why an area could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no such area.
    #[error("there is no area called `{name}`")]
    UnknownArea {
        /// The name that was asked for.
        name: String,
    },
    /// The area's configuration lists no tables.
    #[error("area `{area}` has no briefcase type: list its tables as [[area.briefcase]] first")]
    NoManifest {
        /// The area.
        area: String,
    },
    /// A shard could not be asked.
    #[error("shard {shard} can't be verified")]
    Shard {
        /// The shard.
        shard: String,
        /// Its error.
        #[source]
        source: sqlx::Error,
    },
    /// The catalog could not be asked.
    #[error("the catalog can't be asked where briefcases are")]
    Catalog(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<HomeError> for VerifyError {
    fn from(error: HomeError) -> Self {
        Self::Catalog(error.into())
    }
}

impl From<MoveError> for VerifyError {
    fn from(error: MoveError) -> Self {
        Self::Catalog(error.into())
    }
}

impl Relocator {
    /// Looks for rows of `area` that are not where they belong, and tells `tell` what it finds.
    /// Changes nothing; memory does not depend on how much the area holds.
    ///
    /// # Errors
    ///
    /// - [`VerifyError::UnknownArea`], [`VerifyError::NoManifest`].
    /// - [`VerifyError::Shard`], [`VerifyError::Catalog`]: what was told until then holds.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn verify(
        &self,
        area: &str,
        scope: &VerifyScope,
        tell: &(dyn Fn(VerifyEvent) + Send + Sync),
    ) -> Result<(), VerifyError> {
        let topology = self.servers.topology();
        let unknown = || VerifyError::UnknownArea {
            name: area.to_owned(),
        };
        let index = topology.area_index(area).ok_or_else(unknown)?;
        let config = self.config.areas().get(index.get()).ok_or_else(unknown)?;
        if config.briefcases().is_empty() {
            return Err(VerifyError::NoManifest {
                area: area.to_owned(),
            });
        }
        let first = Places::now(self).await?;
        let shards: Vec<ShardId> = topology.area(index).shards().collect();
        let mut work = Vec::new();
        for shard in shards {
            let examiner = Examiner {
                relocator: self,
                area: index,
                config,
                first: &first,
                shard,
                tell,
            };
            work.push(async move {
                match scope {
                    VerifyScope::Area => examiner.everything().await?,
                    VerifyScope::Briefcases(ids) => examiner.briefcases(ids).await?,
                }
                tell(VerifyEvent::ShardDone(shard));
                Ok::<(), VerifyError>(())
            });
        }
        futures_util::stream::iter(work)
            .buffer_unordered(SHARDS_AT_ONCE)
            .try_collect()
            .await
    }
}
