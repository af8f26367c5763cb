//! Locks on stripes, which stand for briefcases; ending others' sessions, which are known by locks that
//! they hold.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mdb_gdid::Gdid;
use sqlx::mysql::MySqlConnection;
use sqlx::{MySql, Row};

use super::{busy, error_number, run};
use crate::engine::mysql::{SESSION_MARKS, session_mark};
use crate::engine::relocating::{StepError, stripe};
use crate::engine::{Engine, ServerSession};

/// MySQL says it when a lock is held that was not to be waited for.
const LOCK_NOWAIT: u16 = 3572;

/// How often such a lock is tried for.
const POLL: Duration = Duration::from_millis(2);

/// How long sessions may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn lock_shared(
    connection: &mut MySqlConnection,
    id: Gdid,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT stripe FROM mdb_stripe WHERE stripe = ? LOCK IN SHARE MODE")
        .bind(stripe(id))
        .execute(connection)
        .await?;
    Ok(())
}

/// After how many seconds without a word a mover's transaction is given up that keeps others waiting.
/// (MySQL has such a limit for sessions only, in or out of a transaction.)
const SILENCE: u32 = 2;

/// MariaDB bounds the wait, in the queue of those who want the row. MySQL counts its waits in seconds,
/// so there the lock is tried for again and again, beside the queue.
pub(super) async fn lock_exclusive(
    connection: &mut MySqlConnection,
    ids: &[Gdid],
    limit: Duration,
) -> Result<(), StepError> {
    if ids.is_empty() {
        return Ok(());
    }
    // Sorted, so that two movers don't wait for each other.
    let stripes: BTreeSet<i64> = ids.iter().map(|id| stripe(*id)).collect();
    let stripes: Vec<String> = stripes.iter().map(i64::to_string).collect();
    let stripes = stripes.join(",");
    let lock = format!(
        "SET SESSION lock_wait_timeout = 1 /*M! , SESSION idle_transaction_timeout = {SILENCE} */ \
         /*!80000 , SESSION wait_timeout = {SILENCE} */; \
         {} SELECT stripe FROM mdb_stripe FORCE INDEX (PRIMARY) WHERE stripe IN ({stripes}) \
         ORDER BY stripe FOR UPDATE /*!80001 NOWAIT */; \
         UPDATE mdb_stripe FORCE INDEX (PRIMARY) SET version = version + 1 WHERE stripe IN ({stripes})",
        bounded(limit)
    );
    let began = Instant::now();
    loop {
        match run(connection, &lock).await {
            Err(error) if error_number(&error) == Some(LOCK_NOWAIT) => {
                if began.elapsed() >= limit {
                    return Err(StepError::Busy);
                }
                tokio::time::sleep(POLL).await;
            }
            locked => return locked.map(drop).map_err(busy),
        }
    }
}

/// Goes before a statement that may take no longer than `limit` where the server can see to that.
pub(super) fn bounded(limit: Duration) -> String {
    bounded_with(limit, "")
}

/// The same, with more assignments to variables of MariaDB's that hold for the statement, each after a comma.
pub(super) fn bounded_with(limit: Duration, more: &str) -> String {
    let milliseconds = limit.as_millis().max(1);
    format!(
        "/*M! SET STATEMENT max_statement_time = {}.{:03}{more} FOR */",
        milliseconds / 1000,
        milliseconds % 1000
    )
}

/// Ends the sessions that are known by that name; see [`session_mark`].
pub(super) async fn end_sessions(
    connection: &mut MySqlConnection,
    application: &str,
) -> Result<(), sqlx::Error> {
    // The stripes are the numbers up to 255.
    let query = format!(
        "SELECT CAST(IS_USED_LOCK(CONCAT(?, s.stripe + 256 * t.stripe)) AS SIGNED) AS session, \
         CAST(s.stripe + 256 * t.stripe AS SIGNED) \
         FROM mdb_stripe s JOIN mdb_stripe t ON t.stripe < {} \
         HAVING session IS NOT NULL AND session <> CONNECTION_ID()",
        SESSION_MARKS / 256
    );
    let began = Instant::now();
    loop {
        let found = sqlx::query(&query)
            .bind(session_mark(application))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        if found.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= END_LIMIT {
            let message = format!(
                "{} sessions of {application} could not be ended",
                found.len()
            );
            return Err(sqlx::Error::Protocol(message));
        }
        for row in found {
            let (number, mark): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let session = ServerSession {
                number: number.unsigned_abs(),
                name: format!("{}{mark}", session_mark(application)),
            };
            MySql::end_session(connection, &session).await?;
        }
        tokio::time::sleep(POLL).await;
    }
}
