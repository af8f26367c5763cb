//! Checksums of rows, computed by the servers; and the rows that differ.
//!
//! The canonical form of a row is the text of all its copied columns as one `ROW`, in which NULL and
//! the empty text differ, written under settings that the session can't change. Bytes that are many stand in it by
//! their MD5, after an `m`: in hexadecimal digits they would take more than twice their size. A row's hash is two of
//! 64 bits, with the seeds 0 and 1, by the function that hash partitions are made with: it takes a third of
//! MD5's time, and no version may change it. The two are summed apart, as signed numbers.

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use mdb_gdid::Gdid;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, Postgres, Row};

use super::copy::{belongs, condition};
use super::{Briefcases, LOCK_LIMIT, joined, list, quoted, rollback, run, settings};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MoveId, MovedReach, MovedTable, Pair, Span, TableSum};

/// What the text of a value depends on.
const TEXT: &str = "SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = hex; \
    SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres; SET LOCAL timezone = 'UTC'; \
    SET LOCAL lc_monetary = 'C'; SET LOCAL xmlbinary = base64; SET LOCAL quote_all_identifiers = off; ";

/// So many bytes are written in digits sooner than their MD5 is computed.
const FEW_BYTES: u32 = 64;

/// The canonical form of a row.
fn canonical(table: &MovedTable, alias: &str) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let name = format!("{alias}.{}", Postgres::quote(&column.name));
            if column.data_type == "bytea" {
                format!(
                    "CASE WHEN octet_length({name}) <= {FEW_BYTES} THEN encode({name}, 'hex') ELSE 'm' || md5({name}) END"
                )
            } else {
                name
            }
        })
        .collect();
    format!("ROW({})::text COLLATE \"C\"", columns.join(", "))
}

fn begin(briefcases: &Briefcases) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}{TEXT}{}",
        settings(LOCK_LIMIT),
        briefcases.settings
    )
}

/// The sums of each span; spans ascend and have no id in common.
pub(super) async fn sums(
    connection: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
    spans: &[Span],
) -> Result<Vec<Vec<TableSum>>, sqlx::Error> {
    let mut tables = manifest.tables().iter();
    if tables.all(|table| from_key(manifest, table, "t").is_some()) {
        return sums_at_once(connection, manifest, id, spans).await;
    }
    let mut sums = Vec::with_capacity(spans.len());
    for span in spans {
        sums.extend(sums_at_once(connection, manifest, id, &[*span]).await?);
    }
    Ok(sums)
}

async fn sums_at_once(
    connection: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
    spans: &[Span],
) -> Result<Vec<Vec<TableSum>>, sqlx::Error> {
    let nothing = TableSum { rows: 0, sum: 0 };
    let mut sums = vec![vec![nothing; manifest.tables().len()]; spans.len()];
    let briefcases = Briefcases::within(connection, id, spans).await?;
    if manifest.tables().is_empty() {
        return Ok(sums);
    }
    let begin = begin(&briefcases);
    let rows = if let (Some(few), [_]) = (&briefcases.few, spans) {
        kept(connection, &begin, &kept_query(manifest), few).await
    } else {
        let query = union(manifest, &briefcases.comparison, spans);
        run(connection, &format!("{begin}{query}; COMMIT")).await
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => {
            rollback(connection).await?;
            return Err(error);
        }
    };
    for row in rows {
        let table = usize::try_from(row.try_get::<i64, _>("number")?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        let span = match row.try_get("briefcase")? {
            Some(id) => spans.iter().position(|span| span.contains(id)),
            None => Some(0),
        };
        let total = span
            .and_then(|span| sums.get_mut(span)?.get_mut(table))
            .ok_or_else(|| sqlx::Error::Protocol("a sum of no table".to_owned()))?;
        let sum = sum(&row)?;
        total.rows += sum.rows;
        total.sum = total.sum.wrapping_add(sum.sum);
    }
    Ok(sums)
}

/// Has the plan of a statement kept that a session keeps.
pub(super) const KEEP_PLAN: &str = "SET LOCAL plan_cache_mode = force_generic_plan";

/// What sums the briefcases that are its value.
pub(super) fn kept_query(manifest: &Manifest) -> String {
    union(manifest, "= ANY ($1)", &[Span::ALL])
}

/// For a few briefcases: a statement that the session keeps, with them as its value. Services wait for the sums of
/// these, and planning takes longer than summing.
async fn kept(
    connection: &mut PgConnection,
    begin: &str,
    query: &str,
    few: &[Gdid],
) -> Result<Vec<PgRow>, sqlx::Error> {
    run(connection, &format!("{begin}{KEEP_PLAN}")).await?;
    let rows = sqlx::query(query)
        .bind(few)
        .fetch_all(&mut *connection)
        .await?;
    run(connection, "COMMIT").await?;
    Ok(rows)
}

/// The sums of all tables, of briefcases whose key compares so.
pub(super) fn union(manifest: &Manifest, comparison: &str, spans: &[Span]) -> String {
    let tables = manifest.tables().iter();
    let queries: Vec<String> = tables
        .map(|table| query(manifest, table, comparison, spans))
        .collect();
    queries.join(" UNION ALL ")
}

/// The sums of one table: a row for each briefcase that has rows, or one for all when they are not to be told apart.
fn query(manifest: &Manifest, table: &MovedTable, comparison: &str, spans: &[Span]) -> String {
    let mut briefcase = "NULL::bytea".to_owned();
    let (rows, condition) = match from_key(manifest, table, "t") {
        Some((rows, key)) => {
            if spans.len() > 1 {
                briefcase.clone_from(&key);
            }
            (rows, format!("{key} {comparison}"))
        }
        None => (
            format!("{} AS t", quoted(table)),
            belongs(manifest, table, "t", comparison),
        ),
    };
    // OFFSET keeps the planner from computing each row's text once for each seed.
    format!(
        "SELECT {}::bigint AS number, briefcase, count(*) AS rows, \
         sum(hashtextextended(canonical, 0))::text AS high, sum(hashtextextended(canonical, 1))::text AS low \
         FROM (SELECT {briefcase} AS briefcase, {} AS canonical FROM {rows} WHERE {condition} OFFSET 0) AS r \
         GROUP BY briefcase",
        table.number,
        canonical(table, "t"),
    )
}

/// The rows `alias` of a table, joined to those above them, and the key of their briefcase; if no row
/// can be found twice on that way.
fn from_key(manifest: &Manifest, table: &MovedTable, alias: &str) -> Option<(String, String)> {
    match &table.reach {
        MovedReach::Key { column } => Some((
            format!("{} AS {alias}", quoted(table)),
            format!("{alias}.{}", Postgres::quote(column)),
        )),
        MovedReach::Parent { parent, on } => {
            let parent = &manifest.tables()[*parent];
            if !parent.is_one_row_by(on) {
                return None;
            }
            let above = format!("p{}", parent.number);
            let (rows, key) = from_key(manifest, parent, &above)?;
            let joined = joined::<Postgres>(on, alias, &above);
            Some((
                format!("{rows} JOIN {} AS {alias} ON {joined}", quoted(table)),
                key,
            ))
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
        "SELECT {key} COLLATE \"C\" AS key, md5({}) AS hash FROM {} AS t WHERE {} ORDER BY key",
        canonical(table, "t"),
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
