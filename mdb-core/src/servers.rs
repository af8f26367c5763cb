//! Connections to shards: pools, budgets, identity stamps and transactions.
//!
//! Each (server, database) has one [`ShardPool`], opened lazily. All databases of a server share
//! its connection budget. A connection is checked against the database's identity stamp when it is
//! opened, so that a swapped host in a configuration can't write into the wrong place.
//!
//! Vocabulary:
//!
//! - **budget**: how many connections of one server may be handed out at once, over all its databases.
//! - **lane**: which connections of a database serve a statement. SQLite has one writer and several
//!   readers; the others have one lane.
//! - **discard**: close a connection instead of reusing it, after ending its session on the server.
//!
//! # What happens to a connection
//!
//! | it was | then |
//! |---|---|
//! | used, and the statement ended (also with the server's own error) | it is reused |
//! | dropped while a statement ran, or timed out | its session is ended through a second connection, then it is closed |
//! | in a transaction that is dropped | it is rolled back in the background, then reused; closed if that fails |
//! | refused a statement that it had prepared before a table was altered | it is closed, and so are the database's idle ones from before |
//! | found dead | it is closed, and so are the idle ones that are older than the discovery |

pub(crate) mod again;
mod any;
mod budget;
mod connection;
mod error;
mod identity;
mod in_use;
mod init;
mod manager;
mod pool;
mod replica;
mod server;
mod single;
mod transaction;

pub(crate) use any::AnyPool;
pub(crate) use connection::Lease;
pub use error::{AcquireError, cause_of, is_authority_unreachable, is_transient, is_unreachable};
pub(crate) use error::{is_outcome_unknown, may_pass};
pub use identity::{Identity, IdentityError};
pub(crate) use in_use::{in_use, in_use_beside, is_unused, refuse_if_in_use};
pub(crate) use init::init_shard;
pub use init::{InitError, InitLost, InitOutcome, InitReport};
pub use pool::PoolStatus;
pub(crate) use pool::{Lane, ShardPool};
pub(crate) use replica::Replica;
pub use server::Servers;
pub(crate) use server::WeakServers;
pub(crate) use single::{
    Statement, executor_on_pool, fetch_many, fetch_optional, many_on, optional_on,
};
pub(crate) use transaction::{CommitError, Companion};
pub use transaction::{Transaction, TransactionError};
