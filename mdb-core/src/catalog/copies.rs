//! Copies of the relocations, one on each server.
//!
//! A process that starts while the catalog's home is away knows by them where most briefcases are. It
//! has no lease then and goes the guarded path, which corrects what a copy does not know yet.
//!
//! A copy has one row besides, of no area: up to which epoch it is complete.

use std::collections::HashSet;

use mdb_gdid::Gdid;

use super::home::{Home, HomeError};
use super::live::Epoch;
use super::relocation::{KnownRelocations, RelocationRow, number};
use crate::engine::{Step, Value};
use crate::servers::{AnyPool, Servers};
use crate::topology::ShardId;

/// How many rows are written in one transaction.
const WRITTEN_AT_ONCE: usize = 100;

/// The shards that have copies: the first of each server but the home's.
fn places(servers: &Servers) -> impl Iterator<Item = ShardId> + '_ {
    let topology = servers.topology();
    let home = topology.shard(topology.central().shards()[0]).server();
    let mut seen = HashSet::from([home]);
    (0..)
        .map(ShardId::new)
        .zip(topology.shards())
        .filter_map(move |(id, shard)| seen.insert(shard.server()).then_some(id))
}

/// Brings all copies up to date; one that can't be reached stays as it is.
pub(crate) async fn spread(servers: &Servers) {
    let home = Home::of(servers, servers.topology());
    for place in places(servers) {
        let copy = servers.pool(place);
        if let Err(error) = bring_up_to_date(home, copy).await {
            tracing::warn!(
                shard = servers.topology().shard_name(place),
                error = %crate::error::chain(&error),
                "a copy of the relocations stays behind"
            );
        }
    }
}

async fn bring_up_to_date(home: Home<'_>, copy: &AnyPool) -> Result<(), HomeError> {
    let known = completeness(copy).await?;
    // First, so that it is not more than the rows.
    let epoch = home.epoch().await?;
    if known == Some(epoch) {
        return Ok(());
    }
    if known.is_some_and(|known| known > epoch) {
        // The home was restored since, and does not know of some.
        forget(copy).await?;
    }
    let since = known.filter(|known| *known < epoch);
    if since.is_none() {
        let begin = "INSERT INTO mdb_relocation (area, gdid, move, state, home, source, epoch) \
             VALUES ('', ?, '', 0, '', '', ?)";
        let begin = copy.insert_if_absent(begin, "area");
        copy.execute(&begin, &[nobody(), number(Epoch::START)])
            .await?;
    }
    let since = since.unwrap_or(Epoch::START);
    let mut rows = home.relocations_since(since).await?;
    rows.sort_by(RelocationRow::by_place);
    for rows in rows.chunk_by(|one, other| one.by_place(other).is_eq()) {
        for rows in rows.chunks(WRITTEN_AT_ONCE) {
            let mut steps = vec![mark(since, since)];
            steps.extend(RelocationRow::steps(rows, copy));
            if !copy.together(&steps).await? {
                return Ok(());
            }
        }
    }
    copy.together(&[mark(since, epoch)]).await?;
    Ok(())
}

/// Raises what a copy says of its completeness, which nobody else changes until that is committed. Not if it has been raised,
/// or emptied, since it was read: what is to be written then may be less than others have written.
fn mark(known: Epoch, epoch: Epoch) -> Step {
    let update = "UPDATE mdb_relocation SET epoch = ? WHERE area = '' AND gdid = ? AND epoch = ?";
    Step::new(update, [number(epoch), nobody(), number(known)]).expecting(1)
}

/// Empties all copies, whose home has forgotten what they have: the next time they are brought up to date they get all.
pub(crate) async fn forget_all(servers: &Servers) -> Result<(), sqlx::Error> {
    for place in places(servers) {
        forget(servers.pool(place)).await?;
    }
    Ok(())
}

/// The mark goes too.
async fn forget(copy: &AnyPool) -> Result<(), sqlx::Error> {
    // By the key: a server may refuse statements without one.
    let forget = "DELETE FROM mdb_relocation WHERE area >= ''";
    copy.execute(forget, &[]).await.map(drop)
}

/// The id in the row that says how complete a copy is.
fn nobody() -> Value {
    Value::from(Gdid::new(0, 0, 0).expect("the least id"))
}

/// Up to which epoch a copy has everything; nothing is known of one that was only begun.
async fn completeness(copy: &AnyPool) -> Result<Option<Epoch>, sqlx::Error> {
    let query = "SELECT epoch FROM mdb_relocation WHERE area = '' AND gdid = ?";
    let rows = copy.query(query, &[nobody()]).await?;
    let number = rows.first().map(|row| row.integer(0)).transpose()?;
    let epoch = number.map(|number| Epoch::new(number.unsigned_abs()));
    Ok(epoch.filter(|epoch| *epoch > Epoch::START))
}

/// The relocations of the latest copy that can be read.
pub(crate) async fn latest(servers: &Servers) -> Option<(Epoch, KnownRelocations)> {
    let mut latest: Option<(Epoch, &AnyPool)> = None;
    for place in places(servers) {
        let copy = servers.pool(place);
        let epoch = match completeness(copy).await {
            Ok(epoch) => epoch,
            Err(error) => {
                tracing::debug!(error = %crate::error::chain(&error), "a copy of the relocations can't be read");
                None
            }
        };
        if let Some(epoch) = epoch
            && latest.is_none_or(|(other, _)| other < epoch)
        {
            latest = Some((epoch, copy));
        }
    }
    let (epoch, copy) = latest?;
    let rows = RelocationRow::changed_since(copy, Epoch::START).await;
    let mut rows = rows.ok()?;
    rows.retain(|row| !row.is_mark());
    Some((epoch, KnownRelocations::of(&rows, servers.topology())))
}
