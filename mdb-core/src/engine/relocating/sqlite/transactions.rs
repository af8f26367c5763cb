//! A mover's transactions on SQLite, in as few calls as can be: threads that hand each other work wait for a turn
//! each time.

use sqlx::sqlite::{SqliteConnection, SqliteTransactionManager};
use sqlx::{Sqlite, TransactionManager};

use super::handle::with_handle;
use super::{busy, run};
use crate::engine::relocating::{Commits, MoveId, OwnerToken, Relocating, StepError, Tries, begin};
use crate::engine::{Engine, Value};

/// SQLite's code for a value that may not be NULL: <https://sqlite.org/rescode.html>.
const NOT_NULL: &str = "1299";

/// Begins a transaction of a mover on one of the shards.
pub(super) async fn begin_as_mover(
    connection: &mut SqliteConnection,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<(), StepError> {
    let quoted = format!("'{}'", id.as_str().replace('\'', "''"));
    let begin = format!(
        "BEGIN IMMEDIATE; {}",
        enter(&quoted, &owner.get().to_string())
    );
    let tries = Tries::begin();
    loop {
        let text = Some(begin.clone().into());
        let begun = <SqliteTransactionManager as TransactionManager>::begin(connection, text).await;
        let Err(error) = begun else {
            return Ok(());
        };
        roll_back_any(connection).await?;
        tries.after::<Sqlite>(error).await.map_err(not_owner)?;
    }
}

/// What a mover's transaction does first: lets it pass MDB's own triggers, or fails for who does not own the move.
fn enter(id: &str, owner: &str) -> String {
    format!(
        "INSERT INTO mdb_guest (move) VALUES ((SELECT move FROM mdb_mover WHERE move = {id} AND owner = {owner})) \
         ON CONFLICT DO NOTHING"
    )
}

/// Reads what [`enter`] fails with.
fn not_owner(error: StepError) -> StepError {
    match &error {
        StepError::Database(sqlx::Error::Database(refused))
            if refused.code().as_deref() == Some(NOT_NULL)
                && refused.message().ends_with("mdb_guest.move") =>
        {
            StepError::NotOwner
        }
        _ => error,
    }
}

/// A whole transaction of a mover, in one call: how many rows `sql` has changed. The move is its value `?1`, `values` are
/// `?2` and `?3`.
pub(super) async fn at_once(
    connection: &mut SqliteConnection,
    id: &MoveId,
    owner: OwnerToken,
    sql: &str,
    values: [Value; 2],
) -> Result<u64, StepError> {
    let text = format!(
        "BEGIN IMMEDIATE; {}; SELECT total_changes(); {sql}; SELECT total_changes(); \
         DELETE FROM mdb_guest; COMMIT",
        enter("?1", "?4")
    );
    let [second, third] = values;
    let values = [id.into(), second, third, Value::Integer(owner.get())];
    let tries = Tries::begin();
    loop {
        match Sqlite::query_own(connection, &text, &values).await {
            Ok(changes) => {
                let [before, after] = changes.as_slice() else {
                    return Err(sqlx::Error::RowNotFound.into());
                };
                return Ok((after.integer(0)? - before.integer(0)?).unsigned_abs());
            }
            Err(error) => {
                roll_back_any(connection).await?;
                tries.after::<Sqlite>(error).await.map_err(not_owner)?;
            }
        }
    }
}

/// Ends the transaction in which something has failed, if it had begun.
async fn roll_back_any(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    with_handle(connection, |handle| {
        if handle.is_autocommit() {
            return Ok(());
        }
        handle.execute_batch("ROLLBACK")
    })
    .await
}

/// Ends what [`begin_as_mover`] began: commits what succeeded, rolls back what did not.
pub(super) async fn end<T>(
    connection: &mut SqliteConnection,
    id: &MoveId,
    result: Result<T, StepError>,
) -> Result<T, StepError> {
    match result {
        Ok(value) => {
            Sqlite::leave_as_mover(connection, id).await?;
            Sqlite::commit(connection).await.map_err(busy)?;
            Ok(value)
        }
        Err(error) => {
            Sqlite::rollback(connection).await?;
            Err(error)
        }
    }
}

/// In the journal mode that MDB's files have, `NORMAL` waits for the disk only when the journal is merged into the file,
/// and a commit that waits takes all before it along.
pub(super) async fn set_commits(
    connection: &mut SqliteConnection,
    commits: Commits,
) -> Result<(), StepError> {
    let level = match commits {
        Commits::Forced => "FULL",
        Commits::Unforced => "NORMAL",
    };
    run(
        connection,
        &format!("PRAGMA main.synchronous = {level}"),
        &[],
    )
    .await?;
    if commits == Commits::Forced {
        begin::<Sqlite>(connection).await?;
        // Not what is there already: that would change no page, and a commit with nothing to write waits for nothing.
        let written = run(
            connection,
            "UPDATE mdb_stripe SET version = version + 1 WHERE stripe = 0",
            &[],
        )
        .await;
        if written.is_err() {
            Sqlite::rollback(connection).await?;
        }
        written?;
        Sqlite::commit(connection).await.map_err(busy)?;
    }
    Ok(())
}
