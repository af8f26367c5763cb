//! Whether a store was in use before its CENTRAL was made: then that one is not new, but lost.

use sqlx::{MySql, Postgres, Sqlite};

use super::error::AcquireError;
use super::identity;
use super::server::Servers;
use crate::config::{AreaConfig, BriefcaseConfig, EngineKind, Reach};
use crate::engine::{Access, Engine, Target};
use crate::topology::{AreaIndex, ShardId};

/// A shard that has briefcases' rows, or has taken part in moves. One that can't be asked tells nothing.
pub(super) async fn shard_in_use(servers: &Servers, areas: &[AreaConfig]) -> Option<ShardId> {
    for (config, index) in areas.iter().zip(0..) {
        let area = servers.topology().area(AreaIndex::new(index));
        for shard in area.shards() {
            let is_used = match servers.config_of(shard).engine() {
                EngineKind::Sqlite => is_used::<Sqlite>(servers, shard, config).await,
                EngineKind::Postgres => is_used::<Postgres>(servers, shard, config).await,
                EngineKind::MySql => is_used::<MySql>(servers, shard, config).await,
            };
            match is_used {
                Ok(true) => return Some(shard),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%shard, error = %crate::error::chain(&error), "not known to be in use");
                }
            }
        }
    }
    None
}

async fn is_used<DB: Engine>(
    servers: &Servers,
    shard: ShardId,
    config: &AreaConfig,
) -> Result<bool, AcquireError> {
    let source = servers.typed::<DB>(shard)?.source();
    let target = Target::Database(&source.database);
    let (mut connection, _) = source.connect::<DB>(target, Access::ReadWrite).await?;
    let asked = async {
        match identity::read::<DB>(&mut connection).await? {
            Some(Ok(stamp)) if stamp.identity.store() == source.identity.store() => {}
            _ => return Ok(false),
        }
        let moves =
            "SELECT least_epoch + flips + (SELECT count(*) FROM mdb_relocation) FROM mdb_shard";
        let rows = DB::query_own(&mut connection, moves, &[]).await?;
        let mut is_used = match rows.first() {
            Some(row) => row.integer(0)? > 0,
            None => false,
        };
        let tables = config.briefcases().iter().flat_map(BriefcaseConfig::tables);
        for table in tables.filter(|table| matches!(table.reach(), Reach::Key { .. })) {
            let any = format!("SELECT 1 FROM {} LIMIT 1", DB::quote(table.name()));
            // The user may not have made it yet.
            let rows = DB::query_own(&mut connection, &any, &[]).await;
            is_used |= rows.is_ok_and(|rows| !rows.is_empty());
        }
        Ok::<_, sqlx::Error>(is_used)
    };
    let (server, database) = (source.server.clone(), source.database.clone());
    let limit = source.limits.statement_timeout();
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(is_used)) => Ok(is_used),
        Ok(Err(error)) => Err(AcquireError::connect::<DB>(server, database, error)),
        Err(_) => Err(AcquireError::ConnectTimeout {
            server,
            database,
            limit,
        }),
    }
}
