//! Which briefcases, and where to, in the words of the command line.

use std::path::Path;

use mdb_core::relocate::{MoveRecord, MoveRequest, Selection};
use mdb_core::topology::{AreaIndex, ShardId, Topology};
use mdb_core::{Gdid, Mdb};
use mdb_gdid::RangeKey;

use crate::args::SelectionArguments;
use crate::failure::Failure;
use crate::store;

pub(super) fn request(mdb: &Mdb, asked: &SelectionArguments) -> Result<MoveRequest, Failure> {
    let topology = mdb.topology();
    let area = store::area(topology, &asked.area)?;
    let target = shard(topology, area, &asked.to)?;
    let which = &asked.which;
    let selection = if let Some(file) = &which.from_file {
        Selection::Briefcases(read_lines(file)?)
    } else if let Some(range) = &which.range {
        read_range(range)?
    } else if let Some(from) = &which.shard {
        Selection::Shard(shard(topology, area, from)?)
    } else {
        Selection::Briefcases(ids(&which.gdid)?)
    };
    Ok(MoveRequest::new(asked.area.clone(), selection, target))
}

/// The shard that a journal calls `name`, as the command line writes it; as the journal does, if the
/// configuration lacks it.
pub(super) fn journalled(topology: &Topology, record: &MoveRecord, name: &str) -> String {
    let area = topology.area_index(record.area());
    let shard = area.and_then(|area| topology.shard_named(area, name));
    shard.map_or_else(|| name.to_owned(), |shard| store::named(topology, shard))
}

/// Whether a person has named briefcases one by one.
pub(super) fn names_ids(asked: &SelectionArguments) -> bool {
    asked.which.from_file.is_some() || !asked.which.gdid.is_empty()
}

/// The ids in a file, one a line; empty lines don't matter.
fn read_lines(file: &Path) -> Result<Vec<Gdid>, Failure> {
    let (name, text) = if file.as_os_str() == "-" {
        let text = std::io::read_to_string(std::io::stdin());
        ("standard input".to_owned(), text)
    } else {
        (file.display().to_string(), std::fs::read_to_string(file))
    };
    let text = text.map_err(|error| Failure::Input(format!("can't read {name}: {error}")))?;
    let lines = text.lines().map(str::trim).zip(1..);
    let ids: Vec<Gdid> = lines
        .filter(|(line, _)| !line.is_empty())
        .map(|(line, number)| {
            store::read_id(line)
                .map_err(|failure| Failure::Input(format!("line {number} of {name}: {failure}")))
        })
        .collect::<Result<_, _>>()?;
    if ids.is_empty() {
        return Err(Failure::Input(format!("there are no ids in {name}")));
    }
    Ok(ids)
}

fn ids(texts: &[String]) -> Result<Vec<Gdid>, Failure> {
    texts.iter().map(|text| store::read_id(text)).collect()
}

fn read_range(text: &str) -> Result<Selection, Failure> {
    let refused = |reason: &str| {
        Failure::Input(format!(
            "`{text}` is no range: {reason}; write for example 0:0:1000..0:0:2000"
        ))
    };
    let (from, until) = text
        .split_once("..")
        .ok_or_else(|| refused("`..` is missing"))?;
    let read = |end: &str| RangeKey::from_start(end).map_err(|error| refused(&error.to_string()));
    let (from, until) = (read(from)?, read(until)?);
    if from >= until {
        return Err(refused("it is empty, or ends before it begins"));
    }
    Ok(Selection::Range { from, until })
}

/// The shard of an area that is written SERVER/DATABASE, or by its name.
fn shard(topology: &Topology, area: AreaIndex, text: &str) -> Result<ShardId, Failure> {
    let by_place = |id: &ShardId| store::named(topology, *id) == text;
    topology
        .area(area)
        .shards()
        .find(by_place)
        .or_else(|| topology.shard_named(area, text))
        .ok_or_else(|| {
            let area = topology.area(area);
            let known = area.shards().map(|shard| store::named(topology, shard));
            let known: Vec<String> = known.collect();
            Failure::Input(format!(
                "area `{}` has no shard `{text}`; there {} `{}`",
                area.name(),
                if known.len() == 1 { "is only" } else { "are" },
                known.join("`, `")
            ))
        })
}
