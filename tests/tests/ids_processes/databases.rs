//! Authorities that count in a database: every process changes the row itself. The servers are killed, too.

use std::path::PathBuf;
use std::process::Command;

use mdb_core::Mdb;
use mdb_core::error::chain;
use mdb_tests::kit::{Durability, Kind, Server, temp_dir};
use tempfile::TempDir;

use crate::fleet::{Fleet, Part};

/// A configuration with little more than CENTRAL, and CENTRAL made ready.
pub(crate) struct Store {
    directory: TempDir,
}

impl Store {
    /// A store whose CENTRAL is on that server, with more words for its configuration.
    pub(crate) async fn start(url: &str, more: &str) -> Self {
        let store = Self {
            directory: temp_dir().unwrap(),
        };
        store.configure("mdb.toml", url, more);
        let mdb = Mdb::open(store.config()).await.unwrap();
        for (_, report) in mdb.init().await {
            report.unwrap_or_else(|error| panic!("{}", chain(&error)));
        }
        store
    }

    /// Writes a configuration.
    pub(crate) fn configure(&self, file: &str, url: &str, more: &str) {
        let text = format!(
            r#"
            [store]
            name = "shop"

            [[sequence]]
            name = "user"

            [[server]]
            name = "local"
            url = "{url}"

            [central]
            shards = [{{ server = "local", database = "central" }}]

            {more}
            "#
        );
        std::fs::write(self.directory.path().join(file), text).unwrap();
    }

    /// Makes the disks of a configuration ready to count on.
    pub(crate) fn init_disks(&self, file: &str) {
        let ran = Command::new(env!("CARGO_BIN_EXE_mdb-of-tests"))
            .arg("--config")
            .arg(self.path(file))
            .args(["gdid", "init-disks"])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("mdb.toml")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_counted_on_sqlite_never_repeat() {
    let store = Store::start("sqlite:data", "").await;
    let mut fleet = Fleet::start(&store.config(), 3);
    fleet.run_to(Part::WHOLE);
    assert_eq!(fleet.end_all().authorities(), [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_counted_on_postgres_never_repeat() {
    ids_never_repeat_on(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_counted_on_mariadb_never_repeat() {
    ids_never_repeat_on(Kind::MariaDb).await;
}

async fn ids_never_repeat_on(kind: Kind) {
    let server = Server::start(kind, Durability::Fast).await.unwrap();
    let store = Store::start(&server.url_template(), "").await;
    let mut fleet = Fleet::start(&store.config(), 3);
    for part in [2, 4, 6].map(Part) {
        fleet.run_to(part);
        server.restart().await.unwrap();
    }
    fleet.run_to(Part::WHOLE);
    assert_eq!(fleet.end_all().authorities(), [0]);
}
