//! Deleting the rows of a move: whole briefcases, or a bounded number at a time.

use std::fmt::Write as _;

use mdb_gdid::Gdid;
use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use super::copy::{DEFER, belongs, belongs_upwards};
use super::{ids, literal, quoted, run};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MoveId, MovedReach, MovedTable, StepError};

/// How many briefcases are looked for at once.
const BRIEFCASES: u32 = 64;

/// Rows are found by indexes, wherever they stand in the tables; and such a plan takes longer to make
/// than to run.
pub(super) const SETTINGS: &str = "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan";

/// What a crash brings back is deleted again, and the last transaction takes all before it to the disk.
const UNFORCED: &str = "SET LOCAL synchronous_commit = off";
const FORCED: &str =
    "SELECT set_config('synchronous_commit', current_setting('mdb.commits'), true)";

pub(super) async fn delete_some(
    connection: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
    limit: u32,
) -> Result<u64, StepError> {
    let limit = i64::from(limit);
    let Some(find) = find(manifest, id) else {
        return Ok(0);
    };
    let delete = delete(manifest);
    let way = begin(connection, manifest).await?;
    let rank = match way {
        Way::AtOnce => "<",
        // Table by table, rows that refer to rows of their own table can't go in parts either.
        Way::Watched => "<=",
    };
    let is_bounded = !refers_onwards(connection, manifest, rank).await?;
    let (mut deleted, mut emptied) = (0, 0);
    while deleted < limit {
        let found: Vec<Vec<u8>> = sqlx::query_scalar(&find)
            .fetch_all(&mut *connection)
            .await?;
        let before = deleted;
        let mut rest = found.as_slice();
        while !rest.is_empty() && deleted < limit {
            // As many as are likely to have no more rows than are wanted.
            let many = usize::try_from((limit - deleted) * emptied / deleted.max(1)).unwrap_or(1);
            let (these, others) = rest.split_at(many.clamp(1, rest.len()));
            let most = if is_bounded {
                limit - deleted
            } else {
                i64::MAX
            };
            deleted += match way {
                Way::AtOnce => {
                    let delete = sqlx::query_scalar::<_, i64>(&delete);
                    let delete = delete.bind(these).bind(most);
                    delete.fetch_one(&mut *connection).await?
                }
                Way::Watched => delete_watched(connection, manifest, these, most).await?,
            };
            emptied += i64::try_from(these.len()).unwrap_or(1);
            rest = others;
        }
        if deleted == before {
            if found.is_empty() {
                break;
            }
            return Err(manifest.kept::<Postgres>(connection, id).await?);
        }
    }
    if deleted < limit {
        run(connection, FORCED).await?;
    }
    Ok(deleted.unsigned_abs())
}

/// How rows are deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By one statement for all tables.
    AtOnce,
    /// Table by table: triggers of the user's may keep rows that are below others, or write some. These are looked for
    /// while their parents, by which they are found, are still there.
    Watched,
}

async fn begin(connection: &mut PgConnection, manifest: &Manifest) -> Result<Way, sqlx::Error> {
    let is_below = |table: &MovedTable| matches!(table.reach, MovedReach::Parent { .. });
    let mut sql = format!("{SETTINGS}; {UNFORCED}");
    if manifest.tables().iter().any(is_below) {
        let names = manifest.tables().iter().map(|table| {
            let name = literal(&quoted(table));
            format!("{name}::regclass")
        });
        let names: Vec<String> = names.collect();
        // Triggers that fire when a row is deleted.
        let _ = write!(
            sql,
            "; SELECT 1 FROM pg_trigger t WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 8 = 8 \
             AND t.tgname NOT IN ('mdb_capture', 'mdb_capture_truncate') \
             AND coalesce(pg_partition_root(t.tgrelid)::oid, t.tgrelid) IN ({}) LIMIT 1",
            names.join(", ")
        );
    }
    if run(connection, &sql).await?.is_empty() {
        return Ok(Way::AtOnce);
    }
    // One statement would look at foreign keys when all of it is done.
    run(connection, DEFER).await?;
    Ok(Way::Watched)
}

/// As [`delete`] does, table by table.
async fn delete_watched<B>(
    connection: &mut PgConnection,
    manifest: &Manifest,
    briefcases: &[B],
    most: i64,
) -> Result<i64, StepError>
where
    for<'b> &'b [B]: sqlx::Encode<'b, Postgres> + sqlx::Type<Postgres>,
{
    let mut deleted = 0;
    for table in manifest.tables().iter().rev() {
        let below = manifest.descendants(table);
        for below in below.iter().rev() {
            // What triggers have written since.
            deleted += delete_from(connection, manifest, below, briefcases, i64::MAX).await?;
        }
        for below in below {
            let condition = belongs(manifest, below, "t", "= ANY ($1)");
            let name = quoted(below);
            let left = format!("SELECT EXISTS (SELECT FROM {name} AS t WHERE {condition})");
            let left = sqlx::query_scalar(&left).bind(briefcases);
            if left.fetch_one(&mut *connection).await? {
                return Err(StepError::Kept(below.name.clone()));
            }
        }
        if deleted >= most {
            break;
        }
        deleted += delete_from(connection, manifest, table, briefcases, most - deleted).await?;
        if deleted >= most {
            break;
        }
    }
    Ok(deleted)
}

/// Deletes up to `most` rows of one table.
async fn delete_from<B>(
    connection: &mut PgConnection,
    manifest: &Manifest,
    table: &MovedTable,
    briefcases: &[B],
    most: i64,
) -> Result<i64, StepError>
where
    for<'b> &'b [B]: sqlx::Encode<'b, Postgres> + sqlx::Type<Postgres>,
{
    let (name, condition) = (quoted(table), belongs(manifest, table, "t", "= ANY ($1)"));
    let delete = format!(
        "DELETE FROM {name} AS t WHERE t.ctid = ANY (ARRAY(SELECT t.ctid FROM {name} AS t WHERE {condition} LIMIT $2)) AND {}",
        belongs_upwards(manifest, table, "t", "= ANY ($1)")
    );
    let gone = sqlx::query(&delete).bind(briefcases).bind(most);
    let gone = gone.execute(connection).await?.rows_affected();
    Ok(i64::try_from(gone).unwrap_or(i64::MAX))
}

/// Whether foreign keys are checked of which one refers to a table that is listed later: its rows go first, so that a
/// briefcase can't go in parts. `rank` compares the numbers of the table and the one that it refers to.
async fn refers_onwards(
    connection: &mut PgConnection,
    manifest: &Manifest,
    rank: &str,
) -> Result<bool, sqlx::Error> {
    let query = format!(
        "SELECT current_setting('session_replication_role') <> 'replica' AND EXISTS (SELECT FROM pg_constraint c \
         JOIN unnest($1::text[]) WITH ORDINALITY AS child (name, number) ON child.name::regclass = c.conrelid \
         JOIN unnest($1::text[]) WITH ORDINALITY AS parent (name, number) ON parent.name::regclass = c.confrelid \
         WHERE c.contype = 'f' AND child.number {rank} parent.number)"
    );
    let names: Vec<String> = manifest.tables().iter().map(quoted).collect();
    let found = sqlx::query_scalar(&query).bind(names);
    found.fetch_one(connection).await
}

/// Whole briefcases, without counting their rows.
pub(super) async fn delete_all(
    connection: &mut PgConnection,
    manifest: &Manifest,
    briefcases: &[Gdid],
) -> Result<(), StepError> {
    let Some(delete) = delete_whole(manifest) else {
        return Ok(());
    };
    match begin(connection, manifest).await? {
        Way::AtOnce => {
            let delete = sqlx::query(&delete).bind(briefcases);
            delete.execute(connection).await?;
        }
        Way::Watched => {
            delete_watched(connection, manifest, briefcases, i64::MAX).await?;
        }
    }
    Ok(())
}

/// One statement for all tables, with briefcases as its value. Foreign keys are looked at when all of its parts are done.
pub(super) fn delete_whole(manifest: &Manifest) -> Option<String> {
    let tables = manifest.tables().iter().rev();
    let mut deletes: Vec<String> = tables
        .map(|table| {
            let condition = belongs(manifest, table, "t", "= ANY ($1)");
            format!("DELETE FROM {} AS t WHERE {condition}", quoted(table))
        })
        .collect();
    let last = deletes.pop()?;
    let parts: Vec<String> = deletes
        .iter()
        .enumerate()
        .map(|(n, delete)| format!("d{n} AS ({delete})"))
        .collect();
    Some(if parts.is_empty() {
        last
    } else {
        format!("WITH {} {last}", parts.join(", "))
    })
}

/// A query of briefcases that have rows left. Rows below others go before those.
fn find(manifest: &Manifest, id: &MoveId) -> Option<String> {
    let keyed: Vec<String> = manifest
        .tables()
        .iter()
        .filter_map(|table| match &table.reach {
            MovedReach::Key { column } => Some(format!(
                "EXISTS (SELECT FROM {} AS t WHERE t.{} = m.gdid)",
                quoted(table),
                Postgres::quote(column)
            )),
            MovedReach::Parent { .. } => None,
        })
        .collect();
    (!keyed.is_empty()).then(|| {
        format!(
            "SELECT m.gdid FROM ({} OFFSET 0) AS m WHERE {} LIMIT {BRIEFCASES}",
            ids(id),
            keyed.join(" OR ")
        )
    })
}

/// One statement for all tables, children first, with briefcases and a limit as its values. Each
/// table's part counts what those before it have deleted.
pub(super) fn delete(manifest: &Manifest) -> String {
    let mut parts = Vec::new();
    let mut counts: Vec<String> = Vec::new();
    for table in manifest.tables().iter().rev() {
        let (n, name) = (table.number, quoted(table));
        let deleted = if counts.is_empty() {
            "0".to_owned()
        } else {
            counts.join(" + ")
        };
        let condition = belongs(manifest, table, "t", "= ANY ($1)");
        // A part of its own, which is planned as if all rows were wanted: else the planner hopes to
        // come across the first ones soon, and walks through whole tables.
        parts.push(format!(
            "s{n} AS MATERIALIZED (SELECT t.ctid FROM {name} AS t WHERE {condition})"
        ));
        // Rows that refer to rows of their own table can't go one after the other. Partitions number
        // their rows apart: only the condition says whose they are.
        parts.push(format!(
            "d{n} AS (DELETE FROM {name} AS t WHERE t.ctid = ANY (ARRAY(SELECT s{n}.ctid FROM s{n} LIMIT \
             CASE WHEN {deleted} >= $2 THEN 0 \
             WHEN EXISTS (SELECT FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = c.confrelid \
             AND c.conrelid = {}::regclass) THEN NULL ELSE $2 - ({deleted}) END)) AND {} RETURNING 1)",
            literal(&name),
            belongs_upwards(manifest, table, "t", "= ANY ($1)")
        ));
        counts.push(format!("(SELECT count(*) FROM d{n})"));
    }
    format!("WITH {} SELECT {}", parts.join(", "), counts.join(" + "))
}
