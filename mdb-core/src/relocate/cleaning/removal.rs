//! Removing what nobody needs.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mdb_gdid::Gdid;
use sqlx::{MySql, Postgres, Sqlite};

use super::{Kind, Remains};
use crate::config::EngineKind;
use crate::engine::Value;
use crate::engine::relocating::{Manifest, MoveId, Relocating};
use crate::relocate::batch::{LOCK_LIMIT, count_fences, lock_limit, open};
use crate::relocate::error::MoveError;
use crate::relocate::patience::Patience;
use crate::relocate::relocator::Relocator;
use crate::relocate::side::transaction;
use crate::topology::{AreaIndex, ShardId};

/// For how long something is tried that others keep locked.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many rows one transaction deletes.
const DELETED_AT_ONCE: u32 = 1_000;

impl Relocator {
    /// Removes it; `false` when it is not what it was any more.
    pub(super) async fn remove(&self, remains: &Remains) -> Result<bool, MoveError> {
        match self.servers.config_of(remains.leftover.shard).engine() {
            EngineKind::Sqlite => self.remove_on::<Sqlite>(remains).await,
            EngineKind::Postgres => self.remove_on::<Postgres>(remains).await,
            EngineKind::MySql => self.remove_on::<MySql>(remains).await,
        }
    }

    fn remove_on<'a, DB: Relocating>(
        &'a self,
        remains: &'a Remains,
    ) -> BoxFuture<'a, Result<bool, MoveError>> {
        Box::pin(async move {
            let shard = remains.leftover.shard;
            let mut connection = open::<DB>(self.servers.typed::<DB>(shard)?).await?;
            match &remains.kind {
                Kind::Fences { by, states } => {
                    remove_fences::<DB>(&mut connection, by, states).await?;
                    Ok(true)
                }
                Kind::HalfCopy { by } => {
                    let manifest = self.manifest_of(remains.area, shard).await?;
                    let id = MoveId::stored(by);
                    DB::spare_checks_of_deletions(&mut connection, &manifest, &id).await?;
                    if !remove_rows::<DB>(&mut connection, &manifest, by).await? {
                        return Ok(false);
                    }
                    remove_fences::<DB>(&mut connection, by, "4").await?;
                    Ok(true)
                }
                Kind::Mark { by } => {
                    let forget = "DELETE FROM mdb_mover WHERE move = ?";
                    let by = [Value::from(by.as_str())];
                    self.servers.pool(shard).execute(forget, &by).await?;
                    Ok(true)
                }
                Kind::Installed | Kind::Disabled => {
                    self.uninstall::<DB>(&mut connection, remains).await
                }
            }
        })
    }

    /// Removes the triggers, unless a move needs them.
    async fn uninstall<DB: Relocating>(
        &self,
        connection: &mut DB::Connection,
        remains: &Remains,
    ) -> Result<bool, MoveError> {
        let shard = remains.leftover.shard;
        if self.is_in_use(remains.area, shard).await? {
            return Ok(false);
        }
        let pool = self.servers.typed::<DB>(shard)?;
        let limit = lock_limit(pool);
        let mut patience = Patience::new(PATIENCE, "remove triggers").on(pool);
        while let Err(error) = DB::uninstall(connection, &limit).await {
            patience.after::<DB>(error).await?;
        }
        if !self.is_in_use(remains.area, shard).await? {
            return Ok(true);
        }
        // A move has begun meanwhile, and has perhaps found them in place.
        let manifest = self.manifest_of(remains.area, shard).await?;
        let mut patience = Patience::new(PATIENCE, "install triggers").on(pool);
        while let Err(error) = DB::arm(connection, &manifest, None, &limit).await {
            match patience.after::<DB>(error).await {
                // It has installed its own, with other tables.
                Err(MoveError::OtherTables) => break,
                tried => tried?,
            }
        }
        Ok(false)
    }

    /// Whether a move that is not over concerns the shard, or fences are there.
    async fn is_in_use(&self, area: AreaIndex, shard: ShardId) -> Result<bool, MoveError> {
        let moves = self.under_way().await?;
        if moves
            .iter()
            .any(|record| self.concerns(record, area, shard))
        {
            return Ok(true);
        }
        let fences = "SELECT count(*) FROM mdb_fence";
        let rows = self.servers.pool(shard).query(fences, &[]).await?;
        Ok(rows.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)? > 0)
    }
}

pub(super) async fn remove_fences<DB: Relocating>(
    connection: &mut DB::Connection,
    by: &str,
    states: &str,
) -> Result<(), MoveError> {
    let by = [Value::from(by)];
    let query = format!("SELECT gdid FROM mdb_fence WHERE move = ? AND state IN ({states})");
    let rows = DB::query_own(connection, &query, &by).await?;
    let ids: Vec<Gdid> = rows.iter().map(|row| row.id(0)).collect::<Result<_, _>>()?;
    let forget = format!("DELETE FROM mdb_fence WHERE move = ? AND state IN ({states})");
    let mut patience = Patience::new(PATIENCE, "remove fences");
    loop {
        let removed = transaction::<DB, _>(connection, async |connection| {
            DB::lock_exclusive(connection, &ids, LOCK_LIMIT).await?;
            DB::execute_own(connection, &forget, &by).await?;
            Ok(())
        });
        match removed.await {
            Ok(()) => return Ok(()),
            Err(error) => patience.after::<DB>(error).await?,
        }
    }
}

/// Deletes the rows that a move has copied; `false`, and nothing more is deleted, when its fences are no
/// longer all those of a copy.
async fn remove_rows<DB: Relocating>(
    connection: &mut DB::Connection,
    manifest: &Manifest,
    by: &str,
) -> Result<bool, MoveError> {
    let id = MoveId::stored(by);
    let mut patience = Patience::new(PATIENCE, "delete rows");
    loop {
        let deleted = transaction::<DB, _>(connection, async |connection| {
            DB::enter_as_mover(connection, &id, LOCK_LIMIT).await?;
            let others = count_fences::<DB>(connection, Value::from(&id), "1, 2, 3").await?;
            let deleted = if others == 0 {
                Some(DB::delete_some(connection, manifest, &id, DELETED_AT_ONCE).await?)
            } else {
                None
            };
            DB::leave_as_mover(connection, &id).await?;
            Ok(deleted)
        });
        match deleted.await {
            Ok(None) => return Ok(false),
            Ok(Some(deleted)) if deleted < u64::from(DELETED_AT_ONCE) => return Ok(true),
            Ok(Some(_)) => patience = Patience::new(PATIENCE, "delete rows"),
            Err(error) => patience.after::<DB>(error).await?,
        }
    }
}
