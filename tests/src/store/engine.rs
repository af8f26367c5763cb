//! The statements that tests need, in each engine's words.

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use mdb_core::{Engine, Gdid};
use sqlx::{Connection as _, Database, Executor, MySql, Postgres, Row as _, Sqlite};

use super::{Sessions, Store, sessions};
use crate::kit::Kind;

/// An engine under test.
pub trait TestEngine: Engine {
    /// The kit's server for it, if it has any.
    const SERVER: Option<Kind>;

    /// The statement that makes the table `account`.
    const CREATE_ACCOUNT: &'static str;

    /// A query that takes far longer than any test waits.
    const ENDLESS: &'static str;

    /// A query that takes between 0.6 and 15 seconds.
    const LONG: &'static str;

    /// Lets the session wait for locks for a second at the most; nothing on an engine without locks of rows.
    const SHORT_LOCK_WAIT: &'static str;

    /// A query for the numbers from 1 to `last`, in this order.
    fn series(last: u32) -> String;

    /// Inserts an account.
    fn put<'e>(
        to: impl Executor<'e, Database = Self> + 'e,
        id: Gdid,
        cents: i64,
    ) -> BoxFuture<'e, Result<(), sqlx::Error>>;

    /// Adds to an account, which it locks.
    fn add<'e>(
        to: impl Executor<'e, Database = Self> + 'e,
        id: Gdid,
        cents: i64,
    ) -> BoxFuture<'e, Result<(), sqlx::Error>>;

    /// Reads an account.
    fn get<'e>(
        from: impl Executor<'e, Database = Self> + 'e,
        id: Gdid,
    ) -> BoxFuture<'e, Result<Option<i64>, sqlx::Error>>;

    /// The single number that a query answers with.
    fn number<'e>(
        from: impl Executor<'e, Database = Self> + 'e,
        sql: &'e str,
    ) -> BoxFuture<'e, Result<i64, sqlx::Error>>;

    /// The numbers that a query answers with, as they come.
    fn numbers<'e>(
        from: impl Executor<'e, Database = Self> + 'e,
        sql: &'e str,
    ) -> BoxStream<'e, Result<i64, sqlx::Error>>;

    /// Runs a statement without arguments.
    fn run<'e>(
        on: impl Executor<'e, Database = Self> + 'e,
        sql: &'e str,
    ) -> BoxFuture<'e, Result<(), sqlx::Error>> {
        Box::pin(async move { on.execute(sql).await.map(drop) })
    }

    /// The single number that a query answers with, on a connection of its own that knows nothing of MDB.
    fn number_at<'e>(url: &'e str, sql: &'e str) -> BoxFuture<'e, Result<i64, sqlx::Error>>;

    /// The single number that a query answers with, on that connection.
    fn number_on<'e>(
        connection: &'e mut Self::Connection,
        sql: &'e str,
    ) -> BoxFuture<'e, Result<i64, sqlx::Error>>;

    /// Runs a statement without arguments on that connection, and says how many rows it has changed.
    fn execute_on<'e>(
        connection: &'e mut Self::Connection,
        sql: &'e str,
    ) -> BoxFuture<'e, Result<u64, sqlx::Error>>;

    /// Runs statements in one transaction, on a connection of its own that knows nothing of MDB.
    fn run_at<'e>(url: &'e str, statements: &'e [String])
    -> BoxFuture<'e, Result<(), sqlx::Error>>;

    /// The accounts in the database `a0`, `a1` or `b0`, ascending; read on a connection past the store's pools.
    fn accounts_in<'e>(store: &'e Store<Self>, short: &'e str) -> BoxFuture<'e, Vec<Gdid>>;

    /// What the server says of the store's connections.
    ///
    /// # Errors
    ///
    /// The server's.
    fn sessions(store: &Store<Self>) -> BoxFuture<'_, Result<Sessions, sqlx::Error>>;
}

macro_rules! account_statements {
    ($first:literal, $second:literal) => {
        fn put<'e>(
            to: impl Executor<'e, Database = Self> + 'e,
            id: Gdid,
            cents: i64,
        ) -> BoxFuture<'e, Result<(), sqlx::Error>> {
            let insert = concat!(
                "INSERT INTO account (g_user, cents) VALUES (",
                $first,
                ", ",
                $second,
                ")"
            );
            Box::pin(async move {
                sqlx::query(insert)
                    .bind(id)
                    .bind(cents)
                    .execute(to)
                    .await
                    .map(drop)
            })
        }

        fn add<'e>(
            to: impl Executor<'e, Database = Self> + 'e,
            id: Gdid,
            cents: i64,
        ) -> BoxFuture<'e, Result<(), sqlx::Error>> {
            let update = concat!(
                "UPDATE account SET cents = cents + ",
                $first,
                " WHERE g_user = ",
                $second
            );
            Box::pin(async move {
                sqlx::query(update)
                    .bind(cents)
                    .bind(id)
                    .execute(to)
                    .await
                    .map(drop)
            })
        }

        fn get<'e>(
            from: impl Executor<'e, Database = Self> + 'e,
            id: Gdid,
        ) -> BoxFuture<'e, Result<Option<i64>, sqlx::Error>> {
            let select = concat!("SELECT cents FROM account WHERE g_user = ", $first);
            Box::pin(async move {
                sqlx::query_scalar(select)
                    .bind(id)
                    .fetch_optional(from)
                    .await
            })
        }

        fn number<'e>(
            from: impl Executor<'e, Database = Self> + 'e,
            sql: &'e str,
        ) -> BoxFuture<'e, Result<i64, sqlx::Error>> {
            Box::pin(async move { sqlx::query_scalar(sql).fetch_one(from).await })
        }

        fn numbers<'e>(
            from: impl Executor<'e, Database = Self> + 'e,
            sql: &'e str,
        ) -> BoxStream<'e, Result<i64, sqlx::Error>> {
            from.fetch(sql).map(|row| row?.try_get(0)).boxed()
        }

        fn number_at<'e>(url: &'e str, sql: &'e str) -> BoxFuture<'e, Result<i64, sqlx::Error>> {
            Box::pin(async move {
                let mut connection = <Self as Database>::Connection::connect(url).await?;
                let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
                connection.close().await?;
                number
            })
        }

        fn number_on<'e>(
            connection: &'e mut Self::Connection,
            sql: &'e str,
        ) -> BoxFuture<'e, Result<i64, sqlx::Error>> {
            Self::number(connection, sql)
        }

        fn execute_on<'e>(
            connection: &'e mut Self::Connection,
            sql: &'e str,
        ) -> BoxFuture<'e, Result<u64, sqlx::Error>> {
            Box::pin(async move { Ok(connection.execute(sql).await?.rows_affected()) })
        }

        fn run_at<'e>(
            url: &'e str,
            statements: &'e [String],
        ) -> BoxFuture<'e, Result<(), sqlx::Error>> {
            Box::pin(async move {
                let mut connection = <Self as Database>::Connection::connect(url).await?;
                let mut transaction = connection.begin().await?;
                for statement in statements {
                    transaction.execute(statement.as_str()).await?;
                }
                transaction.commit().await?;
                connection.close().await
            })
        }

        fn accounts_in<'e>(store: &'e Store<Self>, short: &'e str) -> BoxFuture<'e, Vec<Gdid>> {
            Box::pin(async move {
                let url = store.url(short);
                let connection = <Self as Database>::Connection::connect(&url).await;
                let mut connection = connection.expect("the database is there");
                let ids = sqlx::query_scalar("SELECT g_user FROM account ORDER BY g_user")
                    .fetch_all(&mut connection)
                    .await;
                connection
                    .close()
                    .await
                    .expect("a connection that has just answered can be closed");
                ids.expect("the table is there")
            })
        }
    };
}

impl TestEngine for Sqlite {
    const SERVER: Option<Kind> = None;
    const CREATE_ACCOUNT: &'static str =
        "CREATE TABLE account (g_user BLOB NOT NULL PRIMARY KEY, cents INTEGER NOT NULL)";
    const ENDLESS: &'static str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    const LONG: &'static str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000) \
         SELECT count(*) FROM n";
    const SHORT_LOCK_WAIT: &'static str = "SELECT 1";

    fn series(last: u32) -> String {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n"
        )
    }

    fn sessions(store: &Store<Self>) -> BoxFuture<'_, Result<Sessions, sqlx::Error>> {
        Box::pin(sessions::of_sqlite(store))
    }

    account_statements!("?", "?");
}

impl TestEngine for Postgres {
    const SERVER: Option<Kind> = Some(Kind::Postgres);
    const CREATE_ACCOUNT: &'static str =
        "CREATE TABLE account (g_user BYTEA NOT NULL PRIMARY KEY, cents BIGINT NOT NULL)";
    const ENDLESS: &'static str = "SELECT CAST(1 AS BIGINT) FROM pg_sleep(600)";
    const LONG: &'static str = "SELECT CAST(1 AS BIGINT) FROM pg_sleep(0.8)";
    const SHORT_LOCK_WAIT: &'static str = "SET LOCAL lock_timeout = '1s'";

    fn series(last: u32) -> String {
        format!("SELECT CAST(i AS BIGINT) FROM generate_series(1, {last}) AS i")
    }

    fn sessions(store: &Store<Self>) -> BoxFuture<'_, Result<Sessions, sqlx::Error>> {
        Box::pin(sessions::of_postgres(store))
    }

    account_statements!("$1", "$2");
}

impl TestEngine for MySql {
    const SERVER: Option<Kind> = Some(Kind::MariaDb);
    const CREATE_ACCOUNT: &'static str = "CREATE TABLE account (g_user BINARY(12) NOT NULL PRIMARY KEY, cents BIGINT NOT NULL) ENGINE = InnoDB";
    // In a condition: a query that does nothing but sleep ends well on MySQL when it is given up.
    const ENDLESS: &'static str = "SELECT CAST(1 AS SIGNED) FROM mdb_shard WHERE SLEEP(600) = 0";
    const LONG: &'static str = "SELECT CAST(1 AS SIGNED) FROM mdb_shard WHERE SLEEP(0.8) = 0";
    const SHORT_LOCK_WAIT: &'static str = "SET SESSION innodb_lock_wait_timeout = 1";

    fn series(last: u32) -> String {
        format!("SELECT CAST(seq AS SIGNED) FROM seq_1_to_{last}")
    }

    fn sessions(store: &Store<Self>) -> BoxFuture<'_, Result<Sessions, sqlx::Error>> {
        Box::pin(sessions::of_mariadb(store))
    }

    account_statements!("?", "?");
}
