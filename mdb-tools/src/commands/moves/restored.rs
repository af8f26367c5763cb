//! `mdb move raise-epoch`: a CENTRAL that knows less than the shards.

use mdb_core::Mdb;
use serde::Serialize;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Serialize)]
struct Line {
    outcome: &'static str,
    before: u64,
    after: u64,
}

pub(super) async fn raise_epoch(arguments: &Arguments, mdb: &Mdb) -> Result<(), Failure> {
    let raise = mdb.relocator().raise_epoch().await?;
    let line = Line {
        outcome: if raise.before() < raise.after() {
            "raised"
        } else {
            "unchanged"
        },
        before: raise.before().get(),
        after: raise.after().get(),
    };
    match arguments.format() {
        Format::Json => output::json(&line),
        Format::Table => {
            let mut table = output::table(["before", "after", "outcome"]);
            let [before, after] = [line.before, line.after].map(|epoch| epoch.to_string());
            table.add_row([&before, &after, line.outcome]);
            output::print(&table);
        }
    }
    Ok(())
}
