//! `mdb init`: making every shard's database ready.

use mdb_core::topology::{AreaTopology, ShardId, Topology};
use mdb_core::{InitLost, InitOutcome};
use serde::Serialize;

use crate::args::{Arguments, InitArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store::{self, Place};

#[derive(Serialize)]
struct Done {
    shard: u8,
    area: String,
    partition: Option<String>,
    server: String,
    database: String,
    outcome: &'static str,
}

pub(crate) async fn run(arguments: &Arguments, asked: &InitArguments) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    let mut begun = new_shards(mdb.topology(), &asked.new_shard)?;
    if asked.new_central {
        begun.extend(mdb.topology().central().shards());
    }
    let bar = output::progress(mdb.topology().shards().len() as u64, "initialising");
    let mut table = output::table(["area", "partition", "shard", "where", "outcome"]);
    let mut failures = Vec::new();
    for shard in store::shard_ids(mdb.topology()) {
        let place = Place::of(mdb.topology(), shard);
        let lost = if begun.contains(&shard) {
            InitLost::Begin
        } else {
            InitLost::Refuse
        };
        match mdb.init_shard_with(shard, lost).await {
            Ok(report) => {
                let done = Done {
                    shard: place.shard,
                    area: place.area,
                    partition: place.partition,
                    server: place.server,
                    database: place.database,
                    outcome: match report.outcome() {
                        InitOutcome::Created => "created",
                        InitOutcome::Stamped => "stamped",
                        _ => "unchanged",
                    },
                };
                match arguments.format() {
                    Format::Json => output::json(&done),
                    Format::Table => {
                        table.add_row([
                            done.area,
                            done.partition.unwrap_or_else(|| "-".to_owned()),
                            done.shard.to_string(),
                            format!("{}/{}", done.server, done.database),
                            done.outcome.to_owned(),
                        ]);
                    }
                }
            }
            Err(error) => failures.push(Failure::from(error)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if arguments.format() == Format::Table && !table.is_empty() {
        output::print(&table);
    }
    all_or_first(failures)
}

/// The shards of areas that are written so.
fn new_shards(topology: &Topology, texts: &[String]) -> Result<Vec<ShardId>, Failure> {
    let of_areas = || {
        let areas = topology.areas().iter();
        areas.flat_map(AreaTopology::shards)
    };
    let find = |text: &String| {
        let mut shards = of_areas();
        let found = shards.find(|shard| store::named(topology, *shard) == *text);
        found.ok_or_else(|| {
            Failure::Input(format!(
                "no area has a shard `{text}`; see `mdb show`, and write SERVER/DATABASE"
            ))
        })
    };
    texts.iter().map(find).collect()
}

/// Reports every failure; the last one that is kept decides the exit status, unreachable servers first.
fn all_or_first(mut failures: Vec<Failure>) -> Result<(), Failure> {
    failures.sort_by_key(|failure| matches!(failure, Failure::Unreachable(_)));
    let Some(last) = failures.pop() else {
        return Ok(());
    };
    failures.iter().for_each(output::report);
    Err(last)
}
