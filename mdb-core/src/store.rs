//! The store: a configuration opened, from which areas, CENTRAL and sequences are handed out.

mod issued;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use mdb_gdid::BlockSource;

use crate::area::Area;
use crate::catalog::{LiveRouter, Session};
use crate::central::Central;
use crate::config::{Config, ConfigError, EngineKind};
use crate::engine::Engine;
use crate::relocate::Relocator;
use crate::routing::Router;
use crate::sequence::{Sequences, StoreSequence};
use crate::servers::{
    AcquireError, InitError, InitLost, InitReport, Servers, in_use, init_shard, refuse_if_in_use,
};
use crate::topology::{Home, ShardId, Topology, TopologyError};

/// An open store. Cheap to clone; its pools close when the last clone and handle are gone.
///
/// Opening connects to nothing: a server that is down concerns only those who use its shards.
#[derive(Clone, Debug)]
pub struct Mdb {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    live: Arc<LiveRouter>,
    servers: Servers,
    session: Session,
    central: Central,
    sequences: Sequences,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration can't be read or has faults.
    #[error("the configuration can't be used")]
    Config(#[source] Box<ConfigError>),
    /// The configuration's areas don't fit together.
    #[error("the configuration's areas don't fit together")]
    Topology(#[source] TopologyError),
}

/// Why an area was not handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AreaError {
    /// There is no such area.
    #[error("there is no area called `{name}`; there {}", areas(known))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The areas that there are.
        known: Vec<String>,
    },
    /// The area is on another engine.
    #[error("area `{name}` is on {found} servers, not {wanted}")]
    WrongEngine {
        /// The area.
        name: String,
        /// The engine that the code wants.
        wanted: EngineKind,
        /// The engine that the configuration says.
        found: EngineKind,
    },
    /// Its pools could not be made.
    #[error("area `{name}` can't be used")]
    Servers {
        /// The area.
        name: String,
        /// Why.
        #[source]
        source: AcquireError,
    },
}

fn areas(known: &[String]) -> String {
    match known {
        [] => "is none".to_owned(),
        [only] => format!("is only `{only}`"),
        several => format!("are `{}`", several.join("`, `")),
    }
}

impl Mdb {
    /// Opens the store that the configuration file at `path` describes. Call it inside the tokio runtime that the store is
    /// used in: what hears of moves lives there.
    ///
    /// # Errors
    ///
    /// - [`OpenError::Config`]: the file can't be read, or has faults; all of them are in it, and
    ///   [`render`](crate::config::ConfigError::render) shows each with its line.
    /// - [`OpenError::Topology`]: its areas don't fit together.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is held.
    #[expect(
        clippy::unused_async,
        reason = "opening may do more one day than read a short file"
    )]
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        // One short file: not worth a thread of its own.
        let config = crate::config::loader::load(path.as_ref())
            .map_err(|e| OpenError::Config(Box::new(e)))?;
        Self::from_config(config)
    }

    /// Opens the store that a checked configuration describes, inside the tokio runtime that it is used in.
    ///
    /// # Errors
    ///
    /// [`OpenError::Topology`]: its areas don't fit together.
    pub fn from_config(config: Config) -> Result<Self, OpenError> {
        let topology = Arc::new(Topology::from_config(&config).map_err(OpenError::Topology)?);
        let servers = Servers::new(&config, &topology);
        let live = LiveRouter::new(Router::with_relocations(topology, &HashMap::new()));
        let session = Session::start(&live, &servers);
        let central = Central::new(config.central(), Arc::clone(&live), servers.clone());
        let sequences = Sequences::new(config.sequences(), &servers);
        Ok(Self {
            inner: Arc::new(Inner {
                config: Arc::new(config),
                live,
                servers,
                session,
                central,
                sequences,
            }),
        })
    }

    /// Registers this process with the catalog now, and waits until it is known there; `false` when
    /// it can't be: the store was opened outside a tokio runtime, that runtime has ended, or the process has
    /// [left](Self::leave).
    ///
    /// While CENTRAL's first shard can't be asked it waits, however long that takes. A service that would rather begin on the
    /// guarded path wraps it in a time-out.
    ///
    /// A process registers by itself once it has been used for a moment. Until then, and whenever
    /// CENTRAL's first shard can't be asked for some seconds, its work on briefcases takes the guarded
    /// path: it looks on the shard whether the briefcase has been moved, which costs two more round
    /// trips. A service that wants its first requests to be as fast as all others joins before it
    /// serves them.
    ///
    /// # Cancel safety
    ///
    /// Safe: registering goes on in the background.
    pub async fn join(&self) -> bool {
        self.inner.session.join().await
    }

    /// Takes this process' registration back and closes all pools, so that nobody who moves briefcases
    /// waits for it. A process that ends without is waited for until its lease has run out.
    ///
    /// # Cancel safety
    ///
    /// Safe: it can be called again.
    pub async fn leave(&self) {
        let inner = &self.inner;
        inner.session.leave().await;
        inner.servers.close().await;
    }

    /// The area called `name`, letter case ignored.
    ///
    /// # Errors
    ///
    /// - [`AreaError::Unknown`]: there is none.
    /// - [`AreaError::WrongEngine`]: its servers are not of engine `DB`.
    pub fn area<DB: Engine>(&self, name: &str) -> Result<Area<DB>, AreaError> {
        let topology = self.topology();
        let index = topology
            .area_index(name)
            .ok_or_else(|| AreaError::Unknown {
                name: name.to_owned(),
                known: topology
                    .areas()
                    .iter()
                    .map(|area| area.name().to_string())
                    .collect(),
            })?;
        let found = topology.area(index).engine();
        if found != DB::KIND {
            return Err(AreaError::WrongEngine {
                name: name.to_owned(),
                wanted: DB::KIND,
                found,
            });
        }
        Area::new(self.inner.live.area(index), self.inner.servers.clone()).map_err(|source| {
            AreaError::Servers {
                name: name.to_owned(),
                source,
            }
        })
    }

    /// Moves briefcases between the shards of an area.
    pub fn relocator(&self) -> Relocator {
        Relocator::new(Arc::clone(&self.inner.config), self.inner.servers.clone())
    }

    /// The CENTRAL area.
    pub fn central(&self) -> &Central {
        &self.inner.central
    }

    /// The sequence called `name`. One that the configuration lacks answers every call with
    /// [`SequenceError::Unknown`](crate::SequenceError::Unknown): a misspelt name must not begin a
    /// second run of the same ids.
    pub fn sequence(&self, name: &str) -> StoreSequence {
        self.inner.sequences.get(name)
    }

    /// The names of the declared sequences, in the order of the configuration.
    pub fn sequence_names(&self) -> impl Iterator<Item = &str> {
        let declared = self.inner.config.sequences().declared();
        declared.iter().map(|declared| declared.name().as_str())
    }

    /// The place of the configuration, called `name`, where authorities count; to hand out its blocks
    /// to others, or to look after it.
    ///
    /// It is opened when it is first used. Authorities on disks can be held by one process only.
    pub fn authority(&self, name: &str) -> Option<Arc<dyn BlockSource>> {
        let (_, source) = self.inner.sequences.authority(name)?;
        Some(Arc::clone(source))
    }

    /// Makes every shard's database ready: the database where the user may create it, MDB's tables,
    /// the identity stamp. Shards are done one after another; a failure does not stop the others.
    ///
    /// A database that the store has been using is not made anew. So a CENTRAL that is not there is only made where no
    /// other shard is in use, and all can be asked; a shard of an area only while the area's sequences have not come to the
    /// start of its partition, and no briefcases were moved there. In a store that is in use, sequences and CENTRAL have to
    /// answer. How many shards a list has, and the hash that spreads ids or keys over them, can be changed only before
    /// anything is there.
    ///
    /// Tables of MDB of an older version are altered.
    ///
    /// Doing it again changes nothing. Tables of your own are yours to create.
    ///
    /// # Errors
    ///
    /// For each shard: [`InitError`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some shards are ready and the others as before; do it again.
    pub async fn init(&self) -> Vec<(ShardId, Result<InitReport, InitError>)> {
        let mut reports = Vec::new();
        for (_, shard) in self
            .topology()
            .shards()
            .iter()
            .zip(0..)
            .map(|(shard, id)| (shard, ShardId::new(id)))
        {
            reports.push((shard, self.init_shard(shard).await));
        }
        reports
    }

    /// Makes one shard's database ready; see [`init`](Self::init).
    ///
    /// # Errors
    ///
    /// [`InitError`].
    ///
    /// # Panics
    ///
    /// When the store has no such shard.
    pub async fn init_shard(&self, shard: ShardId) -> Result<InitReport, InitError> {
        self.init_shard_with(shard, InitLost::Refuse).await
    }

    /// The same, which may begin with an empty database where the old one is lost for good, with no backup, or where one
    /// is replaced on purpose.
    ///
    /// Of an empty shard of an area: the rows that it had are gone, and relocations to it lead to none; ids that were issued
    /// are not issued again.
    ///
    /// Of an empty CENTRAL: nothing is known then of ids that were issued, of addresses, and of briefcases that were moved.
    /// Before anybody takes ids again, counts have to be raised above all that were issued: `mdb gdid floor`. Rows that are
    /// not where the rule has them are found by [`Relocator::verify`](crate::relocate::Relocator::verify); until
    /// [`Relocator::raise_epoch`](crate::relocate::Relocator::raise_epoch), shards that briefcases have left turn services
    /// away.
    ///
    /// # Errors
    ///
    /// [`InitError`].
    pub async fn init_shard_with(
        &self,
        shard: ShardId,
        lost: InitLost,
    ) -> Result<InitReport, InitError> {
        let Inner {
            config,
            servers,
            sequences,
            ..
        } = &*self.inner;
        let may_begin = async {
            match (lost, servers.topology().shard(shard).home()) {
                (InitLost::Begin, _) => Ok(()),
                (InitLost::Refuse, Home::Central { .. }) => {
                    refuse_if_in_use(servers, config.areas(), shard).await
                }
                (InitLost::Refuse, Home::Partition { .. }) => {
                    issued::refuse_if_moved_to(servers, config.areas(), shard).await?;
                    issued::refuse_if_issued(servers, config, sequences, shard).await
                }
            }
        };
        let is_unused = async { matches!(in_use(servers, config.areas(), None).await, Ok(None)) };
        init_shard(servers, shard, may_begin, is_unused).await
    }

    /// A shard that shows that the store is in use: it has briefcases' rows or keys of indexes, or has taken part in moves.
    /// `None` where every shard says that nobody has used it yet, or its database is not there.
    ///
    /// Ids that were issued leave no trace on shards before they are used.
    ///
    /// # Errors
    ///
    /// [`AcquireError`]: no shard that could be asked is in use, and not all could be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn shard_in_use(&self) -> Result<Option<ShardId>, AcquireError> {
        let areas = self.inner.config.areas();
        in_use(&self.inner.servers, areas, None).await
    }

    /// The topology.
    pub fn topology(&self) -> &Arc<Topology> {
        self.inner.servers.topology()
    }

    /// The router that holds just now.
    pub fn router(&self) -> Arc<Router> {
        self.inner.live.current()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The pools.
    pub fn servers(&self) -> &Servers {
        &self.inner.servers
    }

    /// Closes all pools. Idle connections have taken leave of their servers then, if those listen; connections in use do
    /// when they are given back.
    ///
    /// # Cancel safety
    ///
    /// Safe: connections take leave all the same.
    pub async fn close(&self) {
        self.inner.servers.close().await;
    }
}
