//! Examining one shard.

use std::collections::BTreeSet;

use mdb_gdid::{EraZeroId, Gdid};

use super::orphans::Below;
use super::{Fault, Misplaced, VerifyError, VerifyEvent};
use crate::config::{AreaConfig, BriefcaseConfig, Reach, TableConfig};
use crate::engine::{Table, Value, Values};
use crate::relocate::error::MoveError;
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

/// A table that carries the key.
struct Keyed<'v> {
    table: &'v str,
    column: &'v str,
    form: Form,
}

/// How a column keeps ids.
#[derive(Clone, Copy)]
enum Form {
    Bytes,
    /// In era 0 only.
    Integer,
}

impl Form {
    /// The id as that column keeps it, if it can.
    fn value(self, id: Gdid) -> Option<Value> {
        match self {
            Self::Bytes => Some(Value::from(id)),
            Self::Integer => EraZeroId::try_from(id)
                .ok()
                .map(|id| Value::Integer(id.to_i64())),
        }
    }

    /// What a row begins with: the value, and the id if it is one.
    fn read(self, row: &Values) -> Result<(Value, Option<Gdid>), sqlx::Error> {
        match self {
            Self::Bytes => match row.bytes(0) {
                Ok(bytes) => Ok((Value::from(bytes), row.id(0).ok())),
                // SQLite keeps a text in any column.
                Err(_) => Ok((Value::from(row.text(0)?), None)),
            },
            Self::Integer => {
                let number = row.integer(0)?;
                let id = Gdid::from(EraZeroId::from_i64(number));
                Ok((Value::Integer(number), Some(id)))
            }
        }
    }
}

impl<'v> Examiner<'v> {
    pub(super) fn pool(&self) -> &'v AnyPool {
        self.relocator.servers.pool(self.shard)
    }

    pub(super) fn failed(&self, shard: ShardId) -> impl FnOnce(sqlx::Error) -> VerifyError + use<> {
        let shard = self.relocator.servers.topology().shard_place(shard);
        move |source| VerifyError::Shard { shard, source }
    }

    pub(super) fn found(&self, table: &str, id: Option<Gdid>, rows: u64, fault: Fault) {
        (self.tell)(VerifyEvent::Found(Misplaced {
            shard: self.shard,
            table: table.to_owned(),
            id,
            rows,
            fault,
        }));
    }

    fn tables(&self) -> impl Iterator<Item = &'v TableConfig> + use<'v> {
        let briefcases = self.config.briefcases().iter();
        briefcases.flat_map(BriefcaseConfig::tables)
    }

    /// The tables that there are.
    async fn tables_here(&self) -> Result<Vec<Table>, VerifyError> {
        let here = self.pool().tables().await;
        here.map_err(self.failed(self.shard))
    }

    /// The tables that carry the key, of those that are `here`.
    fn keyed(&self, here: &[Table]) -> Vec<Keyed<'v>> {
        let form = |table: &str, column: &str| {
            let table = here.iter().find(|found| found.name() == table);
            match table.and_then(|table| table.column(column)) {
                Some(column) if column.data_type().to_ascii_lowercase().contains("int") => {
                    Form::Integer
                }
                _ => Form::Bytes,
            }
        };
        let keyed = self.tables().filter_map(|table| match table.reach() {
            Reach::Key { column } => Some(Keyed {
                table: table.name(),
                column,
                form: form(table.name(), column),
            }),
            Reach::Parent { .. } => None,
        });
        keyed.collect()
    }

    pub(super) async fn everything(&self) -> Result<(), VerifyError> {
        let here = self.tables_here().await?;
        let keyed = self.keyed(&here);
        for table in &keyed {
            self.keys_of(table, &keyed).await?;
        }
        for table in self.tables() {
            if let Reach::Parent { table: parent, on } = table.reach() {
                let below = Below::of(table.name(), parent, on, &here, self.config.engine());
                self.orphans(&below).await?;
            }
        }
        self.fences().await
    }

    pub(super) async fn briefcases(&self, ids: &[Gdid]) -> Result<(), VerifyError> {
        let ids: BTreeSet<Gdid> = ids.iter().copied().collect();
        let keyed = self.keyed(&self.tables_here().await?);
        for table in &keyed {
            for id in &ids {
                if !self.is_home(*id) {
                    self.look(table, *id, &keyed).await?;
                }
            }
            (self.tell)(VerifyEvent::Looked(ids.len() as u64));
        }
        Ok(())
    }

    /// Looks at all keys of a table.
    async fn keys_of(&self, table: &Keyed<'_>, all: &[Keyed<'_>]) -> Result<(), VerifyError> {
        let pool = self.pool();
        let (from, key) = (pool.quote(table.table), pool.quote(table.column));
        let mut after: Option<Value> = None;
        let mut no_ids = 0;
        loop {
            let (beyond, values) = match after {
                None => ("IS NOT NULL", Vec::new()),
                Some(last) => ("> ?", vec![last]),
            };
            let query = format!(
                "SELECT DISTINCT {key} FROM {from} WHERE {key} {beyond} ORDER BY {key} LIMIT {PAGE}"
            );
            let rows = pool.query(&query, &values).await;
            let rows = rows.map_err(self.failed(self.shard))?;
            let mut last = None;
            for row in &rows {
                let (value, id) = table.form.read(row).map_err(self.failed(self.shard))?;
                last = Some(value);
                match id {
                    Some(id) if self.is_home(id) => {}
                    Some(id) => self.look(table, id, all).await?,
                    None => no_ids += 1,
                }
            }
            (self.tell)(VerifyEvent::Looked(rows.len() as u64));
            if rows.len() < PAGE {
                break;
            }
            after = last;
        }
        if no_ids > 0 {
            self.found(table.table, None, no_ids, Fault::NoIds);
        }
        Ok(())
    }

    /// Whether this was the briefcase's home when it all began.
    fn is_home(&self, id: Gdid) -> bool {
        let place = self.first.of(self.area, id);
        place.is_ok_and(|place| place.shard() == self.shard && place.motion() == Motion::Rests)
    }

    /// Looks at a briefcase that may have no business here.
    ///
    /// The catalog is asked before and after its fence and its rows: a fence is there for as long as
    /// a move has rows on a shard that is not their home.
    async fn look(
        &self,
        table: &Keyed<'_>,
        id: Gdid,
        all: &[Keyed<'_>],
    ) -> Result<(), VerifyError> {
        let ask = || self.first.anew(self.relocator, self.area, id);
        let before = ask().await?;
        if let Ok((place, _)) = &before
            && place.shard() == self.shard
            && place.motion() == Motion::Rests
        {
            return Ok(());
        }
        let query = "SELECT move FROM mdb_fence WHERE gdid = ?";
        let fence = self.pool().query(query, &[Value::from(id)]).await;
        let fence = fence.map_err(self.failed(self.shard))?;
        let rows = self.count(self.shard, table, id).await?;
        if rows == 0 {
            return Ok(());
        }
        let (Ok((before, written)), Ok((after, since))) = (before, ask().await?) else {
            self.found(table.table, Some(id), rows, Fault::Homeless);
            return Ok(());
        };
        let moves = before.motion() == Motion::Moves || after.motion() == Motion::Moves;
        if moves || written != since {
            (self.tell)(VerifyEvent::InMotion(id));
            return Ok(());
        }
        let home = after.shard();
        let fault = match fence.first() {
            Some(row) => {
                let by = row.text(0).map_err(self.failed(self.shard))?.to_owned();
                let is_under_way = match self.relocator.find(&by).await {
                    Ok(record) => !record.phase().is_over(),
                    Err(MoveError::Unknown { .. }) => false,
                    Err(error) => return Err(error.into()),
                };
                // One that has ended just now has taken its rows along.
                if is_under_way || self.count(self.shard, table, id).await? == 0 {
                    (self.tell)(VerifyEvent::InMotion(id));
                    return Ok(());
                }
                Fault::Leftover { home, by }
            }
            None if self.has_rows(home, id, all).await? => Fault::Split { home },
            None => Fault::Stray { home },
        };
        self.found(table.table, Some(id), rows, fault);
        Ok(())
    }

    async fn count(&self, shard: ShardId, table: &Keyed<'_>, id: Gdid) -> Result<u64, VerifyError> {
        let Some(value) = table.form.value(id) else {
            return Ok(0);
        };
        let pool = self.relocator.servers.pool(shard);
        let query = format!(
            "SELECT count(*) FROM {} WHERE {} = ?",
            pool.quote(table.table),
            pool.quote(table.column)
        );
        self.number(shard, &query, &[value]).await
    }

    pub(super) async fn number(
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

    async fn has_rows(
        &self,
        shard: ShardId,
        id: Gdid,
        keyed: &[Keyed<'_>],
    ) -> Result<bool, VerifyError> {
        for table in keyed {
            if self.count(shard, table, id).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks for fences of moves that no journal knows; it is read afterwards, for a move is journalled
    /// first.
    async fn fences(&self) -> Result<(), VerifyError> {
        let query = "SELECT move, count(*) FROM mdb_fence GROUP BY move";
        let rows = self.pool().query(query, &[]).await;
        for row in rows.map_err(self.failed(self.shard))? {
            let by = row.text(0).map_err(self.failed(self.shard))?.to_owned();
            let count = row.integer(1).map_err(self.failed(self.shard))?;
            match self.relocator.find(&by).await {
                Err(MoveError::Unknown { .. }) => {
                    let fault = Fault::UnknownMove { by };
                    self.found("mdb_fence", None, count.unsigned_abs(), fault);
                }
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
