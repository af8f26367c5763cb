//! When a mover's transactions begin, and the pauses between them.

use std::time::{Duration, Instant};

use super::{Amount, Pace, StepError};
use crate::engine::{Engine, ErrorClass, Lanes, TransactionOptions};

/// How long a mover tries for an embedded database's one write lock.
const WRITE_LOCK_LIMIT: Duration = Duration::from_secs(5);

/// How often it tries, after the engine has for a while. Whoever sleeps for longer hardly ever meets the moment between
/// two busy writers, since nobody queues for that lock.
const WRITE_LOCK_POLL: Duration = Duration::from_micros(300);

/// How long a database with one writer is left free between two transactions: those who wait for its lock look for it
/// every quarter of a millisecond.
const GAP: Duration = Duration::from_micros(400);

/// Begins a mover's transaction.
pub(crate) async fn begin<DB: Engine>(connection: &mut DB::Connection) -> Result<(), StepError> {
    let tries = Tries::begin();
    while let Err(error) = DB::begin(connection, &TransactionOptions::new()).await {
        tries.after::<DB>(error).await?;
    }
    Ok(())
}

/// Trying for a lock.
pub(crate) struct Tries {
    began: Instant,
}

impl Tries {
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Waits a little after a try at which the lock was taken; hands out any other error.
    ///
    /// [`StepError::Busy`] when it has been taken for long.
    pub(crate) async fn after<DB: Engine>(&self, error: sqlx::Error) -> Result<(), StepError> {
        if DB::error_class(&error) != ErrorClass::Conflict {
            return Err(error.into());
        }
        if self.began.elapsed() >= WRITE_LOCK_LIMIT {
            return Err(StepError::Busy);
        }
        tokio::time::sleep(WRITE_LOCK_POLL).await;
        Ok(())
    }
}

/// For how long nobody looks whether the mover is to stop.
const SLICE: Duration = Duration::from_millis(100);

/// Counts a chunk, and [rests](rest_unless) for as long as rows are to flow no faster.
pub(crate) async fn pause(pace: &dyn Pace, chunk: Amount, lanes: Lanes) -> Result<(), StepError> {
    rest_unless(pace.taken(chunk), lanes, || pace.is_stopped()).await
}

/// [Rests](rest), but no longer than until `is_stopped`: then it fails.
pub(crate) async fn rest_unless(
    wait: Duration,
    lanes: Lanes,
    is_stopped: impl Fn() -> bool,
) -> Result<(), StepError> {
    let mut left = wait;
    loop {
        if is_stopped() {
            return Err(StepError::Stopped);
        }
        let slice = left.min(SLICE);
        rest(slice, lanes).await;
        left -= slice;
        if left.is_zero() {
            return Ok(());
        }
    }
}

/// Waits for so long. Where one writes at a time, others get their turn in any case.
async fn rest(wait: Duration, lanes: Lanes) {
    match lanes {
        // The runtime's timer knows no less than a millisecond.
        Lanes::WriterAndReaders if wait < GAP => {
            // A runtime that shuts down may cut it short.
            let _slept = tokio::task::spawn_blocking(|| std::thread::sleep(GAP)).await;
        }
        _ if wait.is_zero() => {}
        _ => tokio::time::sleep(wait).await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_a_database_with_one_writer_is_left_alone_without_need() {
        assert!(rest(Duration::ZERO, Lanes::One).now_or_never().is_some());
        let began = Instant::now();
        rest(Duration::ZERO, Lanes::WriterAndReaders).await;
        assert!(began.elapsed() >= GAP);
    }

    #[tokio::test]
    async fn a_long_rest_ends_when_the_mover_is_to_stop() {
        let hours = Duration::from_hours(5);
        let looked = AtomicU32::new(0);
        let is_stopped = || looked.fetch_add(1, Ordering::Relaxed) == 2;
        let rested = rest_unless(hours, Lanes::One, is_stopped).await;
        assert!(matches!(rested, Err(StepError::Stopped)), "{rested:?}");
        assert_eq!(looked.into_inner(), 3);
    }
}
