//! The server kit: `PostgreSQL` and `MariaDB` instances that belong to one test process.
//!
//! - A [`Server`] is one instance on a free loopback port, in a directory of its own. It can be stalled, resumed,
//!   killed and restarted, as a failing machine would do it.
//! - A *template* is an initialised data directory. It is made once per machine and copied for each server, so that a
//!   start takes a fraction of a second. Several processes may want the same template at once; one makes it, the
//!   others wait.
//! - A *shared server* ([`shared_postgres`], [`shared_mariadb`]) is started once per process and lives until the
//!   process ends. `cargo test` runs the tests of one file in one process, so they share it. Tests stay apart by
//!   databases of their own ([`Server::create_database`], [`unique`]). A test that stalls or kills starts its own
//!   server instead.
//! - *Evidence*: when a test panics, the directories of the servers it used (data and log) are kept and named on
//!   standard error. Otherwise nothing is left: servers and directories go with the process, however it ends.
//!
//! Linux only: signals, `/proc` and `setpriv` are used. Run as root, the servers run as the users `postgres` and
//! `mysql`, since both refuse to run as root; run as anyone else, they run as that user.
//!
//! ```no_run
//! use mdb_tests::kit::{Durability, Kind, Server};
//!
//! # async fn example() -> Result<(), mdb_tests::kit::KitError> {
//! let server = Server::start(Kind::Postgres, Durability::Fast).await?;
//! let database = server.create_database("orders").await?;
//! println!("{}", server.url(&database));
//! server.kill().await;
//! server.restart().await?;
//! # Ok(())
//! # }
//! ```

mod engine;
mod error;
mod network;
mod process;
mod programs;
mod server;
mod shared;
mod template;
mod waiting;
mod workspace;

pub use engine::{Durability, Kind};
pub use error::KitError;
pub use network::{BlackHole, free_port};
pub use server::{PASSWORD, PLAIN_ROLE, Server, USER};
pub use shared::{SHARED_SERVERS, SharedServer, shared, shared_mariadb, shared_postgres};
pub use waiting::wait_for;
pub use workspace::temp_dir;

use std::sync::atomic::{AtomicU64, Ordering};

/// A name that no other call in this or another running process returns: `prefix`, the process id and a counter.
///
/// The name is a valid identifier without quotes in all engines when `prefix` is lower-case letters, digits and
/// underscores, starting with a letter.
///
/// # Panics
///
/// When `prefix` is longer than 32 bytes, since `PostgreSQL` would cut the name to 63.
///
/// ```
/// use mdb_tests::kit::unique;
///
/// assert_ne!(unique("users"), unique("users"));
/// ```
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    assert!(
        prefix.len() <= 32,
        "the prefix {prefix:?} is longer than 32 bytes"
    );
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{number}", std::process::id())
}
