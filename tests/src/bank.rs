//! A bank for tests of moves: briefcases with accounts, and transfers between them that leave their sum as it is.
//!
//! A [`Bank`] has an area `user` with two shards on two servers. A briefcase has a row in `customer`, [`ACCOUNTS`]
//! rows in `account`, and for each transfer a row in `transfer` with two rows in `entry`, which is reached through its
//! parent only. [`Teller`]s transfer and read as services do; [`Bank::url`] is for clients that know
//! nothing of MDB.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use mdb_core::config::Config;
use mdb_core::error::chain;
use mdb_core::topology::ShardId;
use mdb_core::{Area, Briefcase, Gdid, Mdb, ScatterOptions, TransactError};
use tempfile::TempDir;

use crate::kit::{Kind, SharedServer, shared, temp_dir, unique};
use crate::store::TestEngine;

/// How many accounts a briefcase has.
pub const ACCOUNTS: u64 = 4;

/// What a briefcase's accounts have together, always.
pub const SUM: i64 = 4_000;

/// The bank's configuration and servers.
#[derive(Debug)]
pub struct Bank<DB: TestEngine> {
    text: String,
    directory: TempDir,
    prefix: String,
    servers: Vec<SharedServer>,
    next_transfer: AtomicU64,
    engine: PhantomData<fn() -> DB>,
}

impl<DB: TestEngine> Bank<DB> {
    /// A bank with empty tables.
    ///
    /// # Panics
    ///
    /// When a server does not start or a shard can't be made ready.
    pub async fn start() -> Self {
        let servers = match DB::SERVER {
            None => Vec::new(),
            Some(kind) => vec![
                shared(kind, 0).await.expect("the first server starts"),
                shared(kind, 1).await.expect("the second server starts"),
            ],
        };
        let urls = match &servers[..] {
            [a, b] => [a.url_template(), b.url_template()],
            _ => ["sqlite:east".to_owned(), "sqlite:west".to_owned()],
        };
        let prefix = unique("bank");
        let bank = Self {
            text: configuration(&prefix, &urls),
            directory: temp_dir().expect("there is room for a directory"),
            prefix,
            servers,
            next_transfer: AtomicU64::new(1),
            engine: PhantomData,
        };
        let mdb = bank.open();
        for (shard, report) in mdb.init().await {
            report.unwrap_or_else(|error| panic!("shard {shard}: {}", chain(&error)));
        }
        let area = mdb.area::<DB>("user").expect("the area is there");
        for table in tables::<DB>() {
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
        let config = Config::parse("mdb.toml", &self.text, self.directory.path(), &|_| None);
        let config = config.unwrap_or_else(|faults| panic!("{faults}:\n{faults:?}"));
        Mdb::from_config(config).expect("the areas fit together")
    }

    /// The shard on the first (0) or second (1) server.
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
        }
        ids
    }

    /// The URL of the shard of that number, for a client that knows nothing of MDB.
    pub fn url(&self, number: usize) -> String {
        let database = format!("{}_{number}", self.prefix);
        match DB::SERVER {
            None => {
                let server = ["east", "west"][number];
                format!(
                    "sqlite:{}/{server}/{database}.db",
                    self.directory().display()
                )
            }
            Some(_) => self.servers[number].url(&database),
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

/// The statements that make the bank's tables.
fn tables<DB: TestEngine>() -> Vec<String> {
    let (id, rest) = match DB::SERVER {
        None => ("BLOB", ""),
        Some(Kind::Postgres) => ("BYTEA", ""),
        Some(Kind::MariaDb) => ("BINARY(12)", " ENGINE = InnoDB"),
    };
    vec![
        format!(
            "CREATE TABLE customer (g_user {id} NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL){rest}"
        ),
        format!(
            "CREATE TABLE account (g_user {id} NOT NULL, n BIGINT NOT NULL, cents BIGINT NOT NULL, PRIMARY KEY (g_user, n), \
             FOREIGN KEY (g_user) REFERENCES customer (g_user)){rest}"
        ),
        format!(
            "CREATE TABLE transfer (g_transfer {id} NOT NULL PRIMARY KEY, g_user {id} NOT NULL, cents BIGINT NOT NULL, \
             FOREIGN KEY (g_user) REFERENCES customer (g_user)){rest}"
        ),
        "CREATE INDEX transfer_user ON transfer (g_user)".to_owned(),
        format!(
            "CREATE TABLE entry (g_transfer {id} NOT NULL, side BIGINT NOT NULL, n BIGINT NOT NULL, cents BIGINT NOT NULL, \
             PRIMARY KEY (g_transfer, side), FOREIGN KEY (g_transfer) REFERENCES transfer (g_transfer)){rest}"
        ),
    ]
}

/// An id as it is written in SQL.
pub fn literal<DB: TestEngine>(id: Gdid) -> String {
    match DB::SERVER {
        Some(Kind::Postgres) => format!("'\\x{id:x}'::bytea"),
        None | Some(Kind::MariaDb) => format!("x'{id:x}'"),
    }
}

/// The statements of a transfer of `cents` from one account to another.
pub fn transfer_statements<DB: TestEngine>(
    user: Gdid,
    transfer: Gdid,
    [from, to]: [u64; 2],
    cents: i64,
) -> Vec<String> {
    let (user, transfer) = (literal::<DB>(user), literal::<DB>(transfer));
    vec![
        format!("INSERT INTO transfer VALUES ({transfer}, {user}, {cents})"),
        format!(
            "INSERT INTO entry VALUES ({transfer}, 0, {from}, -{cents}), ({transfer}, 1, {to}, {cents})"
        ),
        format!("UPDATE account SET cents = cents - {cents} WHERE g_user = {user} AND n = {from}"),
        format!("UPDATE account SET cents = cents + {cents} WHERE g_user = {user} AND n = {to}"),
    ]
}

/// Someone who uses the bank as a service does.
#[derive(Clone, Debug)]
pub struct Teller<DB: TestEngine> {
    area: Area<DB>,
}

impl<DB: TestEngine> Teller<DB> {
    /// A teller of an open store.
    ///
    /// # Panics
    ///
    /// When the store has no area `user` on this engine.
    pub fn new(mdb: &Mdb) -> Self {
        Self {
            area: mdb.area("user").expect("the area is there"),
        }
    }

    /// The area.
    pub fn area(&self) -> &Area<DB> {
        &self.area
    }

    /// The briefcase of a customer.
    ///
    /// # Panics
    ///
    /// When the id is below the area's start.
    pub fn briefcase(&self, user: Gdid) -> Briefcase<DB> {
        self.area
            .briefcase(user)
            .expect("the id is above the start")
    }

    /// Transfers some cents between two accounts picked at random.
    ///
    /// # Errors
    ///
    /// As [`Briefcase::transact`].
    pub async fn transfer(&self, user: Gdid, transfer: Gdid) -> Result<(), TransactError> {
        let accounts = [fastrand::u64(..ACCOUNTS), fastrand::u64(..ACCOUNTS)];
        let statements = transfer_statements::<DB>(user, transfer, accounts, fastrand::i64(1..50));
        let statements = &statements;
        self.briefcase(user)
            .transact(async |tx| {
                for statement in statements {
                    DB::run(&tx, statement).await?;
                }
                Ok(())
            })
            .await
    }

    /// What a customer's accounts have together, in one statement.
    ///
    /// # Errors
    ///
    /// The server's, or MDB's inside it.
    pub async fn sum(&self, user: Gdid) -> Result<i64, sqlx::Error> {
        let ann = self.briefcase(user);
        DB::number(&ann, &sum_of::<DB>(user)).await
    }

    /// How many transfers with both their entries the customer has.
    ///
    /// # Errors
    ///
    /// As [`sum`](Self::sum).
    pub async fn transfers(&self, user: Gdid) -> Result<i64, sqlx::Error> {
        let ann = self.briefcase(user);
        DB::number(&ann, &transfers_of::<DB>(user)).await
    }
}

/// A query of what a customer's accounts have together.
pub fn sum_of<DB: TestEngine>(user: Gdid) -> String {
    let key = literal::<DB>(user);
    let cast = match DB::SERVER {
        None => "CAST(coalesce(sum(cents), 0) AS INTEGER)",
        Some(Kind::Postgres) => "CAST(coalesce(sum(cents), 0) AS BIGINT)",
        Some(Kind::MariaDb) => "CAST(coalesce(sum(cents), 0) AS SIGNED)",
    };
    format!("SELECT {cast} FROM account WHERE g_user = {key}")
}

/// A query of how many transfers with both their entries a customer has.
pub fn transfers_of<DB: TestEngine>(user: Gdid) -> String {
    format!(
        "SELECT count(*) FROM transfer t WHERE t.g_user = {} \
         AND (SELECT count(*) FROM entry e WHERE e.g_transfer = t.g_transfer) = 2",
        literal::<DB>(user)
    )
}

/// A query of how many of the customer's transfers have that id: 0 or 1.
pub fn transfer_of<DB: TestEngine>(user: Gdid, transfer: Gdid) -> String {
    format!(
        "SELECT count(*) FROM transfer WHERE g_user = {} AND g_transfer = {}",
        literal::<DB>(user),
        literal::<DB>(transfer)
    )
}

fn configuration(prefix: &str, [east, west]: &[String; 2]) -> String {
    format!(
        r#"
        [store]
        name = "bank"

        [[server]]
        name = "east"
        url = "{east}"

        [[server]]
        name = "west"
        url = "{west}"

        [central]
        shards = [{{ server = "east", database = "{prefix}_central" }}]

        [[area]]
        name = "user"

        [[area.partition]]
        start = "0:0:1"
        shards = [
            {{ server = "east", database = "{prefix}_0" }},
            {{ server = "west", database = "{prefix}_1" }},
        ]

        [[area.briefcase]]
        name = "customer"
        [[area.briefcase.table]]
        name = "customer"
        key = "g_user"
        [[area.briefcase.table]]
        name = "account"
        key = "g_user"
        [[area.briefcase.table]]
        name = "transfer"
        key = "g_user"
        [[area.briefcase.table]]
        name = "entry"
        parent = "transfer"
        on = {{ g_transfer = "g_transfer" }}
        "#
    )
}
