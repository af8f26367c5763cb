//! Opening the store that the command line names, and saying which shard is which.

use mdb_core::topology::{AreaIndex, ShardId, Topology};
use mdb_core::{AreaError, Gdid, Mdb};
use mdb_gdid::{ELink, RangeKey};

use crate::args::Arguments;
use crate::failure::Failure;

/// Opens the configured store.
pub(crate) async fn open(arguments: &Arguments) -> Result<Mdb, Failure> {
    let mdb = Mdb::open(&arguments.config).await?;
    // Fails for a second one, of which no command has need.
    let _ = arguments.opened.set(mdb.clone());
    Ok(mdb)
}

/// All shards of a topology.
pub(crate) fn shard_ids(topology: &Topology) -> impl Iterator<Item = ShardId> + use<> {
    let count = u32::try_from(topology.shards().len()).expect("shard ids have 32 bits");
    (0..count).map(ShardId::new)
}

/// The area called `name`.
pub(crate) fn area(topology: &Topology, name: &str) -> Result<AreaIndex, Failure> {
    topology.area_index(name).ok_or_else(|| {
        let areas = topology.areas().iter();
        AreaError::Unknown {
            name: name.to_owned(),
            known: areas.map(|area| area.name().to_string()).collect(),
        }
        .into()
    })
}

/// A shard as the command line writes it: SERVER/DATABASE.
pub(crate) fn named(topology: &Topology, shard: ShardId) -> String {
    topology.shard_place(shard)
}

/// A shard in the words of the output: its area, generation, partition and position.
pub(crate) struct Place {
    pub(crate) area: String,
    pub(crate) generation: Option<String>,
    pub(crate) partition: Option<String>,
    pub(crate) shard: u8,
    pub(crate) server: String,
    pub(crate) database: String,
}

impl Place {
    pub(crate) fn of(topology: &Topology, id: ShardId) -> Self {
        let shard = topology.shard(id);
        let (server, database) = (shard.server().to_string(), shard.database().to_string());
        let range = topology.range_of(id);
        Self {
            area: range.map_or_else(
                || "CENTRAL".to_owned(),
                |(area, ..)| area.name().to_string(),
            ),
            generation: range.map(|(_, generation, _)| generation.breakpoint().to_string()),
            partition: range.map(|(.., partition)| partition.start().to_string()),
            shard: shard.home().position().get(),
            server,
            database,
        }
    }
}

/// Reads an id in any text form, or an ELink.
///
/// An ELink has letters only; an id has digits or colons.
pub(crate) fn read_id(text: &str) -> Result<Gdid, Failure> {
    let refused = |error: &dyn std::error::Error| refused(text, "id", error);
    let is_link = text.chars().any(|c| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | ' '))
        && text.parse::<Gdid>().is_err();
    if is_link {
        return ELink::decode(text)
            .map(|link| link.id())
            .map_err(|error| refused(&error));
    }
    text.parse().map_err(|error| refused(&error))
}

/// Reads a floor: an id of authority 0 in any text form, as ranges start at.
pub(crate) fn read_floor(text: &str) -> Result<RangeKey, Failure> {
    RangeKey::from_start(text).map_err(|error| refused(text, "floor", &error))
}

fn refused(text: &str, what: &str, error: &dyn std::error::Error) -> Failure {
    let shown: String = text.chars().take(60).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    Failure::Input(format!("`{shown}{more}` is no {what}: {error}"))
}

/// The texts of the command line, with `-` (or none at all) replaced by the lines of standard input.
pub(crate) fn texts_or_stdin(texts: &[String]) -> Result<Vec<String>, Failure> {
    let from_stdin = || {
        std::io::stdin()
            .lines()
            .map(|line| line.map(|line| line.trim().to_owned()))
            .filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::Input(format!("can't read standard input: {error}")))
    };
    match texts {
        [] => from_stdin(),
        [only] if only == "-" => from_stdin(),
        texts => Ok(texts.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_links_are_told_apart() {
        let id = |text| read_id(text).map_err(|failure| failure.to_string());
        assert_eq!(id("AIAIIW-IW"), id("0:0:123"));
        assert_eq!(id("0x00000000000000000000007B"), id("0:0:123"));
        assert_eq!(
            id("aaaaaaaaaaaaaaaaaaaaaaaa"),
            Ok(Gdid::from_bytes([0xaa; 12])),
            "hexadecimal digits"
        );
        assert_eq!(
            id("0:18:1").unwrap_err(),
            "`0:18:1` is no id: the authority is above 15, at character 3"
        );
        assert!(id("AIAIIW-AI").unwrap_err().contains("checksum"));
        assert!(id(&"9".repeat(5000)).unwrap_err().len() < 200);
    }
}
