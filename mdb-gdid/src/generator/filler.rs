//! The filler: the background task of a generator, which fetches blocks and drops those whose life is
//! over. It is spawned when ids are first needed, ends with the last generator, and is spawned again
//! from another runtime when its own has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::shared::Shared;
use super::stock::{Filler, Step};
use crate::authority::{AuthorityError, Block, BlockSize, Place};

/// How long a fetch takes at most; less when blocks live shorter than twice as long.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the first pause after a failed fetch is.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How long a pause is at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a fetch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum GivenUp {
    #[error("it did not answer within {} ms", .0.as_millis())]
    TimeOut(Duration),
    #[error("the task that was asking it panicked")]
    Panic,
    #[error("ids are to be fetched inside a tokio runtime, and there is none")]
    NoRuntime,
}

/// Sees to it that the filler runs.
///
/// # Errors
///
/// It does not run, and there is no runtime to spawn it on.
pub(super) fn ensure(shared: &Arc<Shared>) -> Result<(), AuthorityError> {
    let runtime = {
        let mut stock = shared.stock();
        if stock.filler != Filler::Absent {
            return Ok(());
        }
        let runtime = Handle::try_current().map_err(|_| given_up(shared, GivenUp::NoRuntime))?;
        stock.filler = Filler::Running;
        runtime
    };
    // Made before it is spawned, so that it is dropped even if the runtime is ending.
    let guard = Guard(Arc::clone(shared));
    runtime.spawn(run(guard));
    Ok(())
}

/// When the filler ends, for whatever reason, nobody is left to drop blocks when they lapse.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        let shared = &*self.0;
        shared.drop_all();
        {
            let mut stock = shared.stock();
            if stock.filler == Filler::Running {
                stock.filler = Filler::Absent;
            }
            if std::thread::panicking() {
                stock.fetch_failed(given_up(shared, GivenUp::Panic));
            }
        }
        shared.news.notify_one();
    }
}

fn given_up(shared: &Shared, why: GivenUp) -> AuthorityError {
    AuthorityError::Unavailable {
        place: Place::new("the authority"),
        sequence: shared.name.clone(),
        source: why.into(),
    }
}

async fn run(guard: Guard) {
    let shared = &*guard.0;
    let mut pauses = Pauses::default();
    let mut retry_at = None;
    loop {
        let now = Instant::now();
        let lapse = shared.drop_lapsed(now);
        let step = shared.stock().step(&shared.dispenser, now, retry_at);
        match step {
            Step::End => return,
            Step::Rest(until) => {
                let until = [until, lapse].into_iter().flatten().min();
                rest(shared, until).await;
            }
            Step::Fetch(size) => {
                let Some(fetched) = fetch(shared, size).await else {
                    return;
                };
                let arrived = fetched.and_then(|block| receive(shared, block, now));
                match arrived {
                    Ok(()) => {
                        pauses = Pauses::default();
                        retry_at = None;
                    }
                    Err(error) => {
                        let pause = pauses.next(error.is_transient());
                        report(shared, &error, pause);
                        shared.stock().fetch_failed(error);
                        retry_at = Some(Instant::now() + pause);
                    }
                }
                shared.news.notify_one();
            }
        }
    }
}

/// Takes a block in that was asked for at `asked_at`.
fn receive(shared: &Shared, block: Block, asked_at: Instant) -> Result<(), AuthorityError> {
    let mut stock = shared.stock();
    let was_near_the_end = stock.near_the_end;
    let (dispenser, now) = (&shared.dispenser, Instant::now());
    stock.block_came(dispenser, &shared.name, block, asked_at, now)?;
    if stock.near_the_end && !was_near_the_end {
        tracing::error!(
            scope = %shared.scope,
            sequence = %shared.name,
            id = %block.last(),
            "the eras of this sequence are running out: 16 or fewer are left",
        );
    }
    Ok(())
}

async fn rest(shared: &Shared, until: Option<Instant>) {
    let woken = shared.wake.notified();
    match until {
        // Either end of the rest is fine.
        Some(until) => _ = tokio::time::timeout_at(until, woken).await,
        None => woken.await,
    }
}

/// Asks for one block, dropping meanwhile what lapses; `None` when no generator is left.
async fn fetch(shared: &Shared, size: BlockSize) -> Option<Result<Block, AuthorityError>> {
    let time_out = FETCH_TIMEOUT.min(shared.options.block_life().get() / 2);
    let end = Instant::now() + time_out;
    let mut asked = shared.source.allocate(&shared.scope, &shared.name, size);
    loop {
        let now = Instant::now();
        let lapse = shared.drop_lapsed(now);
        if shared.stock().filler == Filler::Dismissed {
            return None;
        }
        let until = lapse.map_or(end, |lapse| lapse.min(end));
        tokio::select! {
            biased;
            // A block that comes too late might lapse before it is dealt.
            answer = &mut asked => if Instant::now() < end { return Some(answer) },
            () = rest(shared, Some(until)) => {}
        }
        if Instant::now() >= end {
            return Some(Err(given_up(shared, GivenUp::TimeOut(time_out))));
        }
    }
}

fn report(shared: &Shared, error: &AuthorityError, pause: Duration) {
    let cause = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(
        scope = %shared.scope,
        sequence = %shared.name,
        %error,
        cause,
        retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        "no block of ids came",
    );
}

/// Pauses after failures in a row: each up to twice as long as the one before.
#[derive(Debug, Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    /// The pause after another failure. One that a person has to mend has the longest at once.
    fn next(&mut self, transient: bool) -> Duration {
        let longest = if transient {
            FIRST_PAUSE
                .saturating_mul(1 << self.failures.min(16))
                .min(LONGEST_PAUSE)
        } else {
            LONGEST_PAUSE
        };
        self.failures += 1;
        // At random, lest processes that failed together come back together.
        longest.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}
