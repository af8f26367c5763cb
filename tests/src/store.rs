//! Stores for tests of areas, briefcases and servers: the same store on any of the three engines.
//!
//! A [`Store`] has an area `user` with two partitions: ids from `0:0:10` on live on the shards `a0` and `a1`, ids from
//! `0:0:1000` on live on `b0`. Each of these databases has a table `account` (`g_user`, `cents`). CENTRAL is a SQLite
//! file, so that the area's server carries nothing else. [`TestEngine`] has the few statements that tests need, in
//! each engine's words; [`Sessions`] is what the server itself says of the store's connections.
//!
//! ```no_run
//! use mdb_tests::on_all_engines;
//! use mdb_tests::store::{Limits, Store, TestEngine};
//!
//! on_all_engines!(rows_are_found_again);
//!
//! async fn rows_are_found_again<DB: TestEngine>() {
//!     let store = Store::<DB>::start(Limits::ROOMY).await;
//!     let ann = store.area().briefcase(store.id_on("a0")).unwrap();
//!     DB::put(&ann, ann.id(), 500).await.unwrap();
//!     assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(500));
//! }
//! ```

mod engine;
mod sessions;

use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use mdb_core::config::Config;
use mdb_core::error::chain;
use mdb_core::topology::ShardId;
use mdb_core::{Area, Briefcase, Gdid, Mdb, PoolStatus, ScatterOptions};
use tempfile::TempDir;

use crate::kit::{Durability, Server, SharedServer, shared, temp_dir, unique, wait_for};

pub use engine::TestEngine;
pub use sessions::Sessions;

/// How long tests wait for what has to happen soon.
pub const SOON: Duration = Duration::from_secs(10);

/// The limits of the store's server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `max_connections`.
    pub connections: u32,
    /// `connect_timeout_ms`.
    pub connect: Duration,
    /// `acquire_timeout_ms`.
    pub acquire: Duration,
    /// `statement_timeout_ms`.
    pub statement: Duration,
    /// `test_after_idle_ms`.
    pub test_after_idle: Duration,
}

impl Limits {
    /// No test comes near to one of them.
    pub const ROOMY: Self = Self {
        connections: 8,
        connect: Duration::from_secs(10),
        acquire: Duration::from_secs(30),
        statement: Duration::from_secs(30),
        test_after_idle: Duration::from_secs(1),
    };

    /// Short enough to wait for.
    pub const SHORT: Self = Self {
        connections: 4,
        connect: Duration::from_millis(500),
        acquire: Duration::from_millis(500),
        statement: Duration::from_secs(1),
        test_after_idle: Duration::from_millis(100),
    };
}

#[derive(Debug)]
enum Host {
    Directory,
    Shared(SharedServer),
    Own(Box<Server>),
}

/// A store whose databases are ready, opened once.
#[derive(Debug)]
pub struct Store<DB: TestEngine> {
    mdb: Mdb,
    area: Area<DB>,
    prefix: String,
    text: String,
    host: Host,
    directory: TempDir,
    engine: PhantomData<fn() -> DB>,
}

impl<DB: TestEngine> Store<DB> {
    /// A store with databases of its own, on a server that all tests of the process share.
    ///
    /// # Panics
    ///
    /// When the server does not start or a database can't be made ready.
    pub async fn start(limits: Limits) -> Self {
        let host = match DB::SERVER {
            None => Host::Directory,
            Some(kind) => Host::Shared(shared(kind, 0).await.expect("the server starts")),
        };
        Self::on(host, limits).await
    }

    /// A store on a server of its own, to be stalled and killed.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start), and on an engine without servers.
    pub async fn alone(limits: Limits) -> Self {
        let kind = DB::SERVER.expect("the engine has servers");
        let server = Server::start(kind, Durability::Fast).await;
        Self::on(
            Host::Own(Box::new(server.expect("the server starts"))),
            limits,
        )
        .await
    }

    async fn on(host: Host, limits: Limits) -> Self {
        let store = Self::without_databases(host, limits);
        for (shard, report) in store.mdb.init().await {
            report.unwrap_or_else(|error| panic!("shard {shard}: {}", chain(&error)));
        }
        let create = store
            .area
            .each_shard(ScatterOptions::new(), |shard| async move {
                DB::run(&shard, DB::CREATE_ACCOUNT).await
            });
        create
            .all()
            .await
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        store
    }

    fn without_databases(host: Host, limits: Limits) -> Self {
        let prefix = unique("shop");
        let url = match &host {
            Host::Directory => "sqlite:files".to_owned(),
            Host::Shared(server) => server.url_template(),
            Host::Own(server) => server.url_template(),
        };
        let text = configuration(&prefix, &url, limits);
        let directory = temp_dir().expect("there is room for a directory");
        let mdb = open(&text, directory.path());
        let area = mdb.area("user").expect("the area is on this engine");
        Self {
            mdb,
            area,
            prefix,
            text,
            host,
            directory,
            engine: PhantomData,
        }
    }

    /// The open store.
    pub fn mdb(&self) -> &Mdb {
        &self.mdb
    }

    /// The area `user`.
    pub fn area(&self) -> &Area<DB> {
        &self.area
    }

    /// The server.
    ///
    /// # Panics
    ///
    /// On an engine without servers.
    pub fn server(&self) -> &Server {
        match &self.host {
            Host::Directory => panic!("{} has no server", DB::NAME),
            Host::Shared(server) => server,
            Host::Own(server) => server,
        }
    }

    /// The directory of the store's files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The whole name of the database `a0`, `a1` or `b0`.
    pub fn database(&self, short: &str) -> String {
        format!("{}_{short}", self.prefix)
    }

    /// The URL of the database `a0`, `a1` or `b0`.
    pub fn url(&self, short: &str) -> String {
        let database = self.database(short);
        match DB::SERVER {
            None => format!("sqlite:{}/files/{database}.db", self.directory().display()),
            Some(_) => self.server().url(&database),
        }
    }

    /// What the names of the store's databases begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Opens the store once more, as another process would, with a configuration that `change` makes of the store's.
    ///
    /// # Panics
    ///
    /// When the configuration has a fault.
    pub fn open_changed(&self, change: impl FnOnce(String) -> String) -> Mdb {
        open(&change(self.text.clone()), self.directory.path())
    }

    /// Ids whose briefcases are on the database `a0`, `a1` or `b0`, ascending.
    pub fn ids_on(&self, short: &str) -> impl Iterator<Item = Gdid> + '_ {
        let (first, last) = if short == "b0" {
            (1000, u64::from(u32::MAX))
        } else {
            (10, 999)
        };
        let shard = self.shard(short);
        (first..=last)
            .map(|counter| Gdid::new(0, 0, counter).expect("counters of this size are allowed"))
            .filter(move |id| {
                self.area
                    .route(*id)
                    .is_ok_and(|route| route.shard_id() == shard)
            })
    }

    /// The first of [`ids_on`](Self::ids_on).
    ///
    /// # Panics
    ///
    /// When there is no such database.
    pub fn id_on(&self, short: &str) -> Gdid {
        self.ids_on(short).next().expect("every shard owns an id")
    }

    /// The briefcase of [`id_on`](Self::id_on).
    ///
    /// # Panics
    ///
    /// As [`id_on`](Self::id_on).
    pub fn briefcase_on(&self, short: &str) -> Briefcase<DB> {
        let briefcase = self.area.briefcase(self.id_on(short));
        briefcase.expect("the id is above the first start")
    }

    /// The shard on the database `a0`, `a1` or `b0`.
    ///
    /// # Panics
    ///
    /// When there is no such database.
    pub fn shard(&self, short: &str) -> ShardId {
        let name = self.database(short);
        let shards = self.area.shards();
        let mut named = shards
            .iter()
            .filter(|shard| shard.database().as_str() == name);
        named
            .next()
            .expect("the database is one of the store's")
            .id()
    }

    /// What the pool of a shard holds.
    pub fn status(&self, short: &str) -> PoolStatus {
        self.mdb.servers().status(self.shard(short))
    }

    /// Waits until no connection is handed out and the server knows of no open transaction.
    ///
    /// # Panics
    ///
    /// When that does not come about soon.
    pub async fn rests(&self) {
        wait_for("all connections to be given back", SOON, async || {
            self.status("a0").server_in_use == 0
        })
        .await;
        wait_for("all transactions to end on the server", SOON, async || {
            self.sessions().await.transactions == 0
        })
        .await;
    }

    /// What the server says of the store's connections.
    ///
    /// # Panics
    ///
    /// When the server can't be asked.
    pub async fn sessions(&self) -> Sessions {
        DB::sessions(self).await.expect("the server can be asked")
    }
}

fn configuration(prefix: &str, url: &str, limits: Limits) -> String {
    let Limits { connections, .. } = limits;
    let [connect, acquire, statement, test_after_idle] = [
        limits.connect,
        limits.acquire,
        limits.statement,
        limits.test_after_idle,
    ]
    .map(|time| time.as_millis());
    format!(
        r#"
        [store]
        name = "shop"

        [[server]]
        name = "main"
        url = "{url}"
        max_connections = {connections}
        connect_timeout_ms = {connect}
        acquire_timeout_ms = {acquire}
        statement_timeout_ms = {statement}
        test_after_idle_ms = {test_after_idle}

        [[server]]
        name = "central"
        url = "sqlite:central"

        [central]
        shards = [{{ server = "central", database = "central" }}]

        [[area]]
        name = "user"

        [[area.partition]]
        start = "0:0:10"
        shards = [
            {{ server = "main", database = "{prefix}_a0" }},
            {{ server = "main", database = "{prefix}_a1" }},
        ]

        [[area.partition]]
        start = "0:0:1000"
        shards = [{{ server = "main", database = "{prefix}_b0" }}]
        "#
    )
}

fn open(text: &str, base: &Path) -> Mdb {
    let config = Config::parse("mdb.toml", text, base, &|_| None);
    let config = config.unwrap_or_else(|faults| panic!("{faults}:\n{faults:?}"));
    Mdb::from_config(config).expect("the areas fit together")
}

/// Makes a test of each of the functions for each engine; they are generic over a
/// [`TestEngine`](crate::store::TestEngine).
#[macro_export]
macro_rules! on_all_engines {
    ($($test:ident),+ $(,)?) => {
        $crate::on_all_engines!(@module on_sqlite, Sqlite, [$($test),+]);
        $crate::on_all_engines!(@module on_postgres, Postgres, [$($test),+]);
        $crate::on_all_engines!(@module on_mariadb, MySql, [$($test),+]);
    };
    (@module $module:ident, $engine:ident, [$($test:ident),+]) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test::<sqlx::$engine>().await;
                }
            )+
        }
    };
}

/// As [`on_all_engines!`], for the engines that have servers.
#[macro_export]
macro_rules! on_engines_with_servers {
    ($($test:ident),+ $(,)?) => {
        $crate::on_all_engines!(@module on_postgres_server, Postgres, [$($test),+]);
        $crate::on_all_engines!(@module on_mariadb_server, MySql, [$($test),+]);
    };
}
