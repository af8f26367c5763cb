//! `mdb show`: the store as a drawing.

use mdb_core::inspect::{self, TableContent};
use mdb_core::topology::{ShardId, Topology};
use mdb_core::{Mdb, config::EngineKind};
use serde::Serialize;

use crate::args::{Arguments, ShowArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store::{self, Place};

#[derive(Serialize)]
struct Leaf {
    area: String,
    generation: Option<String>,
    partition: Option<String>,
    shard: u8,
    server: String,
    engine: &'static str,
    database: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<Content>>,
}

#[derive(Serialize)]
struct Content {
    table: String,
    rows: u64,
    bytes: Option<u64>,
}

pub(crate) async fn run(arguments: &Arguments, show: &ShowArguments) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    let topology = mdb.topology();
    let mut sizes = Vec::new();
    if show.sizes {
        let bar = output::progress(topology.shards().len() as u64, "counting");
        for shard in store::shard_ids(topology) {
            sizes.push(inspect::sizes(mdb.servers(), shard).await?);
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    match arguments.format() {
        Format::Json => {
            for (shard, id) in store::shard_ids(topology).enumerate() {
                output::json(&describe(&mdb, id, sizes.get(shard)));
            }
        }
        Format::Table => draw(&mdb, &sizes),
    }
    Ok(())
}

fn describe(mdb: &Mdb, id: ShardId, contents: Option<&Vec<TableContent>>) -> Leaf {
    let place = Place::of(mdb.topology(), id);
    Leaf {
        area: place.area,
        generation: place.generation,
        partition: place.partition,
        shard: place.shard,
        server: place.server,
        engine: mdb.servers().config_of(id).engine().as_str(),
        database: place.database,
        tables: contents.map(|contents| {
            let content = |c: &TableContent| Content {
                table: c.table().to_owned(),
                rows: c.rows(),
                bytes: c.bytes(),
            };
            contents.iter().map(content).collect()
        }),
    }
}

/// Draws the tree: areas, their generations and partitions, and the shards of each.
fn draw(mdb: &Mdb, sizes: &[Vec<TableContent>]) {
    let topology = mdb.topology();
    output::line(&format!("store {}", topology.store()));
    let central = topology.central();
    let last = topology.areas().is_empty();
    output::line(&format!(
        "{} CENTRAL ({})",
        branch(last),
        engine(central.engine())
    ));
    leaves(topology, central.shards(), stem(last), sizes);
    for (place, area) in topology.areas().iter().enumerate() {
        let last = place + 1 == topology.areas().len();
        output::line(&format!(
            "{} area {} ({}, hash {})",
            branch(last),
            area.name(),
            engine(area.engine()),
            area.hash()
        ));
        for (g, generation) in area.generations().iter().enumerate() {
            let last_generation = g + 1 == area.generations().len();
            let mut above = stem(last).to_owned();
            if area.generations().len() > 1 {
                output::line(&format!(
                    "{above}{} generation from {}",
                    branch(last_generation),
                    generation.breakpoint()
                ));
                above.push_str(stem(last_generation));
            }
            for (p, partition) in generation.partitions().iter().enumerate() {
                let last_partition = p + 1 == generation.partitions().len();
                let until = generation.partitions().get(p + 1).map_or_else(
                    || "open".to_owned(),
                    |next| format!("below {}", next.start()),
                );
                output::line(&format!(
                    "{above}{} partition {} ({until})",
                    branch(last_partition),
                    partition.start()
                ));
                leaves(
                    topology,
                    partition.shards(),
                    &format!("{above}{}", stem(last_partition)),
                    sizes,
                );
            }
        }
    }
}

fn leaves(topology: &Topology, shards: &[ShardId], above: &str, sizes: &[Vec<TableContent>]) {
    for (place, &id) in shards.iter().enumerate() {
        let last = place + 1 == shards.len();
        output::line(&format!(
            "{above}{} shard {place}: {}",
            branch(last),
            store::named(topology, id)
        ));
        for content in sizes.get(id.get() as usize).into_iter().flatten() {
            let bytes = content
                .bytes()
                .map_or_else(String::new, |bytes| format!(", {}", output::bytes(bytes)));
            output::line(&format!(
                "{above}{}    {}: {} rows{bytes}",
                stem(last),
                content.table(),
                content.rows()
            ));
        }
    }
}

fn engine(kind: EngineKind) -> String {
    kind.to_string()
}

fn branch(last: bool) -> &'static str {
    if last { "└─" } else { "├─" }
}

fn stem(last: bool) -> &'static str {
    if last { "   " } else { "│  " }
}
