//! `mdb move`: briefcases from shard to shard.

pub(super) mod advice;
mod listing;
mod planning;
mod prepare;
mod processes;
mod restored;
mod running;
mod selection;
mod undoing;
mod unknown;

use std::time::Duration;

use mdb_core::Mdb;
use mdb_core::relocate::{MoveOptions, MovePhase, MoveRecord, Relocator, TakeOver};

use super::leftovers;
use crate::args::{
    Arguments, Bounds, CleanArguments, MoveCommand, Pacing, Portions, ResumeArguments, RunPacing,
};
use crate::failure::Failure;
use crate::output;
use crate::store;
use running::Runner;

pub(crate) async fn run(arguments: &Arguments, command: &MoveCommand) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    match command {
        MoveCommand::Plan(asked) => planning::plan(arguments, &mdb, asked).await,
        MoveCommand::Run(asked) => {
            let plan = planning::planned(&mdb, &asked.selection).await?;
            let options = run_options(&asked.pacing);
            Runner::new(arguments, &mdb, options).run(&plan).await
        }
        MoveCommand::Status { moves } => listing::status(arguments, &mdb, moves).await,
        MoveCommand::Resume(asked) => {
            let records = resumable(&mdb.relocator(), asked).await?;
            let options = paced(MoveOptions::new(), &asked.pacing).take_over(from(asked.force));
            Runner::new(arguments, &mdb, options).resume(&records).await
        }
        MoveCommand::Abort { id, force } => undoing::abort(arguments, &mdb, id, from(*force)).await,
        MoveCommand::Revert(asked) => undoing::revert(arguments, &mdb, asked).await,
        MoveCommand::List(asked) => listing::list(arguments, &mdb, asked).await,
        MoveCommand::Briefcases { id } => listing::briefcases(arguments, &mdb, id).await,
        MoveCommand::Receipt { id } => listing::receipt(arguments, &mdb, id).await,
        MoveCommand::Prepare { areas, patience } => {
            let patience = Duration::from_secs(*patience);
            prepare::run(arguments, &mdb, areas, patience).await
        }
        MoveCommand::Clean(asked) => clean(arguments, &mdb, asked).await,
        MoveCommand::Processes { forget } => {
            processes::run(arguments, &mdb, forget.as_deref()).await
        }
        MoveCommand::RaiseEpoch => restored::raise_epoch(arguments, &mdb).await,
    }
}

async fn clean(arguments: &Arguments, mdb: &Mdb, asked: &CleanArguments) -> Result<(), Failure> {
    if let Some(id) = &asked.unknown {
        return unknown::end(arguments, mdb, id, asked).await;
    }
    leftovers::print(arguments, mdb, &mdb.relocator().clean().await?);
    Ok(())
}

fn run_options(pacing: &RunPacing) -> MoveOptions {
    paced(in_portions(&pacing.portions), &pacing.each)
}

fn in_portions(portions: &Portions) -> MoveOptions {
    MoveOptions::new()
        .batch(usize::from(portions.batch))
        .parallel(usize::from(portions.parallel))
}

fn paced(options: MoveOptions, pacing: &Pacing) -> MoveOptions {
    bounded(options, &pacing.bounds)
        .max_load(pacing.max_load)
        .patience(Duration::from_secs(pacing.patience))
}

fn bounded(options: MoveOptions, bounds: &Bounds) -> MoveOptions {
    let options = options.pause_target(Duration::from_millis(bounds.pause_target));
    match bounds.max_rows_per_second {
        Some(rows) => options.max_rows_per_second(rows),
        None => options,
    }
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
    if beginning.is_empty() {
        let missing = "give a move's id, or how it begins; see `mdb move list`";
        return Err(Failure::Input(missing.to_owned()));
    }
    let mut found = relocator.beginning_with(beginning).await?;
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

/// The named moves; without any, all that nobody runs any more, or with force all that are not over.
async fn resumable(
    relocator: &Relocator,
    asked: &ResumeArguments,
) -> Result<Vec<MoveRecord>, Failure> {
    let mut records = Vec::new();
    for id in &asked.moves {
        let record = find(relocator, id).await?;
        if record.phase() == MovePhase::Aborting {
            let stopped = advice::stopped(record.id(), record.phase());
            return Err(Failure::Failed(stopped));
        }
        records.push(record);
    }
    if !asked.moves.is_empty() {
        return Ok(records);
    }
    records = relocator.under_way().await?;
    for record in &records {
        match record.runs_for() {
            Some(left) if !asked.force => output::note(&advice::alive(record, left)),
            _ if record.phase() == MovePhase::Aborting => {
                output::note(&advice::stopped(record.id(), record.phase()));
            }
            _ => {}
        }
    }
    records.retain(|record| {
        record.phase() != MovePhase::Aborting && (asked.force || record.runs_for().is_none())
    });
    if records.is_empty() {
        output::note("there is no move to resume");
    }
    Ok(records)
}
