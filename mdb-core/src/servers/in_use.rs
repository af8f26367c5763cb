//! Whether a store was in use before one of its databases was made: then that one is not new, but lost.

use sqlx::{MySql, Postgres, Sqlite};

use super::error::AcquireError;
use super::identity::{self, Found, Stamp};
use super::init::InitError;
use super::server::Servers;
use crate::config::{AreaConfig, BriefcaseConfig, EngineKind, Reach};
use crate::engine::{Access, Engine, ErrorClass, Target};
use crate::topology::{AreaIndex, ShardId};

/// Refuses to make a database of CENTRAL while the store is in use, or may be.
pub(crate) async fn refuse_if_in_use(
    servers: &Servers,
    areas: &[AreaConfig],
    made: ShardId,
) -> Result<(), InitError> {
    let topology = servers.topology();
    let shard = topology.shard(made);
    let (server, database) = (shard.server().clone(), shard.database().clone());
    match in_use(servers, areas, Some(made)).await {
        Ok(None) => Ok(()),
        Ok(Some(shard)) => Err(InitError::CentralLost {
            server,
            database,
            in_use: topology.shard_place(shard),
        }),
        Err(source) => Err(InitError::CentralUncertain {
            server,
            database,
            source,
        }),
    }
}

/// Whether all shards say that nobody has used the store yet.
pub(crate) async fn is_unused(servers: &Servers, areas: &[AreaConfig], made: ShardId) -> bool {
    matches!(in_use(servers, areas, Some(made)).await, Ok(None))
}

/// A shard of the store that has briefcases' rows or keys, or has taken part in moves, other than one that is made.
///
/// An error means that no shard that could be asked has anything, and not all could be asked; it is the first one's.
pub(crate) async fn in_use(
    servers: &Servers,
    areas: &[AreaConfig],
    made: Option<ShardId>,
) -> Result<Option<ShardId>, AcquireError> {
    let topology = servers.topology();
    let central = topology.central().shards().iter();
    let central = central.map(|shard| (*shard, None));
    let areas = areas.iter().zip(0..).flat_map(|(config, index)| {
        let shards = topology.area(AreaIndex::new(index)).shards();
        shards.map(move |shard| (shard, Some(config)))
    });
    let all = areas.chain(central);
    first_used(servers, all.filter(|(shard, _)| Some(*shard) != made)).await
}

/// The same of the shards of one area.
pub(crate) async fn in_use_beside(
    servers: &Servers,
    areas: &[AreaConfig],
    area: AreaIndex,
    made: ShardId,
) -> Result<Option<ShardId>, AcquireError> {
    let config = areas.get(area.get());
    let shards = servers.topology().area(area).shards();
    let others = shards.filter(|shard| *shard != made);
    first_used(servers, others.map(|shard| (shard, config))).await
}

/// The first of these shards that is used. Those of an area come with its configuration.
async fn first_used(
    servers: &Servers,
    shards: impl Iterator<Item = (ShardId, Option<&AreaConfig>)>,
) -> Result<Option<ShardId>, AcquireError> {
    let mut silent = None;
    for (shard, config) in shards {
        match asked(servers, shard, config).await {
            Ok(true) => return Ok(Some(shard)),
            // A database that is not there has not been used.
            Ok(false) | Err(AcquireError::Missing { .. }) => {}
            Err(error) => silent = silent.or(Some(error)),
        }
    }
    silent.map_or(Ok(None), Err)
}

/// Whether a shard is used: one of an area with that configuration, or of CENTRAL.
async fn asked(
    servers: &Servers,
    shard: ShardId,
    area: Option<&AreaConfig>,
) -> Result<bool, AcquireError> {
    match servers.config_of(shard).engine() {
        EngineKind::Sqlite => is_used::<Sqlite>(servers, shard, area).await,
        EngineKind::Postgres => is_used::<Postgres>(servers, shard, area).await,
        EngineKind::MySql => is_used::<MySql>(servers, shard, area).await,
    }
}

async fn is_used<DB: Engine>(
    servers: &Servers,
    shard: ShardId,
    area: Option<&AreaConfig>,
) -> Result<bool, AcquireError> {
    let source = servers.typed::<DB>(shard)?.source();
    let target = Target::Database(&source.database);
    let mut connection = match source.connect::<DB>(target, Access::ReadWrite).await {
        Ok((connection, _)) => connection,
        // Some servers say so of a database that is not there.
        Err(AcquireError::Connect { source, .. })
            if DB::error_class(&source) == ErrorClass::HiddenDatabase =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let asked = async {
        match identity::read::<DB>(&mut connection).await? {
            Found::Stamp(Stamp { identity, .. }) | Found::Outdated(identity)
                if identity.store() == source.identity.store() => {}
            _ => return Ok(false),
        }
        let moves =
            "SELECT least_epoch + flips + (SELECT count(*) FROM mdb_relocation) FROM mdb_shard";
        let rows = DB::query_own(&mut connection, moves, &[]).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        if row.integer(0)? > 0 {
            return Ok(true);
        }
        let tables = match area {
            // Not the counts: a process that waits for ids begins them as soon as it can.
            None => vec!["mdb_index".to_owned()],
            Some(area) if area.briefcases().is_empty() => {
                let tables = DB::tables(&mut connection).await?.into_iter();
                tables.map(|table| table.name().to_owned()).collect()
            }
            Some(area) => keyed(area),
        };
        for table in tables {
            let any = format!("SELECT 1 FROM {} LIMIT 1", DB::quote(&table));
            match DB::query_own(&mut connection, &any, &[]).await {
                Ok(rows) if rows.is_empty() => {}
                Ok(_) => return Ok(true),
                // The user has not made it yet.
                Err(error) if DB::error_class(&error) == ErrorClass::MissingTable => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<_, sqlx::Error>(false)
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

/// The tables whose rows carry briefcases' ids.
fn keyed(area: &AreaConfig) -> Vec<String> {
    let tables = area.briefcases().iter().flat_map(BriefcaseConfig::tables);
    let keyed = tables.filter(|table| matches!(table.reach(), Reach::Key { .. }));
    keyed.map(|table| table.name().to_owned()).collect()
}
