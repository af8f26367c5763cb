//! Catching up with what the triggers recorded.
//!
//! A **hit** is a row that a record names, or that is below one whose record is *deep*: the row came,
//! went, or belongs elsewhere, and takes the rows below it along. One snapshot of the source gives the
//! records, and the rows that were hit as they are; both go to temporary tables on the target, and
//! are applied there. What was applied is removed by the transaction that holds the snapshot, so records
//! that come meanwhile stay, whatever their order.
//!
//! Rows must not meet the constraints of the target halfway. Where no foreign key refers to a table,
//! all its hits are deleted before any row comes, so that unique values can change places. Rows of the
//! other tables are updated in place, and deleted when nothing refers to them any more. When a unique
//! value gets in the way there, everything is copied anew.

mod records;
mod replace;

use std::fmt::Write;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row};

use super::copy::{
    DEFER, Transfer, all_rows, belongs_upwards, clear, lock_tables, refuse_kept, transfer,
};
use super::unchecked::{Rows, as_decided};
use super::{
    Briefcases, LOCK_LIMIT, busy, columns, ids, is_owner, joined, keys, mover_settings, numbered,
    quoted, rollback, run, select_owner,
};
use records::{Recorded, Records};
pub(super) use records::{forget_some, recorded};

use crate::engine::Engine;
use crate::engine::relocating::{
    Manifest, MoveId, MovedReach, MovedTable, OwnerToken, Pace, Pair, Relocating, Side, StepError,
    Taken, Touched,
};

/// From how many bytes on a temporary table is emptied by making its file anew.
const EMPTIED: u32 = 1 << 20;

/// How many records of one table make statistics of them worth while.
const MANY_RECORDS: u64 = 1000;

/// Up to how many records' foreign keys are rather checked than plans made anew.
const FEW_RECORDS: u64 = 50;

/// What a round has to do with a table.
#[derive(Clone, Copy)]
struct Part<'m> {
    table: &'m MovedTable,
    recorded: Recorded,
    /// Rows below it may be hit.
    is_deep: bool,
    /// Foreign keys refer to it.
    is_referred: bool,
}

pub(super) async fn catch_up(
    pair: &mut Pair<Postgres>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Taken, StepError> {
    // When services wait only little is left, and to ask twice would take longer.
    if !pace.is_hurried() {
        let records = recorded(&mut pair.source, manifest, id)
            .await
            .map_err(busy)?;
        if records.count() == 0 {
            return Ok(Taken::nothing());
        }
        if let Some(analyze) = analyze(manifest, &records.tables) {
            run(&mut pair.source, &analyze).await.map_err(busy)?;
        }
    }
    let briefcases = Briefcases::of(&mut pair.source, id).await.map_err(busy)?;
    let round = async {
        // Both to their end, so that neither is left halfway.
        let (records, begun) = tokio::join!(
            begin_source(&mut pair.source, manifest, id, owner),
            begin_target(&mut pair.target, manifest, id, owner)
        );
        let records = records?;
        let mut taken = Taken {
            records: records.count(),
            touched: Touched::These(records.touched),
        };
        if taken.records == 0 {
            both_rolled_back(pair).await?;
            return Ok(Taken::nothing());
        }
        let counts = records.tables;
        let rows = if taken.records > FEW_RECORDS {
            Rows::Many
        } else {
            Rows::Few
        };
        let decided = as_decided(id, rows);
        let begun = begun.map_err(at_target)?;
        let parts = prepare(&mut pair.target, manifest, &counts, &begun, decided);
        let parts = parts.await.map_err(at_target)?;
        match apply(pair, manifest, &briefcases, id, &parts, pace).await {
            Err(StepError::Database(error)) if is_in_the_way(&error) => {
                rollback(&mut pair.target).await?;
                let cleared = clear(&mut pair.target, manifest, &briefcases, id, owner).await;
                cleared.map_err(at_target)?;
                refuse_kept(&mut pair.target, manifest, id).await?;
                run(&mut pair.source, briefcases.settings).await?;
                transfer(pair, &all_rows(manifest, &briefcases), pace).await?;
                taken.touched = Touched::All;
            }
            other => other.map_err(at_target)?,
        }
        let ended = run(&mut pair.target, "COMMIT").await;
        ended.map_err(|error| at_target(busy(error)))?;
        run(&mut pair.source, &forget(manifest, &counts, id))
            .await
            .map_err(busy)?;
        Ok(taken)
    };
    let result: Result<Taken, StepError> = round.await;
    if result.is_err() {
        both_rolled_back(pair).await?;
    }
    // Those of the target are marked as such.
    result.map_err(|error| error.at(Side::Source))
}

fn at_target(error: StepError) -> StepError {
    error.at(Side::Target)
}

async fn both_rolled_back(pair: &mut Pair<Postgres>) -> Result<(), sqlx::Error> {
    let (source, target) = tokio::join!(rollback(&mut pair.source), rollback(&mut pair.target));
    source.and(target)
}

/// Has the planner look at records that are many: it would take each for the only one.
fn analyze(manifest: &Manifest, counts: &[Recorded]) -> Option<String> {
    let many = manifest
        .tables()
        .iter()
        .zip(counts)
        .filter(|(_, recorded)| recorded.all >= MANY_RECORDS)
        .map(|(table, _)| table.change_table());
    let many: Vec<String> = many.collect();
    (!many.is_empty()).then(|| format!("ANALYZE {}", many.join(", ")))
}

/// Begins the transaction whose snapshot counts.
///
/// Here and at the target the planner may scan tables: MDB's own ones have no indexes, and what forbids scanning costs
/// so much in its reckoning that it no longer tells a loop over everything from a hash.
async fn begin_source(
    source: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<Records, StepError> {
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; {}{}{}",
        mover_settings(id, LOCK_LIMIT),
        lock_tables(manifest),
        select_owner(id)
    );
    is_owner(&run(source, &sql).await.map_err(busy)?, owner)?;
    recorded(source, manifest, id).await.map_err(busy)
}

/// Begins the transaction that applies, and looks what there is.
async fn begin_target(
    target: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<Vec<PgRow>, StepError> {
    let begin = format!(
        "BEGIN; {DEFER}{}{}",
        mover_settings(id, LOCK_LIMIT),
        select_owner(id)
    );
    is_owner(&run(target, &begin).await.map_err(busy)?, owner)?;
    facts(target, manifest).await.map_err(busy)
}

/// Has the transaction do `prepare`, and makes the temporary tables, or empties those of an earlier round: both take longer
/// than a round should, when they are done for each.
async fn prepare<'m>(
    target: &mut PgConnection,
    manifest: &'m Manifest,
    counts: &[Recorded],
    facts: &[PgRow],
    mut prepare: String,
) -> Result<Vec<Part<'m>>, StepError> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut deep = vec![false; counts.len()];
    for ((table, recorded), row) in manifest.tables().iter().zip(counts).zip(facts) {
        let from_above = matches!(table.reach, MovedReach::Parent { parent, .. } if deep[parent]);
        if recorded.all == 0 && !from_above {
            continue;
        }
        let is_deep = recorded.deep > 0 || from_above;
        deep[table.number] = is_deep;
        parts.push(Part {
            table,
            recorded: *recorded,
            is_deep,
            is_referred: row.try_get("is_referred")?,
        });
        let (hits, news) = (hits(table), news(table));
        let _ = if row.try_get("is_new")? {
            write!(
                prepare,
                "CREATE TEMP TABLE {hits} AS SELECT {}, false AS deep FROM {name} AS t WITH NO DATA; \
                 CREATE TEMP TABLE {news} AS SELECT {} FROM {name} AS t WITH NO DATA; ",
                keys_as_numbered(table),
                columns(table, "t"),
                name = quoted(table),
            )
        } else if row.try_get("is_big")? {
            write!(prepare, "TRUNCATE pg_temp.{hits}, pg_temp.{news}; ")
        } else {
            write!(
                prepare,
                "DELETE FROM pg_temp.{hits}; DELETE FROM pg_temp.{news}; "
            )
        };
    }
    run(target, &prepare).await.map_err(busy)?;
    Ok(parts)
}

/// What there is at the target, a row for each table; also a statement that the session keeps.
async fn facts(target: &mut PgConnection, manifest: &Manifest) -> Result<Vec<PgRow>, sqlx::Error> {
    let query = format!(
        "SELECT to_regclass('pg_temp.' || m.hits) IS NULL AS is_new, \
         pg_relation_size(to_regclass('pg_temp.' || m.news)) > {EMPTIED} AS is_big, \
         EXISTS (SELECT FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid = m.relation::regclass) AS is_referred \
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS m (relation, hits, news, number) \
         ORDER BY m.number"
    );
    let tables = manifest.tables().iter();
    sqlx::query(&query)
        .bind(tables.clone().map(quoted).collect::<Vec<_>>())
        .bind(tables.clone().map(hits).collect::<Vec<_>>())
        .bind(tables.map(news).collect::<Vec<_>>())
        .fetch_all(target)
        .await
}

/// Keys that were hit.
fn hits(table: &MovedTable) -> String {
    format!("mdb_hit_{}", table.number)
}

/// Rows that were hit, as they are at the source.
fn news(table: &MovedTable) -> String {
    format!("mdb_new_{}", table.number)
}

fn keys_as_numbered(table: &MovedTable) -> String {
    let keys: Vec<String> = table
        .key_columns()
        .zip(1..)
        .map(|(column, place)| format!("t.{} AS k{place}", Postgres::quote(&column.name)))
        .collect();
    keys.join(", ")
}

/// Makes the target's rows equal.
async fn apply(
    pair: &mut Pair<Postgres>,
    manifest: &Manifest,
    briefcases: &Briefcases,
    id: &MoveId,
    parts: &[Part<'_>],
    pace: &dyn Pace,
) -> Result<(), StepError> {
    let mut transfers = Vec::new();
    for part in parts {
        let table = part.table;
        if part.recorded.all > 0 {
            transfers.push(Transfer {
                select: format!(
                    "SELECT DISTINCT {}, deep FROM {} AS c WHERE gdid IN ({})",
                    numbered(table, "c"),
                    table.change_table(),
                    ids(id)
                ),
                into: format!("pg_temp.{}", hits(table)),
            });
        }
        transfers.push(Transfer {
            select: format!(
                // Each is looked up by its primary key, whatever the planner believes to know of tables that
                // have grown since it last looked.
                "SELECT r.* FROM (SELECT DISTINCT k.* FROM ({}) AS k) AS h CROSS JOIN LATERAL \
                 (SELECT {} FROM {} AS t WHERE ({}) = ({}) AND {} OFFSET 0) AS r",
                hits_at_source(manifest, table, id),
                columns(table, "t"),
                quoted(table),
                keys(table, "t"),
                numbered(table, "h"),
                belongs_upwards(manifest, table, "t", &briefcases.comparison)
            ),
            into: format!("pg_temp.{}", news(table)),
        });
    }
    transfer(pair, &transfers, pace).await?;
    let mut replace = replace::statements(manifest, parts, &briefcases.comparison);
    if parts.iter().any(|part| part.recorded.all >= MANY_RECORDS) {
        let tables = parts.iter().map(|part| part.table);
        let filled =
            tables.map(|table| format!("pg_temp.{}, pg_temp.{}", hits(table), news(table)));
        let filled: Vec<String> = filled.collect();
        replace.insert_str(0, &format!("ANALYZE {}; ", filled.join(", ")));
    }
    run(&mut pair.target, &replace)
        .await
        .map(drop)
        .map_err(busy)
}

/// A query of the keys that are hit at the source.
fn hits_at_source(manifest: &Manifest, table: &MovedTable, id: &MoveId) -> String {
    let mut query = format!(
        "SELECT {} FROM {} AS c WHERE c.gdid IN ({})",
        numbered(table, "c"),
        table.change_table(),
        ids(id)
    );
    if let Some(below) = below(manifest, table, id) {
        let _ = write!(query, " UNION ALL {below}");
    }
    query
}

/// A query of the keys of rows that are below deep hits at the source.
fn below(manifest: &Manifest, table: &MovedTable, id: &MoveId) -> Option<String> {
    let MovedReach::Parent { parent, on } = &table.reach else {
        return None;
    };
    let parent = &manifest.tables()[*parent];
    let (p, t) = (format!("b{}", parent.number), format!("b{}", table.number));
    let mut deep = format!(
        "SELECT {} FROM {} AS c WHERE c.deep AND c.gdid IN ({})",
        numbered(parent, "c"),
        parent.change_table(),
        ids(id)
    );
    if let Some(above) = below(manifest, parent, id) {
        let _ = write!(deep, " UNION ALL {above}");
    }
    Some(format!(
        "SELECT {} FROM {} AS {p} JOIN {} AS {t} ON {} WHERE ({}) IN ({deep})",
        keys(table, &t),
        quoted(parent),
        quoted(table),
        joined::<Postgres>(on, &t, &p),
        keys(parent, &p),
    ))
}

/// Removes the records that the snapshot has, and ends its transaction.
fn forget(manifest: &Manifest, counts: &[Recorded], id: &MoveId) -> String {
    let mut sql = String::new();
    for (table, recorded) in manifest.tables().iter().zip(counts) {
        if recorded.all > 0 {
            let _ = write!(
                sql,
                "DELETE FROM {} WHERE gdid IN ({}); ",
                table.change_table(),
                ids(id)
            );
        }
    }
    sql.push_str("COMMIT");
    sql
}

/// Whether rows of the target met a constraint that they may not break in the end.
fn is_in_the_way(error: &sqlx::Error) -> bool {
    let is_missed =
        matches!(error, sqlx::Error::Database(error) if error.is_foreign_key_violation());
    is_missed || Postgres::is_taken(error)
}
