//! Briefcases: routed statements and transactions on all rows that carry one id.

use std::fmt;

use mdb_gdid::Gdid;

use crate::area::Area;
use crate::engine::{Engine, TransactionOptions};
use crate::guard;
use crate::routing::{Route, RouteError};
use crate::servers::{
    CommitError, ShardPool, Transaction, TransactionError, again, cause_of, is_outcome_unknown,
    is_transient,
};

mod reading;
mod statement;

pub use reading::ReadBriefcase;

/// Whether others were waited for already, for as long as a transaction may take.
fn has_waited(error: &sqlx::Error) -> bool {
    let transaction = cause_of::<TransactionError>(error);
    matches!(
        transaction,
        Some(TransactionError::Moving { .. } | TransactionError::Unheard { .. })
    )
}

/// A handle to one briefcase: all rows, over several tables, that carry one id.
///
/// `&Briefcase` is an sqlx [`Executor`](sqlx::Executor) for single statements, each on a connection of its own to
/// the shard that owns the briefcase at that moment:
///
/// ```
/// # async fn example(mdb: &mdb_core::Mdb, id: mdb_core::Gdid) -> Result<(), Box<dyn std::error::Error>> {
/// use sqlx::Postgres;
///
/// let ann = mdb.area::<Postgres>("user")?.briefcase(id)?;
/// let name: String =
///     sqlx::query_scalar("SELECT name FROM account WHERE g_user = $1").bind(id).fetch_one(&ann).await?;
/// # Ok(())
/// # }
/// ```
///
/// MDB does not look into the statement: bind the briefcase's id yourself, as above.
///
/// On SQLite, a single statement with bound arguments is tried on a reader first, and goes to the
/// one writer if it turns out to write; it waits for a transaction only in the second case.
///
/// A statement goes straight to its shard while this process is in touch with the catalog. If touch is lost meanwhile, the
/// briefcase's fence is looked at afterwards; where that fails, or it has gone, the error is
/// [`TransactionError::Unconfirmed`](crate::TransactionError::Unconfirmed): the statement was executed, so one that writes
/// must not simply be run again.
///
/// # Cancel safety
///
/// When the future of a statement is dropped, its session is ended on the server and its connection
/// closed; whether the statement took effect by then is open. For more than one statement, and for
/// all that must not happen twice, use [`transact`](Self::transact).
pub struct Briefcase<DB: Engine> {
    area: Area<DB>,
    id: Gdid,
}

impl<DB: Engine> Clone for Briefcase<DB> {
    fn clone(&self) -> Self {
        Self {
            area: self.area.clone(),
            id: self.id,
        }
    }
}

impl<DB: Engine> fmt::Debug for Briefcase<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Briefcase")
            .field("area", self.area.name())
            .field("id", &self.id)
            .finish()
    }
}

impl<DB: Engine> Briefcase<DB> {
    pub(crate) fn new(area: Area<DB>, id: Gdid) -> Self {
        Self { area, id }
    }

    /// The briefcase's id.
    pub fn id(&self) -> Gdid {
        self.id
    }

    /// Where the briefcase lives just now, without I/O.
    ///
    /// # Errors
    ///
    /// As [`Area::route`].
    pub fn route(&self) -> Result<Route, RouteError> {
        self.area.route(self.id)
    }

    /// The pool of where it lives by what is known here.
    fn pool(&self) -> Result<&ShardPool<DB>, sqlx::Error> {
        Ok(self.area.pool(self.route()?.shard_id())?)
    }

    /// Begins a transaction: read committed, for reading and writing.
    ///
    /// # Errors
    ///
    /// See [`begin_with`](Self::begin_with).
    pub async fn begin(&self) -> Result<Transaction<DB>, sqlx::Error> {
        self.begin_with(&TransactionOptions::new()).await
    }

    /// Begins a transaction on the shard that owns the briefcase.
    ///
    /// # Errors
    ///
    /// - The server's own error.
    /// - MDB's error inside [`sqlx::Error::Io`], see [`cause_of`](crate::cause_of): no connection
    ///   could be handed out ([`AcquireError`](crate::AcquireError)), or the server did not answer
    ///   in time ([`TransactionError::OutOfTime`](crate::TransactionError::OutOfTime)).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no transaction, lock or connection behind.
    pub async fn begin_with(
        &self,
        options: &TransactionOptions,
    ) -> Result<Transaction<DB>, sqlx::Error> {
        guard::begin(&self.area, self.id, options).await
    }

    /// Runs `work` in a transaction and commits it; runs it again when it fails for a passing reason.
    ///
    /// A conflict with another transaction, or a connection that can't be opened, or is lost before the commit, is such
    /// a reason: after a rollback and a short random wait, `work` begins anew, ten times at the
    /// most, which takes two or three seconds. So let it do nothing outside the transaction that must not be repeated. Any
    /// other error rolls back and is handed out, also that a move took too long, whose end was waited for;
    /// [`TransactError::abort`] does so with an error of your own.
    /// `work` ends the transaction by what it returns: it can't commit (nor should it send `COMMIT` as SQL).
    ///
    /// ```
    /// # async fn example(ann: &mdb_core::Briefcase<sqlx::Postgres>) -> Result<(), mdb_core::TransactError> {
    /// let balance: i64 = ann
    ///     .transact(async |tx| {
    ///         let update = "UPDATE balance SET cents = cents - $2 WHERE g_user = $1 RETURNING cents";
    ///         let cents = sqlx::query_scalar(update).bind(ann.id()).bind(500_i64).fetch_one(&tx).await?;
    ///         Ok(cents)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`TransactError::Database`]: a statement or the server failed, and nothing is committed. That may be a statement
    ///   whose error `work` ignored: see [`Transaction::commit`].
    /// - [`TransactError::Aborted`]: `work` chose to; nothing is committed.
    /// - [`TransactError::OutcomeUnknown`]: the connection was lost while the commit was under way.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back, unless the commit was under way: then the outcome is open.
    pub async fn transact<T, F, Fut>(&self, work: F) -> Result<T, TransactError>
    where
        F: FnMut(Transaction<DB>) -> Fut,
        Fut: Future<Output = Result<T, TransactError>>,
    {
        self.transact_with(&TransactionOptions::new(), work).await
    }

    /// As [`transact`](Self::transact), with options; the time-out counts for each run.
    ///
    /// # Errors
    ///
    /// As [`transact`](Self::transact).
    pub async fn transact_with<T, F, Fut>(
        &self,
        options: &TransactionOptions,
        mut work: F,
    ) -> Result<T, TransactError>
    where
        F: FnMut(Transaction<DB>) -> Fut,
        Fut: Future<Output = Result<T, TransactError>>,
    {
        let mut waits = again::waits();
        loop {
            let error = match self.attempt(options, &mut work).await {
                Err(TransactError::Database(error))
                    if is_transient::<DB>(&error) && !has_waited(&error) =>
                {
                    error
                }
                end => return end,
            };
            let Some(wait) = waits.next() else {
                return Err(TransactError::Database(error));
            };
            tracing::debug!(id = %self.id, error = %error, wait_ms = wait.as_millis(), "running a transaction again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt<T, F, Fut>(
        &self,
        options: &TransactionOptions,
        work: &mut F,
    ) -> Result<T, TransactError>
    where
        F: FnMut(Transaction<DB>) -> Fut,
        Fut: Future<Output = Result<T, TransactError>>,
    {
        let transaction = self.begin_with(options).await?;
        match work(transaction.lend()).await {
            Ok(value) => match transaction.try_commit().await {
                Ok(()) => Ok(value),
                Err(CommitError::During(error)) if is_outcome_unknown::<DB>(&error) => {
                    Err(TransactError::OutcomeUnknown { source: error })
                }
                Err(CommitError::Before(error) | CommitError::During(error)) => {
                    Err(TransactError::Database(error))
                }
            },
            Err(error) => {
                // Awaited, so that the next run does not meet its own locks.
                if let Err(failed) = transaction.rollback().await {
                    tracing::debug!(error = %failed, "could not roll back; the connection is closed");
                }
                Err(error)
            }
        }
    }

    /// For reading what may be a little old: from a replica where the server has some, in turn.
    ///
    /// A replica that can't be reached is passed over, for some seconds without being asked; the primary is the last
    /// resort. What is read is as old as the replica is behind. A briefcase that is moved, or was, is read from its
    /// primary: a replica there may not have heard of it yet. On SQLite, it is the readers' lane. Writes are refused by
    /// replicas and by SQLite's readers; don't send any.
    pub fn read(&self) -> ReadBriefcase<'_, DB> {
        ReadBriefcase { briefcase: self }
    }
}

/// Why [`transact`](Briefcase::transact) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactError {
    /// A statement, the connection or the commit failed. Nothing is committed.
    #[error("the transaction failed and was rolled back")]
    Database(#[source] sqlx::Error),
    /// The work itself asked to be undone.
    #[error("the transaction was aborted and rolled back")]
    Aborted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection was lost, or the time ran out, while the commit was under way.
    #[error(
        "the connection was lost during the commit: it is unknown whether it took effect; look before repeating it"
    )]
    OutcomeUnknown {
        /// How it was lost.
        #[source]
        source: sqlx::Error,
    },
}

impl TransactError {
    /// Makes the transaction roll back and hand out `error`.
    pub fn abort(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Aborted(error.into())
    }
}

impl From<sqlx::Error> for TransactError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
