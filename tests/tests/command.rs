//! The `mdb` command on PostgreSQL and MariaDB, with the sample configurations as they stand but for the port.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::HashSet;
use std::path::PathBuf;

use mdb_tests::kit::{Durability, Kind, PASSWORD, Server};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, MySqlConnection, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

/// The tables of the samples' briefcase type, in words that both engines take once `{id}` is put in.
const TABLES: [&str; 5] = [
    "CREATE TABLE account (g_user {id} NOT NULL PRIMARY KEY, email VARCHAR(200) NOT NULL)",
    "CREATE TABLE address (g_user {id} NOT NULL, kind VARCHAR(20) NOT NULL, PRIMARY KEY (g_user, kind))",
    "CREATE TABLE orders (g_order {id} NOT NULL PRIMARY KEY, g_user {id} NOT NULL)",
    "CREATE TABLE line_item (g_order {id} NOT NULL, line_no INT NOT NULL, PRIMARY KEY (g_order, line_no), \
     CONSTRAINT line_item_order FOREIGN KEY (g_order) REFERENCES orders (g_order))",
    "CREATE TABLE balance (g_user {id} NOT NULL PRIMARY KEY, cents BIGINT NOT NULL)",
];

const SHARDS: [&str; 4] = [
    "shop_user_a0",
    "shop_user_a1",
    "shop_user_b0",
    "shop_user_b1",
];

/// A server of its own, since the samples name their databases, and a directory with a sample for it.
struct Shop {
    server: Server,
    directory: TempDir,
}

struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Shop {
    async fn start(kind: Kind) -> Self {
        // One that may lose commits is complained of.
        let server = Server::start(kind, Durability::Fsync).await.unwrap();
        let shop = Self {
            directory: tempfile::tempdir().unwrap(),
            server,
        };
        shop.configure(|sample| sample);
        shop
    }

    /// Writes the sample for this server, changed.
    fn configure(&self, change: impl FnOnce(String) -> String) {
        let sample = match self.server.kind() {
            Kind::Postgres => include_str!("../../config/postgres.toml"),
            Kind::MariaDb => include_str!("../../config/mariadb.toml"),
        };
        let here = format!("host = \"127.0.0.1:{}\"", self.server.port());
        let sample = sample.replace("host = \"127.0.0.1\"", &here);
        assert!(sample.contains(&here));
        std::fs::write(self.path(), change(sample)).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mdb.toml")
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(PASSWORD, arguments).await
    }

    async fn run_with(&self, password: &str, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_mdb-of-tests"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("MDB_LOG")
            .env("MDB_CONFIG", self.path())
            .env("MDB_PASSWORD", password)
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let ended = Ended {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        for said in [&ended.out, &ended.err] {
            // The kit's own password is also its user's name and a word of the messages.
            let secret = if password == PASSWORD {
                format!(":{password}@")
            } else {
                password.to_owned()
            };
            assert!(!said.contains(&secret), "a password: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
        ended
    }

    /// The objects of a run that ends well.
    async fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.err);
        assert_eq!(ended.err, "");
        ended.objects()
    }

    async fn execute(&self, database: &str, statements: &[&str]) {
        let url = self.server.url(database);
        match self.server.kind() {
            Kind::Postgres => run_all(PgConnection::connect(&url).await, statements).await,
            Kind::MariaDb => run_all(MySqlConnection::connect(&url).await, statements).await,
        }
    }

    async fn create_tables(&self) {
        let id = match self.server.kind() {
            Kind::Postgres => "BYTEA",
            Kind::MariaDb => "BINARY(12)",
        };
        let tables = TABLES.map(|table| table.replace("{id}", id));
        for shard in SHARDS {
            self.execute(shard, &tables.each_ref().map(String::as_str))
                .await;
        }
    }
}

async fn run_all<C: Connection>(connected: Result<C, sqlx::Error>, statements: &[&str])
where
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    let mut connection = connected.unwrap();
    for statement in statements {
        connection
            .execute(sqlx::raw_sql(statement))
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    connection.close().await.unwrap();
}

impl Ended {
    fn objects(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn values<'v>(objects: &'v [Value], key: &str) -> Vec<&'v str> {
    objects
        .iter()
        .map(|object| object[key].as_str().unwrap())
        .collect()
}

async fn a_sample_works_as_it_stands(kind: Kind) {
    let shop = Shop::start(kind).await;
    let before = shop.run(&["check", "--json"]).await;
    assert_eq!(before.status, Some(1), "{}", before.err);
    assert_eq!(values(&before.objects(), "check"), ["database"; 6]);

    let made = shop.objects(&["init"]).await;
    assert_eq!(values(&made, "outcome"), ["created"; 6]);
    assert_eq!(
        values(&made, "database")[2..],
        [
            "shop_user_a0",
            "shop_user_a1",
            "shop_user_b0",
            "shop_user_b1"
        ]
    );
    let again = shop.objects(&["init"]).await;
    assert_eq!(values(&again, "outcome"), ["unchanged"; 6]);

    let bare = shop.run(&["check", "--json"]).await;
    assert_eq!(bare.status, Some(1));
    assert_eq!(values(&bare.objects(), "check"), ["table"; 20]);
    shop.create_tables().await;
    let clean = shop.run(&["check"]).await;
    assert_eq!(
        clean.out, "all is well: 6 shards checked\n",
        "{}",
        clean.err
    );
    assert_eq!(clean.status, Some(0));

    let drawn = shop.objects(&["show", "--sizes"]).await;
    assert_eq!(drawn.len(), 6);
    assert_eq!(drawn[5]["tables"].as_array().unwrap().len(), 5);
    assert_eq!(drawn[5]["engine"], kind_name(kind));
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "postgres",
        Kind::MariaDb => "mysql",
    }
}

async fn ids_and_entries_live_on_a_server(kind: Kind) {
    let shop = Shop::start(kind).await;
    shop.objects(&["init"]).await;

    let next = ["gdid", "next", "user", "--count", "600"];
    let (a, b, c) = tokio::join!(
        shop.objects(&next),
        shop.objects(&next),
        shop.objects(&next)
    );
    let issued = [a, b, c].concat();
    let ids: HashSet<&str> = values(&issued, "gdid").into_iter().collect();
    assert_eq!(ids.len(), 1800, "several processes, no id twice");

    let routed = shop.objects(&["route", "user", "0:0:1", "0:0:501"]).await;
    assert_eq!(values(&routed, "partition"), ["0:0", "0:501"]);
    assert_eq!(
        values(&routed, "database"),
        ["shop_user_a1", "shop_user_b1"]
    );

    // Keys on both shards of CENTRAL: a rename goes from one to the other now and then.
    for number in 0..6 {
        let (from, to) = (format!("a{number}@x"), format!("b{number}@x"));
        shop.objects(&["central", "put", "user_email", &from, "0:0:9"])
            .await;
        shop.objects(&["central", "rename", "user_email", &from, &to])
            .await;
        let found = shop
            .objects(&["central", "get", "user_email", &to.to_uppercase()])
            .await;
        assert_eq!(values(&found, "gdid"), ["0:0:9"]);
    }
    let taken = shop
        .run(&["central", "put", "user_email", " B0@X", "0:0:10"])
        .await;
    assert_eq!(taken.status, Some(1));
    assert!(taken.err.contains("0:0:9 holds it"), "{}", taken.err);
    shop.objects(&["central", "remove", "user_email", "b0@x"])
        .await;
    let gone = shop.run(&["central", "get", "user_email", "b0@x"]).await;
    assert_eq!(gone.status, Some(1));
    let left = shop
        .objects(&["central", "claims", "--older-than", "0"])
        .await;
    assert!(left.is_empty(), "{left:?}");
}

async fn tables_are_held_against_their_types(kind: Kind) {
    let shop = Shop::start(kind).await;
    shop.objects(&["init"]).await;
    shop.create_tables().await;
    let (number, id) = match kind {
        Kind::Postgres => ("BIGSERIAL", "BYTEA"),
        Kind::MariaDb => ("BIGINT AUTO_INCREMENT", "BINARY(12)"),
    };
    let unbind = "ALTER TABLE line_item DROP CONSTRAINT line_item_order";
    shop.execute("shop_user_b0", &[unbind]).await;
    shop.execute(
        "shop_user_a0",
        &[
            unbind,
            "DROP TABLE balance",
            &format!("CREATE TABLE balance (n {number} PRIMARY KEY, g_user {id} NOT NULL, cents BIGINT NOT NULL)"),
            "DROP TABLE address",
            &format!("CREATE TABLE address (g_user {id} NOT NULL, kind VARCHAR(20) NOT NULL)"),
            &format!("CREATE TABLE note (g_user {id} NOT NULL PRIMARY KEY)"),
            "DROP TABLE orders",
            "ALTER TABLE account DROP COLUMN email",
        ],
    )
    .await;
    let checked = shop.run(&["check", "--json"]).await;
    assert_eq!(checked.status, Some(1), "{}", checked.err);
    let all = checked.objects();
    let has = |database: &str, check: &str, table: &str| {
        all.iter()
            .filter(|finding| {
                finding["database"] == database
                    && finding["check"] == check
                    && finding["table"] == table
            })
            .count()
    };
    assert_eq!(has("shop_user_a0", "suitability", "balance"), 1, "{all:#?}");
    assert_eq!(has("shop_user_a0", "suitability", "address"), 1, "{all:#?}");
    assert_eq!(has("shop_user_a0", "manifest", "note"), 1, "{all:#?}");
    assert_eq!(has("shop_user_a0", "table", "orders"), 1, "{all:#?}");
    assert_eq!(has("shop_user_a1", "schema", "account"), 1, "{all:#?}");
    assert_eq!(
        has("shop_user_b0", "suitability", "line_item"),
        1,
        "{all:#?}"
    );
}

async fn without_the_right_to_create_the_statement_is_printed(kind: Kind) {
    let shop = Shop::start(kind).await;
    let refused = match kind {
        Kind::Postgres => {
            let owner = PgConnectOptions::new_without_pgpass()
                .socket(shop.server.directory().join("data"))
                .port(shop.server.port())
                .username("postgres")
                .database("postgres");
            let connected = PgConnection::connect_with(&owner).await;
            run_all(connected, &["ALTER ROLE mdb NOCREATEDB"]).await;
            shop.run(&["init"]).await
        }
        Kind::MariaDb => {
            let guest = "CREATE USER guest@'127.0.0.1' IDENTIFIED BY 'of-the-house'";
            shop.execute("mdb", &[guest]).await;
            shop.configure(|sample| sample.replace("//mdb:", "//guest:"));
            shop.run_with("of-the-house", &["init"]).await
        }
    };
    assert_eq!(refused.status, Some(1), "{}", refused.err);
    for database in ["shop_central_0", "shop_user_b1"] {
        let line = refused
            .err
            .lines()
            .find(|line| line.contains(database))
            .unwrap_or_else(|| panic!("no {database} in {}", refused.err));
        assert!(line.to_lowercase().contains("create database"), "{line}");
    }
}

async fn a_wrong_password_is_said_and_not_repeated(kind: Kind) {
    let shop = Shop::start(kind).await;
    for arguments in [
        &["init"][..],
        &["gdid", "next", "user"],
        &["show", "--sizes"],
    ] {
        let ended = shop.run_with("not-the-password", arguments).await;
        assert_eq!(ended.status, Some(1), "{}", ended.err);
        assert_eq!(ended.out, "");
        assert!(ended.err.contains("`east`"), "{}", ended.err);
    }
}

async fn a_dead_server_is_unreachable_and_back_after_a_restart(kind: Kind) {
    let shop = Shop::start(kind).await;
    shop.objects(&["init"]).await;
    shop.server.kill().await;
    let dead = shop.run(&["gdid", "next", "user"]).await;
    assert_eq!(dead.status, Some(3), "{}", dead.err);
    assert_eq!(dead.out, "");
    shop.server.restart().await.unwrap();
    shop.objects(&["gdid", "next", "user"]).await;
}

/// Each of the tests on both engines.
macro_rules! on_servers {
    ($($test:ident,)*) => {
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test(super::Kind::Postgres).await; })*
        }
        mod mariadb {
            $(#[tokio::test] async fn $test() { super::$test(super::Kind::MariaDb).await; })*
        }
    };
}

on_servers!(
    a_sample_works_as_it_stands,
    ids_and_entries_live_on_a_server,
    tables_are_held_against_their_types,
    without_the_right_to_create_the_statement_is_printed,
    a_wrong_password_is_said_and_not_repeated,
    a_dead_server_is_unreachable_and_back_after_a_restart,
);
