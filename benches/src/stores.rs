//! A store with one shard on each engine, and the same reads without MDB.

use std::convert::Infallible;
use std::path::PathBuf;

use deadpool::managed::{Manager, Metrics, Pool, RecycleResult};
use mdb_core::config::Config;
use mdb_core::{Area, Engine, Gdid, Mdb, ScatterOptions, ShardHandle};
use mdb_tests::kit::{Durability, Kind, Server, unique};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

/// How many rows there are to read.
pub const ROWS: u64 = 1_000;

/// How many connections each side may have.
pub const CONNECTIONS: u32 = 8;

/// A store whose area `user` has one shard with [`ROWS`] accounts.
#[derive(Debug)]
pub struct Store {
    mdb: Mdb,
    database: String,
    directory: TempDir,
    server: Option<Server>,
}

impl Store {
    /// Files in a directory that goes with the store.
    ///
    /// # Panics
    ///
    /// When the store can't be made.
    pub async fn sqlite() -> Self {
        Self::start(None, "sqlite:data".to_owned()).await
    }

    /// On a server that goes with the store.
    ///
    /// # Panics
    ///
    /// When the server does not start or the store can't be made.
    pub async fn on(kind: Kind) -> Self {
        let server = Server::start(kind, Durability::Fast)
            .await
            .expect("the server starts");
        let url = server.url_template();
        Self::start(Some(server), url).await
    }

    async fn start(server: Option<Server>, url: String) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let (database, central) = (unique("bench"), unique("central"));
        let text = format!(
            r#"
            store = {{ name = "bench" }}
            defaults = {{ max_connections = {CONNECTIONS} }}
            [[server]]
            name = "one"
            url = "{url}"
            [central]
            shards = [{{ server = "one", database = "{central}" }}]
            cache = {{ ttl_ms = 3600000 }}
            [[central.index]]
            name = "plain"
            key = "string"
            normalize = "none"
            [[central.index]]
            name = "folded"
            key = "string"
            normalize = "fold"
            [[area]]
            name = "user"
            capture = "always"
            [[area.partition]]
            start = "0:0:1"
            shards = [{{ server = "one", database = "{database}" }}]
            [[area.briefcase]]
            name = "user"
            table = [{{ name = "account", key = "g_user" }}]
            "#
        );
        let config = Config::parse("bench.toml", &text, directory.path(), &|_| None);
        let mdb = Mdb::from_config(config.expect("the configuration has no fault"))
            .expect("the areas fit together");
        for (shard, report) in mdb.init().await {
            report.unwrap_or_else(|error| panic!("shard {shard}: {error:?}"));
        }
        Self {
            mdb,
            database,
            directory,
            server,
        }
    }

    /// The store.
    pub fn mdb(&self) -> &Mdb {
        &self.mdb
    }

    /// Its area.
    ///
    /// # Panics
    ///
    /// When it is of another engine.
    pub fn area<DB: Engine>(&self) -> Area<DB> {
        self.mdb.area("user").expect("the area is of this engine")
    }

    /// The URL of the area's database.
    ///
    /// # Panics
    ///
    /// When the store is on SQLite.
    pub fn url(&self) -> String {
        let server = self.server.as_ref().expect("there is a server");
        server.url(&self.database)
    }

    /// The file of the area's database, on SQLite.
    pub fn file(&self) -> PathBuf {
        self.directory
            .path()
            .join("data")
            .join(format!("{}.db", self.database))
    }
}

/// The only shard, which takes connections from the same pool as its briefcases.
///
/// # Panics
///
/// When the area has another number of shards.
pub async fn only_shard<DB: Engine>(area: &Area<DB>) -> ShardHandle<DB> {
    let shards = area.each_shard(ScatterOptions::new(), |shard| async move {
        Ok::<_, Infallible>(shard)
    });
    let mut shards = shards.all().await.expect("nothing is done that could fail");
    assert_eq!(shards.len(), 1, "there is one shard");
    shards.remove(0).1
}

/// The id of a row.
pub fn id(row: u64) -> Gdid {
    Gdid::new(0, 0, 1 + row % ROWS).expect("the counter is small")
}

/// A pool without anything around it: connections are handed out and taken back as they are.
#[derive(Debug)]
pub struct Bare<O>(O);

impl<O> Manager for Bare<O>
where
    O: ConnectOptions,
    O::Connection: Send + Sized,
{
    type Type = O::Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<O::Connection, sqlx::Error> {
        self.0.connect().await
    }

    async fn recycle(&self, _: &mut O::Connection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

/// A bare pool.
///
/// # Panics
///
/// Never: a pool without time-outs needs no runtime.
pub fn bare<O>(options: O) -> Pool<Bare<O>>
where
    O: ConnectOptions,
    O::Connection: Send + Sized,
{
    Pool::builder(Bare(options))
        .max_size(CONNECTIONS as usize)
        .build()
        .expect("a pool without time-outs needs no runtime")
}

/// How a bare pool reads a store's SQLite file.
pub fn sqlite_reader(store: &Store) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(store.file())
        .read_only(true)
}
