//! How long is waited before work is done again that others were in the way of.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often it is done at the most before the last error is handed out. The waits between come to two or three
/// seconds: on MySQL and MariaDB writers of a briefcase that is moved may lock each other out, as those of one row may, until
/// the mover has got through.
const ATTEMPTS: usize = 10;

/// The waits between them, longer and longer, of which no two processes have the same.
pub(crate) fn waits() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(5))
        .with_max_delay(Duration::from_millis(500))
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
        .build()
}
