//! What the triggers have recorded.

use std::collections::BTreeSet;

use mdb_gdid::Gdid;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::super::triggers::identify_rows;
use super::super::{ids, run};
use crate::engine::relocating::{Manifest, MoveId, MovedTable};

/// How many changes of one table are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) all: u64,
    pub(super) deep: u64,
}

/// The changes that are recorded.
pub(in super::super) struct Records {
    /// One for each table.
    pub(super) tables: Vec<Recorded>,
    /// The briefcases that they are of.
    pub(super) touched: BTreeSet<Gdid>,
}

impl Records {
    pub(in super::super) fn count(&self) -> u64 {
        self.tables.iter().map(|table| table.all).sum()
    }
}

/// Looks what is recorded, by a statement that the session keeps: services wait for it at last.
pub(in super::super) async fn recorded(
    connection: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<Records, sqlx::Error> {
    let tables = manifest.tables().iter();
    let counts: Vec<String> = tables
        .map(|table| {
            format!(
                "SELECT {}::bigint AS number, gdid, count(*) AS recorded, count(*) FILTER (WHERE deep) AS deep \
                 FROM {} WHERE gdid IN (SELECT gdid FROM mdb_fence WHERE move = $1) GROUP BY gdid",
                table.number,
                table.change_table(),
            )
        })
        .collect();
    let mut records = Records {
        tables: vec![Recorded::default(); counts.len()],
        touched: BTreeSet::new(),
    };
    if counts.is_empty() {
        return Ok(records);
    }
    let rows = sqlx::query(&counts.join(" UNION ALL "))
        .bind(id.as_str())
        .fetch_all(connection)
        .await?;
    for row in rows {
        let count = |name: &str| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(name)?.unsigned_abs());
        let table = usize::try_from(count("number")?)
            .ok()
            .and_then(|number| records.tables.get_mut(number))
            .ok_or_else(|| sqlx::Error::Protocol("changes of no table".to_owned()))?;
        table.all += count("recorded")?;
        table.deep += count("deep")?;
        records.touched.insert(row.try_get("gdid")?);
    }
    Ok(records)
}

/// Removes at most `limit` of the move's records of a table.
pub(in super::super) async fn forget_some(
    connection: &mut PgConnection,
    table: &MovedTable,
    id: &MoveId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let changes = table.change_table();
    run(connection, &identify_rows(table)).await?;
    let sql = format!(
        "DELETE FROM {changes} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {changes} WHERE gdid IN ({}) LIMIT {limit})) \
         RETURNING 1",
        ids(id)
    );
    Ok(run(connection, &sql).await?.len() as u64)
}
