//! Examining one shard.

use std::collections::BTreeSet;

use mdb_gdid::Gdid;

use super::{Fault, Misplaced, VerifyError, VerifyEvent};
use crate::config::{AreaConfig, BriefcaseConfig, Reach, TableConfig};
use crate::engine::Value;
use crate::relocate::relocator::Relocator;
use crate::relocate::whereabouts::{Motion, Places};
use crate::servers::AnyPool;
use crate::topology::{AreaIndex, ShardId};

/// How many keys are read at once.
const PAGE: usize = 1_000;

/// One shard, and what is needed to judge what is on it.
pub(super) struct Examiner<'v> {
    pub(super) relocator: &'v Relocator,
    pub(super) area: AreaIndex,
    pub(super) config: &'v AreaConfig,
    /// Where briefcases were when it began; only to tell quickly which ones need a closer look.
    pub(super) first: &'v Places,
    pub(super) shard: ShardId,
    pub(super) tell: &'v (dyn Fn(VerifyEvent) + Send + Sync),
}

impl<'v> Examiner<'v> {
    fn pool(&self) -> &'v AnyPool {
        self.relocator.servers.pool(self.shard)
    }

    fn failed(&self, shard: ShardId) -> impl FnOnce(sqlx::Error) -> VerifyError + use<> {
        let shard = self.relocator.servers.topology().shard_name(shard);
        move |source| VerifyError::Shard { shard, source }
    }

    fn found(&self, table: &str, id: Option<Gdid>, rows: u64, fault: Fault) {
        (self.tell)(VerifyEvent::Found(Misplaced {
            shard: self.shard,
            table: table.to_owned(),
            id,
            rows,
            fault,
        }));
    }

    /// The tables that carry the key, each with the key's column.
    fn keyed(&self) -> impl Iterator<Item = (&'v TableConfig, &'v str)> + use<'v> {
        let tables = self
            .config
            .briefcases()
            .iter()
            .flat_map(BriefcaseConfig::tables);
        tables.filter_map(|table| match table.reach() {
            Reach::Key { column } => Some((table, column.as_str())),
            Reach::Parent { .. } => None,
        })
    }

    pub(super) async fn everything(&self) -> Result<(), VerifyError> {
        for (table, column) in self.keyed() {
            self.keys_of(table.name(), column).await?;
        }
        let tables = self
            .config
            .briefcases()
            .iter()
            .flat_map(BriefcaseConfig::tables);
        for table in tables {
            if let Reach::Parent { table: parent, on } = table.reach() {
                self.orphans(table.name(), parent, on).await?;
            }
        }
        self.fences().await
    }

    pub(super) async fn briefcases(&self, ids: &[Gdid]) -> Result<(), VerifyError> {
        let ids: BTreeSet<Gdid> = ids.iter().copied().collect();
        for (table, column) in self.keyed() {
            for id in &ids {
                self.look(table.name(), column, *id).await?;
            }
            (self.tell)(VerifyEvent::Looked(ids.len() as u64));
        }
        Ok(())
    }

    /// Looks at all keys of a table.
    async fn keys_of(&self, table: &str, column: &str) -> Result<(), VerifyError> {
        let pool = self.pool();
        let (from, key) = (pool.quote(table), pool.quote(column));
        let mut after: Option<Vec<u8>> = None;
        loop {
            let (beyond, values) = match &after {
                None => ("IS NOT NULL", Vec::new()),
                Some(last) => ("> ?", vec![Value::from(last.as_slice())]),
            };
            let query = format!(
                "SELECT DISTINCT {key} FROM {from} WHERE {key} {beyond} ORDER BY {key} LIMIT {PAGE}"
            );
            let rows = pool.query(&query, &values).await;
            let rows = rows.map_err(self.failed(self.shard))?;
            for row in &rows {
                match row.id(0) {
                    Ok(id) if self.is_home(self.first, id) => {}
                    Ok(id) => self.look(table, column, id).await?,
                    Err(_) => self.found(table, None, 1, Fault::NoIds),
                }
            }
            (self.tell)(VerifyEvent::Looked(rows.len() as u64));
            let Some(last) = rows.last().filter(|_| rows.len() == PAGE) else {
                return Ok(());
            };
            after = Some(last.bytes(0).map_err(self.failed(self.shard))?.to_vec());
        }
    }

    fn is_home(&self, places: &Places, id: Gdid) -> bool {
        places
            .of(self.area, id)
            .is_ok_and(|place| place.shard() == self.shard && place.motion() == Motion::Rests)
    }

    /// Looks at a briefcase that may have no business here.
    ///
    /// The catalog is asked before and after its fence and its rows: a fence is there for as long as
    /// a move has rows on a shard that is not their home.
    async fn look(&self, table: &str, column: &str, id: Gdid) -> Result<(), VerifyError> {
        let before = Places::now(self.relocator).await?;
        if self.is_home(&before, id) {
            return Ok(());
        }
        let pool = self.pool();
        let query = "SELECT move FROM mdb_fence WHERE gdid = ?";
        let fence = pool.query(query, &[Value::from(id)]).await;
        let fence = fence.map_err(self.failed(self.shard))?;
        let rows = self.count(self.shard, table, column, id).await?;
        if rows == 0 {
            return Ok(());
        }
        let after = Places::now(self.relocator).await?;
        let (before, after) = (before.of(self.area, id), after.of(self.area, id));
        let (Ok(before), Ok(after)) = (before, after) else {
            self.found(table, Some(id), rows, Fault::Homeless);
            return Ok(());
        };
        let moves = |motion| motion == Motion::Moves;
        if moves(before.motion()) || moves(after.motion()) || before.shard() != after.shard() {
            (self.tell)(VerifyEvent::InMotion(id));
            return Ok(());
        }
        let home = after.shard();
        let fault = match fence.first() {
            Some(row) => {
                let by = row.text(0).map_err(self.failed(self.shard))?.to_owned();
                let (_, live) = self.relocator.journalled().await?;
                if live.contains(&by) {
                    (self.tell)(VerifyEvent::InMotion(id));
                    return Ok(());
                }
                // One that has ended just now has taken its rows along.
                if self.count(self.shard, table, column, id).await? == 0 {
                    (self.tell)(VerifyEvent::InMotion(id));
                    return Ok(());
                }
                Fault::Leftover { home, by }
            }
            None if self.has_rows(home, id).await? => Fault::Split { home },
            None => Fault::Stray { home },
        };
        self.found(table, Some(id), rows, fault);
        Ok(())
    }

    async fn count(
        &self,
        shard: ShardId,
        table: &str,
        column: &str,
        id: Gdid,
    ) -> Result<u64, VerifyError> {
        let pool = self.relocator.servers.pool(shard);
        let query = format!(
            "SELECT count(*) FROM {} WHERE {} = ?",
            pool.quote(table),
            pool.quote(column)
        );
        self.number(shard, &query, &[Value::from(id)]).await
    }

    async fn number(
        &self,
        shard: ShardId,
        query: &str,
        values: &[Value],
    ) -> Result<u64, VerifyError> {
        let asked = self.relocator.servers.pool(shard).query(query, values);
        let rows = asked.await.map_err(self.failed(shard))?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound);
        let number = first.and_then(|row| row.integer(0));
        Ok(number.map_err(self.failed(shard))?.unsigned_abs())
    }

    async fn has_rows(&self, shard: ShardId, id: Gdid) -> Result<bool, VerifyError> {
        for (table, column) in self.keyed() {
            if self.count(shard, table.name(), column, id).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts rows whose parent is not there.
    async fn orphans(
        &self,
        table: &str,
        parent: &str,
        on: &[(String, String)],
    ) -> Result<(), VerifyError> {
        let pool = self.pool();
        let joined: Vec<String> = on
            .iter()
            .map(|(own, parents)| format!("p.{} = t.{}", pool.quote(parents), pool.quote(own)))
            .collect();
        let query = format!(
            "SELECT count(*) FROM {} t WHERE NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
            pool.quote(table),
            pool.quote(parent),
            joined.join(" AND ")
        );
        let rows = self.number(self.shard, &query, &[]).await?;
        if rows > 0 {
            let parent = parent.to_owned();
            self.found(table, None, rows, Fault::Orphans { parent });
        }
        Ok(())
    }

    /// Looks for fences of moves that no journal knows; it is read afterwards, for a move is journalled
    /// first.
    async fn fences(&self) -> Result<(), VerifyError> {
        let query = "SELECT move, count(*) FROM mdb_fence GROUP BY move";
        let rows = self.pool().query(query, &[]).await;
        let rows = rows.map_err(self.failed(self.shard))?;
        if rows.is_empty() {
            return Ok(());
        }
        let (known, _) = self.relocator.journalled().await?;
        for row in &rows {
            let by = row.text(0).map_err(self.failed(self.shard))?.to_owned();
            let count = row.integer(1).map_err(self.failed(self.shard))?;
            if !known.contains(&by) {
                let fault = Fault::UnknownMove { by };
                self.found("mdb_fence", None, count.unsigned_abs(), fault);
            }
        }
        Ok(())
    }
}
