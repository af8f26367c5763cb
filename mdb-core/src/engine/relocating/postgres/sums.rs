//! Counts and checksums.
//!
//! The servers send their rows in canonical form, and the mover hashes them: that takes less than half of the time of having
//! the servers write a row's text and hash it.

use futures_util::TryStreamExt;
use mdb_gdid::Gdid;
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Row};
use xxhash_rust::xxh3::xxh3_128;

use super::canonical::{self, TEXT};
use super::copy::{belongs, lock_tables, row_in};
use super::{Briefcases, LOCK_LIMIT, joined, quoted, rollback, run, settings};
use crate::engine::Engine;
use crate::engine::relocating::{
    Manifest, MoveId, MovedReach, MovedTable, Span, SpanSums, TableSum,
};

pub(super) fn begin(briefcases: &Briefcases) -> String {
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
    let mut sums = SpanSums::new(manifest, spans);
    let briefcases = Briefcases::within(connection, id, spans).await?;
    if manifest.tables().is_empty() {
        return Ok(sums.end());
    }
    let added = match &briefcases.few {
        Some(few) => add_few(connection, manifest, &briefcases, few, &mut sums).await,
        None => add_many(connection, manifest, &briefcases, &mut sums).await,
    };
    if let Err(error) = added {
        rollback(connection).await?;
        return Err(error);
    }
    Ok(sums.end())
}

/// Adds a row in canonical form. Without an id it belongs to the only span.
fn add(
    sums: &mut SpanSums<'_>,
    table: usize,
    id: Option<Gdid>,
    canonical: &[u8],
) -> Result<(), sqlx::Error> {
    let span = id.map_or(Ok(0), |id| sums.place_of(id))?;
    sums.add(span, table, xxh3_128(canonical))
}

/// Has the plan of a statement kept that a session keeps.
pub(super) const KEEP_PLAN: &str = "SET LOCAL plan_cache_mode = force_generic_plan";

/// For a few briefcases: a statement that the session keeps, with them as its value. Services wait for the sums of
/// these, and planning takes longer than summing.
pub(super) async fn add_few(
    connection: &mut PgConnection,
    manifest: &Manifest,
    briefcases: &Briefcases,
    few: &[Gdid],
    sums: &mut SpanSums<'_>,
) -> Result<(), sqlx::Error> {
    run(connection, &format!("{}{KEEP_PLAN}", begin(briefcases))).await?;
    let query = kept_query(manifest);
    let mut rows = sqlx::query(&query).bind(few).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let table = usize::try_from(row.try_get::<i32, _>(0)?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        let array = row.try_get_raw(2)?;
        let fields = array.as_bytes().ok().and_then(canonical::of_array);
        let fields = fields.ok_or_else(|| malformed("a row that is no array of fields"))?;
        add(sums, table, row.try_get(1)?, fields)?;
    }
    drop(rows);
    run(connection, "COMMIT").await.map(drop)
}

/// For more: table by table, as a stream.
pub(super) async fn add_many(
    connection: &mut PgConnection,
    manifest: &Manifest,
    briefcases: &Briefcases,
    sums: &mut SpanSums<'_>,
) -> Result<(), sqlx::Error> {
    let begin = format!("{}{}", begin(briefcases), lock_tables(manifest));
    run(connection, &begin).await?;
    for table in manifest.tables() {
        let copy = format!(
            "COPY ({}) TO STDOUT (FORMAT binary)",
            query(manifest, table, &briefcases.comparison)
        );
        let mut stream = connection.copy_out_raw(&copy).await?;
        let mut failed = None;
        // To its end also when something is wrong: sqlx does not recover from a COPY that is left halfway.
        while let Some(message) = stream.try_next().await? {
            if let (None, Some(row)) = (&failed, row_in(&message)) {
                let added =
                    id_and_fields(row).and_then(|(id, fields)| add(sums, table.number, id, fields));
                failed = added.err();
            }
        }
        drop(stream);
        if let Some(error) = failed {
            return Err(error);
        }
    }
    run(connection, "COMMIT").await.map(drop)
}

/// What sums the briefcases that are its value: for each row its table, its briefcase and its fields.
pub(super) fn kept_query(manifest: &Manifest) -> String {
    let tables = manifest.tables().iter();
    let queries: Vec<String> = tables
        .map(|table| {
            let (key, rows) = rows_of(manifest, table, "= ANY ($1)");
            let fields = canonical::as_array(table, "t");
            format!("SELECT {}, {key}, {fields} {rows}", table.number)
        })
        .collect();
    queries.join(" UNION ALL ")
}

/// The rows of one table, of briefcases whose key compares so: for each its briefcase, and then its fields.
pub(super) fn query(manifest: &Manifest, table: &MovedTable, comparison: &str) -> String {
    let (key, rows) = rows_of(manifest, table, comparison);
    format!("SELECT {key}, {} {rows}", canonical::listed(table, "t"))
}

/// The key of a row's briefcase, or NULL where that can't be told, and `FROM …`.
fn rows_of(manifest: &Manifest, table: &MovedTable, comparison: &str) -> (String, String) {
    if let Some((rows, key)) = from_key(manifest, table, "t") {
        let rows = format!("FROM {rows} WHERE {key} {comparison}");
        return (key, rows);
    }
    let condition = belongs(manifest, table, "t", comparison);
    let rows = format!("FROM {} AS t WHERE {condition}", quoted(table));
    ("NULL::bytea".to_owned(), rows)
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

/// Takes a row of a binary COPY apart, whose first field is an id or NULL; the others stay together.
fn id_and_fields(row: &[u8]) -> Result<(Option<Gdid>, &[u8]), sqlx::Error> {
    let split = || {
        let (_fields, rest) = row.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk()?;
        match i32::from_be_bytes(*length) {
            -1 => Some((None, rest)),
            12 => {
                let (id, rest) = rest.split_first_chunk()?;
                Some((Some(Gdid::from_bytes(*id)), rest))
            }
            _ => None,
        }
    };
    split().ok_or_else(|| malformed("a row that does not begin with an id"))
}

fn malformed(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(what.to_owned())
}
