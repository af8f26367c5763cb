//! Failing on purpose, so that tests see what a change leaves when it breaks off.
//!
//! Built with the cargo feature `failpoints` only. Every statement by which an index changes its rows, and every step of
//! a move, passes through here. A test says at which of them, counted from 1, one future is to fail, and how, or where
//! it has to wait; no other future is concerned, also in the same process.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};

tokio::task_local! {
    static FAULT: Arc<Fault>;
    static HALT: Arc<Halt>;
}

#[derive(Debug)]
struct Fault {
    failure: Failure,
    at: usize,
    passed: AtomicUsize,
    dead: Notify,
}

/// How a future fails at a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The statement takes effect, then the process dies: nothing of the future happens any more.
    Death,
    /// The statement takes effect, but the connection is lost before the answer comes.
    LostAnswer,
    /// The connection is lost before the statement takes effect, and so it is from then on.
    Outage,
}

impl Failure {
    /// Every way to fail.
    pub const ALL: [Self; 3] = [Self::Death, Self::LostAnswer, Self::Outage];
}

/// What became of a future that was to fail.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It ended before it came to the statement.
    NotReached(T),
    /// It failed there, and went on to this end.
    Failed(T),
    /// It died there.
    Died,
}

/// Runs `future` and lets it fail at its statement number `at`.
pub fn fail_at<T>(
    failure: Failure,
    at: usize,
    future: impl Future<Output = T>,
) -> impl Future<Output = Outcome<T>> {
    let fault = Arc::new(Fault {
        failure,
        at,
        passed: AtomicUsize::new(0),
        dead: Notify::new(),
    });
    let future = FAULT.scope(Arc::clone(&fault), Box::pin(future));
    async move {
        tokio::select! {
            biased;
            output = future => {
                if fault.passed.load(Ordering::Relaxed) < at {
                    Outcome::NotReached(output)
                } else {
                    Outcome::Failed(output)
                }
            }
            () = fault.dead.notified() => Outcome::Died,
        }
    }
}

/// Where a future waits, with its transactions and connections open, until it is let go on.
#[derive(Debug)]
pub struct Halt {
    at: Option<usize>,
    side: HaltSide,
    passed: AtomicUsize,
    reached: Semaphore,
    go_on: Semaphore,
}

/// On which side of a statement a future waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HaltSide {
    /// It has not been sent. If it is a commit, its transaction is open and holds its locks.
    Before,
    /// It has taken effect.
    After,
}

impl Halt {
    /// A place at the statement number `at`.
    pub fn new(at: usize, side: HaltSide) -> Arc<Self> {
        Self::with(Some(at), side)
    }

    /// Every statement is such a place, for tests that know what has happened and not how many statements that took.
    pub fn at_each(side: HaltSide) -> Arc<Self> {
        Self::with(None, side)
    }

    fn with(at: Option<usize>, side: HaltSide) -> Arc<Self> {
        Arc::new(Self {
            at,
            side,
            passed: AtomicUsize::new(0),
            reached: Semaphore::new(0),
            go_on: Semaphore::new(0),
        })
    }

    /// Runs `future` and lets it wait here.
    pub fn scope<T>(self: &Arc<Self>, future: impl Future<Output = T>) -> impl Future<Output = T> {
        HALT.scope(Arc::clone(self), future)
    }

    /// Waits until the future is here, or here again; for ever, if it ends before.
    pub async fn reached(&self) {
        take(&self.reached).await;
    }

    /// Lets the future go on.
    pub fn go_on(&self) {
        self.go_on.add_permits(1);
    }

    /// Lets the future go on to its end.
    pub fn let_go(&self) {
        self.go_on.close();
    }

    async fn pass<T>(&self, statement: impl Future<Output = T>) -> T {
        let number = 1 + self.passed.fetch_add(1, Ordering::Relaxed);
        let is_here = self.at.is_none_or(|at| at == number);
        if is_here && self.side == HaltSide::Before {
            self.wait().await;
        }
        let output = statement.await;
        if is_here && self.side == HaltSide::After {
            self.wait().await;
        }
        output
    }

    async fn wait(&self) {
        self.reached.add_permits(1);
        take(&self.go_on).await;
    }
}

/// Takes a permit away; none are needed any more once they are closed.
async fn take(permits: &Semaphore) {
    if let Ok(permit) = permits.acquire().await {
        permit.forget();
    }
}

/// Passes a statement that changes rows, or a step of several.
pub(crate) async fn pass<T, E: From<sqlx::Error>>(
    statement: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if let Ok(halt) = HALT.try_with(Arc::clone) {
        return halt.pass(statement).await;
    }
    let Ok(fault) = FAULT.try_with(Arc::clone) else {
        return statement.await;
    };
    let number = 1 + fault.passed.fetch_add(1, Ordering::Relaxed);
    match fault.failure {
        Failure::Outage if number >= fault.at => Err(lost().into()),
        _ if number != fault.at => statement.await,
        Failure::LostAnswer => statement.await.and(Err(lost().into())),
        Failure::Death | Failure::Outage => {
            let _unseen = statement.await;
            fault.dead.notify_one();
            pending().await
        }
    }
}

fn lost() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
}
