//! Asking a server what it knows of a store's connections, past the store's own pools.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, MySql, MySqlConnection, PgConnection,
    Postgres, Sqlite,
};
use tokio::sync::Mutex;

use super::Store;
use crate::kit::USER;

/// What a server says of the connections to one store's databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// How many there are. SQLite has none.
    pub open: i64,
    /// How many of them run a statement just now. SQLite has none.
    pub running: i64,
    /// How many transactions are open. On SQLite: the databases that somebody holds the write lock of.
    pub transactions: i64,
}

/// A transaction that writes is the only one that SQLite shows to others.
pub(super) async fn of_sqlite(store: &Store<Sqlite>) -> Result<Sessions, sqlx::Error> {
    let mut transactions = 0;
    for short in ["a0", "a1", "b0"] {
        let path = store
            .directory()
            .join("files")
            .join(format!("{}.db", store.database(short)));
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(Duration::ZERO);
        let mut connection = options.connect().await?;
        match connection.execute("BEGIN IMMEDIATE; ROLLBACK").await {
            Ok(_) => {}
            // Busy, or (261) just being recovered after its last connection.
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("5" | "261")) =>
            {
                transactions += 1;
            }
            Err(error) => return Err(error),
        }
        connection.close().await?;
    }
    Ok(Sessions {
        open: 0,
        running: 0,
        transactions,
    })
}

pub(super) async fn of_postgres(store: &Store<Postgres>) -> Result<Sessions, sqlx::Error> {
    let mut connection = PgConnection::connect(&store.server().url(USER)).await?;
    let (open, running, transactions) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE xact_start IS NOT NULL) \
         FROM pg_stat_activity WHERE starts_with(datname, $1) AND backend_type = 'client backend'",
    )
    .bind(format!("{}_", store.prefix()))
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(Sessions {
        open,
        running,
        transactions,
    })
}

pub(super) async fn of_mariadb(store: &Store<MySql>) -> Result<Sessions, sqlx::Error> {
    // The server refreshes its list of transactions only when nobody has read it for 0.1 s.
    static LIST_OF_TRANSACTIONS: Mutex<()> = Mutex::const_new(());
    let mut connection = MySqlConnection::connect(&store.server().url(USER)).await?;
    let databases = format!("{}\\_%", store.prefix().replace('_', "\\_"));
    let (open, running) = sqlx::query_as(
        "SELECT count(*), CAST(coalesce(sum(command <> 'Sleep'), 0) AS SIGNED) \
         FROM information_schema.processlist WHERE db LIKE ?",
    )
    .bind(&databases)
    .fetch_one(&mut connection)
    .await?;
    let read_alone = LIST_OF_TRANSACTIONS.lock().await;
    tokio::time::sleep(Duration::from_millis(110)).await;
    let transactions = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.innodb_trx \
         JOIN information_schema.processlist ON id = trx_mysql_thread_id WHERE db LIKE ?",
    )
    .bind(&databases)
    .fetch_one(&mut connection)
    .await?;
    drop(read_alone);
    connection.close().await?;
    Ok(Sessions {
        open,
        running,
        transactions,
    })
}
