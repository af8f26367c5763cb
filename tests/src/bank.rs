//! A bank for tests of moves: briefcases with accounts, and transfers between them that leave their sum as it is.
//!
//! A [`Bank`] has an area `user` with two shards on two servers. A briefcase has a row in `customer`, [`ACCOUNTS`]
//! rows in `account`, and for each transfer a row in `transfer` with two rows in `entry`, which is reached through its
//! parent only. [`Teller`]s transfer and read as services do; [`Bank::url`] is for clients that know
//! nothing of MDB. A [`Ledger`] is what a process writes down of its transfers; [`Audit::reconcile`] compares
//! ledgers with the rows.

mod audit;
mod configuration;
mod ledger;
mod place;
mod statements;
mod teller;
mod workers;

use std::marker::PhantomData;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use mdb_core::config::Config;
use mdb_core::error::chain;
use mdb_core::topology::ShardId;
use mdb_core::{Area, Gdid, Mdb, ScatterOptions};
use tempfile::TempDir;

use crate::kit::{Durability, Server, SharedServer, shared, temp_dir, unique};
use crate::store::TestEngine;

pub use audit::Audit;
pub use configuration::{NOTE, SHOPS};
pub use ledger::{Known, Ledger, LedgerWriter};
pub use place::{Place, id, word};
pub use statements::{
    literal, past_triggers, sum_of, transfer_of, transfer_statements, transfers_of,
};
pub use teller::Teller;
pub use workers::{Worker, Workers};

/// How many accounts a briefcase has.
pub const ACCOUNTS: u64 = 4;

/// What a briefcase's accounts have together, always.
pub const SUM: i64 = 4_000;

/// A server of a bank.
#[derive(Debug)]
enum Host {
    Shared(SharedServer),
    Own(Box<Server>),
}

impl Deref for Host {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Shared(server) => server,
            Self::Own(server) => server,
        }
    }
}

/// CENTRAL's index of the customers.
const INDEX: &str = "customer_email";

/// A customer's address.
fn email(user: Gdid) -> String {
    format!("{user}@bank.example")
}

/// The bank's configuration and servers.
#[derive(Debug)]
pub struct Bank<DB: TestEngine> {
    text: String,
    directory: TempDir,
    prefix: String,
    /// None on an engine without servers; the third one, if there is one, is the catalog's.
    servers: Vec<Host>,
    next_transfer: AtomicU64,
    engine: PhantomData<fn() -> DB>,
}

impl<DB: TestEngine> Bank<DB> {
    /// A bank with empty tables, on servers that all tests of the process share.
    ///
    /// # Panics
    ///
    /// When a server does not start or a shard can't be made ready.
    pub async fn start() -> Self {
        Self::on(Self::shared_servers().await, "").await
    }

    /// The same with a third shard, on the second server, which is nobody's home by the rule.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn with_third() -> Self {
        Self::on(Self::shared_servers().await, configuration::THIRD).await
    }

    async fn shared_servers() -> Vec<Host> {
        let mut servers = Vec::new();
        for number in 0..2 {
            if let Some(kind) = DB::SERVER {
                let server = shared(kind, number).await;
                servers.push(Host::Shared(server.expect("the server starts")));
            }
        }
        servers
    }

    /// A bank on three servers of its own, to be stalled and killed: the two shards' and the catalog's.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn alone() -> Self {
        let mut servers = Vec::new();
        for _ in 0..3 {
            if let Some(kind) = DB::SERVER {
                let server = Server::start(kind, Durability::Fast).await;
                servers.push(Host::Own(Box::new(server.expect("the server starts"))));
            }
        }
        Self::on(servers, "").await
    }

    async fn on(servers: Vec<Host>, more: &str) -> Self {
        let urls: Vec<String> = match DB::SERVER {
            None => ["sqlite:east", "sqlite:west", "sqlite:catalog"]
                .map(str::to_owned)
                .to_vec(),
            Some(_) => servers.iter().map(|s| s.url_template()).collect(),
        };
        let prefix = unique("bank");
        let bank = Self {
            text: configuration::text(&prefix, &urls, more),
            directory: temp_dir().expect("there is room for a directory"),
            prefix,
            servers,
            next_transfer: AtomicU64::new(1),
            engine: PhantomData,
        };
        std::fs::write(bank.config(), &bank.text).expect("the configuration can be written");
        let mdb = bank.open();
        for (shard, report) in mdb.init().await {
            report.unwrap_or_else(|error| panic!("shard {shard}: {}", chain(&error)));
        }
        let area = mdb.area::<DB>("user").expect("the area is there");
        for table in statements::tables::<DB>() {
            let table: &'static str = table.leak();
            area.each_shard(ScatterOptions::new(), move |shard| async move {
                DB::run(&shard, table).await
            })
            .all()
            .await
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        }
        bank
    }

    /// The configuration.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file of the configuration.
    pub fn config(&self) -> PathBuf {
        self.directory().join("mdb.toml")
    }

    /// The server of the first (0) or second (1) shard, or of the catalog (2).
    ///
    /// # Panics
    ///
    /// When the bank has no such server.
    pub fn server(&self, number: usize) -> &Server {
        &self.servers[number]
    }

    /// The directory of the configuration, and of SQLite's files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Opens the store as another process would.
    ///
    /// # Panics
    ///
    /// When the configuration has a fault.
    pub fn open(&self) -> Mdb {
        self.open_text(&self.text)
    }

    /// Opens the store as a process does whose configuration has the area's triggers stay.
    ///
    /// # Panics
    ///
    /// When the configuration has a fault.
    pub fn open_capturing_always(&self) -> Mdb {
        let area = "[[area]]\n";
        assert!(self.text.contains(area));
        let always = format!("{area}capture = \"always\"\n");
        self.open_text(&self.text.replace(area, &always))
    }

    /// Opens the store as a process does whose configuration has more tables of a briefcase.
    ///
    /// # Panics
    ///
    /// When the configuration has a fault.
    pub fn open_with(&self, tables: &str) -> Mdb {
        self.open_text(&format!("{}{tables}", self.text))
    }

    /// Opens the store as a process does whose configuration is what `change` makes of the bank's.
    ///
    /// # Panics
    ///
    /// When the configuration has a fault.
    pub fn open_changed(&self, change: impl FnOnce(String) -> String) -> Mdb {
        self.open_text(&change(self.text.clone()))
    }

    fn open_text(&self, text: &str) -> Mdb {
        let config = Config::parse("mdb.toml", text, self.directory.path(), &|_| None);
        let config = config.unwrap_or_else(|faults| panic!("{faults}:\n{faults:?}"));
        Mdb::from_config(config).expect("the areas fit together")
    }

    /// The shard on the first (0) or second (1) server, or the third one (2).
    ///
    /// # Panics
    ///
    /// For another number.
    pub fn shard(&self, mdb: &Mdb, number: usize) -> ShardId {
        let area: Area<DB> = mdb.area("user").expect("the area is there");
        area.shards()[number].id()
    }

    /// Opens accounts for `count` briefcases whose home is the shard of that number.
    ///
    /// # Panics
    ///
    /// When a statement fails.
    pub async fn customers(&self, mdb: &Mdb, number: usize, count: usize) -> Vec<Gdid> {
        let area: Area<DB> = mdb.area("user").expect("the area is there");
        let shard = self.shard(mdb, number);
        let ids = (1..).map(|counter| Gdid::new(0, 0, counter).expect("a small counter"));
        let ids: Vec<Gdid> = ids
            .filter(|id| area.route(*id).is_ok_and(|route| route.shard_id() == shard))
            .take(count)
            .collect();
        for id in &ids {
            let ann = area.briefcase(*id).expect("the id is above the start");
            let done = ann.transact(async |tx| {
                let key = literal::<DB>(*id);
                DB::run(&tx, &format!("INSERT INTO customer VALUES ({key}, 'ann')")).await?;
                for account in 0..ACCOUNTS {
                    let cents = SUM / ACCOUNTS.cast_signed();
                    DB::run(
                        &tx,
                        &format!("INSERT INTO account VALUES ({key}, {account}, {cents})"),
                    )
                    .await?;
                }
                Ok(())
            });
            done.await
                .unwrap_or_else(|error| panic!("{}", chain(&error)));
            let index = mdb.central().index(INDEX);
            let named = index.insert(email(*id).as_str(), *id).await;
            named.unwrap_or_else(|error| panic!("{}", chain(&error)));
        }
        ids
    }

    /// Asks CENTRAL for each customer by his address, and a process that has just begun for his rows.
    ///
    /// # Panics
    ///
    /// When an address leads to somebody else or nobody, or a customer to no row.
    pub async fn find(&self, users: &[Gdid]) {
        let mdb = self.open();
        let area: Area<DB> = mdb.area("user").expect("the area is there");
        for user in users {
            let found = mdb.central().index(INDEX).get(email(*user).as_str()).await;
            let found = found.unwrap_or_else(|error| panic!("{}", chain(&error)));
            assert_eq!(found, Some(*user), "{}", email(*user));
            let customer = area.briefcase(*user).expect("the id is above the start");
            let key = literal::<DB>(*user);
            let rows = format!("SELECT count(*) FROM customer WHERE g_user = {key}");
            let rows = DB::number(&customer, &rows).await;
            assert_eq!(rows.unwrap_or_else(|error| panic!("{}", chain(&error))), 1);
        }
    }

    /// The URL of the shard of that number, for a client that knows nothing of MDB.
    pub fn url(&self, number: usize) -> String {
        let database = format!("{}_{number}", self.prefix);
        match DB::SERVER {
            None => {
                let server = ["east", "west", "west"][number];
                format!(
                    "sqlite:{}/{server}/{database}.db",
                    self.directory().display()
                )
            }
            Some(_) => self.servers[number.min(1)].url(&database),
        }
    }

    /// The URL of the catalog's home.
    pub fn catalog_url(&self) -> String {
        let database = format!("{}_central", self.prefix);
        match self.servers.get(2).or(self.servers.first()) {
            None => format!(
                "sqlite:{}/catalog/{database}.db",
                self.directory().display()
            ),
            Some(server) => server.url(&database),
        }
    }

    /// The single number that a query answers with on the shard of that number, past MDB.
    ///
    /// # Panics
    ///
    /// When the query fails.
    pub async fn count(&self, number: usize, sql: &str) -> i64 {
        let counted = DB::number_at(&self.url(number), sql).await;
        counted.unwrap_or_else(|error| panic!("{sql}: {}", chain(&error)))
    }

    /// A fresh id of a transfer.
    pub fn transfer(&self) -> Gdid {
        let counter = self.next_transfer.fetch_add(1, Ordering::Relaxed);
        Gdid::new(1, 0, counter).expect("a small counter")
    }
}
