//! One of a batch's two connections: transactions on it that only the move's owner can do.

use std::collections::BTreeSet;
use std::time::Duration;

use mdb_gdid::Gdid;

use super::batch::{LOCK_LIMIT, busy, count_fences, lock_limit};
use super::error::MoveError;
use super::fail::pass;
use super::journal::{Journal, NAMED_AT_ONCE, repeated};
use super::patience::Patience;
use super::report::MoveProgress;
use crate::engine::Value;
use crate::engine::relocating::{
    FenceState, Manifest, MoveId, OwnerToken, Relocating, StepError, begin,
};
use crate::servers::ShardPool;

/// For how long locks are waited for to disable or remove triggers: they do little harm, and the move is over but for
/// them.
const DISARM_PATIENCE: Duration = Duration::from_secs(10);

/// Tries a transaction of the [owner](SideOf::owned) until nobody is in its way any more.
///
/// Of the future of a function that is given an `AsyncFnMut` the compiler does not see that it can be sent to other
/// threads.
macro_rules! owned_patiently {
    ($side:expr, $phase:expr, $work:expr) => {{
        let side = &mut $side;
        let mut patience = side.patience($phase);
        loop {
            match side.owned($work).await {
                Ok(value) => break Ok::<_, $crate::relocate::MoveError>(value),
                Err(error) => {
                    if let Err(error) = patience.after::<DB>(error).await {
                        break Err(error);
                    }
                }
            }
            if let Err(stopped) = side.progress.keep_going() {
                break Err(stopped);
            }
        }
    }};
}

pub(super) use owned_patiently;

/// A connection of a batch, and what its transactions need to know of the move.
pub(super) struct SideOf<'b, DB: Relocating> {
    pub(super) connection: &'b mut DB::Connection,
    pub(super) pool: &'b ShardPool<DB>,
    pub(super) journal: Journal<'b>,
    pub(super) id: &'b MoveId,
    pub(super) owner: OwnerToken,
    pub(super) waits: Duration,
    pub(super) progress: &'b MoveProgress,
}

impl<DB: Relocating> SideOf<'_, DB> {
    pub(super) fn patience(&self, phase: &'static str) -> Patience {
        Patience::new(self.waits, phase).on(self.pool)
    }

    /// Does `work` in a transaction, if this process still runs the move.
    pub(super) async fn owned<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut DB::Connection) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let connection = &mut *self.connection;
        DB::begin_as_mover(connection, self.id, self.owner, LOCK_LIMIT)
            .await
            .map_err(|error| match error {
                StepError::Database(error) => busy::<DB>(error),
                other => other,
            })?;
        let done = async {
            let value = work(connection).await?;
            DB::leave_as_mover(connection, self.id).await?;
            Ok(value)
        };
        let done = done.await;
        end::<DB, T>(connection, done).await
    }

    /// Makes this process the one whose transactions count here. Whoever ran the move before, and keeps the mark locked, can do
    /// nothing more for it.
    pub(super) async fn claim(&mut self) -> Result<(), MoveError> {
        let values = [Value::from(self.id), Value::Integer(self.owner.get())];
        let insert =
            DB::insert_if_absent("INSERT INTO mdb_mover (move, owner) VALUES (?, ?)", "move");
        let update = "UPDATE mdb_mover SET owner = ? WHERE move = ?";
        let turned = [values[1].clone(), values[0].clone()];
        let mut patience = self.patience("take the move over");
        loop {
            let claimed = transaction::<DB, _>(self.connection, async |connection| {
                DB::enter_as_mover(connection, self.id, LOCK_LIMIT).await?;
                DB::execute_own(connection, &insert, &values).await?;
                DB::execute_own(connection, update, &turned).await?;
                Ok(DB::leave_as_mover(connection, self.id).await?)
            });
            match claimed.await {
                Ok(()) => return Ok(()),
                Err(error) => patience.after::<DB>(error).await?,
            }
            self.progress.keep_going()?;
            // Perhaps this process has slept, and the other one has the move by right.
            self.journal.keep(self.id, self.owner).await?;
            if let Err(error) = DB::end_movers(self.connection, self.id).await {
                tracing::info!(
                    id = self.id.as_str(),
                    error = %crate::error::chain(&error),
                    "could not end the session of whoever ran the move before; waiting for it"
                );
            }
        }
    }

    /// Takes this process' own mark away, and nobody else's.
    pub(super) async fn unclaim(&mut self) -> Result<(), MoveError> {
        let values = [Value::from(self.id), Value::Integer(self.owner.get())];
        let forget = "DELETE FROM mdb_mover WHERE move = ? AND owner = ?";
        let mut patience = self.patience("take the mover's mark away");
        while let Err(error) = DB::execute_own(self.connection, forget, &values).await {
            patience.after::<DB>(busy::<DB>(error)).await?;
        }
        Ok(())
    }

    /// Removes the move's mark: nobody is its owner here from now on.
    pub(super) async fn forget_mover(&mut self) -> Result<(), MoveError> {
        let id = self.id;
        owned_patiently!(*self, "take the mover's mark away", async |connection| {
            forget_mover::<DB>(connection, id).await
        })
    }

    /// Installs the triggers.
    pub(super) async fn arm(&mut self, manifest: &Manifest) -> Result<(), MoveError> {
        let mut patience = self.patience("install triggers");
        let limit = lock_limit(self.pool);
        while let Err(error) = pass(DB::arm(self.connection, manifest, Some(self.id), &limit)).await
        {
            patience.after::<DB>(error).await?;
            self.progress.keep_going()?;
        }
        Ok(())
    }

    /// Has the triggers fire no more, unless they are needed, or in use for long.
    pub(super) async fn disarm(self) {
        let mut patience = Patience::new(
            self.waits.min(DISARM_PATIENCE),
            "disable or remove triggers",
        );
        let limit = lock_limit(self.pool);
        let disarmed = async {
            while let Err(error) = pass(DB::disarm(self.connection, &limit)).await {
                patience.after::<DB>(error).await?;
                self.progress.keep_going()?;
            }
            Ok::<_, MoveError>(())
        };
        if let Err(error) = disarmed.await {
            tracing::info!(
                error = %crate::error::chain(&error),
                "the triggers stay until the next move or `mdb move clean`"
            );
        }
    }

    /// At the source: has the changes of the briefcases recorded from now on.
    pub(super) async fn capture(
        &mut self,
        manifest: &Manifest,
        ids: &[Gdid],
    ) -> Result<(), MoveError> {
        // Before the fences too: whoever fires new triggers first takes long, and is waited for here rather than when
        // the briefcases are fenced.
        self.arm(manifest).await?;
        let id = self.id;
        owned_patiently!(*self, "record changes", async |connection| {
            DB::lock_exclusive(connection, ids, LOCK_LIMIT).await?;
            put_fences::<DB>(connection, id, ids, FenceState::Capturing).await
        })?
        .then_some(())
        .ok_or(MoveError::Conflict)?;
        // After them: nobody removes triggers that one of them needs.
        self.arm(manifest).await?;
        self.outlast_prepared().await
    }

    /// At the source: waits until the transactions have ended that were prepared perhaps before there were triggers.
    async fn outlast_prepared(&mut self) -> Result<(), MoveError> {
        let mut patience = self.patience("wait for transactions that are prepared (XA RECOVER)");
        let mut left: Option<BTreeSet<Vec<u8>>> = None;
        loop {
            let prepared = DB::prepared_transactions(self.connection).await?;
            let still = match left {
                Some(left) => left.intersection(&prepared).cloned().collect(),
                None => prepared,
            };
            if still.is_empty() {
                return Ok(());
            }
            left = Some(still);
            patience.again().await?;
            self.progress.keep_going()?;
        }
    }

    /// At the target: lets nobody but this move write the briefcases.
    pub(super) async fn reserve(
        &mut self,
        manifest: &Manifest,
        ids: &[Gdid],
    ) -> Result<(), MoveError> {
        // Before the fences, as at the source: what an earlier move has left is replaced while nobody relies on it.
        self.arm(manifest).await?;
        let id = self.id;
        owned_patiently!(*self, "reserve the target", async |connection| {
            for ids in ids.chunks(NAMED_AT_ONCE) {
                // From an earlier stay here.
                let forget = format!(
                    "DELETE FROM mdb_fence WHERE gdid IN ({}) AND state = 3",
                    repeated("?", ids.len())
                );
                let named: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
                DB::execute_own(connection, &forget, &named).await?;
            }
            put_fences::<DB>(connection, id, ids, FenceState::Receiving).await
        })?
        .then_some(())
        .ok_or(MoveError::Conflict)?;
        // They turn away who takes half a copy for the briefcase.
        self.arm(manifest).await
    }

    /// At the target, where no row of the briefcases may be: the same.
    pub(super) async fn reserve_blank(
        &mut self,
        manifest: &Manifest,
        ids: &[Gdid],
    ) -> Result<(), MoveError> {
        let reserved = async {
            self.reserve(manifest, ids).await?;
            self.refuse_strays(manifest).await
        };
        let reserved = reserved.await;
        if let Err(MoveError::Strays { .. } | MoveError::Conflict) = reserved {
            // Whose rows they are is for others to find out, and to mend.
            self.free().await?;
        }
        reserved
    }

    /// At the target: takes that back.
    pub(super) async fn free(&mut self) -> Result<(), MoveError> {
        let id = Value::from(self.id);
        owned_patiently!(*self, "free the target", async |connection| {
            let free = "DELETE FROM mdb_fence WHERE move = ? AND state = 4";
            DB::execute_own(connection, free, std::slice::from_ref(&id)).await?;
            Ok(())
        })
    }

    /// At the target: rows of the briefcases that are there before anything was copied are nobody's to
    /// delete.
    async fn refuse_strays(&mut self, manifest: &Manifest) -> Result<(), MoveError> {
        match manifest
            .first_with_rows::<DB>(self.connection, self.id)
            .await?
        {
            Some(table) => Err(MoveError::Strays {
                table: table.name.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Does `work` in a transaction.
pub(super) async fn transaction<DB: Relocating, T>(
    connection: &mut DB::Connection,
    work: impl AsyncFnOnce(&mut DB::Connection) -> Result<T, StepError>,
) -> Result<T, StepError> {
    begin::<DB>(connection).await?;
    let done = work(connection).await;
    end::<DB, T>(connection, done).await
}

/// Ends a transaction. One that can't be committed is rolled back too, for the driver counts it as open, and in SQLite it
/// is. The first error is told even if that fails: the connection is of no more use then.
async fn end<DB: Relocating, T>(
    connection: &mut DB::Connection,
    done: Result<T, StepError>,
) -> Result<T, StepError> {
    let error = match done {
        Ok(value) => match pass(DB::commit(connection)).await {
            Ok(()) => return Ok(value),
            Err(error) => StepError::Database(error),
        },
        Err(error) => error,
    };
    let rolled_back = async {
        DB::rollback(connection).await?;
        DB::rolled_back(connection).await
    };
    Err(match (rolled_back.await, error) {
        (Ok(()), StepError::Database(error)) => busy::<DB>(error),
        (_, error) => error,
    })
}

/// Inside a transaction: removes the move's mark.
pub(super) async fn forget_mover<DB: Relocating>(
    connection: &mut DB::Connection,
    id: &MoveId,
) -> Result<(), StepError> {
    let forget = "DELETE FROM mdb_mover WHERE move = ?";
    DB::execute_own(connection, forget, &[Value::from(id)]).await?;
    Ok(())
}

/// Writes the fences of a move where there are none; whether all of them are this move's then.
async fn put_fences<DB: Relocating>(
    connection: &mut DB::Connection,
    id: &MoveId,
    ids: &[Gdid],
    state: FenceState,
) -> Result<bool, StepError> {
    for ids in ids.chunks(NAMED_AT_ONCE) {
        let row = format!("(?, ?, {}, 0, NULL, 0, 0)", state as i64);
        let insert = format!(
            "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) VALUES {}",
            repeated(&row, ids.len())
        );
        let pairs = ids
            .iter()
            .flat_map(|briefcase| [Value::from(*briefcase), Value::from(id)]);
        let pairs: Vec<Value> = pairs.collect();
        DB::execute_own(connection, &DB::insert_if_absent(&insert, "move"), &pairs).await?;
    }
    let own = count_fences::<DB>(connection, Value::from(id), "1, 2, 4").await?;
    Ok(own == ids.len())
}
