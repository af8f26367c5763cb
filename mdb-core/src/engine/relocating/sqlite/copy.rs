//! Copying rows from file to file, a few thousand in each transaction.

use mdb_gdid::Gdid;
use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::changes::{guard, is_taken};
use super::handle::set_triggers;
use super::pieces::{Piece, Stretch, count_after, has_rows, is_indexed, pieces, stretch_ids};
use super::{at_once, at_target, begin_as_mover, end, parent_is_here, run};
use crate::engine::relocating::{
    Amount, Commits, Manifest, MoveId, MovedTable, OwnerToken, Pace, Pair, Relocating, StepError,
    pause,
};
use crate::engine::{Engine, Value};

/// How many rows a transaction on the target has at the most, or a few more. While it lasts, nobody else writes
/// there.
const CHUNK: u64 = 4_000;

/// How many briefcases are counted before they are copied.
const COUNTED_AT_ONCE: u32 = 200;

/// Attaches the source to the target's connection, and leaves foreign keys alone there: parents may
/// come to the source while children are copied. What is equal on both sides is checked at the end.
pub(super) async fn attach(pair: &mut Pair<Sqlite>) -> Result<(), sqlx::Error> {
    let attached = "SELECT 1 FROM pragma_database_list WHERE name = 'source'";
    if !Sqlite::query_own(&mut pair.target, attached, &[])
        .await?
        .is_empty()
    {
        return Ok(());
    }
    // Read only, or every transaction on the target would keep the source's writers waiting too.
    let file = pair
        .source_file
        .as_deref()
        .and_then(|file| url::Url::from_file_path(std::path::absolute(file).ok()?).ok())
        .map(|file| format!("{file}?mode=ro"))
        .ok_or_else(|| {
            sqlx::Error::Configuration("the source is no file with a plain name".into())
        })?;
    Sqlite::execute_own(&mut pair.target, "PRAGMA foreign_keys = OFF", &[]).await?;
    let attach = "ATTACH DATABASE ? AS source";
    Sqlite::execute_own(&mut pair.target, attach, &[Value::from(&*file)]).await?;
    Ok(())
}

pub(super) async fn copy(
    pair: &mut Pair<Sqlite>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Amount, StepError> {
    attach(pair).await?;
    let mut copying = Copying {
        target: &mut pair.target,
        manifest,
        id,
        owner,
        pace,
        chunk: pace.chunk(CHUNK),
        copied: 0,
    };
    copying.clear().await.map_err(at_target)?;
    // A chunk needs not be on the disk before the next one begins: what a loss of power takes away is copied
    // again, unless the last transaction was forced to the disk, and with it all before it.
    Sqlite::set_commits(copying.target, Commits::Unforced).await?;
    let result = copying.all().await;
    let forced = Sqlite::set_commits(copying.target, Commits::Forced).await;
    result.map_err(at_target)?;
    forced?;
    Ok(Amount {
        rows: copying.copied,
        bytes: 0,
    })
}

/// Copying, under way.
struct Copying<'c> {
    /// With the source attached.
    target: &'c mut SqliteConnection,
    manifest: &'c Manifest,
    id: &'c MoveId,
    owner: OwnerToken,
    pace: &'c dyn Pace,
    /// How many rows a transaction has.
    chunk: u64,
    copied: u64,
}

impl Copying<'_> {
    /// Removes what an earlier attempt has copied.
    async fn clear(&mut self) -> Result<(), StepError> {
        // Nobody but a mover brings rows of the move here, so none come once there are none.
        while has_rows(self.target, self.manifest, self.id).await? {
            begin_as_mover(self.target, self.id, self.owner).await?;
            let limit = u32::try_from(CHUNK).expect("a small number");
            let deleted = Sqlite::delete_some(self.target, self.manifest, self.id, limit).await;
            let deleted = end(self.target, self.id, deleted).await?;
            if deleted < CHUNK {
                break;
            }
        }
        Ok(())
    }

    async fn all(&mut self) -> Result<(), StepError> {
        if is_indexed(self.target, "source", self.manifest, self.id).await? {
            return self.in_pieces().await;
        }
        // Each table is searched once; in pieces it would be for each of them.
        let all = Stretch {
            after: Vec::new(),
            last: Gdid::MAX.to_bytes().to_vec(),
        };
        for table in self.manifest.tables() {
            self.listed(table, &all).await?;
        }
        Ok(())
    }

    /// Some briefcases with all of their rows at a time, or a part of one.
    ///
    /// Rows that come after they were counted are recorded by the triggers.
    async fn in_pieces(&mut self) -> Result<(), StepError> {
        let mut after = Vec::new();
        loop {
            let tables = self.manifest.tables();
            let counted = count_after(
                self.target,
                "source",
                self.manifest,
                tables,
                self.id,
                &after,
                COUNTED_AT_ONCE,
                self.chunk,
            )
            .await?;
            let Some(last) = counted.last() else {
                return Ok(());
            };
            for piece in pieces(&counted, self.chunk) {
                let stretch = Stretch::of(&counted, &piece.briefcases, &after);
                if piece.rows > self.chunk {
                    self.listed(&tables[piece.tables.start], &stretch).await?;
                } else {
                    self.piece(&piece, &stretch).await?;
                }
            }
            after.clone_from(&last.briefcase);
        }
    }

    /// One piece, in one transaction.
    async fn piece(&mut self, piece: &Piece, stretch: &Stretch) -> Result<(), StepError> {
        let ids = stretch_ids("source");
        let manifest = self.manifest;
        let inserts = |clash: OnClash| {
            let tables = manifest.tables()[piece.tables.clone()].iter();
            let inserts = tables.map(|table| {
                let arrived = if piece.has_parents_of(manifest, table) {
                    // What the transaction sees of the source is one state, in which it found them.
                    "TRUE".to_owned()
                } else {
                    parent_is_here(manifest, table, "t")
                };
                format!(
                    "{} {} ({}) SELECT {} FROM {} t WHERE {} AND {arrived}",
                    clash.insert(),
                    table.quoted("main"),
                    table.column_list(""),
                    table.column_list("t"),
                    table.quoted("source"),
                    manifest.condition_in::<Sqlite>("source", table, "t", &ids),
                )
            });
            inserts.collect::<Vec<_>>().join("; ")
        };
        self.insert(inserts, stretch.ends()).await
    }

    /// The rows of one table, which are found by their keys.
    async fn listed(&mut self, table: &MovedTable, stretch: &Stretch) -> Result<(), StepError> {
        let listed = self.list_rows(table, stretch).await?;
        let manifest = self.manifest;
        let mut is_of_stretch = String::new();
        if table.may_lack_keys() {
            // Rows of other briefcases may have NULL in their keys, too.
            let ids = stretch.literal_ids("source");
            let condition = manifest.condition_in::<Sqlite>("source", table, "t", &ids);
            is_of_stretch = format!("AND (NOT ({}) OR {condition})", table.lacks_key("r"));
        }
        let insert = |clash: OnClash| {
            format!(
                "{} {} ({}) SELECT {} FROM temp.mdb_rows r CROSS JOIN {} t ON {} \
                 WHERE r.rowid > ?2 AND r.rowid <= ?3 AND {} {is_of_stretch}",
                clash.insert(),
                table.quoted("main"),
                table.column_list(""),
                table.column_list("t"),
                table.quoted("source"),
                table.same_key("t", "r"),
                parent_is_here(manifest, table, "t"),
            )
        };
        let chunk = i64::try_from(self.chunk).unwrap_or(i64::MAX);
        let mut from = 0;
        while from < listed {
            let numbers = [Value::Integer(from), Value::Integer(from + chunk)];
            self.insert(&insert, numbers).await?;
            from += chunk;
        }
        run(self.target, "DROP TABLE IF EXISTS temp.mdb_rows", &[]).await?;
        Ok(())
    }

    /// Lists the keys of the rows of `stretch` in `temp.mdb_rows`, numbered from 1, and says how many there
    /// are. Rows that come later are recorded by the triggers. A key with NULL in it, which several rows may have, is listed once.
    async fn list_rows(&mut self, table: &MovedTable, stretch: &Stretch) -> Result<i64, StepError> {
        let columns = table.numbered_columns();
        run(self.target, "DROP TABLE IF EXISTS temp.mdb_rows", &[]).await?;
        let create = format!("CREATE TEMP TABLE mdb_rows ({columns})");
        run(self.target, &create, &[]).await?;
        let fill = format!(
            "INSERT INTO temp.mdb_rows SELECT {} FROM {} t WHERE {}",
            table.key_list("t"),
            table.quoted("source"),
            self.manifest
                .condition_in::<Sqlite>("source", table, "t", &stretch_ids("source")),
        );
        let rows = run(self.target, &fill, &stretch.values(self.id)).await?;
        if table.may_lack_keys() {
            let lacks = table.lacks_key("r");
            let numbered = table.numbered_list("r");
            let once = format!(
                "DELETE FROM temp.mdb_rows AS r WHERE ({lacks}) AND r.rowid NOT IN \
                 (SELECT min(r.rowid) FROM temp.mdb_rows r WHERE {lacks} GROUP BY {numbered})"
            );
            run(self.target, &once, &[]).await?;
        }
        Ok(i64::try_from(rows).unwrap_or(i64::MAX))
    }

    /// Inserts, in a transaction of its own.
    async fn insert(
        &mut self,
        sql: impl Fn(OnClash) -> String,
        values: [Value; 2],
    ) -> Result<(), StepError> {
        let (id, owner) = (self.id, self.owner);
        let insert = sql(OnClash::Fail);
        let inserted = match at_once(self.target, id, owner, &insert, values.clone()).await {
            Err(StepError::Database(error)) if is_taken(&error) => {
                // By a row of an earlier chunk perhaps, whose value another one has at the source by now.
                let before = guard(self.target, self.manifest).await?;
                let insert = sql(OnClash::Replace);
                let replaced = at_once(self.target, id, owner, &insert, values).await;
                set_triggers(self.target, before).await?;
                replaced
            }
            inserted => inserted,
        };
        let rows = inserted?;
        self.copied += rows;
        pause(self.pace, Amount { rows, bytes: 0 }, Sqlite::LANES).await
    }
}

/// What is done when another row has the key or a unique value.
#[derive(Clone, Copy)]
enum OnClash {
    /// The transaction is taken back as a whole, so the statement needs not note how to take itself back.
    Fail,
    Replace,
}

impl OnClash {
    fn insert(self) -> &'static str {
        match self {
            Self::Fail => "INSERT OR FAIL INTO",
            Self::Replace => "INSERT OR REPLACE INTO",
        }
    }
}
