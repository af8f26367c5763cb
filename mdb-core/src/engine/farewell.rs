//! Taking leave of servers. One that has to find out by itself that nobody is there any more notes a fault: MySQL and
//! MariaDB write a warning for each such connection, and count it among those that were aborted.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Engine, Lanes};

/// How long one may take. A server that does not listen finds out by itself.
const LIMIT: Duration = Duration::from_secs(1);

/// More than there are connections.
const MOST: u32 = 1 << 20;

/// The farewells that are under way.
#[derive(Clone)]
pub(crate) struct Farewells(Arc<Semaphore>);

impl Farewells {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST as usize)))
    }

    /// Waits until there are none, though not for longer than one may take.
    pub(crate) async fn all(&self) {
        let _ = tokio::time::timeout(LIMIT, self.0.acquire_many(MOST)).await;
    }

    fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// An open connection, which takes leave of its server when it is dropped.
///
/// A file has nobody to take leave of.
pub(crate) struct Connected<DB: Engine> {
    /// There until it is dropped.
    connection: Option<DB::Connection>,
    farewells: Farewells,
}

impl<DB: Engine> Connected<DB> {
    pub(crate) fn new(connection: DB::Connection, farewells: &Farewells) -> Self {
        Self {
            connection: Some(connection),
            farewells: farewells.clone(),
        }
    }

    /// A connection whose farewell nobody waits for.
    #[cfg(test)]
    pub(crate) fn alone(connection: DB::Connection) -> Self {
        Self::new(connection, &Farewells::new())
    }

    /// The connection, to be closed by the caller.
    pub(crate) fn into_inner(mut self) -> DB::Connection {
        let connection = self.connection.take();
        connection.expect("it is there until it is dropped")
    }
}

impl<DB: Engine> Deref for Connected<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        let connection = self.connection.as_ref();
        connection.expect("it is there until it is dropped")
    }
}

impl<DB: Engine> DerefMut for Connected<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        let connection = self.connection.as_mut();
        connection.expect("it is there until it is dropped")
    }
}

impl<DB: Engine> Drop for Connected<DB> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        // What was given up before it was sent must not be sent now.
        if DB::LANES == Lanes::WriterAndReaders || connection.should_flush() {
            return;
        }
        let under_way = self.farewells.begin();
        runtime.spawn(async move {
            let _ = tokio::time::timeout(LIMIT, connection.close()).await;
            drop(under_way);
        });
    }
}
