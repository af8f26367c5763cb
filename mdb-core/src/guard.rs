//! The guarded path: looking at a briefcase's fence before using it.
//!
//! While a briefcase is moved, and in a process that has no lease, a transaction begins by keeping
//! the briefcase's fence on the shard as it is, and by reading it. Then it goes on there, waits for the
//! fence to be lifted, or follows the briefcase to where it has gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;
use mdb_gdid::Gdid;

use crate::area::Area;
use crate::catalog::{Epoch, Operation, Path};
use crate::engine::relocating::{COUNT_FLIP, FenceState};
use crate::engine::{Engine, Isolation, Lanes, Snapshot, Step, TransactionOptions, Value};
use crate::error::chain;
use crate::servers::{Companion, Lane, ShardPool, Transaction, TransactionError};
use crate::topology::ShardId;

/// How often a briefcase is followed; it has gone round in circles by then.
const HOPS: u32 = 16;

/// What a fence says to somebody who wants to use the briefcase on that shard.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Go on; the fence stays as it is until the transaction ends.
    Here,
    /// Not just now.
    Wait,
    /// It has gone to the shard of that name, by that move.
    Gone { target: String, by: String },
    /// It is coming by that move, and is here already if the source says so.
    Coming { by: String },
    /// This process knows too little to be served here.
    Outdated { least: Epoch },
    /// The transaction saw something else than what holds by now.
    Changing,
}

/// Looks at the fence of `id`, inside a transaction.
async fn look<DB: Engine>(
    connection: &mut DB::Connection,
    id: Gdid,
    epoch: Epoch,
) -> Result<Verdict, sqlx::Error> {
    DB::keep_fence(connection, id).await?;
    glance::<DB>(connection, id, epoch).await
}

/// What the fence said a moment ago; it may change at once.
async fn glance<DB: Engine>(
    connection: &mut DB::Connection,
    id: Gdid,
    epoch: Epoch,
) -> Result<Verdict, sqlx::Error> {
    let query = format!(
        "SELECT s.least_epoch, f.state, CASE WHEN f.deadline > {} THEN 1 ELSE 0 END, f.target, f.move \
         FROM mdb_shard s LEFT JOIN mdb_fence f ON f.gdid = ? WHERE s.only_row = 1",
        DB::now()
    );
    let rows = DB::query_own(connection, &query, &[Value::from(id)]).await?;
    let row = rows.first().ok_or_else(unstamped)?;
    let least = Epoch::new(row.integer(0)?.unsigned_abs());
    let Some(by) = row.optional_text(4)? else {
        return Ok(if epoch < least {
            Verdict::Outdated { least }
        } else {
            Verdict::Here
        });
    };
    let state = FenceState::stored(row.integer(1)?)
        .ok_or_else(|| sqlx::Error::Decode("a fence with an unknown state".into()))?;
    let by = by.to_owned();
    Ok(match state {
        FenceState::Capturing => Verdict::Here,
        FenceState::Fenced if row.integer(2)? == 0 => Verdict::Here,
        FenceState::Fenced => Verdict::Wait,
        FenceState::Moved => Verdict::Gone {
            target: row.text(3)?.to_owned(),
            by,
        },
        FenceState::Receiving => Verdict::Coming { by },
    })
}

/// Begins a transaction where the briefcase is.
pub(crate) async fn begin<DB: Engine>(
    area: &Area<DB>,
    id: Gdid,
    options: &TransactionOptions,
) -> Result<Transaction<DB>, sqlx::Error> {
    let mut operation = area.enter(id)?;
    if operation.path() == Path::Direct {
        let pool = area
            .pool(operation.shard())?
            .knowing(operation.epoch().get());
        let transaction = pool.begin(options).await?;
        transaction.accompany(Arc::new(Direct {
            operation,
            id,
            apart: is_snapshot::<DB>(options).then_some(pool),
        }));
        return Ok(transaction);
    }
    let began = Instant::now();
    let mut waits = Waits::new();
    let mut shard = operation.shard();
    let mut came_by: Option<String> = None;
    let mut hops = 0;
    loop {
        // For the fence to be lifted: then there is nothing more to wait for.
        let (mut has_waited, mut is_unheard) = (false, false);
        let pool = area.pool(shard)?;
        let patience = options.timeout_or(pool.source().limits.statement_timeout());
        let transaction = pool.begin(options).await?;
        let epoch = operation.epoch();
        let verdict = transaction
            .own(async |connection| look::<DB>(connection, id, epoch).await)
            .await?;
        // Where a lock is no part of the snapshot, the first plain read was after it.
        let is_old = is_snapshot::<DB>(options) && DB::SNAPSHOT == Snapshot::FirstStatement;
        let verdict = if is_old && look_apart(pool, id, epoch).await? != verdict {
            Verdict::Changing
        } else {
            verdict
        };
        match verdict {
            Verdict::Here => {
                transaction.accompany(Arc::new(Guarded {
                    _operation: operation,
                }));
                return Ok(transaction);
            }
            Verdict::Gone { target, by } => {
                transaction.rollback().await?;
                hops += 1;
                if hops <= HOPS {
                    shard = area.shard_named(&target).ok_or_else(|| unknown(&target))?;
                    came_by = Some(by);
                    continue;
                }
            }
            Verdict::Coming { by } if came_by.as_ref() == Some(&by) => {
                transaction.rollback().await?;
                land(area, shard, id, &by).await?;
                continue;
            }
            Verdict::Coming { .. } | Verdict::Changing => transaction.rollback().await?,
            Verdict::Wait => {
                transaction.rollback().await?;
                // By single reads, so that those who wait don't keep the mover from going on. What goes wrong there, the next
                // transaction meets too.
                while began.elapsed() < patience {
                    waits.wait().await;
                    let mut lease = pool.acquire(Lane::Read).await?;
                    let glance = async |c: &mut DB::Connection| glance::<DB>(c, id, epoch).await;
                    let said = lease.run(pool.statement_limit(), glance).await;
                    if !matches!(said, Ok(Verdict::Wait)) {
                        break;
                    }
                }
                has_waited = true;
            }
            Verdict::Outdated { least } => {
                is_unheard = true;
                transaction.rollback().await?;
                tracing::debug!(%id, %least, known = %epoch, "waiting for newer relocations");
            }
        }
        if began.elapsed() >= patience {
            let waited = began.elapsed();
            let error = if is_unheard {
                TransactionError::Unheard { id, waited }
            } else {
                TransactionError::Moving { id, waited }
            };
            return Err(error.into_sqlx());
        }
        if !has_waited {
            waits.wait().await;
        }
        // What is known may have changed meanwhile. Where the briefcase was followed to then counts no more: what tells
        // that a shard was left since is being outdated there, and who knows this much is not.
        operation = area.enter(id)?;
        (shard, came_by, hops) = (operation.shard(), None, 0);
    }
}

/// Whether the transaction reads a snapshot that may be older than the lock on the fence: the lock was
/// waited for after the snapshot had been taken. On SQLite they are one.
fn is_snapshot<DB: Engine>(options: &TransactionOptions) -> bool {
    DB::LANES == Lanes::One && options.level() != Isolation::ReadCommitted
}

/// Looks at the fence in a transaction of its own, which sees what holds now.
async fn look_apart<DB: Engine>(
    pool: &ShardPool<DB>,
    id: Gdid,
    epoch: Epoch,
) -> Result<Verdict, sqlx::Error> {
    let transaction = pool.begin(&TransactionOptions::new().read_only()).await?;
    let verdict = transaction
        .own(async |connection| look::<DB>(connection, id, epoch).await)
        .await;
    transaction.rollback().await?;
    verdict
}

/// Completes the arrival of a briefcase, which its source has decided: whoever comes first does it.
async fn land<DB: Engine>(
    area: &Area<DB>,
    shard: ShardId,
    id: Gdid,
    by: &str,
) -> Result<(), sqlx::Error> {
    let arrive = Step::new(
        "DELETE FROM mdb_fence WHERE gdid = ? AND move = ? AND state = 4",
        [Value::from(id), Value::from(by)],
    );
    let count = Step::new(COUNT_FLIP, []);
    area.any_pool(shard).together(&[arrive, count]).await?;
    Ok(())
}

fn unstamped() -> sqlx::Error {
    let message =
        "the database has lost its stamp, the row of mdb_shard: see what `mdb check` says of it";
    sqlx::Error::Configuration(message.into())
}

/// Of a shard that the configuration lacks only its partition can be told, which the shard's name has in the middle.
fn unknown(target: &str) -> sqlx::Error {
    let partition = target.split('/').nth(1);
    let partition = partition.map_or_else(String::new, |start| format!(" of partition {start}"));
    let message = format!(
        "the briefcase has gone to a shard{partition} that this process' configuration lacks: update it"
    );
    sqlx::Error::Configuration(message.into())
}

/// Makes sure, after what was read on the direct path, that it still counts.
///
/// While the lease holds there is nothing to do. Otherwise the briefcase may have been moved before
/// the statement ran; if its fence says that it was not, the answer is good.
pub(crate) async fn confirm<DB: Engine>(
    pool: &ShardPool<DB>,
    operation: &Operation,
    id: Gdid,
) -> Result<(), sqlx::Error> {
    if operation.was_in_time() {
        return Ok(());
    }
    // Boxed, so that those for whom there is nothing to do carry no future of it about.
    match Box::pin(look_apart(pool, id, operation.epoch())).await? {
        Verdict::Here => Ok(()),
        _ => Err(TransactionError::Outdated { id }.into_sqlx()),
    }
}

/// As [`confirm`], of a statement that may have written: whatever keeps this from being sure, the statement is not to be
/// run again for it.
pub(crate) async fn confirm_executed<DB: Engine>(
    pool: &ShardPool<DB>,
    operation: &Operation,
    id: Gdid,
) -> Result<(), sqlx::Error> {
    confirm(pool, operation, id).await.map_err(|error| {
        tracing::warn!(%id, error = %chain(&error), "can't make sure that a statement was executed where its briefcase is");
        TransactionError::Unconfirmed { id }.into_sqlx()
    })
}

/// A transaction that went straight to the shard.
struct Direct<DB: Engine> {
    operation: Operation,
    id: Gdid,
    /// Where to look at the fence if the transaction reads a snapshot that is older.
    apart: Option<ShardPool<DB>>,
}

impl<DB: Engine> Companion<DB> for Direct<DB> {
    fn is_certain(&self) -> bool {
        self.operation.was_in_time()
    }

    fn make_certain<'c>(
        &'c self,
        transaction: &'c Transaction<DB>,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let (id, epoch) = (self.id, self.operation.epoch());
            let verdict = match &self.apart {
                None => {
                    let look = async |c: &mut DB::Connection| look::<DB>(c, id, epoch).await;
                    transaction.own(look).await?
                }
                Some(pool) => {
                    let keep = async |c: &mut DB::Connection| DB::keep_fence(c, id).await;
                    transaction.own(keep).await?;
                    look_apart(pool, id, epoch).await?
                }
            };
            match verdict {
                Verdict::Here => Ok(()),
                _ => Err(TransactionError::Outdated { id: self.id }.into_sqlx()),
            }
        })
    }
}

/// A transaction that keeps the fence as it is.
struct Guarded {
    _operation: Operation,
}

impl<DB: Engine> Companion<DB> for Guarded {
    fn is_certain(&self) -> bool {
        true
    }

    fn make_certain<'c>(
        &'c self,
        _: &'c Transaction<DB>,
    ) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Short waits with jitter, growing a little: a fence stands for milliseconds.
struct Waits {
    next: Duration,
}

impl Waits {
    const LONGEST: Duration = Duration::from_millis(20);

    fn new() -> Self {
        Self {
            next: Duration::from_millis(2),
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.next.mul_f64(0.5 + fastrand::f64())).await;
        self.next = self.next.mul_f64(1.5).min(Self::LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_the_configuration_lacks_is_told_by_its_partition() {
        let said = unknown("0:0:0/0:0:1000/3").to_string();
        assert!(said.contains("a shard of partition 0:0:1000 "), "{said}");
        assert!(!said.contains('/'), "{said}");
    }
}
