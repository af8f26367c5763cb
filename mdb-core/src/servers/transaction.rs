//! Transactions on one shard.

mod error;
mod executor;
mod running;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;

use super::connection::{Lease, Timed};
use super::error::{Transience, cause_of, loses_connection};
use super::pool::{Lane, ShardPool};
use crate::engine::{Engine, TimeoutScope, TransactionOptions, Writes};

pub(crate) use error::CommitError;
pub use error::TransactionError;
use running::{Past, Rest, Running};

/// How long a rollback in the background may take before the connection is discarded instead.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(2);

/// A transaction on the shard of one briefcase.
///
/// `&Transaction` is an sqlx [`Executor`](sqlx::Executor): `query.execute(&tx).await`. One statement runs at a
/// time; a second one that is begun meanwhile fails with [`TransactionError::Overlapping`] instead
/// of waiting for ever.
///
/// # Cancel safety
///
/// A statement whose future is dropped leaves the transaction unusable
/// ([`TransactionError::Interrupted`]): its session is ended on the server and nothing is
/// committed. A transaction that is dropped is rolled back in the background; its connection and
/// its locks are not kept for longer than that.
pub struct Transaction<DB: Engine> {
    core: Arc<Core<DB>>,
    role: Role,
}

/// Whether a handle may commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Owner,
    Lent,
}

struct Core<DB: Engine> {
    slot: Mutex<Slot<DB>>,
    companion: Mutex<Option<Arc<dyn Companion<DB>>>>,
    deadline: Instant,
    limit: Duration,
    statement: Timed,
}

/// What has to be so for a transaction to count, besides what the server sees to.
pub(crate) trait Companion<DB: Engine>: Send + Sync {
    /// Whether it is still certain without asking.
    fn is_certain(&self) -> bool;

    /// Asks inside the transaction, and keeps it so until the transaction ends.
    fn make_certain<'c>(
        &'c self,
        transaction: &'c Transaction<DB>,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>>;
}

enum Slot<DB: Engine> {
    Idle(Lease<DB>, Past),
    Running,
    Interrupted,
    /// The server has ended it by itself; the connection is given back.
    RolledBack(Transience),
    Over,
}

impl<DB: Engine> Transaction<DB> {
    pub(super) async fn begin(
        pool: &ShardPool<DB>,
        options: &TransactionOptions,
    ) -> Result<Self, sqlx::Error> {
        let limit = options.limit(pool.source().limits.statement_timeout());
        let deadline = Instant::now() + limit;
        let lane = match options.writes() {
            Writes::Allowed => Lane::Write,
            Writes::Refused => Lane::Read,
        };
        let statement = match options.set_timeout() {
            // The server keeps to its own default; a longer one is kept here and, where it can be
            // set for one transaction, there.
            Some(longer) => Timed::by_server::<DB>(longer),
            None => pool.statement_limit(),
        };
        loop {
            let mut lease = pool.acquire(lane).await?;
            let is_reused = lease.is_reused();
            if options.set_timeout().is_some() && DB::TIMEOUT == TimeoutScope::Session {
                lease.retire();
            }
            let begun = lease
                .run(statement.until(deadline, limit), async |connection| {
                    DB::begin(connection, options).await
                })
                .await;
            match begun {
                Ok(()) => {
                    let slot = Mutex::new(Slot::Idle(lease, Past::Sound));
                    return Ok(Self {
                        core: Arc::new(Core {
                            slot,
                            companion: Mutex::new(None),
                            deadline,
                            limit,
                            statement,
                        }),
                        role: Role::Owner,
                    });
                }
                // Nothing has been sent but the begin, and the pool trusts no old connection any
                // more, so this happens at most once.
                Err(error) if is_reused && loses_connection::<DB>(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Has `companion` asked before the transaction is committed, and kept until it is over.
    pub(crate) fn accompany(&self, companion: Arc<dyn Companion<DB>>) {
        *self.core.companion() = Some(companion);
    }

    /// Runs one of MDB's own operations in the transaction.
    pub(crate) async fn own<T>(
        &self,
        operation: impl AsyncFnOnce(&mut DB::Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut running = self.take()?;
        let limit = self.statement_limit();
        let result = running.lease().run(limit, operation).await;
        running.finish(&result).await;
        result
    }

    /// Another handle to the same transaction, for those who work in it but don't commit it.
    pub(crate) fn lend(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            role: Role::Lent,
        }
    }

    /// Makes everything that was done in the transaction lasting.
    ///
    /// # Errors
    ///
    /// - The server's error: it refused, and nothing is committed.
    /// - [`TransactionError::RolledBack`] inside [`sqlx::Error::Io`]: a statement has failed before, and with it the
    ///   whole, even if that error was ignored: on PostgreSQL after any error that no `ROLLBACK TO SAVEPOINT` came
    ///   after, elsewhere where the server rolled all of it back (a deadlock, a full disk). Nothing is committed.
    /// - [`TransactionError::Lent`] inside [`sqlx::Error::Io`]: the handle is one that
    ///   [`transact`](crate::Briefcase::transact) has lent; nothing has happened.
    /// - A lost connection or a time-out: nobody knows whether it was committed; see
    ///   [`TransactError::OutcomeUnknown`](crate::TransactError::OutcomeUnknown).
    /// - A [`TransactionError`] inside [`sqlx::Error::Io`]: it was over before, or interrupted, or
    ///   its time was over ([`TransactionError::TooLate`]: it is rolled back).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the server commits; the connection is discarded.
    ///
    /// # Durability
    ///
    /// When it returns `Ok`, the server has acknowledged the commit; how lasting that is, is the
    /// server's own setting (SQLite: synced to disk).
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        if self.role == Role::Lent {
            return Err(TransactionError::Lent.into_sqlx());
        }
        self.try_commit().await.map_err(CommitError::into_sqlx)
    }

    /// As [`commit`](Self::commit); the error says whether the server was asked for it.
    pub(crate) async fn try_commit(self) -> Result<(), CommitError> {
        let running = self.prepare_commit().await.map_err(CommitError::Before)?;
        let limit = self.core.statement;
        let commit = async |connection: &mut DB::Connection| DB::commit(connection).await;
        running
            .end(limit, commit)
            .await
            .map_err(CommitError::During)
    }

    /// Does what has to come before the server is asked to commit; rolls back if that fails.
    async fn prepare_commit(&self) -> Result<Running<'_, DB>, sqlx::Error> {
        if Instant::now() >= self.core.deadline {
            return Err(self.too_late().await);
        }
        let companion = self.core.companion().clone();
        if let Some(companion) = companion
            && !companion.is_certain()
            && let Err(error) = companion.make_certain(self).await
        {
            // A connection that can't be rolled back is closed, which does the same.
            let _ = self.undo().await;
            return Err(error);
        }
        let mut running = self.take()?;
        let Past::Failed(transient) = running.past else {
            return Ok(running);
        };
        let look = async |connection: &mut DB::Connection| DB::is_doomed(connection).await;
        match running.lease().run(self.core.statement, look).await {
            Ok(false) => Ok(running),
            Ok(true) => {
                running.roll_back(Slot::Over).await;
                Err(TransactionError::RolledBack { transient }.into_sqlx())
            }
            Err(error) => {
                running.give_up();
                Err(error)
            }
        }
    }

    /// Undoes everything that was done in the transaction.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit). Nothing is committed in any case: a connection that fails
    /// to roll back is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future discards the connection, which rolls back too.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.undo().await
    }

    async fn undo(&self) -> Result<(), sqlx::Error> {
        if self.core.settle() {
            return Ok(());
        }
        self.take()?
            .end(Timed::here(ROLLBACK_LIMIT), async |connection| {
                DB::rollback(connection).await
            })
            .await
    }

    /// Rolls back instead of committing after the time-out.
    async fn too_late(&self) -> sqlx::Error {
        let late = TransactionError::TooLate {
            limit: self.core.limit,
        };
        match self.undo().await {
            Err(error)
                if matches!(
                    cause_of(&error),
                    Some(
                        TransactionError::Over
                            | TransactionError::Interrupted
                            | TransactionError::Overlapping
                    )
                ) =>
            {
                error
            }
            // A connection that can't be rolled back is closed, which does the same.
            Ok(()) | Err(_) => late.into_sqlx(),
        }
    }

    /// Takes the connection out for one operation.
    fn take(&self) -> Result<Running<'_, DB>, sqlx::Error> {
        let mut slot = self.core.slot();
        match std::mem::replace(&mut *slot, Slot::Running) {
            Slot::Idle(lease, past) => Ok(Running {
                core: &self.core,
                lease: Some(lease),
                past,
                rest: Rest::None,
            }),
            other => {
                let error = match &other {
                    Slot::Idle(..) | Slot::Running => TransactionError::Overlapping,
                    Slot::Interrupted => TransactionError::Interrupted,
                    Slot::RolledBack(transient) => TransactionError::RolledBack {
                        transient: *transient,
                    },
                    Slot::Over => TransactionError::Over,
                };
                *slot = other;
                Err(error.into_sqlx())
            }
        }
    }

    fn statement_limit(&self) -> Timed {
        self.core.statement_limit()
    }
}

impl<DB: Engine> Core<DB> {
    fn statement_limit(&self) -> Timed {
        self.statement.until(self.deadline, self.limit)
    }

    fn companion(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn Companion<DB>>>> {
        self.companion
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server has rolled it back already, so that it is over now.
    fn settle(&self) -> bool {
        let mut slot = self.slot();
        let is_rolled_back = matches!(*slot, Slot::RolledBack(_));
        if is_rolled_back {
            *slot = Slot::Over;
        }
        is_rolled_back
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot<DB>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<DB: Engine> Drop for Core<DB> {
    fn drop(&mut self) {
        let slot = std::mem::replace(
            self.slot.get_mut().unwrap_or_else(PoisonError::into_inner),
            Slot::Over,
        );
        let Slot::Idle(mut lease, _) = slot else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Marked as running, it is closed instead of being reused.
            lease.start();
            return;
        };
        runtime.spawn(async move {
            let limit = Timed::here(ROLLBACK_LIMIT);
            let result = lease.run(limit, async |connection| DB::rollback(connection).await).await;
            if let Err(error) = result {
                tracing::debug!(error = %error, "could not roll back a dropped transaction; its connection is closed");
                lease.start();
            }
        });
    }
}

impl<DB: Engine> fmt::Debug for Transaction<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.core.slot() {
            Slot::Idle(..) => "open",
            Slot::Running => "running a statement",
            Slot::Interrupted => "interrupted",
            Slot::RolledBack(_) => "rolled back by the server",
            Slot::Over => "over",
        };
        f.debug_struct("Transaction")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
