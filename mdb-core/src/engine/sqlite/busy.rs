//! Waiting for locks that other connections hold.
//!
//! Nobody queues for SQLite's one write lock: whoever wants it looks again and again. SQLite itself looks after 1, 2, 5, 10
//! ms and so on, up to 100; so one that waits for a transaction of a millisecond mostly sleeps while the lock is free,
//! and hardly ever gets it between two busy writers. Here the first looks are a quarter of a millisecond apart.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use rusqlite::ffi;
use sqlx::sqlite::LockedSqliteHandle;

/// Pauses between looks, each with how often it is made.
const PAUSES: [(Duration, u32); 2] = [
    (Duration::from_micros(250), 40),
    (Duration::from_millis(1), 90),
];

/// The pause between all further looks.
const LONGEST: Duration = Duration::from_millis(5);

/// Has a connection wait so long for locks, instead of what it did before.
pub(super) fn wait_for_locks(
    handle: &mut LockedSqliteHandle<'_>,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    let millis = usize::try_from(limit.as_millis()).unwrap_or(usize::MAX);
    let handle = handle.as_raw_handle().as_ptr();
    // SAFETY: the connection is open and nobody else's meanwhile. The function takes its pointer for a number and never
    // for an address, so it holds as long as the connection does.
    #[expect(unsafe_code, reason = "neither crate lets it know a limit")]
    let code = unsafe {
        ffi::sqlite3_busy_handler(handle, Some(wait), std::ptr::without_provenance_mut(millis))
    };
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(sqlx::Error::AnyDriverError(Box::new(ffi::Error::new(code))))
    }
}

/// Waits before the look number `looks`, counted from 0; not any more once the limit is reached.
extern "C" fn wait(limit: *mut c_void, looks: c_int) -> c_int {
    let limit = Duration::from_millis(limit.addr() as u64);
    let (waited, pause) = waited(looks.unsigned_abs());
    if waited >= limit {
        return 0;
    }
    std::thread::sleep(pause);
    1
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
        let limit = |millis| std::ptr::without_provenance_mut(millis);
        assert_eq!(wait(limit(0), 0), 0);
        assert_eq!(wait(limit(1), 3), 1);
        assert_eq!(wait(limit(1), 4), 0);
        assert_eq!(wait(limit(100), 1_000), 0);
    }
}
