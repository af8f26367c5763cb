//! PostgreSQL, 14 or newer.

pub(in crate::engine) mod shape;
mod tables;

use std::fmt::Write;
use std::str::FromStr;

use futures_core::future::BoxFuture;
use secrecy::ExposeSecret;
use sqlx::error::DatabaseError;
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgDatabaseError, PgListener, PgPoolOptions, PgRow,
};
use sqlx::{ConnectOptions, Executor, Postgres, Row, TransactionManager, TypeInfo, ValueRef};

use super::begin::Writes;
use super::{
    Access, Catalogue, ColumnTypes, ConnectSpec, Engine, ErrorClass, Indexes, Lanes, Listed, Names,
    ServerSession, Session, Snapshot, Table, TableSize, Target, TimeoutScope, TransactionOptions,
    Value, Words,
};
use crate::config::{DatabaseName, EngineKind};

fn options_of(spec: &ConnectSpec<'_>) -> Result<PgConnectOptions, sqlx::Error> {
    let url = match spec.target {
        Target::Database(database) | Target::Create(database) => {
            spec.endpoint.database_url(database)
        }
        Target::Server(database) => spec.endpoint.admin_url(database),
    };
    Ok(PgConnectOptions::from_str(url.expose_secret())?
        .application_name(spec.application)
        .statement_cache_capacity(spec.statement_cache)
        .disable_statement_logging())
}

/// Whether the result of a prepared statement has other columns now. The message is in the server's language.
fn is_stale_plan(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.and_then(PgDatabaseError::routine) == Some("RevalidateCachedQuery")
}

/// The channel that the catalog's changes are told on.
const CHANNEL: &str = "mdb_catalog";
const NOTIFY: &str = "SELECT CAST(1 AS BIGINT) FROM pg_notify('mdb_catalog', '')";

#[expect(
    private_interfaces,
    reason = "the trait is sealed; only its name is public"
)]
impl Engine for Postgres {
    const KIND: EngineKind = EngineKind::Postgres;
    const LANES: Lanes = Lanes::One;
    const TIMEOUT: TimeoutScope = TimeoutScope::Transaction;
    const SNAPSHOT: Snapshot = Snapshot::FirstStatement;
    const GREATEST: &'static str = "GREATEST";
    const NAMES: Names = Names::Exact;
    const CATALOGUE: Catalogue = tables::CATALOGUE;

    const TABLES_ELSEWHERE: Option<&'static str> = Some(
        "SELECT n.nspname::text, current_schema()::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = 'mdb_shard' AND n.nspname = ANY (current_schemas(false)) AND n.nspname <> current_schema()",
    );

    super::shared_methods!();

    fn copy_arguments<'q>(arguments: &Self::Arguments<'q>) -> Option<Self::Arguments<'q>> {
        Some(arguments.clone())
    }

    fn connect<'s>(
        spec: &'s ConnectSpec<'_>,
    ) -> BoxFuture<'s, Result<(PgConnection, Session), sqlx::Error>> {
        Box::pin(async move {
            let mut connection = options_of(spec)?.connect().await?;
            // Set by a statement and not at start-up, because connection poolers refuse unknown
            // start-up parameters. The longest transaction bounds how long one may sit idle.
            let longest = TransactionOptions::MAX_TIMEOUT.as_millis() + 60_000;
            let (process, name): (i32, String) = sqlx::query_as(
                "SELECT pg_backend_pid(), current_setting('application_name') FROM set_config('statement_timeout', $1, false) AS a, \
             set_config('idle_in_transaction_session_timeout', $2, false) AS b, \
             set_config('default_transaction_read_only', $3, false) AS c",
            )
            .bind(format!("{}ms", spec.statement_timeout.as_millis()))
            .bind(format!("{longest}ms"))
            .bind(if spec.access == Access::ReadOnly {
                "on"
            } else {
                "off"
            })
            .persistent(false)
            .fetch_one(&mut connection)
            .await?;
            let number = u64::from(process.unsigned_abs());
            Ok((connection, Session::Server(ServerSession { number, name })))
        })
    }

    async fn end_session(
        connection: &mut PgConnection,
        session: &ServerSession,
    ) -> Result<(), sqlx::Error> {
        let process =
            i32::try_from(session.number).map_err(|error| sqlx::Error::Decode(error.into()))?;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2",
        )
        .bind(process)
        .bind(&session.name)
        .execute(connection)
        .await?;
        Ok(())
    }

    fn begin<'c>(
        connection: &'c mut PgConnection,
        options: &'c TransactionOptions,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        let access = match options.writes() {
            Writes::Allowed => "READ WRITE",
            Writes::Refused => "READ ONLY",
        };
        let mut statement = format!("BEGIN ISOLATION LEVEL {} {access}", options.isolation_sql());
        if let Some(limit) = options.set_timeout() {
            let _ = write!(
                statement,
                "; SET LOCAL statement_timeout = {}",
                limit.as_millis()
            );
        }
        <Self::TransactionManager as TransactionManager>::begin(connection, Some(statement.into()))
    }

    fn is_doomed(connection: &mut PgConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
        Box::pin(async move {
            match connection.execute("SELECT 1").await {
                Ok(_) => Ok(false),
                // Since a statement has failed, all are refused, but COMMIT: that rolls back.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("25P02") => {
                    Ok(true)
                }
                Err(error) => Err(error),
            }
        })
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
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        match database.code().as_deref() {
            Some("23505") => ErrorClass::UniqueViolation,
            Some("40001" | "40P01" | "55P03") => ErrorClass::Conflict,
            Some("57014") => ErrorClass::Cancelled,
            Some("57P01" | "57P02" | "25P03" | "08000" | "08003" | "08006") => {
                ErrorClass::LostConnection
            }
            Some("57P03" | "53300" | "53400") => ErrorClass::Unavailable,
            Some("42P01") => ErrorClass::MissingTable,
            Some("42703") => ErrorClass::MissingColumn,
            Some("3D000") => ErrorClass::MissingDatabase,
            Some("42501") => ErrorClass::NoPermission,
            Some("25006") => ErrorClass::ReadOnly,
            // MDB's own triggers raise that.
            Some("MDB01") => ErrorClass::Fenced,
            Some("0A000") if is_stale_plan(&**database) => ErrorClass::StalePlan,
            _ => ErrorClass::Other,
        }
    }

    fn create_database(database: &DatabaseName) -> Option<(String, String)> {
        let create = format!("CREATE DATABASE {}", Self::quote(database.as_str()));
        Some((
            create,
            "SELECT CAST(count(*) AS BIGINT) FROM pg_database WHERE datname = ?".to_owned(),
        ))
    }

    fn column_types() -> ColumnTypes {
        ColumnTypes {
            id: "BYTEA",
            bytes: "BYTEA",
            name: "TEXT",
            integer: "BIGINT",
            text: "TEXT",
            suffix: "",
            indexes: Indexes::Apart,
            create_view: "CREATE OR REPLACE VIEW",
        }
    }

    fn definition_lock() -> Option<&'static str> {
        // The letters "mdbinit" as a number: any constant that nobody else uses.
        Some("SELECT CAST(1 AS BIGINT) FROM pg_advisory_xact_lock(30796706208508276)")
    }

    fn keep_fence(
        connection: &mut PgConnection,
        id: mdb_gdid::Gdid,
    ) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(<Self as super::relocating::Relocating>::lock_shared(
            connection, id,
        ))
    }

    fn insert_if_absent(insert_into: &str, _: &str) -> String {
        format!("{insert_into} ON CONFLICT DO NOTHING")
    }

    fn notification() -> Option<&'static str> {
        Some(NOTIFY)
    }

    fn sessions_at_work(
        connection: &mut PgConnection,
    ) -> BoxFuture<'_, Result<Option<u32>, sqlx::Error>> {
        Box::pin(async move {
            let query = "SELECT count(*) FROM pg_stat_activity \
                 WHERE state = 'active' AND backend_type = 'client backend'";
            let sessions: i64 = sqlx::query_scalar(query).fetch_one(connection).await?;
            Ok(u32::try_from(sessions).ok())
        })
    }

    fn listen<'s>(
        spec: &'s ConnectSpec<'_>,
        heard: &'s (dyn Fn() + Sync),
    ) -> BoxFuture<'s, Result<(), sqlx::Error>> {
        Box::pin(async move {
            // The driver listens on connections of its own pools only.
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(options_of(spec)?);
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            loop {
                heard();
                // None: the connection was lost, and with it perhaps a notification.
                let _ = listener.try_recv().await?;
            }
        })
    }

    fn durably() -> &'static str {
        " AND (SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
         WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)) IS NOT NULL"
    }

    fn now() -> &'static str {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    }

    fn statement_now() -> &'static str {
        "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)"
    }

    async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
        tables::tables(connection).await
    }

    fn words_of<'c>(
        connection: &'c mut PgConnection,
        listed: &'c Listed,
    ) -> BoxFuture<'c, Result<Words, sqlx::Error>> {
        Box::pin(shape::words_of(connection, listed))
    }

    fn table_size<'c>(
        connection: &'c mut PgConnection,
        table: &'c str,
    ) -> BoxFuture<'c, Result<TableSize, sqlx::Error>> {
        Box::pin(async move {
            let quoted = Self::quote(table);
            let (rows, bytes): (i64, i64) = sqlx::query_as(&format!(
                "SELECT (SELECT count(*) FROM {quoted}), pg_total_relation_size($1::regclass)"
            ))
            .bind(&quoted)
            .persistent(false)
            .fetch_one(connection)
            .await?;
            Ok(TableSize {
                rows: rows.try_into().unwrap_or(0),
                bytes: bytes.try_into().ok(),
            })
        })
    }
}

trait OwnSql {
    fn own_sql(sql: &str) -> String;
    fn own_value(row: &PgRow, place: usize) -> Result<Value, sqlx::Error>;
}

impl OwnSql for Postgres {
    /// Numbers the placeholders: our own statements hold no `?` but those.
    fn own_sql(sql: &str) -> String {
        let mut numbered = String::with_capacity(sql.len() + 8);
        let mut parts = sql.split('?');
        numbered.extend(parts.next());
        for (part, number) in parts.zip(1..) {
            let _ = write!(numbered, "${number}{part}");
        }
        numbered
    }

    fn own_value(row: &PgRow, place: usize) -> Result<Value, sqlx::Error> {
        let raw = row.try_get_raw(place)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        Ok(match raw.type_info().name() {
            "INT8" => Value::Integer(row.try_get(place)?),
            "INT4" => Value::Integer(row.try_get::<i32, _>(place)?.into()),
            "BYTEA" => Value::Bytes(row.try_get(place)?),
            _ => Value::Text(row.try_get(place)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered() {
        assert_eq!(Postgres::own_sql("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(Postgres::own_sql("SELECT 1"), "SELECT 1");
    }
}
