//! One operation of a transaction under way.

use super::super::connection::Lease;
use super::super::error::loses_connection;
use super::{Core, Slot};
use crate::engine::Engine;

/// The connection while one operation runs on it; interrupted if it is dropped before its end.
pub(super) struct Running<'t, DB: Engine> {
    pub(super) core: &'t Core<DB>,
    pub(super) lease: Option<Lease<DB>>,
    pub(super) rest: Rest,
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

    pub(super) fn finish<T>(self, result: &Result<T, sqlx::Error>) {
        let lost = match result {
            Ok(_) => false,
            Err(error) => loses_connection::<DB>(error),
        };
        if !lost {
            self.give_back();
        }
    }

    pub(super) fn give_back(mut self) {
        if let Some(lease) = self.lease.take() {
            *self.core.slot() = Slot::Idle(lease);
        }
    }

    pub(super) fn finish_as(mut self, slot: Slot<DB>) {
        self.lease = None;
        *self.core.slot() = slot;
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
                Slot::Idle(lease)
            }
            Rest::None => Slot::Interrupted,
        };
    }
}
