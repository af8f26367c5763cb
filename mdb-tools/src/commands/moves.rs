//! `mdb move`: briefcases from shard to shard.

mod prepare;
mod running;
mod selection;

use std::time::Duration;

use mdb_core::relocate::{MoveRecord, Relocator, Selection, TableReceipt, TakeOver, Warning};
use mdb_core::{Gdid, Mdb};
use serde::Serialize;

use super::leftovers;
use crate::args::{Arguments, MoveCommand, SelectionArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;
use running::Runner;

/// How many rows a second an estimate takes for granted.
const ESTIMATED_RATE: u64 = 30_000;

pub(crate) async fn run(arguments: &Arguments, command: &MoveCommand) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    match command {
        MoveCommand::Plan(asked) => plan(arguments, &mdb, asked).await,
        MoveCommand::Run(asked) => {
            let request = selection::request(&mdb, &asked.selection)?;
            Runner::new(arguments, &mdb, &asked.pacing)
                .run(&request)
                .await
        }
        MoveCommand::Status { moves } => status(arguments, &mdb, moves).await,
        MoveCommand::Resume(asked) => {
            let records = stopped(&mdb.relocator(), &asked.moves).await?;
            Runner::new(arguments, &mdb, &asked.pacing)
                .taking_over(from(asked.force))
                .resume(&records)
                .await
        }
        MoveCommand::Abort { id, force } => {
            let relocator = mdb.relocator();
            let record = find(&relocator, id).await?;
            let options = mdb_core::relocate::MoveOptions::new().take_over(from(*force));
            Box::pin(relocator.abort(record.id(), &options)).await?;
            output::note(&format!(
                "move {} is undone; the briefcases are where they were",
                record.id()
            ));
            Ok(())
        }
        MoveCommand::Revert(asked) => {
            let relocator = mdb.relocator();
            let record = find(&relocator, &asked.id).await?;
            let ids = relocator.briefcases(&record).await?;
            let request = selection::back(&mdb, &record, ids)?;
            Runner::new(arguments, &mdb, &asked.pacing)
                .run(&request)
                .await
        }
        MoveCommand::List => {
            let records = mdb.relocator().list().await?;
            print(arguments, &mdb, &records).await
        }
        MoveCommand::Receipt { id } => receipt(arguments, &mdb.relocator(), id).await,
        MoveCommand::Prepare { areas, patience } => {
            let patience = Duration::from_secs(*patience);
            prepare::run(arguments, &mdb, areas, patience).await
        }
        MoveCommand::Clean => {
            leftovers::print(arguments, &mdb, &mdb.relocator().clean().await?);
            Ok(())
        }
    }
}

#[derive(Serialize)]
struct Planned<'a> {
    area: &'a str,
    source: String,
    target: String,
    briefcases: usize,
    rows: u64,
    batches: usize,
    seconds: u64,
    worst_pause_ms: u64,
    tables: Vec<&'a str>,
    warnings: Vec<Warned<'a>>,
}

#[derive(Serialize)]
struct Warned<'a> {
    place: &'a str,
    reason: &'a str,
}

async fn plan(arguments: &Arguments, mdb: &Mdb, asked: &SelectionArguments) -> Result<(), Failure> {
    let request = selection::request(mdb, asked)?;
    let relocator = mdb.relocator();
    let plan = relocator.plan(&request).await?;
    let rows = relocator.count_rows(&plan).await?;
    let options = mdb_core::relocate::MoveOptions::new();
    let planned: Vec<Planned<'_>> = plan
        .sources()
        .map(|(source, ids)| {
            let rows = rows.get(&source).copied().unwrap_or(0);
            let batches = ids.len().div_ceil(options.briefcases_in_a_batch());
            Planned {
                area: &asked.area,
                source: store::named(mdb.topology(), source),
                target: store::named(mdb.topology(), plan.target()),
                briefcases: ids.len(),
                rows,
                batches,
                seconds: rows.div_ceil(ESTIMATED_RATE).max(batches as u64),
                worst_pause_ms: u64::try_from(options.longest_pause().as_millis())
                    .unwrap_or(u64::MAX),
                tables: plan.tables(),
                warnings: plan.warnings().iter().map(warned).collect(),
            }
        })
        .collect();
    if plan.already_there() > 0 {
        output::note(&format!(
            "{} of the briefcases are on the target already",
            plan.already_there()
        ));
    }
    if planned.is_empty() {
        output::note("there is nothing to move");
    } else if planned.iter().all(|line| line.rows == 0) {
        output::note("the briefcases have no rows");
    }
    match arguments.format() {
        Format::Json => planned.iter().for_each(output::json),
        Format::Table => {
            let mut table = output::table([
                "from",
                "to",
                "briefcases",
                "rows",
                "batches",
                "about",
                "fenced at most",
            ]);
            for line in &planned {
                table.add_row([
                    line.source.clone(),
                    line.target.clone(),
                    line.briefcases.to_string(),
                    line.rows.to_string(),
                    line.batches.to_string(),
                    output::duration(line.seconds * 1000),
                    format!("{} ms", line.worst_pause_ms),
                ]);
            }
            output::line(&table.to_string());
            output::note(&format!(
                "tables, parents first: {}",
                plan.tables().join(", ")
            ));
            for warning in plan.warnings() {
                let (place, reason) = (warning.place(), warning.reason());
                output::note(&format!("warning: {place}: {reason}"));
            }
        }
    }
    Ok(())
}

fn warned(warning: &Warning) -> Warned<'_> {
    Warned {
        place: warning.place(),
        reason: warning.reason(),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    r#move: &'a str,
    area: &'a str,
    source: String,
    target: String,
    phase: &'static str,
    briefcases: usize,
    created_ms: i64,
    changed_ms: i64,
    runs_for_ms: Option<u128>,
}

async fn print(arguments: &Arguments, mdb: &Mdb, records: &[MoveRecord]) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let mut table = output::table(["move", "area", "from", "to", "phase", "briefcases", "mover"]);
    for record in records {
        let briefcases = relocator.briefcases(record).await?.len();
        // A mover that has come to its end does not take its lease back.
        let runs_for = record.runs_for().filter(|_| !record.phase().is_over());
        let listed = Listed {
            r#move: record.id(),
            area: record.area(),
            source: selection::journalled(mdb.topology(), record, record.source()),
            target: selection::journalled(mdb.topology(), record, record.target()),
            phase: record.phase().as_str(),
            briefcases,
            created_ms: record.created_ms(),
            changed_ms: record.changed_ms(),
            runs_for_ms: runs_for.map(|time| time.as_millis()),
        };
        let mover = match runs_for {
            _ if record.phase().is_over() => "",
            Some(_) => "alive",
            None => "stopped",
        };
        match arguments.format() {
            Format::Json => output::json(&listed),
            Format::Table => {
                table.add_row([
                    listed.r#move,
                    listed.area,
                    &listed.source,
                    &listed.target,
                    listed.phase,
                    &briefcases.to_string(),
                    mover,
                ]);
            }
        }
    }
    if arguments.format() == Format::Table && !records.is_empty() {
        output::line(&table.to_string());
    }
    Ok(())
}

async fn status(arguments: &Arguments, mdb: &Mdb, moves: &[String]) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let mut records = Vec::new();
    if moves.is_empty() {
        records = relocator.list().await?;
        records.retain(|record| !record.phase().is_over());
        if records.is_empty() {
            output::note("no move is under way");
        }
    }
    for id in moves {
        records.push(find(&relocator, id).await?);
    }
    print(arguments, mdb, &records).await?;
    for waiting in relocator.waits_for().await? {
        output::note(&format!("not heard of the present epoch: {waiting}"));
    }
    Ok(())
}

async fn receipt(arguments: &Arguments, relocator: &Relocator, id: &str) -> Result<(), Failure> {
    let record = find(relocator, id).await?;
    let tables: Vec<TableReceipt> = record.receipt();
    if tables.is_empty() {
        return Err(Failure::Failed(format!(
            "move {} is {} and has not been verified",
            record.id(),
            record.phase()
        )));
    }
    match arguments.format() {
        Format::Json => tables.iter().for_each(output::json),
        Format::Table => {
            let mut table = output::table(["table", "rows", "checksum"]);
            for line in &tables {
                table.add_row([line.table(), &line.rows().to_string(), line.checksum()]);
            }
            output::line(&table.to_string());
        }
    }
    Ok(())
}

/// From whom moves are taken.
fn from(force: bool) -> TakeOver {
    if force {
        TakeOver::FromAnybody
    } else {
        TakeOver::FromDead
    }
}

/// The move whose id begins so.
async fn find(relocator: &Relocator, beginning: &str) -> Result<MoveRecord, Failure> {
    let mut found = relocator.list().await?;
    found.retain(|record| record.id().starts_with(beginning) && !beginning.is_empty());
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::Input(format!(
            "there is no move {beginning}; see `mdb move list`"
        ))),
        several => Err(Failure::Input(format!(
            "{several} moves begin with {beginning}; write more of it"
        ))),
    }
}

/// The named moves, or all that nobody runs any more.
async fn stopped(relocator: &Relocator, moves: &[String]) -> Result<Vec<MoveRecord>, Failure> {
    let mut records = Vec::new();
    if moves.is_empty() {
        records = relocator.list().await?;
        records.retain(|record| !record.phase().is_over() && record.runs_for().is_none());
    }
    for id in moves {
        records.push(find(relocator, id).await?);
    }
    Ok(records)
}

/// The ids of a selection, for those who name them one by one.
fn briefcases(ids: Vec<Gdid>) -> Selection {
    Selection::Briefcases(ids)
}
