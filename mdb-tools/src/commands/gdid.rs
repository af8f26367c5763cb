//! `mdb gdid`: issuing ids, showing them, and looking after the authorities that hand them out.

mod authorities;
mod disks;
mod floor;
mod serve;
mod status;

use mdb_core::Gdid;
use mdb_gdid::ELink;
use serde::Serialize;

use crate::args::{Arguments, GdidCommand};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

/// How many ids are fetched before they are printed.
const AT_ONCE: u32 = 1024;

#[derive(Serialize)]
struct Issued {
    gdid: Gdid,
}

#[derive(Serialize)]
struct Shown {
    gdid: Gdid,
    hex: String,
    era: u32,
    authority: u8,
    counter: u64,
    elink: String,
}

impl Shown {
    fn of(id: Gdid) -> Self {
        Self {
            gdid: id,
            hex: format!("{id:x}"),
            era: id.era(),
            authority: id.authority().get(),
            counter: id.counter(),
            elink: ELink::new(id).encode(0),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, command: &GdidCommand) -> Result<(), Failure> {
    match command {
        GdidCommand::Next { sequence, count } => next(arguments, sequence, *count).await,
        GdidCommand::Show { texts } => show(arguments, texts),
        GdidCommand::Status(asked) => status::run(arguments, asked).await,
        GdidCommand::Floor(asked) => floor::run(arguments, asked).await,
        GdidCommand::Serve(asked) => serve::run(arguments, asked).await,
        GdidCommand::InitDisks(asked) => disks::initialise(arguments, asked).await,
        GdidCommand::ReplaceDisk { path } => disks::replace(arguments, path),
    }
}

async fn next(arguments: &Arguments, sequence: &str, count: u32) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    let sequence = mdb.sequence(sequence);
    let mut left = count;
    while left > 0 {
        let now = left.min(AT_ONCE);
        for gdid in sequence.take(now as usize).await? {
            match arguments.format() {
                Format::Json => output::json(&Issued { gdid }),
                Format::Table => output::line(&gdid.to_string()),
            }
        }
        left -= now;
    }
    Ok(())
}

fn show(arguments: &Arguments, texts: &[String]) -> Result<(), Failure> {
    // All are read before one is shown, so that bad input shows nothing by halves.
    let ids = store::texts_or_stdin(texts)?
        .iter()
        .map(|text| store::read_id(text))
        .collect::<Result<Vec<_>, _>>()?;
    let shown: Vec<Shown> = ids.into_iter().map(Shown::of).collect();
    match arguments.format() {
        Format::Json => shown.iter().for_each(output::json),
        Format::Table => {
            let mut table = output::table(["gdid", "hex", "era", "authority", "counter", "elink"]);
            for id in shown {
                table.add_row([
                    id.gdid.to_string(),
                    id.hex,
                    id.era.to_string(),
                    id.authority.to_string(),
                    id.counter.to_string(),
                    id.elink,
                ]);
            }
            output::print(&table);
        }
    }
    Ok(())
}
