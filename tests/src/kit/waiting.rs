//! Waiting for a condition instead of sleeping for a guess.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

/// Asks `condition` again and again, every few milliseconds, until it is true.
///
/// # Panics
///
/// When it is not true within `limit`, or does not answer by then; the message names `what` was waited for.
///
/// # Cancel safety
///
/// Cancel safe as far as `condition` is.
///
/// ```
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut asked = 0;
/// mdb_tests::kit::wait_for("the third question", Duration::from_secs(5), async || {
///     asked += 1;
///     asked == 3
/// })
/// .await;
/// # });
/// ```
pub async fn wait_for(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    loop {
        match timeout_at(deadline, condition()).await {
            Ok(true) => return,
            Ok(false) if Instant::now() < deadline => sleep(Duration::from_millis(5)).await,
            Ok(false) | Err(_) => panic!("waited {limit:?} in vain for {what}"),
        }
    }
}

/// Runs blocking work away from the runtime's own threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let joined = spawn_blocking(work).await;
    joined.expect("the kit's blocking work does not panic")
}
