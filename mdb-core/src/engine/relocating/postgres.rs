//! Moving briefcases between PostgreSQL databases.
//!
//! - `triggers`: row triggers that record changes or refuse them, and the change tables.
//! - `locks`: advisory locks that stand for briefcases; sessions.
//! - `turns`: fencing and flipping.
//! - `copy`: binary COPY out of the one server and into the other, inside one snapshot of the source.
//! - `delete`: deleting them again, a bounded number at a time.
//! - `changes`: catching up with what the triggers recorded.
//! - `sums`: checksums of rows that the servers send; `canonical`: in which form.
//! - `differences`: the rows that differ.
//! - `unchecked`: when foreign keys need not be checked row by row.
//! - `names`: tables and columns, as statements write them.
//!
//! A briefcase takes milliseconds to move and a round trip costs a tenth of one, so most of a step's
//! statements go out together, as one text.

mod briefcases;
mod canonical;
mod changes;
mod copy;
mod delete;
mod differences;
mod locks;
mod names;
mod sums;
#[cfg(test)]
mod tests;
mod triggers;
mod turns;
mod unchecked;

use std::time::Duration;

use futures_core::future::BoxFuture;
use mdb_gdid::Gdid;
use sqlx::postgres::{PgConnection, PgRow, PgTransactionManager};
use sqlx::{Executor, Postgres, Row, TransactionManager};

use super::{
    Amount, Installed, LockLimit, Manifest, MoveId, MovedTable, OwnerToken, Pace, Pair, Relocating,
    Span, StepError, TableSum, Taken, Turn, joined,
};
use crate::engine::postgres::shape;
use crate::engine::{Engine, ErrorClass, Shape};
use briefcases::Briefcases;
use names::{columns, keys, list, numbered, quoted};

/// How long the transactions that are begun here wait for a lock.
const LOCK_LIMIT: Duration = Duration::from_millis(150);

/// Commits wait for the disk, also where others' don't: what was copied is soon deleted at the source, and who has moved may
/// not come back. How they do is kept, for a transaction that does without at first. A move that flows slowly has nothing to
/// say for long.
///
/// What would harm others is set by each transaction for itself: a pooler may lend the server's session to services.
const SESSION: &str = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
     SELECT set_config('mdb.commits', current_setting('synchronous_commit'), false), \
       set_config('idle_session_timeout', '0', false), set_config('standard_conforming_strings', 'on', false)";

/// What [`require_owner`] fails with.
const DIVISION_BY_ZERO: &str = "22012";

impl Relocating for Postgres {
    const CHECKS_OUTWARD: bool = true;

    async fn begin_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let session = format!("{SESSION}; {}", shape::prepare());
        run(connection, &session).await.map(drop)
    }

    async fn enter_as_mover(
        connection: &mut PgConnection,
        id: &MoveId,
        limit: Duration,
    ) -> Result<(), sqlx::Error> {
        run(connection, &writer_settings(id, limit)).await.map(drop)
    }

    async fn leave_as_mover(_: &mut PgConnection, _: &MoveId) -> Result<(), sqlx::Error> {
        // What marks the mover ends with the transaction.
        Ok(())
    }

    async fn end_movers(connection: &mut PgConnection, id: &MoveId) -> Result<(), sqlx::Error> {
        locks::end_movers(connection, id).await
    }

    async fn check_owner(
        connection: &mut PgConnection,
        id: &MoveId,
        owner: OwnerToken,
    ) -> Result<(), StepError> {
        is_owner(&run(connection, &select_owner(id)).await?, owner)
    }

    async fn begin_as_mover(
        connection: &mut PgConnection,
        id: &MoveId,
        owner: OwnerToken,
        limit: Duration,
    ) -> Result<(), StepError> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}{}",
            writer_settings(id, limit),
            require_owner(id, owner)
        );
        // sqlx has to know of the transaction, but it reads no rows here: another's move is an error.
        match <PgTransactionManager as TransactionManager>::begin(connection, Some(begin.into()))
            .await
        {
            Ok(()) => Ok(()),
            Err(error) => {
                rollback(connection).await?;
                Err(if is_code(&error, DIVISION_BY_ZERO) {
                    StepError::NotOwner
                } else {
                    error.into()
                })
            }
        }
    }

    async fn lock_shared(connection: &mut PgConnection, id: Gdid) -> Result<(), sqlx::Error> {
        locks::lock_shared(connection, id).await
    }

    async fn lock_exclusive(
        connection: &mut PgConnection,
        ids: &[Gdid],
        limit: Duration,
    ) -> Result<(), StepError> {
        locks::lock_exclusive(connection, ids, limit).await
    }

    async fn turn_at_once(
        connection: &mut PgConnection,
        manifest: &Manifest,
        id: &MoveId,
        owner: OwnerToken,
        briefcases: &[Gdid],
        turn: Turn<'_>,
    ) -> Option<Result<(), StepError>> {
        Some(turns::take(connection, manifest, id, owner, briefcases, turn).await)
    }

    async fn rehearse_fence(
        connection: &mut PgConnection,
        as_they_were: &Shape,
    ) -> Result<(), StepError> {
        turns::rehearse_fence(connection, as_they_were).await
    }

    async fn arm(
        connection: &mut PgConnection,
        manifest: &Manifest,
        by: Option<&MoveId>,
        limit: &LockLimit<'_>,
    ) -> Result<(), StepError> {
        triggers::arm(connection, manifest, by, limit.duration()).await
    }

    async fn is_armed(
        connection: &mut PgConnection,
        manifest: &Manifest,
    ) -> Result<bool, StepError> {
        triggers::is_armed(connection, manifest).await
    }

    async fn disarm(connection: &mut PgConnection, limit: &LockLimit<'_>) -> Result<(), StepError> {
        triggers::disarm(connection, limit.duration()).await
    }

    async fn uninstall(
        connection: &mut PgConnection,
        limit: &LockLimit<'_>,
    ) -> Result<(), StepError> {
        triggers::uninstall(connection, limit.duration()).await
    }

    async fn installed(connection: &mut PgConnection) -> Result<Installed, sqlx::Error> {
        triggers::installed(connection).await
    }

    async fn copy(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
        owner: OwnerToken,
        pace: &dyn Pace,
    ) -> Result<Amount, StepError> {
        copy::copy(pair, manifest, id, owner, pace).await
    }

    fn is_taken(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Database(error) => {
                // By a key or unique value, or by an exclusion constraint.
                error.is_unique_violation() || error.code().as_deref() == Some("23P01")
            }
            _ => false,
        }
    }

    async fn catch_up(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
        owner: OwnerToken,
        pace: &dyn Pace,
    ) -> Result<Taken, StepError> {
        changes::catch_up(pair, manifest, id, owner, pace).await
    }

    async fn pending_changes(
        connection: &mut PgConnection,
        manifest: &Manifest,
        id: &MoveId,
    ) -> Result<u64, sqlx::Error> {
        let records = changes::recorded(connection, manifest, id).await?;
        Ok(records.count())
    }

    async fn forget_some(
        connection: &mut PgConnection,
        table: &MovedTable,
        id: &MoveId,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        changes::forget_some(connection, table, id, limit).await
    }

    async fn sums(
        connection: &mut PgConnection,
        manifest: &Manifest,
        id: &MoveId,
        spans: &[Span],
    ) -> Result<Vec<Vec<TableSum>>, sqlx::Error> {
        sums::sums(connection, manifest, id, spans).await
    }

    async fn differences(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        table: &MovedTable,
        id: &MoveId,
        limit: u32,
    ) -> Result<Vec<String>, sqlx::Error> {
        differences::differences(pair, manifest, table, id, limit).await
    }

    async fn delete_some(
        connection: &mut PgConnection,
        manifest: &Manifest,
        id: &MoveId,
        limit: u32,
    ) -> Result<u64, StepError> {
        delete::delete_some(connection, manifest, id, limit).await
    }

    async fn delete_all(
        connection: &mut PgConnection,
        manifest: &Manifest,
        _: &MoveId,
        briefcases: &[Gdid],
    ) -> Result<(), StepError> {
        delete::delete_all(connection, manifest, briefcases).await
    }

    async fn end_sessions(
        connection: &mut PgConnection,
        application: &str,
    ) -> Result<(), sqlx::Error> {
        locks::end_sessions(connection, application).await
    }
}

/// Runs statements in one round trip; the rows of all of them, in text form.
fn run<'c>(
    connection: &'c mut PgConnection,
    sql: &'c str,
) -> BoxFuture<'c, Result<Vec<PgRow>, sqlx::Error>> {
    connection.fetch_all(sql)
}

async fn rollback(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    run(connection, "ROLLBACK").await.map(drop)
}

/// Settings of a mover's transaction that writes rows: they are checked as far as was decided.
fn writer_settings(id: &MoveId, limit: Duration) -> String {
    let decided = unchecked::as_decided(id, unchecked::Rows::Many);
    format!("{}{decided}", mover_settings(id, limit))
}

/// Settings of a mover's transaction. By the session's name whoever takes the move over can end it.
fn mover_settings(id: &MoveId, limit: Duration) -> String {
    format!(
        "SET LOCAL mdb.mover = {}; SET LOCAL application_name = {}; {}",
        literal(id.as_str()),
        literal(&locks::session_name(id)),
        settings(limit)
    )
}

/// A lock is waited for no longer than `limit`; a policy that hides rows from the mover is an error, since both sides would
/// have none of them; and statements that are small are not compiled, which takes longer than running them.
fn settings(limit: Duration) -> String {
    format!(
        "SET LOCAL lock_timeout = {}; SET LOCAL row_security = off; SET LOCAL jit = off; ",
        limit.as_millis().max(1)
    )
}

fn select_owner(id: &MoveId) -> String {
    format!(
        "SELECT owner FROM mdb_mover WHERE move = {} FOR SHARE; ",
        literal(id.as_str())
    )
}

/// Fails with [`DIVISION_BY_ZERO`] for somebody else, and makes a takeover wait.
fn require_owner(id: &MoveId, owner: OwnerToken) -> String {
    format!(
        "SELECT 1 / count(*) FROM (SELECT FROM mdb_mover WHERE move = {} AND owner = {} FOR SHARE) AS own",
        literal(id.as_str()),
        owner.get()
    )
}

/// Whether the server refused something with that SQLSTATE.
fn is_code(error: &sqlx::Error, code: &str) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some(code))
}

/// Reads what [`select_owner`] selected last.
fn is_owner(rows: &[PgRow], owner: OwnerToken) -> Result<(), StepError> {
    let found: Option<i64> = match rows.last() {
        // Without a row for the move, the last one is another statement's.
        Some(row) => row.try_get("owner").ok(),
        None => None,
    };
    if found == Some(owner.get()) {
        Ok(())
    } else {
        Err(StepError::NotOwner)
    }
}

/// A lock that was not to be had, or a transaction that has to be run again.
fn busy(error: sqlx::Error) -> StepError {
    match Postgres::error_class(&error) {
        ErrorClass::Conflict | ErrorClass::Cancelled => StepError::Busy,
        _ => StepError::Database(error),
    }
}

/// The ids of a move, as a query without values: COPY takes none.
fn ids(id: &MoveId) -> String {
    format!(
        "SELECT gdid FROM mdb_fence WHERE move = {}",
        literal(id.as_str())
    )
}

/// Text as SQL; `standard_conforming_strings` is on, as sqlx has it too.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
