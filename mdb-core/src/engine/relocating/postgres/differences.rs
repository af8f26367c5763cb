//! The rows that differ: the keys and hashes of both sides in one order, side by side.

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::PgRow;
use sqlx::{Executor, Postgres, Row};

use super::canonical;
use super::copy::condition;
use super::sums::begin;
use super::{Briefcases, list, quoted, rollback, run};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, Pair};

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
        "SELECT {key} COLLATE \"C\" AS key, md5(array_send({})) AS hash FROM {} AS t WHERE {} ORDER BY key",
        canonical::as_array(table, "t"),
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
