//! Pieces of what is copied or deleted, each of which fits into a short transaction.
//!
//! A **stretch** is the move's briefcases after one and up to another, in the order of their ids; a
//! **piece** is what they have in some tables that follow each other.

use std::fmt::Write as _;
use std::ops::Range;

use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use crate::engine::relocating::{Manifest, MoveId, MovedReach, MovedTable};
use crate::engine::{Engine, Value};

/// Briefcases of a move, by the ends of a stretch; see [`stretch_ids`].
pub(super) struct Stretch {
    /// Not included.
    pub(super) after: Vec<u8>,
    /// Included.
    pub(super) last: Vec<u8>,
}

impl Stretch {
    /// The briefcases at these places of `counted`, which were counted `after` another one.
    pub(super) fn of(counted: &[Counted], places: &Range<usize>, after: &[u8]) -> Self {
        let before = places.start.checked_sub(1);
        Self {
            after: before
                .map_or(after, |place| &counted[place].briefcase)
                .to_vec(),
            last: counted[places.end - 1].briefcase.clone(),
        }
    }

    /// The values that [`stretch_ids`] needs.
    pub(super) fn values(&self, id: &MoveId) -> [Value; 3] {
        let [after, last] = self.ends();
        [id.into(), after, last]
    }

    /// As [`stretch_ids`], which needs no values.
    pub(super) fn literal_ids(&self, schema: &str) -> String {
        let hex = |end: &[u8]| {
            end.iter().fold(String::new(), |mut digits, byte| {
                let _ = write!(digits, "{byte:02x}");
                digits
            })
        };
        format!(
            "SELECT gdid FROM {schema}.mdb_fence WHERE move = ?1 AND gdid > x'{}' AND gdid <= x'{}'",
            hex(&self.after),
            hex(&self.last)
        )
    }

    /// Those of them that come after the move.
    pub(super) fn ends(&self) -> [Value; 2] {
        [&self.after, &self.last].map(|end| Value::Bytes(end.clone()))
    }
}

/// The ids of a stretch, as a query.
pub(super) fn stretch_ids(schema: &str) -> String {
    format!("SELECT gdid FROM {schema}.mdb_fence WHERE move = ?1 AND gdid > ?2 AND gdid <= ?3")
}

/// How many rows a briefcase has.
pub(super) struct Counted {
    pub(super) briefcase: Vec<u8>,
    /// Table by table, up to one more than was asked for.
    pub(super) rows: Vec<u64>,
}

/// Counts the rows of up to `limit` briefcases of the move, those with the next ids after `after`, in
/// `tables`. More than `most` in one of them are not told apart: a large briefcase is counted for each piece of it.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one part of one question"
)]
pub(super) async fn count_after(
    connection: &mut SqliteConnection,
    schema: &str,
    manifest: &Manifest,
    tables: &[MovedTable],
    id: &MoveId,
    after: &[u8],
    limit: u32,
    most: u64,
) -> Result<Vec<Counted>, sqlx::Error> {
    let query = count_query(schema, manifest, tables, most);
    let limit = Value::Integer(limit.into());
    let values = [id.into(), Value::Bytes(after.to_vec()), limit];
    let rows = Sqlite::query_own(connection, &query, &values).await?;
    rows.iter()
        .map(|row| {
            let counts = (1..=tables.len()).map(|place| Ok(row.integer(place)?.unsigned_abs()));
            Ok(Counted {
                briefcase: row.bytes(0)?.to_vec(),
                rows: counts.collect::<Result<_, sqlx::Error>>()?,
            })
        })
        .collect()
}

fn count_query(schema: &str, manifest: &Manifest, tables: &[MovedTable], most: u64) -> String {
    let counts: Vec<String> = tables
        .iter()
        .map(|table| {
            let condition = manifest.condition_in::<Sqlite>(schema, table, "t", "f.gdid");
            format!(
                "(SELECT count(*) FROM (SELECT 1 FROM {} t WHERE {condition} LIMIT {}))",
                table.quoted(schema),
                most.saturating_add(1)
            )
        })
        .collect();
    format!(
        "SELECT f.gdid, {} FROM {schema}.mdb_fence f WHERE f.move = ? AND f.gdid > ? \
         ORDER BY f.gdid LIMIT ?",
        counts.join(", ")
    )
}

/// Whether the rows of a briefcase are found by indexes in all tables.
pub(super) async fn is_indexed(
    connection: &mut SqliteConnection,
    schema: &str,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<bool, sqlx::Error> {
    // What only explains does not notice that others have changed the schema.
    let look = format!("SELECT 1 FROM {schema}.mdb_fence LIMIT 1");
    Sqlite::query_own(connection, &look, &[]).await?;
    let query = count_query(schema, manifest, manifest.tables(), 0);
    let explain = format!("EXPLAIN QUERY PLAN {query}");
    let values = [id.into(), Value::Bytes(Vec::new()), Value::Integer(1)];
    for step in Sqlite::query_own(connection, &explain, &values).await? {
        let step = step.text(3)?;
        // An automatic index is made by reading the whole table.
        if step.starts_with("SCAN t") || step.starts_with("SCAN p") || step.contains("AUTOMATIC") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there are rows of the move.
pub(super) async fn has_rows(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<bool, sqlx::Error> {
    let ids = "SELECT gdid FROM main.mdb_fence WHERE move = ?1";
    let tables: Vec<String> = manifest
        .tables()
        .iter()
        .map(|table| {
            let condition = manifest.condition_in::<Sqlite>("main", table, "t", ids);
            format!(
                "EXISTS (SELECT 1 FROM {} t WHERE {condition})",
                table.quoted("main")
            )
        })
        .collect();
    let query = format!("SELECT {}", tables.join(" OR "));
    let rows = Sqlite::query_own(connection, &query, &[id.into()]).await?;
    Ok(rows.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)? > 0)
}

/// What is done in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Places in what was counted.
    pub(super) briefcases: Range<usize>,
    /// Places in the manifest.
    pub(super) tables: Range<usize>,
    /// How many rows were counted; too many only in one table of one briefcase.
    pub(super) rows: u64,
}

impl Piece {
    /// Whether the rows of `table` come together with those through which they are reached.
    pub(super) fn has_parents_of(&self, manifest: &Manifest, table: &MovedTable) -> bool {
        match &table.reach {
            MovedReach::Key { .. } => true,
            MovedReach::Parent { parent, .. } => {
                self.tables.contains(parent)
                    && self.has_parents_of(manifest, &manifest.tables()[*parent])
            }
        }
    }
}

/// Pieces of at most `most` rows, where that can be, in the order in which they have to come: a row never
/// before its parent.
pub(super) fn pieces(counted: &[Counted], most: u64) -> Vec<Piece> {
    let totals = counted.iter().map(|briefcase| briefcase.rows.iter().sum());
    let mut pieces = Vec::new();
    for (briefcases, rows) in gathered(totals, most) {
        let tables = &counted[briefcases.start].rows;
        if rows <= most {
            pieces.push(Piece {
                briefcases,
                tables: 0..tables.len(),
                rows,
            });
            continue;
        }
        for (tables, rows) in gathered(tables.iter().copied(), most) {
            pieces.push(Piece {
                briefcases: briefcases.clone(),
                tables,
                rows,
            });
        }
    }
    pieces
}

/// Places that follow each other with sums of at most `most`, or one place with more; not those with nothing.
fn gathered(rows: impl Iterator<Item = u64>, most: u64) -> Vec<(Range<usize>, u64)> {
    let mut gathered: Vec<(Range<usize>, u64)> = Vec::new();
    for (place, rows) in rows.enumerate() {
        match gathered.last_mut() {
            Some((places, sum)) if *sum + rows <= most => {
                places.end = place + 1;
                *sum += rows;
            }
            _ => gathered.push((place..place + 1, rows)),
        }
    }
    gathered.retain(|(_, rows)| *rows > 0);
    gathered
}
