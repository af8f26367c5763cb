//! MDB: a range-partitioned briefcase router for SQLite, PostgreSQL and MySQL/MariaDB.
//!
//! Named *areas* hold data. A partitioned area has ranges of 96-bit ids ([`Gdid`]); each range has
//! a fixed list of *shards*, databases on servers. All rows that carry one id, over all tables, are
//! one *briefcase* and live on one shard, so that joins and transactions inside it are ordinary
//! SQL. The CENTRAL area finds ids by strings, such as e-mail addresses.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mdb_core::Mdb;
//! use sqlx::Postgres;
//!
//! let mdb = Mdb::open("mdb.toml").await?;
//! let users = mdb.area::<Postgres>("user")?; // the engine is checked here, once
//! let id = mdb.sequence("user").next().await?; // from memory nearly always
//! mdb.central().index("user_email").insert("ann@example.org", id).await?;
//!
//! let ann = users.briefcase(id)?; // pure routing: no I/O
//! ann.transact(async |tx| {
//!     sqlx::query("INSERT INTO account (g_user, name) VALUES ($1, 'Ann')").bind(id).execute(&tx).await?;
//!     Ok(())
//! })
//! .await?;
//!
//! let found = mdb.central().index("user_email").get("ann@example.org").await?;
//! assert_eq!(found, Some(id));
//! # Ok(())
//! # }
//! ```
//!
//! Modules depend in one direction only: [`config`] ← [`topology`] ← [`routing`] ← servers ←
//! [`catalog`] ← areas and CENTRAL ← [`Mdb`]. The first three do no I/O (but
//! [`config::loader`]), read no clock and are not async.

mod area;
mod briefcase;
pub mod catalog;
pub mod central;
pub mod config;
mod engine;
pub mod error;
#[cfg(feature = "failpoints")]
pub mod failpoint;
mod guard;
pub mod inspect;
pub mod relocate;
pub mod routing;
mod scatter;
mod sequence;
mod servers;
mod store;
pub mod topology;

pub use area::Area;
pub use briefcase::{Briefcase, ReadBriefcase, TransactError};
pub use central::{Central, Index, IndexError};
pub use engine::{Column, Engine, Isolation, Table, TransactionOptions};
pub use mdb_gdid::Gdid;
pub use scatter::{
    Scatter, ScatterError, ScatterOptions, ScatterReport, SettleError, ShardError, ShardHandle,
    ShardInfo, WatchError, WatchedReport,
};
pub use sequence::{SequenceError, StoreSequence};
pub use servers::{
    AcquireError, Identity, IdentityError, InitError, InitLost, InitOutcome, InitReport,
    PoolStatus, Servers, Transaction, TransactionError, cause_of, is_authority_unreachable,
    is_transient, is_unreachable,
};
pub use store::{AreaError, Mdb, OpenError};
