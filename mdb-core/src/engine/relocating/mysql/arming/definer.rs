//! Changing definitions: one statement after another that needs a table for itself.

use std::time::{Duration, Instant};

use sqlx::mysql::MySqlConnection;
use sqlx::{Connection as _, MySql, Row};

use super::{busy, run};
use crate::engine::relocating::mysql::locks::bounded_with;
use crate::engine::relocating::{LockLimit, StepError};
use crate::engine::{ConnectSpec, Engine};

/// How long others' statements have between two definitions, at the least and at the most: each of those has MariaDB
/// prepare them anew, and it gives up after three times.
const BREATH: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(5)];

/// How long ending a statement may take. MySQL gives it up by itself after a second.
const ENDING: Duration = Duration::from_secs(2);

/// Which server it is that a statement is for.
enum Server {
    MariaDb,
    /// With the number of the session there.
    MySql(u64),
}

/// Changes definitions on one connection.
pub(super) struct Definer<'d> {
    server: Server,
    limit: &'d LockLimit<'d>,
}

impl<'d> Definer<'d> {
    pub(super) async fn on(
        connection: &mut MySqlConnection,
        limit: &'d LockLimit<'d>,
    ) -> Result<Self, StepError> {
        let query = "SELECT CAST(VERSION() AS BINARY), CONNECTION_ID()";
        let rows = run(connection, query).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let version: &[u8] = row.try_get_unchecked(0)?;
        let server = if String::from_utf8_lossy(version).contains("MariaDB") {
            Server::MariaDb
        } else {
            Server::MySql(row.try_get_unchecked(1)?)
        };
        Ok(Self { server, limit })
    }

    pub(super) fn is_mysql(&self) -> bool {
        matches!(self.server, Server::MySql(_))
    }

    /// Runs a statement that needs a table for itself.
    pub(super) async fn change(
        &self,
        connection: &mut MySqlConnection,
        sql: &str,
    ) -> Result<(), StepError> {
        let limit = self.limit.duration();
        let sql = format!(
            "SET SESSION lock_wait_timeout = 1; {} {sql}",
            bounded_with(limit, &dated_after(limit))
        );
        let began = Instant::now();
        let changing = run(connection, &sql);
        let changed = match (&self.server, self.limit.from()) {
            (Server::MySql(number), Some(from)) => {
                tokio::pin!(changing);
                if let Ok(changed) = tokio::time::timeout(limit, &mut changing).await {
                    changed
                } else {
                    end_statement(from, *number).await;
                    changing.await
                }
            }
            _ => changing.await,
        };
        changed.map(drop).map_err(busy)?;
        let [least, most] = BREATH;
        tokio::time::sleep(began.elapsed().clamp(least, most)).await;
        Ok(())
    }
}

/// Ends the statement that the session of that number runs. It is the caller's, which waits for it: if it has ended by
/// itself meanwhile, the session is idle, and nothing happens.
async fn end_statement(from: &ConnectSpec<'_>, number: u64) {
    let ending = async {
        let (mut other, _) = MySql::connect(from).await?;
        run(&mut other, &format!("KILL QUERY {number}")).await?;
        other.close().await
    };
    let why = match tokio::time::timeout(ENDING, ending).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => crate::error::chain(&error),
        Err(_) => format!("no answer within {} s", ENDING.as_secs()),
    };
    tracing::info!(
        why,
        "a definition that waits for its table could not be ended; the server ends it within a second"
    );
}

/// Dates a statement's beginning after it has its lock.
///
/// MariaDB has a prepared statement learn of a trigger by comparing when both were made, where the trigger counts from
/// the hundredth of a second in which its creation began. One that is taken to be older than the statement looks in
/// vain for the tables that it needs, and fails the statement each time.
fn dated_after(limit: Duration) -> String {
    let later = limit + Duration::from_millis(50);
    format!(
        ", timestamp = UNIX_TIMESTAMP(NOW(6)) + {}",
        later.as_secs_f64()
    )
}
