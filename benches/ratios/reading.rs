//! One read at a time: by briefcase, on the same pool, and on a bare one.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use mdb_benches::compare::in_turn_async;
use mdb_benches::stores::{Store, bare, id, only_shard, sqlite_reader};
use mdb_tests::kit::Kind;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, MySql, Postgres, Sqlite};

use crate::print;

/// How many single reads are timed on each side.
const READS: usize = 20_000;

/// Makes a table and its rows; gives the area and its only shard.
macro_rules! prepare {
    ($store:expr, $database:ty, $key:literal, $insert:literal) => {{
        let area = $store.area::<$database>();
        let shard = only_shard(&area).await;
        let create = format!(
            "CREATE TABLE account (g_user {} PRIMARY KEY, name VARCHAR(80) NOT NULL)",
            $key
        );
        sqlx::query(&create).execute(&shard).await.unwrap();
        for row in 0..mdb_benches::stores::ROWS {
            let tx = area.briefcase(id(row)).unwrap();
            let name = format!("account {row}");
            sqlx::query($insert)
                .bind(id(row))
                .bind(name)
                .execute(&tx)
                .await
                .unwrap();
        }
        (area, shard)
    }};
}

pub(crate) use prepare;

macro_rules! compare_reads {
    ($engine:literal, $area:expr, $shard:expr, $bare:expr, $select:literal, $limit:expr) => {{
        let (area, shard, pool) = (&$area, &$shard, &$bare);
        // Both sides of a round read the same row.
        let row = AtomicU64::new(0);
        let next = || id(row.fetch_add(1, Ordering::Relaxed) / 2 * 7);
        let briefcase = async || {
            let id = next();
            let briefcase = area.briefcase(id).unwrap();
            let name: String = sqlx::query_scalar($select)
                .bind(id)
                .fetch_one(&briefcase)
                .await
                .unwrap();
            black_box(name);
        };
        let handle = async || {
            let id = next();
            let name: String = sqlx::query_scalar($select)
                .bind(id)
                .fetch_one(shard)
                .await
                .unwrap();
            black_box(name);
        };
        let bare = async || {
            let id = next();
            let mut connection = pool.get().await.unwrap();
            let name: String = sqlx::query_scalar($select)
                .bind(id)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            black_box(name);
        };
        let comparison = in_turn_async(READS, briefcase, handle).await;
        print(
            concat!("read ", $engine, " / same pool"),
            comparison,
            Some($limit),
        );
        let comparison = in_turn_async(READS, briefcase, bare).await;
        print(concat!("read ", $engine, " / bare pool"), comparison, None);
    }};
}

pub(crate) async fn read_sqlite() {
    let store = Store::sqlite().await;
    let (area, shard) = prepare!(store, Sqlite, "BLOB", "INSERT INTO account VALUES (?, ?)");
    let pool = bare(sqlite_reader(&store));
    compare_reads!(
        "sqlite",
        area,
        shard,
        pool,
        "SELECT name FROM account WHERE g_user = ?",
        1.03
    );
}

pub(crate) async fn read_postgres() {
    let store = Store::on(Kind::Postgres).await;
    let (area, shard) = prepare!(
        store,
        Postgres,
        "BYTEA",
        "INSERT INTO account VALUES ($1, $2)"
    );
    let pool = bare(PgConnectOptions::from_url(&store.url().parse().unwrap()).unwrap());
    compare_reads!(
        "postgres",
        area,
        shard,
        pool,
        "SELECT name FROM account WHERE g_user = $1",
        1.01
    );
}

pub(crate) async fn read_mariadb() {
    let store = Store::on(Kind::MariaDb).await;
    let (area, shard) = prepare!(
        store,
        MySql,
        "BINARY(12)",
        "INSERT INTO account VALUES (?, ?)"
    );
    let pool = bare(MySqlConnectOptions::from_url(&store.url().parse().unwrap()).unwrap());
    compare_reads!(
        "mariadb",
        area,
        shard,
        pool,
        "SELECT name FROM account WHERE g_user = ?",
        1.01
    );
}
