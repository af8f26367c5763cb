//! A connection on loan, which knows whether it may be used again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use deadpool::managed::Object;
use sqlx::Connection as _;
use tokio::sync::OwnedSemaphorePermit;

use super::error::{loses_connection, out_of_time};
use super::manager::{Manager, Pooled, Source};
use crate::engine::{Access, Engine, ErrorClass, ServerSession, Session, Target};

/// How often ending a session on its server is tried.
const END_ATTEMPTS: u32 = 3;

/// A connection on loan from its pool.
///
/// Dropping it gives it back if its last operation was finished, and discards it otherwise: a
/// dropped future, a time-out or a lost connection leaves it in a state that nobody knows.
pub(crate) struct Lease<DB: Engine> {
    object: Option<Object<Manager<DB>>>,
    permits: Option<Permits>,
    source: Arc<Source>,
    state: State,
    afterwards: Afterwards,
}

/// What becomes of a sound connection when the loan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    Reuse,
    Close,
}

/// What is given back when the loan ends.
pub(crate) struct Permits {
    pub(crate) _server: OwnedSemaphorePermit,
    pub(crate) _writer: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Dead,
}

impl<DB: Engine> Lease<DB> {
    pub(crate) fn new(object: Object<Manager<DB>>, permits: Permits, source: Arc<Source>) -> Self {
        Self {
            object: Some(object),
            permits: Some(permits),
            source,
            state: State::Ready,
            afterwards: Afterwards::Reuse,
        }
    }

    /// Has the connection closed when the loan ends, because its session is not as it was.
    pub(crate) fn retire(&mut self) {
        self.afterwards = Afterwards::Close;
    }

    fn pooled(&mut self) -> &mut Pooled<DB> {
        self.object
            .as_mut()
            .expect("only a dropped lease has no connection")
    }

    /// Whether the connection was used before.
    pub(crate) fn is_reused(&mut self) -> bool {
        self.pooled().reuses > 0
    }

    /// The least epoch that the shard asked for when the connection was opened. Work that was decided
    /// upon under an older one must not go over it: what it is about may have been moved and purged.
    pub(crate) fn least_epoch(&mut self) -> u64 {
        self.pooled().least_epoch
    }

    /// The limit of one statement on this server.
    pub(crate) fn statement_limit(&self) -> Timed {
        Timed::by_server::<DB>(self.source.limits.statement_timeout())
    }

    /// The connection, for one operation that [`finish`](Self::finish) has to end.
    pub(crate) fn start(&mut self) -> &mut DB::Connection {
        self.state = State::Running;
        &mut self.pooled().connection
    }

    /// Ends the operation: after an answer of the server, also an error, the connection is sound.
    pub(crate) fn finish<T>(&mut self, result: &Result<T, sqlx::Error>) {
        self.state = match result {
            Err(error) if super::cause_of::<super::TransactionError>(error).is_some() => {
                State::Running
            }
            Err(error) if loses_connection::<DB>(error) => {
                self.source.distrust_connections();
                State::Dead
            }
            Err(error) if DB::error_class(error) == ErrorClass::StalePlan => {
                let known = self.pooled().alterations;
                self.source.found_altered(known);
                State::Ready
            }
            Ok(_) | Err(_) => State::Ready,
        };
    }

    /// Runs one operation with a time limit.
    pub(crate) async fn run<T>(
        &mut self,
        limit: Timed,
        operation: impl AsyncFnOnce(&mut DB::Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let result = limit.of(operation(self.start())).await;
        self.finish(&result);
        result
    }
}

impl<DB: Engine> Drop for Lease<DB> {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else {
            return;
        };
        match self.state {
            State::Ready if self.afterwards == Afterwards::Reuse => {
                object.idle_since = Instant::now();
            }
            State::Ready | State::Dead => drop(Object::take(object)),
            State::Running => {
                discard(
                    Object::take(object),
                    self.permits.take(),
                    Arc::clone(&self.source),
                );
            }
        }
    }
}

/// Ends the work of a connection that nobody waits for any more, so that its locks go with it.
fn discard<DB: Engine>(pooled: Pooled<DB>, permits: Option<Permits>, source: Arc<Source>) {
    if let Session::Embedded(stop) = &pooled.session {
        stop.store(true, Ordering::Relaxed);
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let session = match &pooled.session {
        Session::Server(session) => session.clone(),
        Session::Embedded(_) => {
            runtime.spawn(async move {
                // When the worker has come to the end of what it does, it does nothing later.
                if let Err(error) = pooled.connection.into_inner().close().await {
                    tracing::debug!(error = %error, "an abandoned connection did not end in order");
                }
                drop(permits);
            });
            return;
        }
    };
    runtime.spawn(async move {
        for attempt in 1..=END_ATTEMPTS {
            // The old connection is kept open until then, so that the server can't have given its
            // number to another session.
            if end_session::<DB>(&source, &session).await || attempt == END_ATTEMPTS {
                break;
            }
            tokio::time::sleep(source.limits.connect_timeout().mul_f64(fastrand::f64())).await;
        }
        // Without a word: a server that could not be told to end the session learns by that alone, and at once, that nobody
        // waits for what it still has to do.
        drop(pooled.connection.into_inner());
        drop(permits);
    });
}

async fn end_session<DB: Engine>(source: &Source, session: &ServerSession) -> bool {
    let _one_at_a_time = source.budget.ending().await;
    let Ok((mut connection, _)) = source
        .connect::<DB>(Target::Database(&source.database), Access::ReadWrite)
        .await
    else {
        return false;
    };
    let ended = tokio::time::timeout(
        source.limits.connect_timeout(),
        DB::end_session(&mut connection, session),
    )
    .await;
    if let Ok(Err(error)) = &ended {
        tracing::warn!(server = %source.server, session = session.number, error = %error, "could not end an abandoned session");
    }
    matches!(ended, Ok(Ok(())))
}

/// A limit on an operation's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    /// What the user asked for, and is told about.
    limit: Duration,
    /// When it is really over here: the server, which knows better, gets a little longer.
    here: Duration,
}

impl Timed {
    /// A limit that the server keeps as well.
    pub(crate) fn by_server<DB: Engine>(limit: Duration) -> Self {
        let grace = match DB::LANES {
            crate::engine::Lanes::WriterAndReaders => Duration::ZERO,
            crate::engine::Lanes::One => Duration::from_millis(250),
        };
        Self {
            limit,
            here: limit + grace,
        }
    }

    /// A limit that is kept here only.
    pub(crate) const fn here(limit: Duration) -> Self {
        Self { limit, here: limit }
    }

    /// The same, cut to what is left until `deadline`, which was `limit` after its beginning.
    pub(crate) fn until(self, deadline: Instant, limit: Duration) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < self.here {
            Self { limit, here: left }
        } else {
            self
        }
    }

    pub(crate) async fn of<T>(
        self,
        operation: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match tokio::time::timeout(self.here, operation).await {
            Ok(result) => result,
            Err(_) => Err(out_of_time(self.limit)),
        }
    }
}
