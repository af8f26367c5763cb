//! SQLite: a database is a file; one connection writes, the others read.

mod autocommit;
mod busy;
mod collation;
mod opening;
mod shape;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_core::future::BoxFuture;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, Sqlite, TransactionManager, TypeInfo, ValueRef};

use self::autocommit::is_in_transaction;
use self::busy::{Waiting, wait_for_locks};
use self::opening::open;
use super::begin::Writes;
use super::{
    Access, Catalogue, ColumnTypes, ConnectSpec, Engine, ErrorClass, Indexes, Lanes, Listed, Names,
    ServerSession, Session, Snapshot, Table, TableSize, Target, TimeoutScope, TransactionOptions,
    Value, Words,
};
use crate::config::{DatabaseName, EngineKind};

/// How many of its virtual machine's steps SQLite takes between two looks at the stop flag.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

#[expect(
    private_interfaces,
    reason = "the trait is sealed; only its name is public"
)]
impl Engine for Sqlite {
    const KIND: EngineKind = EngineKind::Sqlite;
    const LANES: Lanes = Lanes::WriterAndReaders;
    const TIMEOUT: TimeoutScope = TimeoutScope::Transaction;
    const SNAPSHOT: Snapshot = Snapshot::FirstStatement;
    const GREATEST: &'static str = "max";
    const NAMES: Names = Names::AnyCase;
    const CATALOGUE: Catalogue = tables::CATALOGUE;

    super::shared_methods!();

    fn copy_arguments<'q>(arguments: &Self::Arguments<'q>) -> Option<Self::Arguments<'q>> {
        Some(arguments.clone())
    }

    fn connect<'s>(
        spec: &'s ConnectSpec<'_>,
    ) -> BoxFuture<'s, Result<(SqliteConnection, Session), sqlx::Error>> {
        Box::pin(async move {
            let options = SqliteConnectOptions::new()
                .foreign_keys(true)
                .busy_timeout(spec.busy_timeout)
                .statement_cache_capacity(spec.statement_cache)
                .disable_statement_logging();
            let options = match spec.target {
                Target::Database(database) => {
                    options.filename(spec.endpoint.database_path(database))
                }
                Target::Create(database) => options
                    .filename(spec.endpoint.database_path(database))
                    .create_if_missing(true),
                Target::Server(_) => options.in_memory(true),
            };
            let options = match spec.access {
                // What was committed must not be forgotten when power fails: ids hang on it.
                Access::ReadWrite => options
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full),
                Access::ReadOnly => options.pragma("query_only", "1"),
            };
            let mut connection = open(&options, spec.busy_timeout).await?;
            let stop = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&stop);
            let mut handle = connection.lock_handle().await?;
            let waiting = wait_for_locks(&mut handle, spec.busy_timeout, Arc::clone(&stop))?;
            handle.set_progress_handler(STEPS_BETWEEN_LOOKS, move || {
                // Kept for as long as the connection is open.
                let _: &Waiting = &waiting;
                !seen.load(Ordering::Relaxed)
            });
            drop(handle);
            Ok((connection, Session::Embedded(stop)))
        })
    }

    async fn end_session(_: &mut SqliteConnection, _: &ServerSession) -> Result<(), sqlx::Error> {
        // An embedded session is ended by its stop flag; there is no other one to ask.
        Ok(())
    }

    fn begin<'c>(
        connection: &'c mut SqliteConnection,
        options: &'c TransactionOptions,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        // A deferred transaction that reads first and then writes fails at once when another one
        // has written meanwhile, without waiting; so a writer takes its lock at the beginning.
        let statement = match options.writes() {
            Writes::Allowed => "BEGIN IMMEDIATE",
            Writes::Refused => "BEGIN DEFERRED",
        };
        <Self::TransactionManager as TransactionManager>::begin(connection, Some(statement.into()))
    }

    fn has_ended<'c>(
        connection: &'c mut SqliteConnection,
        _: &'c sqlx::Error,
    ) -> BoxFuture<'c, Result<bool, sqlx::Error>> {
        Box::pin(async move { Ok(!is_in_transaction(connection).await?) })
    }

    fn quote(identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn error_class(error: &sqlx::Error) -> ErrorClass {
        if let Some(class) = ErrorClass::of_driver(error) {
            return class;
        }
        let sqlx::Error::Database(database) = error else {
            return ErrorClass::Other;
        };
        let Some(code) = database.code().and_then(|code| code.parse::<u32>().ok()) else {
            return ErrorClass::Other;
        };
        // The low byte is the primary result code, the rest says more: https://sqlite.org/rescode.html
        match (code & 0xff, code) {
            (_, 1555 | 2067) => ErrorClass::UniqueViolation,
            (5 | 6, _) => ErrorClass::Conflict,
            (8, _) => ErrorClass::ReadOnly,
            // MDB's own triggers raise that.
            (_, 1811) if database.message().starts_with("mdb: ") => ErrorClass::Fenced,
            (9, _) => ErrorClass::Cancelled,
            (14, _) => ErrorClass::MissingDatabase,
            (1, _) if database.message().starts_with("no such table") => ErrorClass::MissingTable,
            (1, _) if database.message().starts_with("no such column") => ErrorClass::MissingColumn,
            _ => ErrorClass::Other,
        }
    }

    fn create_database(_: &DatabaseName) -> Option<(String, String)> {
        None
    }

    fn column_types() -> ColumnTypes {
        ColumnTypes {
            id: "BLOB",
            bytes: "BLOB",
            name: "TEXT",
            integer: "INTEGER",
            text: "TEXT",
            suffix: " WITHOUT ROWID",
            indexes: Indexes::Apart,
            create_view: "CREATE VIEW IF NOT EXISTS",
        }
    }

    fn definition_lock() -> Option<&'static str> {
        None
    }

    fn keep_fence(
        connection: &mut SqliteConnection,
        id: mdb_gdid::Gdid,
    ) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(<Self as super::relocating::Relocating>::lock_shared(
            connection, id,
        ))
    }

    fn insert_if_absent(insert_into: &str, _: &str) -> String {
        format!("{insert_into} ON CONFLICT DO NOTHING")
    }

    fn now() -> &'static str {
        "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    }

    async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>, sqlx::Error> {
        tables::tables(connection).await
    }

    fn words_of<'c>(
        connection: &'c mut SqliteConnection,
        listed: &'c Listed,
    ) -> BoxFuture<'c, Result<Words, sqlx::Error>> {
        Box::pin(shape::words_of(connection, listed))
    }

    fn table_size<'c>(
        connection: &'c mut SqliteConnection,
        table: &'c str,
    ) -> BoxFuture<'c, Result<TableSize, sqlx::Error>> {
        Box::pin(async move {
            let count: i64 =
                sqlx::query_scalar(&format!("SELECT count(*) FROM {}", Self::quote(table)))
                    .fetch_one(&mut *connection)
                    .await?;
            // Only builds with the dbstat table know how large one table is.
            let bytes: Option<i64> =
                sqlx::query_scalar("SELECT sum(pgsize) FROM dbstat WHERE name = ?")
                    .bind(table)
                    .fetch_one(connection)
                    .await
                    .unwrap_or(None);
            Ok(TableSize {
                rows: count.try_into().unwrap_or(0),
                bytes: bytes.and_then(|bytes| bytes.try_into().ok()),
            })
        })
    }
}

trait OwnSql {
    fn own_sql(sql: &str) -> String;
    fn own_value(row: &SqliteRow, place: usize) -> Result<Value, sqlx::Error>;
}

impl OwnSql for Sqlite {
    fn own_sql(sql: &str) -> String {
        sql.to_owned()
    }

    fn own_value(row: &SqliteRow, place: usize) -> Result<Value, sqlx::Error> {
        let raw = row.try_get_raw(place)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        Ok(match raw.type_info().name() {
            "INTEGER" | "BOOLEAN" => Value::Integer(row.try_get(place)?),
            "BLOB" => Value::Bytes(row.try_get(place)?),
            _ => Value::Text(row.try_get(place)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Endpoint;

    #[test]
    fn identifiers_are_quoted() {
        assert_eq!(Sqlite::quote("plain"), "\"plain\"");
        assert_eq!(
            Sqlite::quote("a\"; DROP TABLE b; --"),
            "\"a\"\"; DROP TABLE b; --\""
        );
    }

    fn creating<'s>(
        endpoint: &'s Endpoint,
        database: &'s DatabaseName,
        busy_timeout: Duration,
    ) -> ConnectSpec<'s> {
        ConnectSpec {
            endpoint,
            target: Target::Create(database),
            access: Access::ReadWrite,
            application: "test",
            statement_timeout: Duration::from_secs(30),
            busy_timeout,
            statement_cache: 10,
        }
    }

    /// See `.cargo/config.toml`.
    #[tokio::test]
    async fn connections_share_no_locks_of_the_whole_process() {
        let mut connection = SqliteConnectOptions::new()
            .in_memory(true)
            .connect()
            .await
            .unwrap();
        let options: Vec<String> = sqlx::query_scalar("PRAGMA compile_options")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let has = |option: &str| options.iter().any(|built| built == option);
        assert!(!has("ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
        assert!(has("DEFAULT_MEMSTATUS=0"), "{options:?}");
    }

    #[tokio::test]
    async fn a_lock_is_waited_for_but_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::directory_of_files(directory.path().to_owned());
        let database: DatabaseName = "locked".parse().unwrap();
        let connect = |busy_timeout| {
            let spec = creating(&endpoint, &database, busy_timeout);
            async move { Sqlite::connect(&spec).await.unwrap().0 }
        };
        let begin = async |connection: &mut SqliteConnection| {
            Sqlite::begin(connection, &TransactionOptions::new()).await
        };
        let mut holder = connect(Duration::from_secs(30)).await;
        let mut hasty = connect(Duration::from_millis(20)).await;
        let mut patient = connect(Duration::from_secs(30)).await;
        begin(&mut holder).await.unwrap();
        let refused = begin(&mut hasty).await.unwrap_err();
        assert_eq!(Sqlite::error_class(&refused), ErrorClass::Conflict);
        let (begun, ()) = tokio::join!(begin(&mut patient), async {
            // The other one has tried in vain meanwhile.
            assert!(begin(&mut hasty).await.is_err());
            Sqlite::rollback(&mut holder).await.unwrap();
        });
        begun.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_may_open_a_new_database_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::directory_of_files(directory.path().to_owned());
        for file in 0..20 {
            let opening = (0..8).map(|_| {
                let endpoint = endpoint.clone();
                tokio::spawn(async move {
                    let database: DatabaseName = format!("new{file}").parse().unwrap();
                    let spec = creating(&endpoint, &database, Duration::from_secs(30));
                    Sqlite::connect(&spec).await.map(drop)
                })
            });
            for opened in futures_util::future::join_all(opening).await {
                opened.unwrap().unwrap();
            }
        }
    }
}
