//! What the engines do differently when briefcases are moved.
//!
//! Vocabulary:
//!
//! - **manifest**: the tables that move with a briefcase, parents first.
//! - **move**: one batch of briefcases on its way from a source shard to a target shard. Which ones
//!   they are stands in `mdb_fence` on both; every statement here selects by the move's id.
//! - **change table**: `mdb_change_<n>`, where triggers record which rows of the manifest's table
//!   `n` were changed while a move captures.
//! - **pair**: a connection to each of the two shards, used by nobody else.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use mdb_gdid::Gdid;

use super::{Connected, Engine, Shape};

pub(crate) use fence::FenceState;
pub(crate) use installed::{Installed, TriggerState, others_rely};
pub(crate) use lock_limit::LockLimit;
pub(crate) use locked::{ADVISORY_CLASS, ADVISORY_SLOTS, advisory_key, stripe};
use manifest::joined;
pub(crate) use manifest::{Manifest, MovedColumn, MovedReach, MovedTable, OutwardKey};
pub(crate) use mover::{MoveId, OwnerToken};
#[cfg(test)]
pub(crate) use neighbours::{check_delete_all, check_forget_some, check_neighbours};
#[cfg(test)]
pub(crate) use others::check_other_tables;
pub(crate) use pace::{Amount, Pace};
#[cfg(test)]
pub(crate) use pacing::{Hurried, Unhurried, checked_copy};
pub(crate) use reference::{Reference, Standing};
pub(crate) use rest::{Tries, begin, pause, rest_unless};
pub(crate) use span::Span;
pub(crate) use sparing::Sparing;
pub(crate) use step_error::StepError;
pub(crate) use summing::{INLINE_BYTES, SpanSums, TableSum, is_short};
#[cfg(test)]
pub(crate) use taken::checked_round;
pub(crate) use taken::{QUERIES_AT_ONCE, Taken, Touched, changed};
pub(crate) use turn::{COUNT_FLIP, Turn, take};

mod fence;
mod installed;
mod lock_limit;
mod locked;
mod manifest;
mod mover;
mod mysql;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod others;
mod pace;
#[cfg(test)]
mod pacing;
mod postgres;
mod reference;
mod rest;
mod span;
mod sparing;
mod sqlite;
mod step_error;
mod summing;
mod taken;
mod turn;

/// A connection to the source and one to the target of a move.
pub(crate) struct Pair<DB: Engine> {
    pub(crate) source: Connected<DB>,
    pub(crate) target: Connected<DB>,
    /// Where the engine is embedded: the source's file.
    pub(crate) source_file: Option<std::path::PathBuf>,
}

/// One of the two shards of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

/// Whether commits wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commits {
    Forced,
    /// A loss of power may take them back, the last ones first.
    Unforced,
}

/// The engine's part of moving briefcases.
///
/// Every method may be repeated after a crash at any point, with the same effect. Methods that
/// write on a shard outside a transaction of the caller begin their own ones, each of which first
/// checks the owner with [`check_owner`](Self::check_owner), and bound their lock waits.
pub(crate) trait Relocating: Sparing {
    /// Into how many spans a batch is divided at the most when it is verified: for a write one of them is verified
    /// again.
    const SPANS: usize = 128;

    /// Whether the server looks at what the rows refer to that a mover brings.
    const CHECKS_OUTWARD: bool = false;

    /// An inner join that looks the right table up by the left one, where the engine can be told to.
    const JOIN_IN_ORDER: &'static str = "JOIN";

    /// Follows a table in `FROM`: by which index it is to be read, where the engine may not see that by itself.
    fn by_index(_: &MovedTable) -> String {
        String::new()
    }

    /// Sets a mover's new session up: it reads all rows, and as text the same on both shards, or fails, whatever the
    /// server or the user's URL has set.
    fn begin_session(
        _: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Inside a transaction: waits for nobody longer than `limit` from now on in it, and lets it
    /// pass MDB's own triggers as the mover of `id`.
    fn enter_as_mover(
        connection: &mut Self::Connection,
        id: &MoveId,
        limit: Duration,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Inside a transaction that [`enter_as_mover`](Self::enter_as_mover) began, right before its
    /// commit: takes the mark back where it would outlast the transaction.
    fn leave_as_mover(
        connection: &mut Self::Connection,
        id: &MoveId,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Takes back what a mover's transaction has set in its session and its rollback has not.
    fn rolled_back(
        _: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Ends the sessions of others on the connected database that are in a transaction as a mover of `id`, where such a one may
    /// keep its locks for long without a word.
    fn end_movers(
        _: &mut Self::Connection,
        _: &MoveId,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Inside a transaction: reads the move's owner under a lock that makes a takeover wait, and
    /// refuses if it is somebody else.
    fn check_owner(
        connection: &mut Self::Connection,
        id: &MoveId,
        owner: OwnerToken,
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// Begins a transaction of whom [`check_owner`](Self::check_owner) finds to be the owner, with
    /// [`enter_as_mover`](Self::enter_as_mover) done. There is none when it fails.
    fn begin_as_mover(
        connection: &mut Self::Connection,
        id: &MoveId,
        owner: OwnerToken,
        limit: Duration,
    ) -> impl Future<Output = Result<(), StepError>> + Send {
        async move {
            begin::<Self>(connection).await?;
            let entered = async {
                Self::check_owner(connection, id, owner).await?;
                Ok(Self::enter_as_mover(connection, id, limit).await?)
            };
            let entered: Result<(), StepError> = entered.await;
            if entered.is_err() {
                Self::rollback(connection).await?;
            }
            entered
        }
    }

    /// Inside a transaction, on the guarded path: keeps the fence of `id` as it is until the
    /// transaction ends. Readers and writers share it; only movers are kept waiting.
    fn lock_shared(
        connection: &mut Self::Connection,
        id: Gdid,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Inside a transaction: waits, no longer than `limit` in all, until nobody shares the fences of
    /// `ids`, and lets nobody share them until it ends. Also makes writers fail that would not see
    /// what the transaction is about to change (see the stripes' `version`).
    ///
    /// [`StepError::Busy`] after `limit`; the caller then rolls back.
    fn lock_exclusive(
        connection: &mut Self::Connection,
        ids: &[Gdid],
        limit: Duration,
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// A transaction of the owner that [locks the fences](Self::lock_exclusive) and [takes](take) a turn, without asking
    /// the server again and again; `None` where that would gain nothing.
    fn turn_at_once(
        _: &mut Self::Connection,
        _: &Manifest,
        _: &MoveId,
        _: OwnerToken,
        _: &[Gdid],
        _: Turn<'_>,
    ) -> impl Future<Output = Option<Result<(), StepError>>> + Send {
        std::future::ready(None)
    }

    /// How the manifest's tables are defined, and what [`arm`](Self::arm) made for them, where the server shows that in less
    /// time than it takes to look all of it up. The same text means that nothing has changed; another one means nothing.
    fn glance(
        _: &mut Self::Connection,
        _: &Manifest,
    ) -> impl Future<Output = Result<Option<String>, sqlx::Error>> + Send {
        std::future::ready(Ok(None))
    }

    /// Has a session that keeps plans make what [`turn_at_once`](Self::turn_at_once) would make else when services wait for it.
    ///
    /// [`StepError::Altered`] when the tables are other ones by now.
    fn rehearse_fence(
        _: &mut Self::Connection,
        _: &Shape,
    ) -> impl Future<Output = Result<(), StepError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Creates the change tables and the triggers of the manifest's tables that are missing, or
    /// differ from what this version would create, table by table, each in a transaction of its
    /// own in which no lock is waited for or held longer than `limit`.
    ///
    /// [`StepError::Busy`] when a table stayed busy; what was created stays, call again. [`StepError::OtherTables`] when
    /// something differs while there are fences of other moves than `by`, which rely on it; none is by nobody's move.
    fn arm(
        connection: &mut Self::Connection,
        manifest: &Manifest,
        by: Option<&MoveId>,
        limit: &LockLimit<'_>,
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// The transactions that were prepared for a commit in two phases and may be older than the triggers, where creating
    /// these doesn't wait for them: they have changed rows that nobody has recorded.
    fn prepared_transactions(
        _: &mut Self::Connection,
    ) -> impl Future<Output = Result<BTreeSet<Vec<u8>>, sqlx::Error>> + Send {
        std::future::ready(Ok(BTreeSet::new()))
    }

    /// Whether [`arm`](Self::arm) would find nothing to do.
    fn is_armed(
        connection: &mut Self::Connection,
        manifest: &Manifest,
    ) -> impl Future<Output = Result<bool, StepError>> + Send;

    /// Has the triggers that [`arm`](Self::arm) created fire no more, in the same careful way: removes everything where
    /// they can't be disabled.
    fn disarm(
        connection: &mut Self::Connection,
        limit: &LockLimit<'_>,
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// Removes what [`arm`](Self::arm) created, in the same careful way.
    fn uninstall(
        connection: &mut Self::Connection,
        limit: &LockLimit<'_>,
    ) -> impl Future<Output = Result<(), StepError>> + Send {
        Self::disarm(connection, limit)
    }

    /// What there is of MDB's triggers, functions and change tables in the database.
    fn installed(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Installed, sqlx::Error>> + Send;

    /// Copies the rows of the move, table by table, parents first, in bounded chunks: memory does
    /// not depend on the size of a briefcase. Rows of the move that are at the target already are
    /// removed first.
    fn copy(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
        owner: OwnerToken,
        pace: &dyn Pace,
    ) -> impl Future<Output = Result<Amount, StepError>> + Send
    where
        Self: Sized;

    /// Whether rows could not come to the target because rows of other briefcases have their keys, or unique values.
    fn is_taken(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
    }

    /// One round of catching up: takes the changes that are recorded now, reads those rows at the
    /// source as they are now, makes the target's equal (with all rows below a changed parent), and
    /// removes the records.
    fn catch_up(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
        owner: OwnerToken,
        pace: &dyn Pace,
    ) -> impl Future<Output = Result<Taken, StepError>> + Send
    where
        Self: Sized;

    /// Inside a transaction: how many changes of the move are recorded and not yet applied.
    fn pending_changes(
        connection: &mut Self::Connection,
        manifest: &Manifest,
        id: &MoveId,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// After the flip, at the source: the tables of which rows were written all the same that MDB's triggers had refused,
    /// where these can be overruled.
    fn written_past(
        _: &mut Self::Connection,
        _: &Manifest,
        _: &MoveId,
    ) -> impl Future<Output = Result<Vec<MovedTable>, sqlx::Error>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// Inside a transaction in which the owner was checked: removes at most `limit` of the move's changes that are recorded
    /// of a table. Returns how many; fewer than `limit` only when no others are left but those that are just being made.
    fn forget_some(
        connection: &mut Self::Connection,
        table: &MovedTable,
        id: &MoveId,
        limit: u32,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Count and checksum of the rows of the move's briefcases in each span, table by table in the
    /// manifest's order. Spans ascend and have no id in common.
    fn sums(
        connection: &mut Self::Connection,
        manifest: &Manifest,
        id: &MoveId,
        spans: &[Span],
    ) -> impl Future<Output = Result<Vec<Vec<TableSum>>, sqlx::Error>> + Send;

    /// The primary keys, as text, of up to `limit` rows of one table that differ between the two
    /// shards or are on one of them only.
    fn differences(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        table: &MovedTable,
        id: &MoveId,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send
    where
        Self: Sized;

    /// Inside a transaction in which the owner was checked: deletes at most `limit` rows of the move,
    /// children first. Returns how many; fewer than `limit` only when nothing is left.
    ///
    /// [`StepError::Kept`] when rows are left that don't go.
    fn delete_some(
        connection: &mut Self::Connection,
        manifest: &Manifest,
        id: &MoveId,
        limit: u32,
    ) -> impl Future<Output = Result<u64, StepError>> + Send;

    /// Inside a transaction in which the owner was checked: deletes all rows of some of the move's briefcases, which
    /// follow each other in the order of their ids. The caller knows that the rows are few.
    ///
    /// [`StepError::Kept`] when rows below others don't go.
    fn delete_all(
        connection: &mut Self::Connection,
        manifest: &Manifest,
        id: &MoveId,
        briefcases: &[Gdid],
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// Whether this session's commits wait for the disk from now on, where that costs much and some are of no use by
    /// themselves. Before [`Commits::Forced`] returns, all earlier ones are on the disk.
    fn set_commits(
        _: &mut Self::Connection,
        _: Commits,
    ) -> impl Future<Output = Result<(), StepError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Ends all sessions on this server that the router of that name has open.
    fn end_sessions(
        connection: &mut Self::Connection,
        application: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}
