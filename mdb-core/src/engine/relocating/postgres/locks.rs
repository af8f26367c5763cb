//! Locks that stand for briefcases, and ending others' sessions.

use std::collections::BTreeSet;
use std::time::Duration;

use mdb_gdid::Gdid;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::{busy, run};
use crate::engine::relocating::{MoveId, StepError, advisory_key, stripe};

/// After how long without a word from the mover the server gives up a transaction of his that keeps
/// others waiting: he may be stopped, or cut off, without his connection ending.
const SILENCE: Duration = Duration::from_secs(2);

/// How long a session may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn lock_shared(
    connection: &mut PgConnection,
    id: Gdid,
) -> Result<(), sqlx::Error> {
    let [class, number] = advisory_key(id);
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1, $2)")
        .bind(class)
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn lock_exclusive(
    connection: &mut PgConnection,
    ids: &[Gdid],
    limit: Duration,
) -> Result<(), StepError> {
    run(connection, &exclusive(ids, limit))
        .await
        .map(drop)
        .map_err(busy)
}

/// The statements of [`lock_exclusive`].
pub(super) fn exclusive(ids: &[Gdid], limit: Duration) -> String {
    let Some([class, _]) = ids.first().map(|id| advisory_key(*id)) else {
        return String::new();
    };
    // Sorted, so that two movers don't wait for each other.
    let numbers: BTreeSet<i32> = ids.iter().map(|id| advisory_key(*id)[1]).collect();
    let stripes: BTreeSet<i64> = ids.iter().map(|id| stripe(*id)).collect();
    // One statement, whose time-out bounds all waits together; it stays for the rest of the
    // transaction, in which others are kept waiting.
    format!(
        "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = {limit}; \
         SET LOCAL idle_in_transaction_session_timeout = {silence}; \
         WITH locks AS MATERIALIZED (SELECT pg_advisory_xact_lock({class}, number) FROM unnest('{{{numbers}}}'::integer[]) AS number) \
         UPDATE mdb_stripe SET version = version + 1 \
         WHERE stripe = ANY ('{{{stripes}}}'::bigint[]) AND (SELECT count(*) FROM locks) > 0; \
         SET LOCAL lock_timeout = {limit}",
        limit = limit.as_millis().max(1),
        silence = SILENCE.as_millis(),
        numbers = list(&numbers),
        stripes = list(&stripes),
    )
}

fn list<T: ToString>(numbers: &BTreeSet<T>) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(",")
}

/// What a session of a mover of `id` is called while it is in a transaction.
pub(super) fn session_name(id: &MoveId) -> String {
    format!("mdb-mover {}", id.as_str())
}

/// As [`end_sessions`], those in this database alone: the move's other shard may be on the same server.
pub(super) async fn end_movers(
    connection: &mut PgConnection,
    id: &MoveId,
) -> Result<(), sqlx::Error> {
    end(
        connection,
        "datname = current_database()",
        &session_name(id),
    )
    .await
}

pub(super) async fn end_sessions(
    connection: &mut PgConnection,
    application: &str,
) -> Result<(), sqlx::Error> {
    end(connection, "TRUE", application).await
}

/// Ends the sessions of that name for which the condition holds, and waits until they have gone.
async fn end(
    connection: &mut PgConnection,
    condition: &str,
    application: &str,
) -> Result<(), sqlx::Error> {
    // First found, then ended: the conditions of one query are tried in any order.
    let sql = format!(
        "WITH sessions AS MATERIALIZED (SELECT pid FROM pg_stat_activity \
         WHERE application_name = $1 AND pid <> pg_backend_pid() AND {condition}) \
         SELECT pid, pg_terminate_backend(pid, {}) FROM sessions",
        END_LIMIT.as_millis()
    );
    let ended = sqlx::query(&sql)
        .bind(application)
        .persistent(false)
        .fetch_all(&mut *connection)
        .await?;
    let pids: Vec<i32> = ended
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let alive: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY ($1) AND application_name = $2",
    )
    .bind(&pids)
    .bind(application)
    .persistent(false)
    .fetch_one(connection)
    .await?;
    if alive > 0 {
        let message = format!("{alive} sessions of {application} could not be ended");
        return Err(sqlx::Error::Protocol(message));
    }
    Ok(())
}
