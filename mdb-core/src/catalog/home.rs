//! The catalog's tables on CENTRAL's first shard.

use std::fmt;
use std::time::Duration;

use super::live::Epoch;
use super::relocation::RelocationRow;
use crate::engine::{Step, Value, Values};
use crate::servers::{AnyPool, Servers};
use crate::topology::Topology;

/// The catalog's home: every process asks it, movers write to it.
#[derive(Clone, Copy)]
pub(crate) struct Home<'s> {
    pool: &'s AnyPool,
}

/// Why the catalog's home was of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// It could not be asked.
    #[error("the catalog on CENTRAL's first shard can't be asked")]
    Database(#[from] sqlx::Error),
    /// What is stored there makes no sense.
    #[error("the catalog on CENTRAL's first shard has no epoch: run `mdb init`")]
    NoEpoch,
}

/// A router that does not know of an epoch yet.
pub(crate) struct BehindRouter {
    pub(crate) router: String,
    /// Whether its lease holds.
    pub(crate) is_alive: bool,
    waits_for: String,
    place: String,
}

impl fmt::Display for BehindRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_alive, self.waits_for.as_str()) {
            (false, _) => "has not been heard of since its lease ran out",
            (true, "") => "has not answered yet",
            (true, waits_for) => waits_for,
        };
        write!(f, "{} ({}): {state}", self.place, self.router)
    }
}

impl<'s> Home<'s> {
    pub(crate) fn of(servers: &'s Servers, topology: &Topology) -> Self {
        Self {
            pool: servers.pool(topology.central().shards()[0]),
        }
    }

    pub(crate) fn pool(self) -> &'s AnyPool {
        self.pool
    }

    /// The present epoch.
    pub(crate) async fn epoch(self) -> Result<Epoch, HomeError> {
        let rows = self
            .pool
            .query("SELECT epoch FROM mdb_catalog WHERE only_row = 1", &[])
            .await?;
        let number = rows.first().ok_or(HomeError::NoEpoch)?.integer(0)?;
        u64::try_from(number)
            .map(Epoch::new)
            .map_err(|_| HomeError::NoEpoch)
    }

    /// All relocations and motions.
    pub(crate) async fn relocations(self) -> Result<Vec<RelocationRow>, HomeError> {
        self.relocations_since(Epoch::START).await
    }

    /// The relocations and motions that have changed after `epoch`. None is ever deleted.
    pub(crate) async fn relocations_since(
        self,
        epoch: Epoch,
    ) -> Result<Vec<RelocationRow>, HomeError> {
        Ok(RelocationRow::changed_since(self.pool, epoch).await?)
    }

    /// Registers a router that has acknowledged nothing yet, for as long as `lease`.
    pub(crate) async fn register(
        self,
        router: &str,
        place: &str,
        lease: Duration,
    ) -> Result<(), HomeError> {
        let update = format!(
            "UPDATE mdb_router SET acknowledged = 0, lease_until = {} + ?, waits_for = NULL WHERE router = ?",
            self.pool.now()
        );
        let values = [millis(lease), Value::from(router)];
        if self.pool.execute(&update, &values).await? == 1 {
            return Ok(());
        }
        let insert = format!(
            "INSERT INTO mdb_router (router, acknowledged, lease_until, waits_for, place) \
             VALUES (?, 0, {} + ?, NULL, ?)",
            self.pool.now()
        );
        let insert = self.pool.insert_if_absent(&insert, "place");
        let values = [Value::from(router), millis(lease), Value::from(place)];
        self.pool.execute(&insert, &values).await?;
        Ok(())
    }

    /// Renews the lease and says what is acknowledged; `false` when it has run out, or the router is not
    /// registered: then nobody may have waited for it, and it has to register anew.
    pub(crate) async fn renew(
        self,
        router: &str,
        acknowledged: Epoch,
        lease: Duration,
        waits_for: Option<&str>,
    ) -> Result<bool, HomeError> {
        let update = format!(
            "UPDATE mdb_router SET acknowledged = ?, lease_until = {} + ?, waits_for = ? \
             WHERE router = ? AND acknowledged >= 0 AND lease_until > {}",
            self.pool.now(),
            self.pool.now()
        );
        let values = [
            Value::Integer(i64::try_from(acknowledged.get()).unwrap_or(i64::MAX)),
            millis(lease),
            Value::from(waits_for.unwrap_or_default()),
            Value::from(router),
        ];
        Ok(self.pool.execute(&update, &values).await? == 1)
    }

    /// The routers that have not acknowledged `epoch`.
    pub(crate) async fn behind(self, epoch: Epoch) -> Result<Vec<BehindRouter>, HomeError> {
        let query = format!(
            "SELECT router, CASE WHEN lease_until > {} THEN 1 ELSE 0 END, waits_for, place \
             FROM mdb_router WHERE acknowledged < ?",
            self.pool.now()
        );
        let number = i64::try_from(epoch.get()).unwrap_or(i64::MAX);
        let rows = self.pool.query(&query, &[Value::Integer(number)]).await?;
        let read = |row: &Values| -> Result<BehindRouter, sqlx::Error> {
            Ok(BehindRouter {
                router: row.text(0)?.to_owned(),
                is_alive: row.integer(1)? == 1,
                waits_for: row.optional_text(2)?.unwrap_or_default().to_owned(),
                place: row.text(3)?.to_owned(),
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Takes a router's registration back.
    pub(crate) async fn leave(self, router: &str) -> Result<(), HomeError> {
        let delete = "DELETE FROM mdb_router WHERE router = ?";
        self.pool.execute(delete, &[Value::from(router)]).await?;
        Ok(())
    }

    pub(crate) async fn query(self, sql: &str, values: &[Value]) -> Result<Vec<Values>, HomeError> {
        Ok(self.pool.query(sql, values).await?)
    }

    pub(crate) async fn execute(self, sql: &str, values: &[Value]) -> Result<u64, HomeError> {
        Ok(self.pool.execute(sql, values).await?)
    }

    /// Does all steps in one transaction; `false` when one did not change what it was to change, and
    /// nothing was done.
    pub(crate) async fn together(self, steps: &[Step]) -> Result<bool, HomeError> {
        Ok(self.pool.together(steps).await?)
    }
}

fn millis(time: Duration) -> Value {
    Value::Integer(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}
