//! Counts and checksums, computed here: SQLite has no hash function.
//!
//! A row's canonical form is, for each column, one byte for the type and then the value: eight
//! big-endian bytes of an integer or of a float's bits; the length in eight bytes and the bytes of a
//! text or blob. Its hash is XXH3-128 of that.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef};
use xxhash_rust::xxh3::Xxh3;

use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MoveId, MovedTable, Span, TableSum};

pub(super) async fn sums(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    span: Span,
) -> Result<Vec<TableSum>, sqlx::Error> {
    let [first, last] = span.digits();
    let ids = format!("{} AND gdid BETWEEN x'{first}' AND x'{last}'", super::IDS);
    let mut sums = Vec::with_capacity(manifest.tables().len());
    for table in manifest.tables() {
        let query = format!(
            "SELECT {} FROM {} t WHERE {}",
            table.column_list("t"),
            table.quoted("main"),
            manifest.condition::<Sqlite>(table, "t", &ids),
        );
        let mut rows = sqlx::query(&query)
            .bind(id.as_str())
            .fetch(&mut *connection);
        let mut total = TableSum { rows: 0, sum: 0 };
        while let Some(row) = rows.try_next().await? {
            total.rows += 1;
            total.sum = total.sum.wrapping_add(hash(&row)?);
        }
        sums.push(total);
    }
    Ok(sums)
}

fn hash(row: &SqliteRow) -> Result<u128, sqlx::Error> {
    let mut hash = Xxh3::new();
    for place in 0..row.len() {
        let raw = row.try_get_raw(place)?;
        if raw.is_null() {
            hash.update(&[0]);
            continue;
        }
        let kind = raw.type_info().name().to_owned();
        let failed = |source| sqlx::Error::ColumnDecode {
            index: place.to_string(),
            source,
        };
        match kind.as_str() {
            "INTEGER" | "BOOLEAN" => {
                let number = <i64 as Decode<Sqlite>>::decode(raw).map_err(failed)?;
                hash.update(&[1]);
                hash.update(&number.to_be_bytes());
            }
            "REAL" => {
                let number = <f64 as Decode<Sqlite>>::decode(raw).map_err(failed)?;
                hash.update(&[2]);
                hash.update(&number.to_bits().to_be_bytes());
            }
            kind => {
                let bytes = <&[u8] as Decode<Sqlite>>::decode(raw).map_err(failed)?;
                hash.update(&[if kind == "BLOB" { 4 } else { 3 }]);
                hash.update(&(bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
        }
    }
    Ok(hash.digest128())
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
