//! Checksums of rows, computed by the servers; and the rows that differ.
//!
//! The canonical form of a row is the text of all its copied columns as one `ROW`, in which NULL and
//! the empty text differ, written under settings that the session can't change. Bytes stand in it by
//! their own hash: in hexadecimal digits they would take more than twice their size. A row's hash is the
//! MD5 of that. The two halves of the hashes are summed apart, as signed numbers.

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, Postgres, Row};

use super::copy::condition;
use super::{Briefcases, LOCK_LIMIT, list, quoted, rollback, run, settings};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MoveId, MovedTable, Pair, Span, TableSum};

/// What the text of a value depends on.
const TEXT: &str = "SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = hex; \
    SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres; SET LOCAL timezone = 'UTC'; \
    SET LOCAL lc_monetary = 'C'; SET LOCAL xmlbinary = base64; SET LOCAL quote_all_identifiers = off; ";

/// The hash of a row, as text.
fn hash(table: &MovedTable, alias: &str) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let name = format!("{alias}.{}", Postgres::quote(&column.name));
            if column.data_type == "bytea" {
                format!("md5({name})")
            } else {
                name
            }
        })
        .collect();
    format!("md5(ROW({})::text)", columns.join(", "))
}

fn begin(briefcases: &Briefcases) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}{TEXT}{}",
        settings(LOCK_LIMIT),
        briefcases.settings
    )
}

pub(super) async fn sums(
    connection: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
    span: Span,
) -> Result<Vec<TableSum>, sqlx::Error> {
    let briefcases = Briefcases::within(connection, id, span).await?;
    let queries: Vec<String> = manifest
        .tables()
        .iter()
        .map(|table| {
            // OFFSET keeps the planner from computing each hash once for each half.
            format!(
                "SELECT {}::bigint AS number, count(*) AS rows, coalesce(sum(high), 0)::text AS high, coalesce(sum(low), 0)::text AS low \
                 FROM (SELECT ('x' || substr(hash, 1, 16))::bit(64)::bigint AS high, ('x' || substr(hash, 17, 16))::bit(64)::bigint AS low \
                 FROM (SELECT {} AS hash FROM {} AS t WHERE {} OFFSET 0) AS hashed) AS halves",
                table.number,
                hash(table, "t"),
                quoted(table),
                condition(manifest, table, &briefcases)
            )
        })
        .collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "{}{} ORDER BY number; COMMIT",
        begin(&briefcases),
        queries.join(" UNION ALL ")
    );
    match run(connection, &sql).await {
        Ok(rows) => rows[rows.len().saturating_sub(queries.len())..]
            .iter()
            .map(sum)
            .collect(),
        Err(error) => {
            rollback(connection).await?;
            Err(error)
        }
    }
}

fn sum(row: &PgRow) -> Result<TableSum, sqlx::Error> {
    let half = |name| {
        let text: String = row.try_get(name)?;
        text.parse::<i128>()
            .map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let sum = half("high")?.wrapping_shl(64).wrapping_add(half("low")?);
    Ok(TableSum {
        rows: row.try_get::<i64, _>("rows")?.unsigned_abs(),
        sum: sum.cast_unsigned(),
    })
}

/// Compares the keys and hashes of both sides in one order, row by row.
pub(super) async fn differences(
    pair: &mut Pair<Postgres>,
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    limit: u32,
) -> Result<Vec<String>, sqlx::Error> {
    let key = match table.primary_key.as_slice() {
        [_] => format!("{}::text", super::keys(table, "t")),
        _ => format!(
            "ROW({})::text",
            list(table.key_columns().map(|column| column.name.as_str()), "t")
        ),
    };
    let briefcases = Briefcases::of(&mut pair.source, id).await?;
    let query = format!(
        "SELECT {key} COLLATE \"C\" AS key, {} AS hash FROM {} AS t WHERE {} ORDER BY key",
        hash(table, "t"),
        quoted(table),
        condition(manifest, table, &briefcases)
    );
    let begin = begin(&briefcases);
    let compared = async {
        run(&mut pair.source, &begin).await?;
        run(&mut pair.target, &begin).await?;
        let source = pair.source.fetch(query.as_str());
        let target = pair.target.fetch(query.as_str());
        compare(source, target, limit as usize).await
    };
    let result = compared.await;
    let (source, target) = tokio::join!(rollback(&mut pair.source), rollback(&mut pair.target));
    source.and(target).and(result)
}

/// The next key and hash.
async fn next(
    rows: &mut BoxStream<'_, Result<PgRow, sqlx::Error>>,
) -> Result<Option<(String, String)>, sqlx::Error> {
    let Some(row) = rows.try_next().await? else {
        return Ok(None);
    };
    Ok(Some((row.try_get("key")?, row.try_get("hash")?)))
}

async fn compare(
    mut source: BoxStream<'_, Result<PgRow, sqlx::Error>>,
    mut target: BoxStream<'_, Result<PgRow, sqlx::Error>>,
    limit: usize,
) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::new();
    let (mut here, mut there) = (next(&mut source).await?, next(&mut target).await?);
    while found.len() < limit {
        match (here.take(), there.take()) {
            (None, None) => break,
            (Some(a), Some(b)) if a.0 == b.0 => {
                if a.1 != b.1 {
                    found.push(a.0);
                }
                here = next(&mut source).await?;
                there = next(&mut target).await?;
            }
            (Some(a), b) if b.as_ref().is_none_or(|b| a.0 < b.0) => {
                found.push(a.0);
                here = next(&mut source).await?;
                there = b;
            }
            (a, b) => {
                found.extend(b.map(|b| b.0));
                here = a;
                there = next(&mut target).await?;
            }
        }
    }
    Ok(found)
}
