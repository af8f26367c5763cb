//! One operation of a transaction under way.

use super::super::connection::{Lease, Timed};
use super::super::error::{Transience, is_transient, loses_connection};
use super::{Core, ROLLBACK_LIMIT, Slot};
use crate::engine::Engine;

/// The connection while one operation runs on it; interrupted if it is dropped before its end.
pub(super) struct Running<'t, DB: Engine> {
    pub(super) core: &'t Core<DB>,
    pub(super) lease: Option<Lease<DB>>,
    pub(super) past: Past,
    pub(super) rest: Rest,
}

/// How the statements of a transaction went so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    Sound,
    /// The server answered one of them with an error, which may have passed by itself.
    Failed(Transience),
}

impl Past {
    fn and_failed<DB: Engine>(self, error: &sqlx::Error) -> Self {
        if self == Self::Failed(Transience::Passing) || is_transient::<DB>(error) {
            Self::Failed(Transience::Passing)
        } else {
            Self::Failed(Transience::Lasting)
        }
    }
}

/// Whether the caller, and not the server, is what a running statement waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    None,
    BetweenRows,
}

impl<DB: Engine> Running<'_, DB> {
    pub(super) fn lease(&mut self) -> &mut Lease<DB> {
        self.lease
            .as_mut()
            .expect("is there until the operation is finished")
    }

    /// Gives the connection back for the next operation, if the transaction is still there.
    pub(super) async fn finish<T>(mut self, result: &Result<T, sqlx::Error>) {
        let Err(error) = result else {
            return self.give_back();
        };
        if loses_connection::<DB>(error) {
            return;
        }
        if !matches!(error, sqlx::Error::Database(_)) {
            return self.give_back();
        }
        self.past = self.past.and_failed::<DB>(error);
        let limit = self.core.statement_limit();
        let look = async |connection: &mut DB::Connection| DB::has_ended(connection, error).await;
        match self.lease().run(limit, look).await {
            Ok(false) => self.give_back(),
            Ok(true) => {
                let slot = match self.past {
                    Past::Sound => Slot::Over,
                    Past::Failed(transient) => Slot::RolledBack(transient),
                };
                self.roll_back(slot).await;
            }
            Err(_) => self.give_up(),
        }
    }

    fn give_back(mut self) {
        if let Some(lease) = self.lease.take() {
            *self.core.slot() = Slot::Idle(lease, self.past);
        }
    }

    /// Leaves a transaction of which nobody knows whether it is still there.
    pub(super) fn give_up(mut self) {
        self.lease().start();
    }

    /// Has driver and server agree that nothing of the transaction is left.
    pub(super) async fn roll_back(mut self, slot: Slot<DB>) {
        let limit = Timed::here(ROLLBACK_LIMIT);
        let roll_back = async |connection: &mut DB::Connection| DB::rollback(connection).await;
        if self.lease().run(limit, roll_back).await.is_err() {
            // There was nothing to roll back, for one, but the driver still counts it as open.
            self.lease().retire();
        }
        self.finish_as(slot);
    }

    /// Runs what ends the transaction.
    pub(super) async fn end(
        mut self,
        limit: Timed,
        operation: impl AsyncFnOnce(&mut DB::Connection) -> Result<(), sqlx::Error>,
    ) -> Result<(), sqlx::Error> {
        let result = self.lease().run(limit, operation).await;
        if result.is_err() {
            // The driver still counts the transaction as open, and in SQLite it is.
            self.lease().retire();
        }
        self.finish_as(Slot::Over);
        result
    }

    fn finish_as(mut self, slot: Slot<DB>) {
        self.lease = None;
        *self.core.slot() = slot;
        *self.core.companion() = None;
    }
}

impl<DB: Engine> Drop for Running<'_, DB> {
    fn drop(&mut self) {
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        *self.core.slot() = match self.rest {
            // A stream that is left early: the driver skips the remaining rows at the next statement.
            Rest::BetweenRows => {
                lease.finish(&Ok(()));
                Slot::Idle(lease, self.past)
            }
            Rest::None => Slot::Interrupted,
        };
    }
}
