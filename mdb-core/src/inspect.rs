//! Looking into shards: their tables, sizes and clocks, for tools that check a store.

use std::time::Duration;

use crate::engine::Table;
use crate::servers::Servers;
use crate::topology::ShardId;

/// How much a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableContent {
    table: String,
    rows: u64,
    bytes: Option<u64>,
}

impl TableContent {
    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Its rows, counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Its bytes with indexes, where the engine knows them.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }
}

/// The user's tables of a shard, as its server's catalogue describes them. MDB's own are left out.
///
/// # Errors
///
/// The server's error, or why no connection could be had; see [`cause_of`](crate::cause_of).
pub async fn tables(servers: &Servers, shard: ShardId) -> Result<Vec<Table>, sqlx::Error> {
    servers.pool(shard).tables().await
}

/// How much each of the user's tables of a shard holds. Counting takes as long as reading them.
///
/// # Errors
///
/// As [`tables`].
pub async fn sizes(servers: &Servers, shard: ShardId) -> Result<Vec<TableContent>, sqlx::Error> {
    let mut contents = Vec::new();
    for table in tables(servers, shard).await? {
        let size = servers.pool(shard).table_size(table.name()).await?;
        contents.push(TableContent {
            table: table.name,
            rows: size.rows,
            bytes: size.bytes,
        });
    }
    Ok(contents)
}

/// How far a server's clock is from this process' clock, and how long the question took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    ahead_ms: i64,
    round_trip: Duration,
}

impl ClockReading {
    /// By how many milliseconds the server's clock is ahead; negative when it is behind.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// How long question and answer took: the reading is no better than that.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }
}

/// Compares a shard's server's clock with this process' clock.
///
/// # Errors
///
/// As [`tables`].
pub async fn clock(servers: &Servers, shard: ShardId) -> Result<ClockReading, sqlx::Error> {
    let pool = servers.pool(shard);
    // Once before, so that opening the connection does not count.
    pool.clock().await?;
    let now = || {
        i64::try_from(
            std::time::UNIX_EPOCH
                .elapsed()
                .unwrap_or_default()
                .as_millis(),
        )
        .unwrap_or(i64::MAX)
    };
    let (started, before) = (std::time::Instant::now(), now());
    let theirs = pool.clock().await?;
    let (round_trip, after) = (started.elapsed(), now());
    Ok(ClockReading {
        ahead_ms: theirs - i64::midpoint(before, after),
        round_trip,
    })
}
