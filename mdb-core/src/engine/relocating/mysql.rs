//! Moving briefcases between MySQL or MariaDB databases.
//!
//! - `triggers`: what records changes or refuses them; `arming`: creating and dropping it.
//! - `locks`: stripes that stand for briefcases; sessions.
//! - `settings`: what a mover's session is set to.
//! - `values`: how each column type travels, and its canonical form.
//! - `copy`: from one snapshot of the source to the target; `chunks`: in statements of some thousand rows.
//! - `delete`: taking them away again.
//! - `glance`: whether definitions are what they were.
//! - `changes`: catching up with what the triggers recorded.
//! - `records`: counting and removing that.
//! - `sums`: checksums of rows that the servers send, and the rows that differ.
//! - `text`: tables, keys and ids in statements.
//!
//! A briefcase takes milliseconds to move and a round trip costs a tenth of one, so most of a step's
//! statements go out together, as one text. Foreign keys are not checked for a mover, who brings and
//! takes whole briefcases that are compared afterwards: rows may refer to each other in circles, and
//! replacing a row must not cascade.

mod arming;
mod changes;
mod chunks;
mod copy;
mod delete;
mod glance;
mod locks;
mod records;
mod settings;
mod sums;
#[cfg(test)]
mod tests;
mod text;
mod triggers;
mod values;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_core::future::BoxFuture;
use mdb_gdid::Gdid;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError, MySqlRow};
use sqlx::{Database, Executor, MySql, Row, TransactionManager};

use super::{
    Amount, Installed, LockLimit, Manifest, MoveId, MovedTable, OwnerToken, Pace, Pair, Relocating,
    Span, Sparing, StepError, TableSum, Taken, joined,
};
use crate::engine::{Engine, ErrorClass};
use settings::{LEAVE, SESSION, mover_settings};
use text::{
    column_list, from_keys, ids, keys, keys_as_numbered, literal, numbered, quoted, rows_of,
    same_key,
};

impl Sparing for MySql {}

impl Relocating for MySql {
    const JOIN_IN_ORDER: &'static str = "STRAIGHT_JOIN";

    /// What the server believes of tables in which whole batches come and go is soon outdated: it may take a key to have one
    /// value, and read all rows for each briefcase.
    fn by_index(table: &MovedTable) -> String {
        let index = table.index.as_ref();
        index.map_or_else(String::new, |index| {
            format!(" FORCE INDEX ({})", Self::quote(index))
        })
    }

    async fn begin_session(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        run(connection, SESSION).await.map(drop)
    }

    async fn enter_as_mover(
        connection: &mut MySqlConnection,
        id: &MoveId,
        _: Duration,
    ) -> Result<(), sqlx::Error> {
        run(connection, &mover_settings(id)).await.map(drop)
    }

    async fn leave_as_mover(
        connection: &mut MySqlConnection,
        _: &MoveId,
    ) -> Result<(), sqlx::Error> {
        run(connection, LEAVE).await.map(drop)
    }

    async fn rolled_back(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        run(connection, LEAVE).await.map(drop)
    }

    async fn check_owner(
        connection: &mut MySqlConnection,
        id: &MoveId,
        owner: OwnerToken,
    ) -> Result<(), StepError> {
        let query = format!("{} LOCK IN SHARE MODE", select_owner(id));
        is_owner(&run(connection, &query).await?, owner)
    }

    async fn begin_as_mover(
        connection: &mut MySqlConnection,
        id: &MoveId,
        owner: OwnerToken,
        _: Duration,
    ) -> Result<(), StepError> {
        let begin = format!("{}; START TRANSACTION READ WRITE", mover_settings(id));
        <Self as Database>::TransactionManager::begin(connection, Some(begin.into())).await?;
        let checked = Self::check_owner(connection, id, owner).await;
        if checked.is_err() {
            Self::rollback(connection).await?;
            Self::leave_as_mover(connection, id).await?;
        }
        checked
    }

    async fn lock_shared(connection: &mut MySqlConnection, id: Gdid) -> Result<(), sqlx::Error> {
        locks::lock_shared(connection, id).await
    }

    async fn lock_exclusive(
        connection: &mut MySqlConnection,
        ids: &[Gdid],
        limit: Duration,
    ) -> Result<(), StepError> {
        locks::lock_exclusive(connection, ids, limit).await
    }

    async fn glance(
        connection: &mut MySqlConnection,
        manifest: &Manifest,
    ) -> Result<Option<String>, sqlx::Error> {
        glance::glance(connection, manifest).await
    }

    async fn arm(
        connection: &mut MySqlConnection,
        manifest: &Manifest,
        by: Option<&MoveId>,
        limit: &LockLimit<'_>,
    ) -> Result<(), StepError> {
        arming::arm(connection, manifest, by, limit).await
    }

    async fn prepared_transactions(
        connection: &mut MySqlConnection,
    ) -> Result<BTreeSet<Vec<u8>>, sqlx::Error> {
        arming::prepared_transactions(connection).await
    }

    async fn is_armed(
        connection: &mut MySqlConnection,
        manifest: &Manifest,
    ) -> Result<bool, StepError> {
        arming::is_armed(connection, manifest).await
    }

    async fn disarm(
        connection: &mut MySqlConnection,
        limit: &LockLimit<'_>,
    ) -> Result<(), StepError> {
        arming::disarm(connection, limit).await
    }

    async fn installed(connection: &mut MySqlConnection) -> Result<Installed, sqlx::Error> {
        let installed = arming::installed(connection).await?.into_iter();
        Ok(Installed::enabled(
            installed.map(|object| object.name).collect(),
        ))
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
        connection: &mut MySqlConnection,
        manifest: &Manifest,
        id: &MoveId,
    ) -> Result<u64, sqlx::Error> {
        let recorded = records::recorded(connection, manifest, id).await?;
        Ok(recorded.iter().map(|table| table.all).sum())
    }

    async fn written_past(
        connection: &mut MySqlConnection,
        manifest: &Manifest,
        id: &MoveId,
    ) -> Result<Vec<MovedTable>, sqlx::Error> {
        records::written_past(connection, manifest, id).await
    }

    async fn forget_some(
        connection: &mut MySqlConnection,
        table: &MovedTable,
        id: &MoveId,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        records::forget_some(connection, table, id, limit).await
    }

    async fn sums(
        connection: &mut MySqlConnection,
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
        sums::differences(pair, manifest, table, id, limit).await
    }

    async fn delete_some(
        connection: &mut MySqlConnection,
        manifest: &Manifest,
        id: &MoveId,
        limit: u32,
    ) -> Result<u64, StepError> {
        delete::delete_some(connection, manifest, id, limit).await
    }

    async fn delete_all(
        connection: &mut MySqlConnection,
        manifest: &Manifest,
        id: &MoveId,
        briefcases: &[Gdid],
    ) -> Result<(), StepError> {
        Ok(delete::delete_all(connection, manifest, id, briefcases).await?)
    }

    async fn end_sessions(
        connection: &mut MySqlConnection,
        application: &str,
    ) -> Result<(), sqlx::Error> {
        locks::end_sessions(connection, application).await
    }
}

/// Runs statements in one round trip; the rows of all of them.
fn run<'c>(
    connection: &'c mut MySqlConnection,
    sql: &'c str,
) -> BoxFuture<'c, Result<Vec<MySqlRow>, sqlx::Error>> {
    connection.fetch_all(sql)
}

async fn rollback(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    run(connection, &format!("ROLLBACK; {LEAVE}"))
        .await
        .map(drop)
}

fn select_owner(id: &MoveId) -> String {
    format!(
        "SELECT owner FROM mdb_mover WHERE move = {}",
        literal(id.as_str())
    )
}

/// Reads what [`select_owner`] selected.
fn is_owner(rows: &[MySqlRow], owner: OwnerToken) -> Result<(), StepError> {
    let found: Option<i64> = rows.last().map(|row| row.try_get("owner")).transpose()?;
    if found == Some(owner.get()) {
        Ok(())
    } else {
        Err(StepError::NotOwner)
    }
}

/// A lock that was not to be had, or a transaction that has to be run again.
fn busy(error: sqlx::Error) -> StepError {
    match MySql::error_class(&error) {
        ErrorClass::Conflict | ErrorClass::Cancelled => StepError::Busy,
        // MariaDB takes a trigger for broken when its time runs out while it reads it.
        _ if error
            .to_string()
            .contains("error in its body: 'Query was empty'") =>
        {
            StepError::Busy
        }
        _ => StepError::Database(error),
    }
}

fn error_number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// The id that a row begins with.
fn id_of(row: &MySqlRow) -> Result<Gdid, sqlx::Error> {
    let bytes: &[u8] = row.try_get_unchecked(0)?;
    let bytes: [u8; 12] = bytes
        .try_into()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Gdid::from_bytes(bytes))
}
