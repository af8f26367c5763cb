//! An aggregate function for SQLite, which has no hash function: it counts rows and sums up the hashes
//! of their canonical forms where they are read, so that no row leaves SQLite.
//!
//! **Canonical form**: for each column, one byte for the type and then the value: eight big-endian bytes
//! of an integer or of a float's bits; the length in eight bytes and the bytes of a text or blob. The
//! row's hash is XXH3-128 of that.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use sqlx::sqlite::SqliteConnection;
use xxhash_rust::xxh3::Xxh3;

use super::handle::with_handle;
use crate::engine::relocating::TableSum;

/// The function's name in SQL. It takes a row's columns, and returns what [`decode`] reads.
pub(super) const SUM_ROWS: &str = "mdb_sum_rows";

/// How many columns it can take: how many arguments SQLite lets a function have, unless it is built
/// otherwise.
pub(super) const MOST_COLUMNS: usize = 127;

/// Makes the function known to the connection, if it is not yet.
///
/// Every other connection goes without: what is stored in the database must not name it.
pub(super) async fn register(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    with_handle(connection, |handle| {
        // Defining it again would have every prepared statement compiled again.
        if handle.prepare(&format!("SELECT {SUM_ROWS}()")).is_ok() {
            return Ok(());
        }
        let flags = FunctionFlags::SQLITE_UTF8
            | FunctionFlags::SQLITE_DETERMINISTIC
            | FunctionFlags::SQLITE_DIRECTONLY;
        handle.create_aggregate_function(SUM_ROWS, -1, flags, SumRows)
    })
    .await
}

/// What the function returned.
pub(super) fn decode(bytes: &[u8]) -> Option<TableSum> {
    let (rows, sum) = bytes.split_first_chunk()?;
    Some(TableSum {
        rows: u64::from_be_bytes(*rows),
        sum: u128::from_be_bytes(sum.try_into().ok()?),
    })
}

struct SumRows;

/// What has been summed up so far.
struct Running {
    rows: u64,
    sum: u128,
    hash: RowHash,
}

impl Aggregate<Running, Vec<u8>> for SumRows {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Running> {
        Ok(Running {
            rows: 0,
            sum: 0,
            hash: RowHash::new(),
        })
    }

    fn step(&self, row: &mut Context<'_>, running: &mut Running) -> rusqlite::Result<()> {
        for place in 0..row.len() {
            match row.get_raw(place) {
                ValueRef::Null => running.hash.null(),
                ValueRef::Integer(number) => running.hash.integer(number),
                ValueRef::Real(number) => running.hash.real(number),
                ValueRef::Text(bytes) => running.hash.text(bytes),
                ValueRef::Blob(bytes) => running.hash.blob(bytes),
            }
        }
        running.rows += 1;
        running.sum = running.sum.wrapping_add(running.hash.finish());
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, running: Option<Running>) -> rusqlite::Result<Vec<u8>> {
        let (rows, sum) = running.map_or((0, 0), |running| (running.rows, running.sum));
        Ok([&rows.to_be_bytes()[..], &sum.to_be_bytes()[..]].concat())
    }
}

/// The hash of one row after another, fed column by column.
pub(super) struct RowHash(Xxh3);

impl RowHash {
    pub(super) fn new() -> Self {
        Self(Xxh3::new())
    }

    pub(super) fn null(&mut self) {
        self.0.update(&[0]);
    }

    pub(super) fn integer(&mut self, number: i64) {
        self.0.update(&[1]);
        self.0.update(&number.to_be_bytes());
    }

    pub(super) fn real(&mut self, number: f64) {
        self.0.update(&[2]);
        self.0.update(&number.to_bits().to_be_bytes());
    }

    pub(super) fn text(&mut self, bytes: &[u8]) {
        self.bytes(3, bytes);
    }

    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.bytes(4, bytes);
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update(&[kind]);
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// The hash of the row, after which another one begins.
    pub(super) fn finish(&mut self) -> u128 {
        let hash = self.0.digest128();
        self.0.reset();
        hash
    }
}
