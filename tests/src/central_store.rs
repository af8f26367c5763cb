//! Stores for tests of CENTRAL: three CENTRAL shards on two servers, and an index of every kind.
//!
//! A [`CentralStore`] is opened as often as a test likes; each [`Mdb`] has pools and caches of its own, as if it were
//! a process of its own.

use std::path::Path;
use std::time::Duration;

use mdb_core::central::BriefcaseFound;
use mdb_core::config::Config;
use mdb_core::error::chain;
use mdb_core::{Index, Mdb};
use tempfile::TempDir;

use crate::kit::{Server, SharedServer, shared, temp_dir, unique, wait_for};
use crate::store::TestEngine;

/// Times of the store under test. What a test does not wait for is long, so that it can't help.
#[derive(Clone, Copy, Debug)]
pub struct CentralTimes {
    /// How long a found id is cached.
    pub found: Duration,
    /// How long it is cached that there is none.
    pub absent: Duration,
    /// The age from which on a claim counts as abandoned.
    pub claim: Duration,
}

impl CentralTimes {
    /// Nothing passes by itself while a test runs.
    pub const LONG: Self = Self {
        found: Duration::from_hours(1),
        absent: Duration::from_hours(1),
        claim: Duration::from_hours(1),
    };

    /// Whatever is left behind counts as abandoned at once, even when its owner lives.
    pub const IMPATIENT: Self = Self {
        claim: Duration::from_millis(1),
        ..Self::LONG
    };
}

/// A store that has little more than CENTRAL.
#[derive(Debug)]
pub struct CentralStore {
    text: String,
    directory: TempDir,
    /// URLs of the servers, with `{database}` where the database belongs.
    urls: [String; 2],
    name: String,
    _shared: Vec<SharedServer>,
}

impl CentralStore {
    /// A store whose databases are ready.
    ///
    /// # Panics
    ///
    /// When a server does not start or a shard can't be made ready.
    pub async fn start<DB: TestEngine>(times: CentralTimes) -> Self {
        let store = Self::without_databases::<DB>(times).await;
        store.init().await;
        store
    }

    /// A store whose databases are not there yet.
    ///
    /// # Panics
    ///
    /// When a server does not start.
    pub async fn without_databases<DB: TestEngine>(times: CentralTimes) -> Self {
        let Some(kind) = DB::SERVER else {
            return Self::new(["sqlite:east", "sqlite:west"], times, Vec::new());
        };
        let east = shared(kind, 0).await.expect("the first server starts");
        let west = shared(kind, 1).await.expect("the second server starts");
        let urls = [east.url_template(), west.url_template()];
        Self::new([&urls[0], &urls[1]], times, vec![east, west])
    }

    /// A store on a server of the test's own, whose databases are ready.
    ///
    /// # Panics
    ///
    /// When a shard can't be made ready.
    pub async fn on(server: &Server, times: CentralTimes) -> Self {
        let url = server.url_template();
        let store = Self::new([&url, &url], times, Vec::new());
        store.init().await;
        store
    }

    /// A store whose servers are at a URL where there may be no server.
    ///
    /// # Panics
    ///
    /// When there is no room for a directory.
    pub fn at(url_template: &str) -> Self {
        Self::new([url_template, url_template], CentralTimes::LONG, Vec::new())
    }

    fn new([east, west]: [&str; 2], times: CentralTimes, shared: Vec<SharedServer>) -> Self {
        let [found, absent, claim] =
            [times.found, times.absent, times.claim].map(|time| time.as_millis());
        let name = unique("central");
        let mut text = format!(
            r#"
            [store]
            name = "shop"

            [sequences]
            smallest_block = 100
            largest_block = 100

            [[sequence]]
            name = "user"

            [defaults]
            max_connections = 8

            [[server]]
            name = "east"
            url = "{east}"

            [[server]]
            name = "west"
            url = "{west}"

            [central]
            shards = [
                {{ server = "east", database = "{name}_0" }},
                {{ server = "west", database = "{name}_1" }},
                {{ server = "east", database = "{name}_2" }},
            ]

            [central.cache]
            ttl_ms = {found}
            negative_ttl_ms = {absent}
            "#
        );
        let claims = format!("claim_ttl_ms = {claim}\n");
        for (index, kind) in [
            ("email", "key = \"string\"\nnormalize = \"fold\""),
            ("nickname", "key = \"string\"\nnormalize = \"trim\""),
            ("code", "key = \"string\"\nnormalize = \"none\""),
            ("digest", "key = \"bytes\""),
            ("number", "key = \"integer\""),
        ] {
            let line = ["\n[[central.index]]\nname = \"", index, "\"\n", kind, "\n"].concat();
            text.push_str(&line);
            text.push_str(&claims);
        }
        let directory = temp_dir().expect("there is room for a directory");
        Self {
            text,
            directory,
            urls: [east, west].map(str::to_owned),
            name,
            _shared: shared,
        }
    }

    /// The URL of CENTRAL's shard at that position, for a client that knows nothing of MDB.
    pub fn url(&self, position: usize) -> String {
        let database = format!("{}_{position}", self.name);
        let url = &self.urls[position % 2];
        match url.strip_prefix("sqlite:") {
            Some(directory) => format!(
                "sqlite:{}/{directory}/{database}.db",
                self.directory.path().display()
            ),
            None => url.replace("{database}", &database),
        }
    }

    async fn init(&self) {
        for (shard, report) in self.open().init().await {
            report.unwrap_or_else(|error| panic!("shard {shard}: {}", chain(&error)));
        }
    }

    /// Opens the store, as another process would.
    ///
    /// # Panics
    ///
    /// When the configuration has a fault.
    pub fn open(&self) -> Mdb {
        self.open_changed(|text| text)
    }

    /// Opens the store with another configuration.
    ///
    /// # Panics
    ///
    /// When the configuration has a fault.
    pub fn open_changed(&self, change: impl FnOnce(String) -> String) -> Mdb {
        let (text, base): (_, &Path) = (change(self.text.clone()), self.directory.path());
        let config = Config::parse("mdb.toml", &text, base, &|_| None);
        let config = config.unwrap_or_else(|faults| panic!("{faults}:\n{faults:?}"));
        Mdb::from_config(config).expect("the areas fit together")
    }

    /// The index of e-mail addresses of the store, opened anew.
    pub fn emails(&self) -> Index {
        self.open().central().index("email")
    }
}

/// Brings to an end whatever counts as abandoned, and waits until nothing unfinished is left.
///
/// # Panics
///
/// When a shard fails, or something is left after 20 seconds.
pub async fn settle_all(index: &Index) {
    wait_for(
        "everything to be settled",
        Duration::from_secs(20),
        async || {
            let age = index.claim_ttl().expect("the index is configured");
            for left in index.unfinished(age).await.expect("CENTRAL answers") {
                let settled = index.settle(&left, BriefcaseFound::No).await;
                settled.expect("CENTRAL answers");
            }
            let left = index.unfinished(Duration::ZERO).await;
            left.expect("CENTRAL answers").is_empty()
        },
    )
    .await;
}
