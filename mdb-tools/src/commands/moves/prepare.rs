//! `mdb move prepare`: triggers that stay.

use std::time::Duration;

use mdb_core::Mdb;
use mdb_core::config::Capture;
use serde::Serialize;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

#[derive(Serialize)]
struct Prepared<'a> {
    area: &'a str,
    shard: &'a str,
    shard_name: &'a str,
    server: &'a str,
    database: &'a str,
    outcome: &'static str,
}

pub(super) async fn run(
    arguments: &Arguments,
    mdb: &Mdb,
    areas: &[String],
    patience: Duration,
) -> Result<(), Failure> {
    let config = mdb.config().areas().iter();
    let kept = config.filter(|area| area.capture() == Capture::Always);
    let kept: Vec<String> = kept.map(|area| area.name().to_string()).collect();
    let areas = if areas.is_empty() { &kept } else { areas };
    if areas.is_empty() {
        output::note("no area has `capture = \"always\"`");
    }
    let topology = mdb.topology();
    let mut table = output::table(["area", "where", "outcome"]);
    for area in areas {
        for id in mdb.relocator().prepare(area, patience).await? {
            let shard = topology.shard(id);
            let line = Prepared {
                area,
                shard: &topology.shard_name(id),
                shard_name: &store::named(topology, id),
                server: shard.server().as_str(),
                database: shard.database().as_str(),
                outcome: "prepared",
            };
            match arguments.format() {
                Format::Json => output::json(&line),
                Format::Table => {
                    table.add_row([line.area, line.shard_name, line.outcome]);
                }
            }
        }
    }
    if arguments.format() == Format::Table && !areas.is_empty() {
        output::print(&table);
    }
    Ok(())
}
