//! Deleting the rows of a move, so many in a transaction.
//!
//! Looking for those that are left, from the beginning each time, would take longer than deleting them. So a
//! temporary table remembers, as a part of the transaction, up to where they have been deleted.

use mdb_gdid::Gdid;
use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::IDS;
use super::pieces::{Counted, Stretch, count_after, has_rows, is_indexed, stretch_ids};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, StepError};
use crate::engine::{Engine, Value};

/// How many briefcases are counted before they are deleted, unless only a few rows of them are to go.
const COUNTED_AT_ONCE: u64 = 16;

/// How many rows a briefcase is taken to have, when it is not worth while to count more of them.
const FEW_ROWS: u64 = 64;

/// Up to which briefcase all rows have been deleted. Nobody but a mover brings any there again.
type Cursor = Vec<u8>;

pub(super) async fn delete_some(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    limit: u64,
) -> Result<u64, StepError> {
    let cursor = match load(connection, id).await? {
        Some(cursor) => Some(cursor),
        None if !has_rows(connection, manifest, id).await? => return Ok(0),
        None if is_indexed(connection, "main", manifest, id).await? => Some(Cursor::default()),
        None => None,
    };
    let mut purge = Purge::new(connection, manifest, id).await?;
    let mut deleted = 0;
    let Some(mut cursor) = cursor else {
        loop {
            let more = purge.wherever(limit - deleted).await?;
            deleted += more;
            if deleted >= limit || !purge.has_rows().await? {
                return Ok(deleted);
            }
            purge.some_have_gone(more).await?;
        }
    };
    loop {
        let is_whole = cursor.is_empty();
        let more = purge.from(&mut cursor, limit - deleted).await?;
        deleted += more;
        if deleted >= limit || !purge.has_rows().await? {
            break;
        }
        // Somebody wrote past the triggers, or a trigger of the user's has written what was to be deleted already.
        if is_whole {
            purge.some_have_gone(more).await?;
        }
        cursor = Cursor::default();
    }
    let next = (deleted >= limit).then_some(&cursor);
    store(connection, id, next).await?;
    Ok(deleted)
}

/// Whole briefcases.
pub(super) async fn delete_all(
    connection: &mut SqliteConnection,
    manifest: &Manifest,
    id: &MoveId,
    briefcases: &[Gdid],
) -> Result<(), StepError> {
    let (Some(first), Some(last)) = (briefcases.first(), briefcases.last()) else {
        return Ok(());
    };
    let ids = "SELECT gdid FROM main.mdb_fence WHERE move = ?1 AND gdid >= ?2 AND gdid <= ?3";
    let values = [id.into(), (*first).into(), (*last).into()];
    let mut purge = Purge::new(connection, manifest, id).await?;
    purge.tables(manifest.tables(), ids, &values).await?;
    Ok(())
}

/// How rows are deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Without a look at what has become of them.
    AtOnce,
    /// Triggers of the user's may keep rows that are below others, or write some. These are looked for while their parents, by
    /// which they are found, are still there.
    Watched,
}

/// Deleting, under way.
struct Purge<'p> {
    connection: &'p mut SqliteConnection,
    manifest: &'p Manifest,
    id: &'p MoveId,
    way: Way,
}

impl<'p> Purge<'p> {
    async fn new(
        connection: &'p mut SqliteConnection,
        manifest: &'p Manifest,
        id: &'p MoveId,
    ) -> Result<Self, sqlx::Error> {
        let query = "SELECT DISTINCT tbl_name FROM main.sqlite_schema WHERE type = 'trigger' \
                     AND name NOT LIKE 'mdb\\_capture\\_%' ESCAPE '\\'";
        let mut way = Way::AtOnce;
        for row in Sqlite::query_own(connection, query, &[]).await? {
            let name = row.text(0)?;
            let mut tables = manifest.tables().iter();
            if tables.any(|table| Sqlite::NAMES.same(&table.name, name)) {
                way = Way::Watched;
            }
        }
        Ok(Self {
            connection,
            manifest,
            id,
            way,
        })
    }

    async fn has_rows(&mut self) -> Result<bool, sqlx::Error> {
        has_rows(self.connection, self.manifest, self.id).await
    }

    /// Refuses to try for ever.
    async fn some_have_gone(&mut self, deleted: u64) -> Result<(), StepError> {
        if deleted == 0 {
            return Err(self
                .manifest
                .kept::<Sqlite>(self.connection, self.id)
                .await?);
        }
        Ok(())
    }

    /// Deletes up to `limit` rows of the briefcases after `cursor`, which goes along.
    async fn from(&mut self, cursor: &mut Cursor, limit: u64) -> Result<u64, StepError> {
        let tables = self.manifest.tables();
        let at_once = u32::try_from((limit / FEW_ROWS).clamp(1, COUNTED_AT_ONCE)).unwrap_or(1);
        let mut deleted = 0;
        while deleted < limit {
            let left = limit - deleted;
            let counted = count_after(
                self.connection,
                "main",
                self.manifest,
                tables,
                self.id,
                cursor,
                at_once,
                left,
            )
            .await?;
            if counted.is_empty() {
                break;
            }
            let fitting = fitting(&counted, left);
            if fitting > 0 {
                let stretch = Stretch::of(&counted, &(0..fitting), cursor);
                deleted += self.stretch(tables, &stretch).await?;
                cursor.clone_from(&stretch.last);
            }
            if let Some(next) = counted.get(fitting)
                && deleted < limit
            {
                let stretch = Stretch::of(&counted, &(fitting..fitting + 1), cursor);
                let part = self.part(next, &stretch, limit - deleted).await?;
                if part == 0 {
                    // A trigger of the user's keeps what is left.
                    break;
                }
                deleted += part;
            }
        }
        Ok(deleted)
    }

    /// Deletes all that a stretch has in some tables.
    async fn stretch(
        &mut self,
        tables: &[MovedTable],
        stretch: &Stretch,
    ) -> Result<u64, StepError> {
        let values = stretch.values(self.id);
        self.tables(tables, &stretch_ids("main"), &values).await
    }

    /// Deletes all that some tables have of the briefcases that `ids` selects: children first, and everything in one call where
    /// nothing has to be watched.
    async fn tables(
        &mut self,
        tables: &[MovedTable],
        ids: &str,
        values: &[Value],
    ) -> Result<u64, StepError> {
        if self.way == Way::AtOnce {
            let deletes = tables.iter().rev();
            let deletes: Vec<String> = deletes.map(|table| self.delete(table, ids)).collect();
            return Ok(Sqlite::execute_own(self.connection, &deletes.join("; "), values).await?);
        }
        let mut deleted = 0;
        for table in tables.iter().rev() {
            deleted += self.settle_below(table, ids, values).await?;
            let delete = self.delete(table, ids);
            deleted += Sqlite::execute_own(self.connection, &delete, values).await?;
        }
        Ok(deleted)
    }

    /// A statement that deletes all that a table has of the briefcases that `ids` selects.
    fn delete(&self, table: &MovedTable, ids: &str) -> String {
        let condition = self
            .manifest
            .condition_in::<Sqlite>("main", table, "t", ids);
        format!(
            "DELETE FROM {} AS t WHERE {condition}",
            table.quoted("main")
        )
    }

    /// Before rows of `table` go: deletes those below them that triggers have written since others went, and makes sure that
    /// none are left.
    async fn settle_below(
        &mut self,
        table: &MovedTable,
        ids: &str,
        values: &[Value],
    ) -> Result<u64, StepError> {
        if self.way == Way::AtOnce {
            return Ok(0);
        }
        let manifest = self.manifest;
        let below = manifest.descendants(table);
        let mut deleted = 0;
        for below in below.iter().rev() {
            let delete = self.delete(below, ids);
            deleted += Sqlite::execute_own(self.connection, &delete, values).await?;
        }
        for below in below {
            let condition = manifest.condition_in::<Sqlite>("main", below, "t", ids);
            let left = format!(
                "SELECT 1 FROM {} t WHERE {condition} LIMIT 1",
                below.quoted("main")
            );
            let left = Sqlite::query_own(self.connection, &left, values).await?;
            if !left.is_empty() {
                return Err(StepError::Kept(below.name.clone()));
            }
        }
        Ok(deleted)
    }

    /// Deletes up to `limit` rows of a stretch of one briefcase, `counted`, which has more.
    async fn part(
        &mut self,
        counted: &Counted,
        stretch: &Stretch,
        limit: u64,
    ) -> Result<u64, StepError> {
        let (ids, values) = (stretch_ids("main"), stretch.values(self.id));
        let mut deleted = 0;
        for (table, rows) in self.manifest.tables().iter().zip(&counted.rows).rev() {
            if deleted >= limit {
                break;
            }
            if *rows == 0 {
                continue;
            }
            deleted += self.settle_below(table, &ids, &values).await?;
            let left = limit.saturating_sub(deleted);
            let condition = self
                .manifest
                .condition_in::<Sqlite>("main", table, "t", &ids);
            let mut part = self.limited(table, &condition, left, &values).await?;
            if part < left.min(*rows) {
                part += self.stretch(std::slice::from_ref(table), stretch).await?;
            }
            deleted += part;
        }
        Ok(deleted)
    }

    /// Deletes up to `limit` rows, where each look for rows reads whole tables: so there are as few as can be.
    async fn wherever(&mut self, limit: u64) -> Result<u64, StepError> {
        let values = [self.id.into()];
        let mut deleted = 0;
        for table in self.manifest.tables().iter().rev() {
            if deleted >= limit {
                break;
            }
            deleted += self.settle_below(table, IDS, &values).await?;
            let left = limit.saturating_sub(deleted);
            let condition = self.manifest.condition::<Sqlite>(table, "t", IDS);
            deleted += self.limited(table, &condition, left, &values).await?;
        }
        Ok(deleted)
    }

    /// Deletes up to `limit` rows of a table for which the condition on `t` holds; by their keys, where these tell them apart.
    async fn limited(
        &mut self,
        table: &MovedTable,
        condition: &str,
        limit: u64,
        values: &[Value],
    ) -> Result<u64, StepError> {
        let name = table.quoted("main");
        let by = |key: &str, of: &str, condition: &str, limit: u64| {
            format!(
                "DELETE FROM {name} WHERE ({key}) IN (SELECT {of} FROM {name} t WHERE {condition} LIMIT {limit})"
            )
        };
        let (key, of) = (table.key_list(""), table.key_list("t"));
        if !table.may_lack_keys() {
            let delete = by(&key, &of, condition, limit);
            return Ok(Sqlite::execute_own(self.connection, &delete, values).await?);
        }
        let lacks = table
            .key_columns()
            .map(|column| format!("t.{} IS NULL", Sqlite::quote(&column.name)));
        let lacks = lacks.collect::<Vec<_>>().join(" OR ");
        let delete = by(&key, &of, &format!("{condition} AND NOT ({lacks})"), limit);
        let mut deleted = Sqlite::execute_own(self.connection, &delete, values).await?;
        if deleted < limit {
            // Tables that can have such rows have numbered ones.
            let delete = by(
                "rowid",
                "t.rowid",
                &format!("{condition} AND ({lacks})"),
                limit - deleted,
            );
            deleted += Sqlite::execute_own(self.connection, &delete, values).await?;
        }
        Ok(deleted)
    }
}

/// How many of the counted briefcases, from the first one, have at most `left` rows together.
fn fitting(counted: &[Counted], left: u64) -> usize {
    let sums = counted.iter().scan(0, |sum, briefcase| {
        *sum += briefcase.rows.iter().sum::<u64>();
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= left).count()
}

async fn load(
    connection: &mut SqliteConnection,
    id: &MoveId,
) -> Result<Option<Cursor>, sqlx::Error> {
    let query = "CREATE TEMP TABLE IF NOT EXISTS mdb_deleted (move TEXT PRIMARY KEY, after BLOB NOT NULL); \
                 SELECT after FROM temp.mdb_deleted WHERE move = ?";
    let rows = Sqlite::query_own(connection, query, &[id.into()]).await?;
    let cursor = rows.first().map(|row| Ok(row.bytes(0)?.to_vec()));
    cursor.transpose()
}

async fn store(
    connection: &mut SqliteConnection,
    id: &MoveId,
    cursor: Option<&Cursor>,
) -> Result<(), sqlx::Error> {
    let Some(after) = cursor else {
        let forget = "DELETE FROM temp.mdb_deleted WHERE move = ?";
        Sqlite::execute_own(connection, forget, &[id.into()]).await?;
        return Ok(());
    };
    let keep = "INSERT OR REPLACE INTO temp.mdb_deleted (move, after) VALUES (?, ?)";
    let values = [id.into(), Value::Bytes(after.clone())];
    Sqlite::execute_own(connection, keep, &values).await?;
    Ok(())
}
