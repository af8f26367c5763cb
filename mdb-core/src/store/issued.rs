//! Whether ids that belong on a shard were issued, or briefcases moved there, before its database was made: then that one is
//! lost, or the wrong one.

use mdb_gdid::{AuthorityStatus, SequenceState};

use crate::config::{AreaConfig, AreaName, Config, DeclaredSequence};
use crate::relocate::has_arrivals;
use crate::sequence::{SequenceError, Sequences};
use crate::servers::{InitError, Servers, in_use_beside, is_unused};
use crate::topology::ShardId;

/// Refuses to make a database of an area to which briefcases were moved, which need not be one that ids were issued for: they
/// are moved to any shard of the area.
pub(super) async fn refuse_if_moved_to(
    servers: &Servers,
    areas: &[AreaConfig],
    made: ShardId,
) -> Result<(), InitError> {
    let source = match has_arrivals(servers, made).await {
        Ok(false) => return Ok(()),
        Ok(true) => None,
        // CENTRAL may be made ready after the shards.
        Err(_) if is_unused(servers, areas, made).await => return Ok(()),
        Err(error) => Some(error),
    };
    let shard = servers.topology().shard(made);
    let (server, database) = (shard.server().clone(), shard.database().clone());
    Err(match source {
        None => InitError::BriefcasesMoved { server, database },
        Some(source) => InitError::MovesUncertain {
            server,
            database,
            source,
        },
    })
}

/// Refuses to make a database of an area once the area's sequences have come to the start of its partition.
///
/// Of several sequences only one has the ids of briefcases, and which one that is stands nowhere: all that were ever used
/// have to be beyond the start. An area without any is not asked about. Sequences that begin only now beside briefcases
/// that are there already tell nothing: who counted has been lost too.
pub(super) async fn refuse_if_issued(
    servers: &Servers,
    config: &Config,
    sequences: &Sequences,
    made: ShardId,
) -> Result<(), InitError> {
    let topology = servers.topology();
    let Some((area, generation, partition)) = topology.range_of(made) else {
        return Ok(());
    };
    // What is before the breakpoint belongs to earlier generations.
    let start = partition.start().max(generation.breakpoint());
    let is_the_areas = |declared: &&DeclaredSequence| {
        let name = declared.area().map(AreaName::as_str);
        name.is_some_and(|name| area.name().as_str().eq_ignore_ascii_case(name))
    };
    let shard = topology.shard(made);
    let (server, database) = (shard.server(), shard.database());
    let (mut beyond, mut silent, mut counts) = (None, None, false);
    for declared in config.sequences().declared().iter().filter(is_the_areas) {
        let statuses = match sequences.get(declared.name().as_str()).status().await {
            Ok(statuses) => statuses,
            Err(SequenceError::Allocate(error)) => {
                silent = silent.or(Some(error));
                continue;
            }
            Err(SequenceError::Unknown { .. }) => continue,
        };
        counts = true;
        let furthest = statuses.iter().map(AuthorityStatus::state).max();
        let furthest = furthest.unwrap_or(SequenceState::START);
        if furthest == SequenceState::START {
            continue;
        }
        let next = furthest.next();
        if next <= start {
            return Ok(());
        }
        beyond = beyond.or(Some((declared.name(), next)));
    }
    if let Some(source) = silent {
        // Those who count may be made ready after the shards.
        if beyond.is_none() && is_unused(servers, config.areas(), made).await {
            return Ok(());
        }
        return Err(InitError::IdsUncertain {
            server: server.clone(),
            database: database.clone(),
            source,
        });
    }
    match beyond {
        None if counts => {
            let index = topology.area_index(area.name().as_str());
            let in_use = match index {
                Some(index) => in_use_beside(servers, config.areas(), index, made).await,
                None => Ok(None),
            };
            let (server, database) = (server.clone(), database.clone());
            match in_use {
                Ok(None) => Ok(()),
                Ok(Some(in_use)) => Err(InitError::ShardLost {
                    server,
                    database,
                    in_use: topology.shard_place(in_use),
                }),
                Err(source) => Err(InitError::ShardUncertain {
                    server,
                    database,
                    source,
                }),
            }
        }
        None => Ok(()),
        Some((sequence, next)) => Err(InitError::IdsIssued {
            server: server.clone(),
            database: database.clone(),
            sequence: sequence.clone(),
            next,
            start,
        }),
    }
}
