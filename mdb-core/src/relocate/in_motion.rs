//! Briefcases that a plan asks for while other moves have them.

use std::collections::BTreeMap;

use mdb_gdid::Gdid;

use super::error::PlanError;
use super::refusal::Refusal;
use crate::catalog::Home;
use crate::engine::Value;
use crate::servers::Servers;
use crate::topology::AreaIndex;

/// One refusal for each move that has some of these briefcases, with the first of them.
pub(super) async fn refusals(
    servers: &Servers,
    area: AreaIndex,
    wanted: &[Gdid],
) -> Result<Vec<Refusal>, PlanError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let topology = servers.topology();
    let query = "SELECT gdid, move FROM mdb_relocation WHERE area = ? AND state = 1";
    let area = Value::from(topology.area(area).name().as_str());
    let rows = Home::of(servers, topology).query(query, &[area]).await?;
    let mut moving = BTreeMap::new();
    for row in &rows {
        moving.insert(row.id(0)?, row.text(1)?);
    }
    let mut by_move: BTreeMap<Option<&str>, (Gdid, usize)> = BTreeMap::new();
    for id in wanted {
        // A move that has ended meanwhile has no name any more.
        let by = moving.get(id).copied();
        let (first, count) = by_move.entry(by).or_insert((*id, 0));
        *first = (*first).min(*id);
        *count += 1;
    }
    let refusal = |(by, (first, count)): (Option<&str>, (Gdid, usize))| {
        let place = match count {
            1 => format!("briefcase {first}"),
            count => format!("briefcase {first} and {} more", count - 1),
        };
        let reason = match by {
            Some(by) => {
                format!("being moved already, by move {by}: wait for it, or resume or abort it")
            }
            None => "being moved until just now: plan again".to_owned(),
        };
        Refusal::new(place, reason)
    };
    Ok(by_move.into_iter().map(refusal).collect())
}
