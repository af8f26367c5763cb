//! `mdb move processes`: who is registered with the catalog, and whom moves wait for.

use std::time::Duration;

use mdb_core::Mdb;
use mdb_core::relocate::Process;
use serde::Serialize;

use super::advice::seconds;
use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Serialize)]
struct Line<'a> {
    process: &'a str,
    place: &'a str,
    state: &'static str,
    for_ms: u128,
    acknowledged: Option<u64>,
    waits_for: &'a str,
}

pub(super) async fn run(
    arguments: &Arguments,
    mdb: &Mdb,
    forget: Option<&str>,
) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let mut processes = relocator.processes().await?;
    if let Some(id) = forget {
        relocator.forget_process(id).await?;
        processes.retain(|process| process.id() == id);
    }
    if processes.is_empty() && forget.is_none() {
        output::note("no process is registered");
    }
    let mut table = output::table(["process", "where", "state", "acknowledged", "waits for"]);
    for process in &processes {
        let (state, how_long) = match state(process) {
            _ if forget.is_some() => ("forgotten", Duration::ZERO),
            state => state,
        };
        let line = Line {
            process: process.id(),
            place: process.place(),
            state,
            for_ms: how_long.as_millis(),
            acknowledged: process.acknowledged().map(mdb_core::catalog::Epoch::get),
            waits_for: process.waits_for(),
        };
        match arguments.format() {
            Format::Json => output::json(&line),
            Format::Table => {
                let state = match state {
                    "forgotten" => state.to_owned(),
                    _ => format!("{state}, {} s", seconds(how_long)),
                };
                let epoch = line.acknowledged;
                let epoch = epoch.map_or_else(|| "shut out".to_owned(), |epoch| epoch.to_string());
                table.add_row([line.process, line.place, &state, &epoch, line.waits_for]);
            }
        }
    }
    if arguments.format() == Format::Table && !processes.is_empty() {
        output::print(&table);
    }
    Ok(())
}

/// Whether it is alive, and for how long that holds or has been over.
fn state(process: &Process) -> (&'static str, Duration) {
    match process.lease() {
        Some(left) => ("alive", left),
        None => ("silent", process.silent_for().unwrap_or_default()),
    }
}
