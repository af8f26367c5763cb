//! Checksums that the servers compute, and the rows that differ.

use std::cmp::Ordering;
use std::fmt::Write;

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Executor, MySql, Row};

use super::values::{key_text, row_hash};
use super::{from_keys, ids, rows_of, run};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, Pair, Span, TableSum};

/// A limit that limits nothing, but has the server compute each row's hash once and keep it; otherwise
/// it computes it anew for each half.
const ALL: u64 = u64::MAX;

/// All tables and spans in one statement, which sees one state of them.
pub(super) async fn sums(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    spans: &[Span],
) -> Result<Vec<Vec<TableSum>>, sqlx::Error> {
    let nothing = TableSum { rows: 0, sum: 0 };
    let mut sums = vec![vec![nothing; manifest.tables().len()]; spans.len()];
    let tables = manifest.tables().iter();
    let queries: Vec<String> = tables
        .flat_map(|table| queries(manifest, table, id, spans))
        .collect();
    if queries.is_empty() {
        return Ok(sums);
    }
    for row in run(connection, &queries.join(" UNION ALL ")).await? {
        let place = |column| usize::try_from(number(&row, column)?).map_err(decode);
        sums[place(1)?][place(0)?] = TableSum {
            rows: u64::try_from(number(&row, 2)?).map_err(decode)?,
            // The upper halves' carry is cut off, as that of the whole would be.
            sum: (number(&row, 3)? << 64).wrapping_add(number(&row, 4)?),
        };
    }
    Ok(sums)
}

/// What sums one table up.
pub(super) fn queries(
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    spans: &[Span],
) -> Vec<String> {
    let lanes = [1, 17].map(|place| {
        format!(
            "CAST(COALESCE(SUM(CAST(CONV(SUBSTRING(h, {place}, 16), 16, 10) AS UNSIGNED)), 0) AS CHAR)"
        )
    });
    let sum = |span: &str, columns: &str, rows: &str, group: &str| {
        format!(
            "SELECT {}, {span}, COUNT(*), {} FROM (SELECT {columns}{} AS h {rows} LIMIT {ALL}) x{group}",
            table.number,
            lanes.join(", "),
            row_hash(&table.columns, "t"),
        )
    };
    let ids = ids(id);
    let within = spans.iter().map(|span| {
        let [first, last] = span.digits();
        format!("gdid BETWEEN x'{first}' AND x'{last}'")
    });
    let within: Vec<String> = within.collect();
    if spans.len() > 1 {
        let mut numbered = "SELECT gdid, CASE".to_owned();
        for (number, within) in within.iter().enumerate() {
            let _ = write!(numbered, " WHEN {within} THEN {number}");
        }
        let keys = ids.replacen("SELECT gdid", &format!("{numbered} END AS span"), 1);
        let keys = format!("{keys} AND ({})", within.join(" OR "));
        if let Some(tables) = from_keys(manifest, table, "t", &keys) {
            let rows = format!("FROM {tables}");
            return vec![sum("span", "f.span, ", &rows, " GROUP BY span")];
        }
    }
    let spans = within.iter().enumerate();
    spans
        .map(|(number, within)| {
            let keys = format!("{ids} AND {within}");
            let rows = rows_of(manifest, table, "t", &keys);
            sum(&number.to_string(), "", &rows, "")
        })
        .collect()
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn number(row: &MySqlRow, place: usize) -> Result<u128, sqlx::Error> {
    // The protocol's rows are text.
    let digits: &[u8] = row.try_get_unchecked(place)?;
    std::str::from_utf8(digits)
        .map_err(decode)?
        .parse()
        .map_err(|error: std::num::ParseIntError| decode(error))
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
