//! MySQL 8 and MariaDB 10.5, or newer.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use futures_core::future::BoxFuture;
use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{ConnectOptions, Executor, MySql, Row, TransactionManager, TypeInfo, ValueRef};

use super::begin::Writes;
use super::{
    Access, Catalogue, ColumnTypes, ConnectSpec, Engine, ErrorClass, Indexes, Isolation, Lanes,
    Listed, Names, ServerSession, Session, Snapshot, Table, TableSize, Target, TimeoutScope,
    TransactionOptions, Value, Words,
};
use crate::config::{DatabaseName, EngineKind};

use errors::number_of;
pub(super) use tables::{foreign_keys, left_some_out};

mod errors;
mod shape;
mod tables;

/// What sessions are set to, so that most transactions begin with one statement.
const SESSION_LEVEL: Isolation = Isolation::ReadCommitted;

/// A server may have statements wait for a COMMIT that nobody sends, have each COMMIT begin another transaction, and leave
/// out rows beyond a number. (DEFAULT would be what the server has.)
const COMPLETE: &str =
    "SET SESSION autocommit = 1, completion_type = 0, sql_select_limit = 18446744073709551615";

/// How many sessions of one name can be told apart on a server: more than a pool may have.
pub(super) const SESSION_MARKS: u32 = 1 << 14;

/// The server keeps no name of a session, so each holds a lock that is called by this and one of the
/// numbers below [`SESSION_MARKS`].
///
/// MySQL's names of locks have up to 64 characters; an application's name ends with what is its own.
pub(super) fn session_mark(application: &str) -> String {
    let long = application.len().saturating_sub(56);
    let end = application.get(long..).unwrap_or(application);
    format!("{end}:")
}

/// Marks the session as one of `application`.
pub(super) async fn mark_session(
    connection: &mut MySqlConnection,
    application: &str,
) -> Result<ServerSession, sqlx::Error> {
    let mark = session_mark(application);
    let first = fastrand::u32(..);
    for step in 0..SESSION_MARKS {
        let name = format!("{mark}{}", first.wrapping_add(step) % SESSION_MARKS);
        let (number, taken): (u64, Option<i64>) =
            sqlx::query_as("SELECT CONNECTION_ID(), CAST(GET_LOCK(?, 0) AS SIGNED)")
                .bind(&name)
                .persistent(false)
                .fetch_one(&mut *connection)
                .await?;
        match taken {
            Some(1) => return Ok(ServerSession { number, name }),
            // Somebody else's of that name.
            Some(_) => {}
            None => break,
        }
    }
    let message = format!("the server gave no lock to know a session of {application} by");
    Err(sqlx::Error::Protocol(message))
}

/// Sets how long a statement may take in this session.
///
/// MariaDB counts seconds and means every statement; MySQL counts milliseconds and means `SELECT`.
/// Each reads the part in its own kind of comment. A wait for a row's lock is bounded by both.
fn statement_limit(limit: Duration) -> String {
    let milliseconds = limit.as_millis();
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!(
        "SET SESSION innodb_lock_wait_timeout = {} /*M! , max_statement_time = {seconds}.{rest:03} */ \
         /*!80000 , max_execution_time = {milliseconds} */",
        seconds.max(1)
    )
}

#[expect(
    private_interfaces,
    reason = "the trait is sealed; only its name is public"
)]
impl Engine for MySql {
    const KIND: EngineKind = EngineKind::MySql;
    const LANES: Lanes = Lanes::One;
    const TIMEOUT: TimeoutScope = TimeoutScope::Session;
    const SNAPSHOT: Snapshot = Snapshot::FirstPlainRead;
    const GREATEST: &'static str = "GREATEST";
    // A server may keep tables' names in lower case.
    const NAMES: Names = Names::AnyCase;
    const CATALOGUE: Catalogue = tables::CATALOGUE;

    super::shared_methods!();

    fn copy_arguments<'q>(_: &Self::Arguments<'q>) -> Option<Self::Arguments<'q>> {
        None
    }

    fn connect<'s>(
        spec: &'s ConnectSpec<'_>,
    ) -> BoxFuture<'s, Result<(MySqlConnection, Session), sqlx::Error>> {
        Box::pin(async move {
            let url = match spec.target {
                Target::Database(database) | Target::Create(database) => {
                    spec.endpoint.database_url(database)
                }
                Target::Server(_) => spec.endpoint.admin_url(""),
            };
            let mut connection = MySqlConnectOptions::from_str(url.expose_secret())?
                .statement_cache_capacity(spec.statement_cache)
                .disable_statement_logging()
                .connect()
                .await?;
            let session = mark_session(&mut connection, spec.application).await?;
            let access = match spec.access {
                Access::ReadWrite => "READ WRITE",
                Access::ReadOnly => "READ ONLY",
            };
            let settings = format!(
                "{COMPLETE}; {}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, {access}",
                statement_limit(spec.statement_timeout)
            );
            connection.execute(settings.as_str()).await?;
            Ok((connection, Session::Server(session)))
        })
    }

    async fn end_session(
        connection: &mut MySqlConnection,
        session: &ServerSession,
    ) -> Result<(), sqlx::Error> {
        let mut name = String::new();
        for byte in session.name.bytes() {
            let _ = write!(name, "{byte:02x}");
        }
        let number = session.number;
        // There is no session of the number 0. As text: MySQL doesn't prepare a KILL.
        let kill = format!(
            "KILL CONNECTION IF(IS_USED_LOCK(CONVERT(x'{name}' USING utf8mb4)) = {number}, {number}, 0)"
        );
        match connection.execute(kill.as_str()).await {
            // 1094: it has ended by itself.
            Err(error) if number_of(&error) == Some(1094) => Ok(()),
            result => result.map(drop),
        }
    }

    fn begin<'c>(
        connection: &'c mut MySqlConnection,
        options: &'c TransactionOptions,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if let Some(limit) = options.set_timeout() {
                connection.execute(statement_limit(limit).as_str()).await?;
            }
            if options.level() != SESSION_LEVEL {
                // Holds for the next transaction only.
                let level = format!(
                    "SET TRANSACTION ISOLATION LEVEL {}",
                    options.isolation_sql()
                );
                connection.execute(level.as_str()).await?;
            }
            let statement = match options.writes() {
                Writes::Allowed => "START TRANSACTION READ WRITE",
                Writes::Refused => "START TRANSACTION READ ONLY",
            };
            <Self::TransactionManager as TransactionManager>::begin(
                connection,
                Some(statement.into()),
            )
            .await
        })
    }

    fn has_ended<'c>(
        connection: &'c mut MySqlConnection,
        error: &'c sqlx::Error,
    ) -> BoxFuture<'c, Result<bool, sqlx::Error>> {
        Box::pin(async move {
            match number_of(error) {
                // A deadlock, a full table of locks, and a row that has changed since the snapshot.
                Some(1213 | 1206 | 1020) => Ok(true),
                Some(1205) => {
                    let query = "SELECT CAST(@@innodb_rollback_on_timeout AS SIGNED)";
                    let whole: i64 = sqlx::query_scalar(query).fetch_one(connection).await?;
                    Ok(whole != 0)
                }
                _ => Ok(false),
            }
        })
    }

    fn quote(identifier: &str) -> String {
        format!("`{}`", identifier.replace('`', "``"))
    }

    fn error_class(error: &sqlx::Error) -> ErrorClass {
        errors::class_of(error)
    }

    fn create_database(database: &DatabaseName) -> Option<(String, String)> {
        let create = format!("CREATE DATABASE {}", Self::quote(database.as_str()));
        Some((
            create,
            "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?".to_owned(),
        ))
    }

    fn column_types() -> ColumnTypes {
        ColumnTypes {
            id: "BINARY(12)",
            bytes: "VARBINARY(512)",
            name: "VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin",
            integer: "BIGINT",
            text: "LONGTEXT",
            suffix: " ENGINE=InnoDB",
            indexes: Indexes::Inline,
            create_view: "CREATE OR REPLACE VIEW",
        }
    }

    fn definition_lock() -> Option<&'static str> {
        // The statements that follow are repeatable one by one here, and commit by themselves.
        None
    }

    fn add_to_column<'c>(
        connection: &'c mut MySqlConnection,
        update: &'c str,
        column: &'c str,
        values: &'c [Value],
    ) -> BoxFuture<'c, Result<Option<i64>, sqlx::Error>> {
        Box::pin(async move {
            // The server answers with the expression's value as if it had numbered a row by it.
            let update = update.replace("{sum}", &format!("LAST_INSERT_ID({column} + ?)"));
            let query = super::bind_values!(sqlx::query::<Self>(&update), values);
            let done = query.execute(connection).await?;
            let sum = i64::try_from(done.last_insert_id()).ok();
            Ok(sum.filter(|_| done.rows_affected() > 0))
        })
    }

    fn keep_fence(
        connection: &mut MySqlConnection,
        id: mdb_gdid::Gdid,
    ) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(<Self as super::relocating::Relocating>::lock_shared(
            connection, id,
        ))
    }

    fn sessions_at_work(
        connection: &mut MySqlConnection,
    ) -> BoxFuture<'_, Result<Option<u32>, sqlx::Error>> {
        Box::pin(async move {
            let query = "SHOW GLOBAL STATUS LIKE 'Threads_running'";
            let row = sqlx::query(query).fetch_one(connection).await?;
            let sessions: String = row.try_get(1)?;
            Ok(sessions.parse().ok())
        })
    }

    fn insert_if_absent(insert_into: &str, column: &str) -> String {
        // Not INSERT IGNORE, which would swallow other errors too.
        format!("{insert_into} ON DUPLICATE KEY UPDATE {column} = {column}")
    }

    fn now() -> &'static str {
        // Not by way of the session's time zone, in which an hour of autumn comes twice.
        "CAST(TIMESTAMPDIFF(MICROSECOND, DATE'1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS SIGNED)"
    }

    async fn tables(connection: &mut MySqlConnection) -> Result<Vec<Table>, sqlx::Error> {
        tables::tables(connection).await
    }

    fn words_of<'c>(
        connection: &'c mut MySqlConnection,
        listed: &'c Listed,
    ) -> BoxFuture<'c, Result<Words, sqlx::Error>> {
        Box::pin(shape::words_of(connection, listed))
    }

    fn others_of<'c>(
        connection: &'c mut MySqlConnection,
        listed: &'c Listed,
    ) -> BoxFuture<'c, Result<String, sqlx::Error>> {
        Box::pin(shape::others_of(connection, listed))
    }

    fn texts<'c>(
        connection: &'c mut MySqlConnection,
        query: &'static str,
    ) -> BoxFuture<'c, Result<Vec<Vec<Option<String>>>, sqlx::Error>> {
        Box::pin(tables::all_texts(connection, query))
    }

    fn table_size<'c>(
        connection: &'c mut MySqlConnection,
        table: &'c str,
    ) -> BoxFuture<'c, Result<TableSize, sqlx::Error>> {
        Box::pin(async move {
            let rows: i64 =
                sqlx::query_scalar(&format!("SELECT count(*) FROM {}", Self::quote(table)))
                    .persistent(false)
                    .fetch_one(&mut *connection)
                    .await?;
            let bytes: Option<u64> = sqlx::query_scalar(
            "SELECT CAST(data_length + index_length AS UNSIGNED) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = ?",
        )
        .bind(table)
        .persistent(false)
        .fetch_one(connection)
        .await?;
            Ok(TableSize {
                rows: rows.try_into().unwrap_or(0),
                bytes,
            })
        })
    }
}

trait OwnSql {
    fn own_sql(sql: &str) -> String;
    fn own_value(row: &MySqlRow, place: usize) -> Result<Value, sqlx::Error>;
}

impl OwnSql for MySql {
    fn own_sql(sql: &str) -> String {
        sql.to_owned()
    }

    fn own_value(row: &MySqlRow, place: usize) -> Result<Value, sqlx::Error> {
        let raw = row.try_get_raw(place)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        Ok(match raw.type_info().name() {
            "BIGINT" | "INT" => Value::Integer(row.try_get(place)?),
            "BINARY" | "VARBINARY" | "BLOB" => Value::Bytes(row.try_get(place)?),
            _ => Value::Text(row.try_get(place)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted() {
        assert_eq!(
            MySql::quote("a`; DROP TABLE b; -- "),
            "`a``; DROP TABLE b; -- `"
        );
    }
}
