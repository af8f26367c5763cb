//! Whether briefcases were moved to a shard: then it is in use, however empty its database is.

use super::journal::numbers;
use super::record::MovePhase;
use crate::catalog::Home;
use crate::engine::Value;
use crate::servers::Servers;
use crate::topology::ShardId;

/// Whether the catalog has briefcases on the shard that were moved there, or a move that is to bring some, which may be
/// decided without being published.
pub(crate) async fn has_arrivals(servers: &Servers, shard: ShardId) -> Result<bool, sqlx::Error> {
    let topology = servers.topology();
    let Some((area, ..)) = topology.range_of(shard) else {
        return Ok(false);
    };
    let arrivals = format!(
        "SELECT area FROM mdb_relocation WHERE home = ? \
         UNION SELECT area FROM mdb_move WHERE target = ? AND phase NOT IN ({})",
        numbers(MovePhase::OVER)
    );
    let name = topology.shard_name(shard);
    let values = [Value::from(name.as_str()), Value::from(name.as_str())];
    let home = Home::of(servers, topology);
    for row in home.pool().query(&arrivals, &values).await? {
        if row.text(0)?.eq_ignore_ascii_case(area.name().as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}
