//! Checksums that the servers compute, and the rows that differ.

use std::cmp::Ordering;

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Executor, MySql, Row};

use super::values::{key_text, row_hash};
use super::{ids, rows_of, run};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, Pair, Span, TableSum};

/// A limit that limits nothing, but has the server compute each row's hash once and keep it; otherwise
/// it computes it anew for each half.
const ALL: u64 = u64::MAX;

/// All tables in one statement, which sees one state of them.
pub(super) async fn sums(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    span: Span,
) -> Result<Vec<TableSum>, sqlx::Error> {
    let lanes = [1, 17].map(|place| {
        format!(
            "CAST(COALESCE(SUM(CAST(CONV(SUBSTRING(h, {place}, 16), 16, 10) AS UNSIGNED)), 0) AS CHAR)"
        )
    });
    let [first, last] = span.digits();
    let ids = format!("{} AND gdid BETWEEN x'{first}' AND x'{last}'", ids(id));
    let queries: Vec<String> = manifest
        .tables()
        .iter()
        .map(|table| {
            format!(
                "SELECT {} AS number, CAST(COUNT(*) AS CHAR), {} FROM (SELECT {} AS h {} LIMIT {ALL}) x",
                table.number,
                lanes.join(", "),
                row_hash(&table.columns, "t"),
                rows_of(manifest, table, "t", &ids),
            )
        })
        .collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let query = format!("{} ORDER BY number", queries.join(" UNION ALL "));
    let rows = run(connection, &query).await?;
    rows.iter()
        .map(|row| {
            let rows = number(row, 1)?;
            Ok(TableSum {
                rows: u64::try_from(rows).map_err(|error| sqlx::Error::Decode(error.into()))?,
                // The upper halves' carry is cut off, as that of the whole would be.
                sum: (number(row, 2)? << 64).wrapping_add(number(row, 3)?),
            })
        })
        .collect()
}

fn number(row: &MySqlRow, place: usize) -> Result<u128, sqlx::Error> {
    let digits: &[u8] = row.try_get_unchecked(place)?;
    std::str::from_utf8(digits)
        .map_err(|error| sqlx::Error::Decode(error.into()))?
        .parse()
        .map_err(|error: std::num::ParseIntError| sqlx::Error::Decode(error.into()))
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
        "SELECT {} AS row_key, CAST({} AS BINARY) AS hash {} ORDER BY row_key",
        key_text(table.key_columns(), "t"),
        row_hash(&table.columns, "t"),
        rows_of(manifest, table, "t", &ids(id)),
    );
    let mut here = Hashes(pair.source.fetch(query.as_str()));
    let mut there = Hashes(pair.target.fetch(query.as_str()));
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
struct Hashes<'c>(BoxStream<'c, Result<MySqlRow, sqlx::Error>>);

impl Hashes<'_> {
    async fn next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, sqlx::Error> {
        let Some(row) = self.0.next().await.transpose()? else {
            return Ok(None);
        };
        Ok(Some((row.try_get_unchecked(0)?, row.try_get_unchecked(1)?)))
    }
}
