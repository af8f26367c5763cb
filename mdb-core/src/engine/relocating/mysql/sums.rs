//! Counts and checksums, and the rows that differ.
//!
//! The servers send their rows, and the mover hashes them: MySQL and MariaDB have no function whose results can be
//! summed in 128 bits, and what they have takes longer than a row takes to travel.

use std::cmp::Ordering;

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Either, Executor, MySql, Row};
use xxhash_rust::xxh3::xxh3_128;

use super::values::{AS_STORED, key_text, sum_list};
use super::{from_keys, id_of, ids, rows_of, run};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, Pair, Span, SpanSums, TableSum};

/// Table by table. Each is read by itself: in a span in which nobody writes that makes no difference, and another one
/// is summed again.
pub(super) async fn sums(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    spans: &[Span],
) -> Result<Vec<Vec<TableSum>>, sqlx::Error> {
    let mut sums = SpanSums::new(manifest, spans);
    let tables = manifest.tables().iter();
    let queries: Vec<Summing> = tables
        .flat_map(|table| queries(manifest, table, id, spans))
        .collect();
    if queries.is_empty() {
        return Ok(sums.end());
    }
    let texts: Vec<&str> = queries.iter().map(|query| query.sql.as_str()).collect();
    let sql = format!("{AS_STORED}; {}", texts.join("; "));
    let mut steps = connection.fetch_many(sql.as_str());
    let mut hash = RowHash::default();
    let mut ended = 0;
    while let Some(step) = steps.next().await {
        let row = match step? {
            Either::Left(_) => {
                ended += 1;
                continue;
            }
            Either::Right(row) => row,
        };
        // The setting has ended before the first query began.
        let place = ended - 1;
        let Summing { table, span, .. } = queries[place];
        let (span, first) = match span {
            Some(span) => (span, 0),
            None => (sums.place_of(id_of(&row)?)?, 1),
        };
        sums.add(span, table, hash.of(&row, first)?)?;
    }
    Ok(sums.end())
}

/// A query for the rows of one table.
pub(super) struct Summing {
    pub(super) sql: String,
    table: usize,
    /// In which span they are; `None` if each row begins with its briefcase's id.
    span: Option<usize>,
}

pub(super) fn queries(
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    spans: &[Span],
) -> Vec<Summing> {
    let columns = sum_list(table.columns.iter(), "t");
    let ids = ids(id);
    let within = spans.iter().map(|span| {
        let [first, last] = span.digits();
        format!("gdid BETWEEN x'{first}' AND x'{last}'")
    });
    let within: Vec<String> = within.collect();
    if spans.len() > 1 {
        let keys = format!("{ids} AND ({})", within.join(" OR "));
        if let Some(tables) = from_keys(manifest, table, "t", &keys) {
            return vec![Summing {
                sql: format!("SELECT f.gdid, {columns} FROM {tables}"),
                table: table.number,
                span: None,
            }];
        }
    }
    let spans = within.iter().enumerate();
    spans
        .map(|(span, within)| {
            let keys = format!("{ids} AND {within}");
            let rows = rows_of(manifest, table, "t", &keys);
            Summing {
                sql: format!("SELECT {columns} {rows}"),
                table: table.number,
                span: Some(span),
            }
        })
        .collect()
}

/// The hashes of one row after another.
///
/// **Canonical form**: for each column a byte, 0 for NULL; otherwise 1, the length in eight big-endian bytes, and the bytes
/// of what [`sum_list`] reads. The row's hash is XXH3-128 of that.
#[derive(Default)]
struct RowHash {
    canonical: Vec<u8>,
}

impl RowHash {
    /// The hash of the columns from `first` on.
    fn of(&mut self, row: &MySqlRow, first: usize) -> Result<u128, sqlx::Error> {
        self.canonical.clear();
        for place in first..row.len() {
            match row.try_get_unchecked::<Option<&[u8]>, _>(place)? {
                None => self.canonical.push(0),
                Some(bytes) => {
                    self.canonical.push(1);
                    let length = bytes.len() as u64;
                    self.canonical.extend_from_slice(&length.to_be_bytes());
                    self.canonical.extend_from_slice(bytes);
                }
            }
        }
        Ok(xxh3_128(&self.canonical))
    }
}

/// Both sides in the order of their keys, side by side.
pub(super) async fn differences(
    pair: &mut Pair<MySql>,
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    limit: u32,
) -> Result<Vec<String>, sqlx::Error> {
    let query = format!(
        "SELECT {} AS row_key, {} {} ORDER BY row_key",
        key_text(table.key_columns(), "t"),
        sum_list(table.columns.iter(), "t"),
        rows_of(manifest, table, "t", &ids(id)),
    );
    run(&mut pair.source, AS_STORED).await?;
    run(&mut pair.target, AS_STORED).await?;
    let mut here = Hashes::of(&mut pair.source, &query);
    let mut there = Hashes::of(&mut pair.target, &query);
    let (mut one, mut other) = (here.next().await?, there.next().await?);
    let mut found = Vec::new();
    loop {
        let order = match (&one, &other) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let differing = match order {
            Ordering::Less => one.as_ref(),
            Ordering::Greater => other.as_ref(),
            Ordering::Equal => one.as_ref().filter(|_| one != other),
        };
        if let Some((key, _)) = differing
            && found.len() < limit as usize
        {
            found.push(String::from_utf8_lossy(key).into_owned());
        }
        if order.is_le() {
            one = here.next().await?;
        }
        if order.is_ge() {
            other = there.next().await?;
        }
    }
    Ok(found)
}

/// Keys and hashes of rows.
struct Hashes<'c> {
    rows: BoxStream<'c, Result<MySqlRow, sqlx::Error>>,
    hash: RowHash,
}

impl<'c> Hashes<'c> {
    /// Of the rows that a query gives, each with its key before the columns.
    fn of(connection: &'c mut MySqlConnection, query: &'c str) -> Self {
        Self {
            rows: connection.fetch(query),
            hash: RowHash::default(),
        }
    }

    async fn next(&mut self) -> Result<Option<(Vec<u8>, u128)>, sqlx::Error> {
        let Some(row) = self.rows.next().await.transpose()? else {
            return Ok(None);
        };
        Ok(Some((row.try_get_unchecked(0)?, self.hash.of(&row, 1)?)))
    }
}
