//! What differs between SQLite, PostgreSQL and MySQL/MariaDB, and nothing else.
//!
//! Code above asks an [`Engine`]; it never matches on one. Two things live here: how to run a
//! user's sqlx query on a connection (so that no bound of sqlx's has to be repeated above), and
//! MDB's own small statements over [`Value`]s, written once with `?` placeholders.

mod begin;
mod error_class;
mod farewell;
mod mysql;
mod own_tables;
mod postgres;
pub(crate) mod relocating;
pub(crate) mod schema;
mod shared;
mod sqlite;
mod step;
mod value;

use std::future::Future;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::{Database, Describe, Either, Execute, MySql, Postgres, Sqlite};

pub(crate) use begin::Writes;
pub use begin::{Isolation, TransactionOptions};
pub(crate) use error_class::ErrorClass;
pub(crate) use farewell::{Connected, Farewells};
pub(crate) use own_tables::{ColumnTypes, Indexes, mdb_tables};
pub(crate) use schema::{Catalogue, Listed, Names, Schema, Shape, TableSize, Words};
pub use schema::{Column, Table};
pub(crate) use shared::{bind_values, shared_methods};
pub(crate) use step::Step;
pub(crate) use value::{Value, Values};

use crate::config::{DatabaseName, Endpoint, EngineKind};

pub(crate) mod sealed {
    /// Keeps [`Engine`](super::Engine) to the three engines.
    pub trait Sealed {}
}

/// The results and rows of one statement, as they come.
pub(crate) type Steps<'c, DB> = BoxStream<
    'c,
    Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>, sqlx::Error>,
>;

/// How to open one connection.
pub(crate) struct ConnectSpec<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) target: Target<'a>,
    pub(crate) access: Access,
    pub(crate) application: &'a str,
    pub(crate) statement_timeout: Duration,
    pub(crate) busy_timeout: Duration,
    pub(crate) statement_cache: usize,
}

/// Which database a connection is for.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A shard's database, which must be there.
    Database(&'a DatabaseName),
    /// A shard's database, made first where the engine makes one by opening it.
    Create(&'a DatabaseName),
    /// The server itself, through the database that administrators connect to.
    Server(&'a str),
}

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    /// The engine refuses writes, where it can.
    ReadOnly,
}

/// What it takes to end a connection's work from outside.
#[derive(Clone, Debug)]
pub(crate) enum Session {
    /// What the server knows it by.
    Server(ServerSession),
    /// A flag that the embedded engine looks at while it works.
    Embedded(std::sync::Arc<std::sync::atomic::AtomicBool>),
}

/// A session on a server. Behind one address there may be another server later, where the number is
/// somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct ServerSession {
    /// The server's own number for it.
    pub(crate) number: u64,
    /// What it, or all sessions of this process, are called there, and nobody else's.
    pub(crate) name: String,
}

/// How many lanes of connections a database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// Any connection may write.
    One,
    /// One connection writes, the others read.
    WriterAndReaders,
}

/// When a transaction takes the snapshot that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshot {
    /// With its first statement, also one that waits for a lock.
    FirstStatement,
    /// With the first statement that reads without locking.
    FirstPlainRead,
}

/// How long a transaction's own time-out holds where the server keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeoutScope {
    /// It ends with the transaction.
    Transaction,
    /// It stays with the session, which is not to be used again.
    Session,
}

/// What one of the three engines does differently.
///
/// Implemented by [`Sqlite`], [`Postgres`] and [`MySql`], and by nothing else: its methods are
/// MDB's own, the type names the engine of an area, as in `mdb.area::<Postgres>("user")`.
#[expect(
    private_interfaces,
    reason = "the trait is sealed; only its name is public"
)]
pub trait Engine: Database + sealed::Sealed {
    /// Which engine it is.
    const KIND: EngineKind;

    #[doc(hidden)]
    const LANES: Lanes;

    #[doc(hidden)]
    const TIMEOUT: TimeoutScope;

    #[doc(hidden)]
    const SNAPSHOT: Snapshot;

    /// The function of the greater of two values.
    #[doc(hidden)]
    const GREATEST: &'static str;

    /// How names of tables and columns are told apart.
    #[doc(hidden)]
    const NAMES: Names;

    /// What is asked about tables besides their columns.
    #[doc(hidden)]
    const CATALOGUE: Catalogue;

    #[doc(hidden)]
    fn fetch_many<'c, 'q: 'c, E>(connection: &'c mut Self::Connection, query: E) -> Steps<'c, Self>
    where
        E: 'q + Execute<'q, Self>;

    /// The first row of a statement, whose answer is read to its end.
    #[doc(hidden)]
    fn fetch_optional<'c, 'q: 'c, E>(
        connection: &'c mut Self::Connection,
        query: E,
    ) -> BoxFuture<'c, Result<Option<Self::Row>, sqlx::Error>>
    where
        E: 'q + Execute<'q, Self>;

    #[doc(hidden)]
    fn prepare_with<'c, 'q: 'c>(
        connection: &'c mut Self::Connection,
        sql: &'q str,
        parameters: &'c [Self::TypeInfo],
    ) -> BoxFuture<'c, Result<Self::Statement<'q>, sqlx::Error>>;

    #[doc(hidden)]
    fn describe<'c, 'q: 'c>(
        connection: &'c mut Self::Connection,
        sql: &'q str,
    ) -> BoxFuture<'c, Result<Describe<Self>, sqlx::Error>>;

    /// Copies bound arguments, for an engine that may refuse a statement only because of the connection it came over.
    #[doc(hidden)]
    fn copy_arguments<'q>(arguments: &Self::Arguments<'q>) -> Option<Self::Arguments<'q>>;

    #[doc(hidden)]
    fn connect<'s>(
        spec: &'s ConnectSpec<'_>,
    ) -> BoxFuture<'s, Result<(Self::Connection, Session), sqlx::Error>>;

    #[doc(hidden)]
    fn ping(connection: &mut Self::Connection) -> BoxFuture<'_, Result<(), sqlx::Error>>;

    /// Ends another session's work on the server that `connection` is connected to, if it is there.
    #[doc(hidden)]
    fn end_session(
        connection: &mut Self::Connection,
        session: &ServerSession,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    #[doc(hidden)]
    fn begin<'c>(
        connection: &'c mut Self::Connection,
        options: &'c TransactionOptions,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>>;

    #[doc(hidden)]
    fn commit(connection: &mut Self::Connection) -> BoxFuture<'_, Result<(), sqlx::Error>>;

    #[doc(hidden)]
    fn rollback(connection: &mut Self::Connection) -> BoxFuture<'_, Result<(), sqlx::Error>>;

    /// Whether the server has ended the transaction that met `error`, so that later statements would
    /// be outside of it.
    #[doc(hidden)]
    fn has_ended<'c>(
        _: &'c mut Self::Connection,
        _: &'c sqlx::Error,
    ) -> BoxFuture<'c, Result<bool, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    /// Whether the server would answer a commit by rolling back, and not say so.
    #[doc(hidden)]
    fn is_doomed(_: &mut Self::Connection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    /// Runs one of MDB's own statements, with `?` for each value; says how many rows it changed.
    #[doc(hidden)]
    fn execute_own<'c>(
        connection: &'c mut Self::Connection,
        sql: &'c str,
        values: &'c [Value],
    ) -> BoxFuture<'c, Result<u64, sqlx::Error>>;

    /// Runs one of MDB's own queries, with `?` for each value.
    #[doc(hidden)]
    fn query_own<'c>(
        connection: &'c mut Self::Connection,
        sql: &'c str,
        values: &'c [Value],
    ) -> BoxFuture<'c, Result<Vec<Values>, sqlx::Error>>;

    /// Quotes an identifier; the only way one gets into SQL.
    #[doc(hidden)]
    fn quote(identifier: &str) -> String;

    #[doc(hidden)]
    fn error_class(error: &sqlx::Error) -> ErrorClass;

    /// The statement that makes a database, and a query that finds it, where databases are made by
    /// statements.
    #[doc(hidden)]
    fn create_database(database: &DatabaseName) -> Option<(String, String)>;

    /// MDB's column types: (ids, bytes of up to 512, names, 64-bit integers).
    #[doc(hidden)]
    fn column_types() -> ColumnTypes;

    /// A query, where a database has several schemas, of one in which MDB's tables are though the next ones would be
    /// made in another, and of that one.
    #[doc(hidden)]
    const TABLES_ELSEWHERE: Option<&'static str> = None;

    /// Makes sure that only one connection at a time runs MDB's table definitions.
    #[doc(hidden)]
    fn definition_lock() -> Option<&'static str>;

    /// Adds the first value to a column of the one row that `update` is about, and says what it is
    /// then; `None` when there is no such row. `{sum}` is where the sum belongs. One atomic statement.
    #[doc(hidden)]
    fn add_to_column<'c>(
        connection: &'c mut Self::Connection,
        update: &'c str,
        column: &'c str,
        values: &'c [Value],
    ) -> BoxFuture<'c, Result<Option<i64>, sqlx::Error>> {
        Box::pin(step::add_returning::<Self>(
            connection, update, column, values,
        ))
    }

    /// Inside a transaction, on the guarded path: keeps the fence of a briefcase as it is until the
    /// transaction ends. Readers and writers share it; only movers are kept waiting.
    #[doc(hidden)]
    fn keep_fence(
        connection: &mut Self::Connection,
        id: mdb_gdid::Gdid,
    ) -> BoxFuture<'_, Result<(), sqlx::Error>>;

    /// An `INSERT` of our own that does nothing when the key is taken; `column` is any column of it.
    ///
    /// Don't read the number of changed rows: MySQL counts the row that was there.
    #[doc(hidden)]
    fn insert_if_absent(insert_into: &str, column: &str) -> String;

    /// Follows the condition of an `UPDATE`: its commit waits for the disk, where sessions may be set not to.
    #[doc(hidden)]
    fn durably() -> &'static str {
        ""
    }

    /// An expression for the server's clock, in milliseconds since 1970.
    #[doc(hidden)]
    fn now() -> &'static str;

    /// As [`now`](Self::now), but the same wherever it stands in one statement, which may have waited
    /// for others since.
    #[doc(hidden)]
    fn statement_now() -> &'static str {
        Self::now()
    }

    /// Tells those who listen that the catalog has changed, when the transaction commits.
    #[doc(hidden)]
    fn notification() -> Option<&'static str> {
        None
    }

    /// How many sessions are at work on the server just now, the asking one included; `None` where
    /// there is no server.
    #[doc(hidden)]
    fn sessions_at_work(
        _: &mut Self::Connection,
    ) -> BoxFuture<'_, Result<Option<u32>, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Calls `heard` for each such notification, for ever; returns at once where there are none.
    #[doc(hidden)]
    fn listen<'s>(
        _: &'s ConnectSpec<'_>,
        _: &'s (dyn Fn() + Sync),
    ) -> BoxFuture<'s, Result<(), sqlx::Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The user's tables of the connected database, with their columns.
    #[doc(hidden)]
    fn tables(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Vec<Table>, sqlx::Error>> + Send;

    /// How these tables are defined now, and what else concerns them. Takes so little time that others may wait for it.
    #[doc(hidden)]
    fn words_of<'c>(
        connection: &'c mut Self::Connection,
        listed: &'c Listed,
    ) -> BoxFuture<'c, Result<Words, sqlx::Error>>;

    /// Which other tables carry a key, where that takes too long for [`words_of`](Self::words_of) to say it too.
    #[doc(hidden)]
    fn others_of<'c>(
        _: &'c mut Self::Connection,
        _: &'c Listed,
    ) -> BoxFuture<'c, Result<String, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(String::new())))
    }

    /// The rows of one of the [`CATALOGUE`](Self::CATALOGUE)'s queries.
    #[doc(hidden)]
    fn texts<'c>(
        connection: &'c mut Self::Connection,
        query: &'static str,
    ) -> BoxFuture<'c, Result<Vec<Vec<Option<String>>>, sqlx::Error>> {
        Box::pin(async move {
            let rows = Self::query_own(connection, query, &[]).await?;
            rows.iter().map(Values::optional_texts).collect()
        })
    }

    /// Rows and bytes of a table; bytes where the engine knows them.
    #[doc(hidden)]
    fn table_size<'c>(
        connection: &'c mut Self::Connection,
        table: &'c str,
    ) -> BoxFuture<'c, Result<TableSize, sqlx::Error>>;
}

impl sealed::Sealed for Sqlite {}
impl sealed::Sealed for Postgres {}
impl sealed::Sealed for MySql {}
