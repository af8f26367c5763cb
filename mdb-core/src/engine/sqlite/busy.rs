//! Waiting for locks that other connections hold.
//!
//! Nobody queues for SQLite's one write lock: whoever wants it looks again and again. SQLite itself looks after 1, 2, 5, 10
//! ms and so on, up to 100; so one that waits for a transaction of a millisecond mostly sleeps while the lock is free,
//! and hardly ever gets it between two busy writers. Here the first looks are a quarter of a millisecond apart.
//!
//! Whoever is not waited for any more gives up at the next look: the work must not be done later.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use dashmap::DashMap;
use rusqlite::ffi;
use sqlx::sqlite::LockedSqliteHandle;

/// Pauses between looks, each with how often it is made.
const PAUSES: [(Duration, u32); 2] = [
    (Duration::from_micros(250), 40),
    (Duration::from_millis(1), 90),
];

/// The pause between all further looks.
const LONGEST: Duration = Duration::from_millis(5);

/// How connections wait, by the numbers that SQLite hands to the busy handler.
static WAITS: LazyLock<DashMap<usize, Wait>> = LazyLock::new(DashMap::new);

#[derive(Clone)]
struct Wait {
    limit: Duration,
    stop: Arc<AtomicBool>,
}

/// Lets a connection wait; without it, it does not wait any more.
pub(super) struct Waiting(usize);

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.remove(&self.0);
    }
}

/// Has a connection wait so long for locks, unless it is stopped, instead of what it did before.
pub(super) fn wait_for_locks(
    handle: &mut LockedSqliteHandle<'_>,
    limit: Duration,
    stop: Arc<AtomicBool>,
) -> Result<Waiting, sqlx::Error> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    WAITS.insert(number, Wait { limit, stop });
    let waiting = Waiting(number);
    let handle = handle.as_raw_handle().as_ptr();
    // SAFETY: the connection is open and nobody else's meanwhile. The function takes its pointer for a number and never
    // for an address, so it holds as long as the connection does.
    #[expect(unsafe_code, reason = "neither crate lets it know a limit")]
    let code = unsafe {
        ffi::sqlite3_busy_handler(handle, Some(wait), std::ptr::without_provenance_mut(number))
    };
    if code == ffi::SQLITE_OK {
        Ok(waiting)
    } else {
        Err(sqlx::Error::AnyDriverError(Box::new(ffi::Error::new(code))))
    }
}

/// Waits before the look number `looks`, counted from 0, for a connection that may.
extern "C" fn wait(number: *mut c_void, looks: c_int) -> c_int {
    let Some(wait) = WAITS.get(&number.addr()).map(|wait| wait.clone()) else {
        return 0;
    };
    c_int::from(wait.before(looks.unsigned_abs()))
}

impl Wait {
    /// Pauses before that look; not any more once the limit is reached, or nobody waits for the result.
    fn before(&self, looks: u32) -> bool {
        let (waited, pause) = waited(looks);
        if waited >= self.limit || self.stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(pause);
        true
    }
}

/// How long the pauses before the look number `looks` were, and how long this one is.
fn waited(looks: u32) -> (Duration, Duration) {
    let (mut waited, mut left) = (Duration::ZERO, looks);
    for (pause, times) in PAUSES {
        if left < times {
            return (waited + pause * left, pause);
        }
        waited += pause * times;
        left -= times;
    }
    (waited + LONGEST * left, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_at_the_limit() {
        let mut sum = Duration::ZERO;
        let mut last = Duration::ZERO;
        for looks in 0..1_000 {
            let (waited, pause) = waited(looks);
            assert_eq!(waited, sum, "before look {looks}");
            assert!(pause >= last);
            last = pause;
            sum += pause;
        }
        let waits = |millis, looks| {
            let wait = Wait {
                limit: Duration::from_millis(millis),
                stop: Arc::default(),
            };
            wait.before(looks)
        };
        assert!(!waits(0, 0));
        assert!(waits(1, 3));
        assert!(!waits(1, 4));
        assert!(!waits(100, 1_000));
    }

    #[test]
    fn who_is_stopped_waits_no_longer() {
        let stop = Arc::new(AtomicBool::new(false));
        let wait = Wait {
            limit: Duration::from_mins(1),
            stop: Arc::clone(&stop),
        };
        assert!(wait.before(0));
        stop.store(true, Ordering::Relaxed);
        assert!(!wait.before(1));
    }
}
