//! What moves have left on shards, printed.

use mdb_core::Mdb;
use mdb_core::relocate::Leftover;
use serde::Serialize;

use crate::args::Arguments;
use crate::output::{self, Format};
use crate::store;

#[derive(Serialize)]
struct Listed<'a> {
    shard: &'a str,
    shard_name: &'a str,
    server: &'a str,
    database: &'a str,
    what: &'a str,
    outcome: &'static str,
}

pub(super) fn print(arguments: &Arguments, mdb: &Mdb, leftovers: &[Leftover]) {
    let topology = mdb.topology();
    let mut table = output::table(["where", "what", "outcome"]);
    for leftover in leftovers {
        let shard = topology.shard(leftover.shard());
        let listed = Listed {
            shard: &topology.shard_name(leftover.shard()),
            shard_name: &store::named(topology, leftover.shard()),
            server: shard.server().as_str(),
            database: shard.database().as_str(),
            what: leftover.what(),
            outcome: leftover.state().as_str(),
        };
        match arguments.format() {
            Format::Json => output::json(&listed),
            Format::Table => {
                table.add_row([
                    listed.shard_name,
                    &output::names(listed.what),
                    listed.outcome,
                ]);
            }
        }
    }
    if leftovers.is_empty() {
        output::note("nothing is left of any move");
    } else if arguments.format() == Format::Table {
        output::print(&table);
    }
}
