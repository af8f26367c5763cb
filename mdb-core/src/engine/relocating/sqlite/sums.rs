//! Counts and checksums, and which rows differ.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef};

use super::hashing::{MOST_COLUMNS, RowHash, SUM_ROWS, decode, register};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, Span, TableSum};
use crate::engine::{Engine, Value};

/// How many tables are summed up by one statement.
const TABLES_AT_ONCE: usize = 100;

pub(super) async fn sums(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    span: Span,
) -> Result<Vec<TableSum>, sqlx::Error> {
    register(connection).await?;
    let [first, last] = span.digits();
    let values = [id.into(), Value::from(&*first), Value::from(&*last)];
    let ids = "SELECT gdid FROM mdb_fence WHERE move = ?1 AND gdid BETWEEN unhex(?2) AND unhex(?3)";
    let mut sums = Vec::with_capacity(manifest.tables().len());
    for tables in manifest.tables().chunks(TABLES_AT_ONCE) {
        let queries: Vec<String> = tables
            .iter()
            .map(|table| {
                if table.columns.len() > MOST_COLUMNS {
                    // Not by this statement.
                    return "NULL".to_owned();
                }
                format!(
                    "(SELECT {SUM_ROWS}({}) FROM {} t WHERE {})",
                    table.column_list("t"),
                    table.quoted("main"),
                    manifest.condition::<Sqlite>(table, "t", ids),
                )
            })
            .collect();
        let query = format!("SELECT {}", queries.join(", "));
        let rows = Sqlite::query_own(connection, &query, &values).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        for (place, table) in tables.iter().enumerate() {
            sums.push(match row.optional_bytes(place)? {
                Some(bytes) => decode(bytes).ok_or(sqlx::Error::RowNotFound)?,
                None => row_by_row(connection, manifest, table, ids, &values).await?,
            });
        }
    }
    Ok(sums)
}

/// The sum of a table with more columns than a function can take.
pub(super) async fn row_by_row(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    table: &MovedTable,
    ids: &str,
    values: &[Value],
) -> Result<TableSum, sqlx::Error> {
    let query = format!(
        "SELECT {} FROM {} t WHERE {}",
        table.column_list("t"),
        table.quoted("main"),
        manifest.condition::<Sqlite>(table, "t", ids),
    );
    let query = crate::engine::bind_values!(sqlx::query::<Sqlite>(&query), values);
    let mut rows = query.fetch(connection);
    let mut total = TableSum::NOTHING;
    let mut hash = RowHash::new();
    while let Some(row) = rows.try_next().await? {
        total.rows += 1;
        total.sum = total.sum.wrapping_add(hash_of(&row, &mut hash)?);
    }
    Ok(total)
}

fn hash_of(row: &SqliteRow, hash: &mut RowHash) -> Result<u128, sqlx::Error> {
    for place in 0..row.len() {
        let raw = row.try_get_raw(place)?;
        if raw.is_null() {
            hash.null();
            continue;
        }
        let kind = raw.type_info().name().to_owned();
        let failed = |source| sqlx::Error::ColumnDecode {
            index: place.to_string(),
            source,
        };
        match kind.as_str() {
            "INTEGER" | "BOOLEAN" => hash.integer(Decode::<Sqlite>::decode(raw).map_err(failed)?),
            "REAL" => hash.real(Decode::<Sqlite>::decode(raw).map_err(failed)?),
            "BLOB" => hash.blob(Decode::<Sqlite>::decode(raw).map_err(failed)?),
            _ => hash.text(<&[u8] as Decode<Sqlite>>::decode(raw).map_err(failed)?),
        }
    }
    Ok(hash.finish())
}

/// The keys of up to `limit` rows that differ; the source is attached to `target`.
pub(super) async fn differences(
    target: &mut SqliteConnection,
    manifest: &Manifest,
    table: &MovedTable,
    id: &MoveId,
    limit: u32,
) -> Result<Vec<String>, sqlx::Error> {
    let same: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let name = Sqlite::quote(&column.name);
            format!("typeof(x.{name}) = typeof(t.{name}) AND x.{name} IS t.{name} COLLATE BINARY")
        })
        .collect();
    let keys: Vec<String> = table
        .key_columns()
        .map(|column| format!("quote(t.{})", Sqlite::quote(&column.name)))
        .collect();
    let mut found = Vec::new();
    for (here, there) in [("source", "main"), ("main", "source")] {
        let ids = format!("SELECT gdid FROM {here}.mdb_fence WHERE move = ?");
        let query = format!(
            "SELECT {} FROM {} t WHERE {} AND NOT EXISTS (SELECT 1 FROM {} x WHERE {}) LIMIT {limit}",
            keys.join(" || ', ' || "),
            table.quoted(here),
            manifest.condition_in::<Sqlite>(here, table, "t", &ids),
            table.quoted(there),
            same.join(" AND "),
        );
        for row in Sqlite::query_own(target, &query, &[id.into()]).await? {
            let key = row.text(0)?.to_owned();
            if !found.contains(&key) {
                found.push(key);
            }
        }
    }
    found.truncate(limit as usize);
    Ok(found)
}
