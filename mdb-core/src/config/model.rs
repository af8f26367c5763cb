//! The checked configuration: what the rest of the library reads.
//!
//! Values of these types come from [`Config::parse`](super::Config::parse) only, so whoever holds
//! one knows that every check has passed: each shard names a known server, starts ascend, no
//! database serves as two shards.

mod briefcases;
mod placement;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mdb_gdid::{AuthorityId, AuthorityIds, GeneratorOptions, ScopeName, SequenceName};
use secrecy::SecretString;
use url::Url;

pub use briefcases::{BriefcaseConfig, Capture, Reach, TableConfig};
pub use placement::{
    AreaConfig, CacheConfig, CentralConfig, GenerationConfig, IndexConfig, KeyKind, Normalization,
    PartitionConfig, ShardConfig,
};

use super::endpoint::Endpoint;
use super::names::{AreaName, ServerName, StoreName};

/// A kind of database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// SQLite: a directory of database files.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

impl EngineKind {
    /// The name used in machine-readable output: `sqlite`, `postgres` or `mysql`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL/MariaDB",
        })
    }
}

/// How ids and shard keys are spread over a list of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// XXH3-64 and the slot table. The default.
    Xxh3,
    /// Like an existing Azos MDB installation: FNV-1a-64 modulo the number of shards.
    Azos,
}

impl HashKind {
    /// The name as it is written in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
            Self::Azos => "azos",
        }
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Everything that one configuration file describes, checked.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use mdb_core::config::Config;
///
/// let text = r#"
///     [store]
///     name = "shop"
///
///     [[server]]
///     name = "local"
///     url = "sqlite:data"
///
///     [central]
///     shards = [{ server = "local", database = "central" }]
///
///     [[area]]
///     name = "user"
///     [[area.partition]]
///     start = "0:0:0"
///     shards = [{ server = "local", database = "user_a" }]
/// "#;
/// let config = Config::parse("mdb.toml", text, Path::new("/srv/shop"), &|_| None)?;
/// assert_eq!(config.store().as_str(), "shop");
/// assert_eq!(config.areas()[0].generations()[0].partitions().len(), 1);
/// # Ok::<(), mdb_core::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) store: StoreName,
    pub(super) sequences: SequenceConfig,
    pub(super) servers: Vec<ServerConfig>,
    pub(super) central: CentralConfig,
    pub(super) areas: Vec<AreaConfig>,
}

impl Config {
    /// Name of the store; every shard is stamped with it.
    pub fn store(&self) -> &StoreName {
        &self.store
    }

    /// The sequences that may be used, and who issues their ids.
    pub fn sequences(&self) -> &SequenceConfig {
        &self.sequences
    }

    /// All servers, in the order of the file.
    pub fn servers(&self) -> &[ServerConfig] {
        &self.servers
    }

    /// The server of this name.
    pub fn server(&self, name: &ServerName) -> Option<&ServerConfig> {
        self.servers.iter().find(|server| server.name == *name)
    }

    /// CENTRAL.
    pub fn central(&self) -> &CentralConfig {
        &self.central
    }

    /// All areas but CENTRAL, in the order of the file. No two names differ in case only.
    pub fn areas(&self) -> &[AreaConfig] {
        &self.areas
    }
}

/// Which sequences exist and how their ids are issued.
#[derive(Clone, Debug)]
pub struct SequenceConfig {
    pub(super) options: GeneratorOptions,
    pub(super) authorities: Vec<AuthorityConfig>,
    pub(super) sequences: Vec<DeclaredSequence>,
}

/// A sequence that the configuration declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredSequence {
    pub(super) name: SequenceName,
    pub(super) scope: ScopeName,
    pub(super) area: Option<AreaName>,
}

impl DeclaredSequence {
    /// Its name, of which the configuration has no second one.
    pub fn name(&self) -> &SequenceName {
        &self.name
    }

    /// Its scope: `<schema>.<bank>.<area>`, with CENTRAL for a sequence that is no area's.
    pub fn scope(&self) -> &ScopeName {
        &self.scope
    }

    /// The area that its ids are for, as it is written there.
    pub fn area(&self) -> Option<&AreaName> {
        self.area.as_ref()
    }
}

impl SequenceConfig {
    /// How ids are fetched and dealt.
    pub fn options(&self) -> GeneratorOptions {
        self.options
    }

    /// Where the authorities count, the nearest first; at least one, and no number twice.
    pub fn authorities(&self) -> &[AuthorityConfig] {
        &self.authorities
    }

    /// The declared sequences, in the order of the file. No other may be used: a misspelt name
    /// would begin a second run of the same ids.
    pub fn declared(&self) -> &[DeclaredSequence] {
        &self.sequences
    }
}

/// A place where authorities count.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    pub(super) name: String,
    pub(super) ids: AuthorityIds,
    pub(super) kind: AuthorityKind,
}

impl AuthorityConfig {
    /// The one that there is when the file names none: authority 0, on CENTRAL's first shard.
    pub(super) fn only_central() -> Self {
        Self {
            name: "central".to_owned(),
            ids: AuthorityIds::new(vec![AuthorityId::new(0).expect("below 16")])
                .expect("one number"),
            kind: AuthorityKind::Central { shard: 0 },
        }
    }

    /// Its name, of which the configuration has no second one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The numbers of its authorities.
    pub fn ids(&self) -> &AuthorityIds {
        &self.ids
    }

    /// How it counts.
    pub fn kind(&self) -> &AuthorityKind {
        &self.kind
    }
}

/// How authorities count.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AuthorityKind {
    /// In a row for each sequence on one of CENTRAL's shards.
    Central {
        /// The shard's place in CENTRAL's list.
        shard: usize,
    },
    /// In files. Only one process at a time can hold them.
    Disk {
        /// Directories, best on different disks.
        paths: Vec<PathBuf>,
    },
    /// Another process counts, and is asked over HTTP.
    Http {
        /// Hosts that serve the same authorities, the nearest first.
        urls: Vec<Url>,
        /// What they know this store by.
        token: SecretString,
        /// A file with the certificates to trust, instead of the public ones.
        ca: Option<PathBuf>,
        /// How long an answer may take.
        timeout: Duration,
    },
}

impl AuthorityKind {
    /// The word of the configuration: `central`, `disk` or `http`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Central { .. } => "central",
            Self::Disk { .. } => "disk",
            Self::Http { .. } => "http",
        }
    }
}

/// A server: where databases are, and how to use it.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub(super) name: ServerName,
    pub(super) primary: Endpoint,
    pub(super) replicas: Vec<Endpoint>,
    pub(super) limits: ServerLimits,
    pub(super) admin_database: String,
}

impl ServerConfig {
    /// The server's name.
    pub fn name(&self) -> &ServerName {
        &self.name
    }

    /// Its engine; the replicas have the same.
    pub fn engine(&self) -> EngineKind {
        self.primary.engine()
    }

    /// Where reads and writes go.
    pub fn primary(&self) -> &Endpoint {
        &self.primary
    }

    /// Where reads may go that ask for a replica; possibly none.
    pub fn replicas(&self) -> &[Endpoint] {
        &self.replicas
    }

    /// Limits and time-outs.
    pub fn limits(&self) -> &ServerLimits {
        &self.limits
    }

    /// The database to connect to in order to create others; PostgreSQL needs one.
    pub fn admin_database(&self) -> &str {
        &self.admin_database
    }
}

/// Limits and time-outs of one server. Every time-out is between 1 ms and 24 h.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    pub(super) max_connections: u32,
    pub(super) connect_timeout: Duration,
    pub(super) acquire_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) test_after_idle: Duration,
    pub(super) statement_cache: usize,
}

impl ServerLimits {
    /// Most connections open at once, over all databases of the server. At least 1.
    pub fn max_connections(&self) -> u32 {
        self.max_connections
    }

    /// How long opening a connection may take.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long to wait for a free connection.
    pub fn acquire_timeout(&self) -> Duration {
        self.acquire_timeout
    }

    /// How long one statement may take.
    pub fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// A connection idle for longer is closed.
    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// A connection older than this is closed when it comes back.
    pub fn max_lifetime(&self) -> Duration {
        self.max_lifetime
    }

    /// A connection idle for longer is tested before it is handed out; zero tests always.
    pub fn test_after_idle(&self) -> Duration {
        self.test_after_idle
    }

    /// Prepared statements kept per connection. At least 1.
    pub fn statement_cache(&self) -> usize {
        self.statement_cache
    }
}
