//! Servers that all tests of one process share.

use std::ops::Deref;

use tokio::sync::OnceCell;

use super::{Durability, Kind, KitError, Server};

/// How many shared servers of each engine a process can have.
pub const SHARED_SERVERS: usize = 4;

/// A server that lives until the process ends, lent to one test.
///
/// When a test panics while it holds this, the server's directory is kept as evidence.
#[derive(Debug)]
pub struct SharedServer(&'static Server);

impl Deref for SharedServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.0
    }
}

impl Drop for SharedServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.keep_evidence();
        }
    }
}

/// The shared server number `index` of the engine, with [`Durability::Fast`]; the first call starts it.
///
/// # Errors
///
/// Those of [`Server::start`]. A later call tries again.
///
/// # Panics
///
/// When `index` is not below [`SHARED_SERVERS`].
///
/// # Cancel safety
///
/// Cancel safe: a start that is cancelled leaves nothing, and the next call starts afresh.
pub async fn shared(kind: Kind, index: usize) -> Result<SharedServer, KitError> {
    type Servers = [OnceCell<Server>; SHARED_SERVERS];
    static POSTGRES: Servers = [const { OnceCell::const_new() }; SHARED_SERVERS];
    static MARIADB: Servers = [const { OnceCell::const_new() }; SHARED_SERVERS];
    let servers = match kind {
        Kind::Postgres => &POSTGRES,
        Kind::MariaDb => &MARIADB,
    };
    let start = || Server::start(kind, Durability::Fast);
    Ok(SharedServer(servers[index].get_or_try_init(start).await?))
}

/// [`shared`] for `PostgreSQL`.
///
/// # Errors
///
/// Those of [`Server::start`].
///
/// # Panics
///
/// When `index` is not below [`SHARED_SERVERS`].
///
/// # Cancel safety
///
/// As [`shared`].
pub async fn shared_postgres(index: usize) -> Result<SharedServer, KitError> {
    shared(Kind::Postgres, index).await
}

/// [`shared`] for `MariaDB`.
///
/// # Errors
///
/// Those of [`Server::start`].
///
/// # Panics
///
/// When `index` is not below [`SHARED_SERVERS`].
///
/// # Cancel safety
///
/// As [`shared`].
pub async fn shared_mariadb(index: usize) -> Result<SharedServer, KitError> {
    shared(Kind::MariaDb, index).await
}
