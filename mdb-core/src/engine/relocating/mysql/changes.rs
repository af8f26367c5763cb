//! Catching up with what the triggers recorded.
//!
//! A **hit** is a row that a record names, or that is below one whose record is *deep*: the row came,
//! went, or belongs elsewhere, and takes the rows below it along. A *whole* record names no row but all
//! of the briefcase's in a table. One snapshot of the source gives the records, and the rows that were
//! hit as they are. At the target the hits are collected in temporary tables; all of them are deleted
//! before any row comes, so that unique values can change places. The records are removed last, by the
//! transaction whose snapshot has them: numbers are not given in the order in which transactions commit.

use std::fmt::Write;

use sqlx::mysql::MySqlConnection;
use sqlx::{MySql, Row};

use super::chunks::{Packet, Reading};
use super::copy::{BEGIN_SNAPSHOT, begin_at_target, end_at_target, transfer};
use super::records::{FORGOTTEN_AT_ONCE, Recorded, forget, recorded, records};
use super::values::{Kind, read_list};
use super::{
    busy, ids, is_owner, joined, keys, keys_as_numbered, numbered, quoted, rollback, rows_of, run,
    same_key, select_owner,
};
use crate::engine::relocating::{
    Manifest, MoveId, MovedReach, MovedTable, OwnerToken, Pace, Pair, Side, StepError, Taken,
    Touched, changed,
};

pub(super) async fn catch_up(
    pair: &mut Pair<MySql>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Taken, StepError> {
    let counts = recorded(&mut pair.source, manifest, id)
        .await
        .map_err(busy)?;
    if counts.iter().all(|table| table.all == 0) {
        return Ok(Taken::nothing());
    }
    run(&mut pair.source, BEGIN_SNAPSHOT).await.map_err(busy)?;
    let round = async {
        let (counts, touched) = apply(pair, manifest, id, owner, pace).await?;
        forget(
            &mut pair.source,
            manifest,
            id,
            owner,
            &counts,
            FORGOTTEN_AT_ONCE,
        )
        .await?;
        Ok(Taken {
            records: counts.iter().map(|table| table.all).sum(),
            touched,
        })
    };
    let taken: Result<Taken, StepError> = round.await;
    if taken.is_err() {
        rollback(&mut pair.source).await?;
    }
    // Those of the target are marked as such.
    taken.map_err(|error| error.at(Side::Source))
}

/// Makes the target's rows equal; how many records there are, table by table, and whose they are.
async fn apply(
    pair: &mut Pair<MySql>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<(Vec<Recorded>, Touched), StepError> {
    is_owner(&run(&mut pair.source, &select_owner(id)).await?, owner)?;
    let counts = recorded(&mut pair.source, manifest, id)
        .await
        .map_err(busy)?;
    let changed = changed::<MySql>(&mut pair.source, manifest, id).await;
    let touched = Touched::These(changed.map_err(busy)?);
    let round = Round {
        manifest,
        id,
        counts: &counts,
    };
    let mut collect = String::new();
    for table in manifest.tables() {
        let whole = round.read_whole(&mut pair.source, table).await?;
        if round.is_hit(table) {
            collect.push_str(&round.collect(table, &whole));
        }
    }
    let mut create = String::new();
    for table in round.hit_tables() {
        create.push_str(&create_hits(table));
    }
    let _ = write!(create, "SELECT {}", Packet::QUERY);
    begin_at_target(&mut pair.target, id, owner).await?;
    let created = run(&mut pair.target, &create).await.map_err(busy);
    let created = end_at_target(&mut pair.target, created).await?;
    let packet = Packet::read(created.last().ok_or(sqlx::Error::RowNotFound)?)?;
    let named: Vec<Reading> = round
        .hit_tables()
        .filter_map(|table| round.named(table))
        .collect();
    transfer(pair, &named, packet, id, owner, &Unpaced).await?;

    begin_at_target(&mut pair.target, id, owner).await?;
    for table in round.hit_tables().rev() {
        let _ = write!(
            collect,
            "DELETE t FROM mdb_hit_{} h STRAIGHT_JOIN {} t ON {} WHERE {}; ",
            table.number,
            quoted(table),
            same_key(table, "t", "h"),
            manifest.condition::<MySql>(table, "t", &ids(id)),
        );
    }
    let deleted = run(&mut pair.target, collect.trim_end_matches([';', ' ']))
        .await
        .map(drop)
        .map_err(busy);
    end_at_target(&mut pair.target, deleted).await?;
    let changed: Vec<Reading> = round
        .hit_tables()
        .map(|table| Reading::of_table(table, &round.hit_rows(table)))
        .collect();
    transfer(pair, &changed, packet, id, owner, pace).await?;
    Ok((counts, touched))
}

/// Keys are few beside rows.
struct Unpaced;

impl Pace for Unpaced {
    fn taken(&self, _: crate::engine::relocating::Amount) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

/// With a primary key, without which servers may be told to make no table.
fn create_hits(table: &MovedTable) -> String {
    format!(
        "DROP TEMPORARY TABLE IF EXISTS mdb_hit_{number}; \
         CREATE TEMPORARY TABLE mdb_hit_{number} (seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, deep BOOLEAN NOT NULL) ENGINE=InnoDB \
         AS SELECT {}, FALSE AS deep FROM (SELECT 1 AS one) o LEFT JOIN {} t ON FALSE LIMIT 0; ",
        keys_as_numbered(table, "t"),
        quoted(table),
        number = table.number,
    )
}

/// One round of catching up.
struct Round<'m> {
    manifest: &'m Manifest,
    id: &'m MoveId,
    counts: &'m [Recorded],
}

impl<'m> Round<'m> {
    fn hit_tables(&self) -> impl DoubleEndedIterator<Item = &'m MovedTable> {
        let tables = self.manifest.tables().iter();
        tables.filter(|table| self.is_hit(table))
    }

    fn is_hit(&self, table: &MovedTable) -> bool {
        self.counts[table.number].all > 0 || self.deep_parent(table).is_some()
    }

    fn is_deep(&self, table: &MovedTable) -> bool {
        self.counts[table.number].deep > 0 || self.deep_parent(table).is_some()
    }

    /// The parent, if rows below it may be hit.
    fn deep_parent<'t>(
        &self,
        table: &'t MovedTable,
    ) -> Option<(&'m MovedTable, &'t [(String, String)])> {
        let MovedReach::Parent { parent, on } = &table.reach else {
            return None;
        };
        let parent = &self.manifest.tables()[*parent];
        self.is_deep(parent).then_some((parent, on.as_slice()))
    }

    /// The ids whose rows are hit as a whole.
    async fn read_whole(
        &self,
        source: &mut MySqlConnection,
        table: &MovedTable,
    ) -> Result<Vec<Vec<u8>>, StepError> {
        let mut ids = Vec::new();
        if self.counts[table.number].whole > 0 {
            for row in run(source, &self.whole_ids(table)).await.map_err(busy)? {
                ids.push(row.try_get(0)?);
            }
        }
        Ok(ids)
    }

    fn whole_ids(&self, table: &MovedTable) -> String {
        format!(
            "SELECT DISTINCT c.gdid FROM {} WHERE c.k1 IS NULL",
            records(table, self.id)
        )
    }

    /// Brings the keys that the records name to the target.
    fn named(&self, table: &MovedTable) -> Option<Reading> {
        let Recorded { all, whole, .. } = self.counts[table.number];
        if all == whole {
            return None;
        }
        let mut columns: Vec<_> = table.key_columns().cloned().collect();
        for (column, place) in columns.iter_mut().zip(1..) {
            column.name = format!("k{place}");
        }
        let mut kinds: Vec<Kind> = columns.iter().map(Kind::of).collect();
        kinds.push(Kind::Number);
        Some(Reading {
            table: table.name.clone(),
            insert: format!(
                "INSERT INTO mdb_hit_{} ({}, deep) VALUES ",
                table.number,
                numbered(table, "")
            ),
            kinds,
            query: format!(
                "SELECT DISTINCT {}, c.deep FROM {} WHERE c.k1 IS NOT NULL",
                read_list(columns.iter(), "c"),
                records(table, self.id)
            ),
        })
    }

    /// Adds what is hit at the target besides: all rows of a briefcase, and rows below deep hits.
    fn collect(&self, table: &MovedTable, whole: &[Vec<u8>]) -> String {
        let mut sql = String::new();
        let insert = format!(
            "INSERT INTO mdb_hit_{} (deep, {}) SELECT TRUE, {}",
            table.number,
            numbered(table, ""),
            keys(table, "t")
        );
        if !whole.is_empty() {
            let mut ids = format!("{} AND gdid IN (", ids(self.id));
            for (number, id) in whole.iter().enumerate() {
                ids.push_str(if number == 0 { "x'" } else { ", x'" });
                for byte in id {
                    let _ = write!(ids, "{byte:02x}");
                }
                ids.push('\'');
            }
            ids.push(')');
            let _ = write!(
                sql,
                "{insert} {}; ",
                rows_of(self.manifest, table, "t", &ids)
            );
        }
        if let Some((parent, on)) = self.deep_parent(table) {
            let _ = write!(
                sql,
                "{insert} FROM mdb_hit_{} h STRAIGHT_JOIN {} p ON {} STRAIGHT_JOIN {} t ON {} WHERE h.deep; ",
                parent.number,
                quoted(parent),
                same_key(parent, "p", "h"),
                quoted(table),
                joined::<MySql>(on, "t", "p"),
            );
        }
        sql
    }

    /// `FROM …`: the rows of the source that are hit.
    fn hit_rows(&self, table: &MovedTable) -> String {
        format!(
            "FROM ({}) h STRAIGHT_JOIN {} t ON {} WHERE {}",
            self.hit_keys(table, ""),
            quoted(table),
            same_key(table, "t", "h"),
            self.manifest.condition::<MySql>(table, "t", &ids(self.id)),
        )
    }

    /// The keys of the source's rows that are hit; `and_deep` may ask for deep ones only.
    fn hit_keys(&self, table: &MovedTable, and_deep: &str) -> String {
        let mut queries = Vec::new();
        let Recorded { all, whole, .. } = self.counts[table.number];
        if all > whole {
            queries.push(format!(
                "SELECT DISTINCT {} FROM {} WHERE c.k1 IS NOT NULL{and_deep}",
                numbered(table, "c"),
                records(table, self.id)
            ));
        }
        if whole > 0 {
            queries.push(format!(
                "SELECT DISTINCT {} {}",
                keys_as_numbered(table, "t"),
                rows_of(self.manifest, table, "t", &self.whole_ids(table))
            ));
        }
        if let Some((parent, on)) = self.deep_parent(table) {
            queries.push(format!(
                "SELECT DISTINCT {} FROM ({}) h STRAIGHT_JOIN {} p ON {} STRAIGHT_JOIN {} t ON {}",
                keys_as_numbered(table, "t"),
                self.hit_keys(parent, " AND c.deep"),
                quoted(parent),
                same_key(parent, "p", "h"),
                quoted(table),
                joined::<MySql>(on, "t", "p"),
            ));
        }
        queries.join(" UNION ")
    }
}
