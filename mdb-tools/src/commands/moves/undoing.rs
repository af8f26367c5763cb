//! `mdb move abort` and `mdb move revert`: back to where the briefcases were, before and after the commit point.

use std::fmt::Write as _;

use mdb_core::relocate::{MoveError, MoveOptions, MovePhase, MoveRecord, TakeOver};
use mdb_core::{Gdid, Mdb};
use serde::Serialize;

use super::running::Runner;
use super::{advice, find, run_options, selection};
use crate::args::{Arguments, RevertArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::signals::Stop;

#[derive(Serialize)]
struct Undone<'a> {
    r#move: &'a str,
    phase: &'static str,
}

pub(super) async fn abort(
    arguments: &Arguments,
    mdb: &Mdb,
    beginning: &str,
    from: TakeOver,
) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let record = find(&relocator, beginning).await?;
    let id = record.id();
    if record.phase().is_over() {
        return Err(wrong_phase(&record, &advice::ways_on(id, record.phase())));
    }
    let mut stop = Stop::new()?;
    let options = MoveOptions::new().take_over(from);
    let end = tokio::select! {
        end = Box::pin(relocator.abort(id, &options)) => end,
        () = stop.next() => {
            return Err(Failure::Interrupted(format!(
                "`mdb move abort {id} --force` goes on with undoing the move"
            )));
        }
    };
    match end {
        Ok(()) => {}
        Err(MoveError::WrongPhase { .. }) => {
            let record = relocator.find(id).await?;
            let advice = if record.phase().is_over() {
                advice::ways_on(id, record.phase())
            } else {
                advice::past_commit_point(id)
            };
            return Err(wrong_phase(&record, &advice));
        }
        Err(error) => return Err(error.into()),
    }
    if arguments.format() == Format::Json {
        output::json(&Undone {
            r#move: id,
            phase: MovePhase::Aborted.as_str(),
        });
    }
    output::note(&format!(
        "move {id} is undone; the briefcases are where they were"
    ));
    Ok(())
}

pub(super) async fn revert(
    arguments: &Arguments,
    mdb: &Mdb,
    asked: &RevertArguments,
) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let record = find(&relocator, &asked.id).await?;
    if record.phase() != MovePhase::Done {
        let advice = match record.runs_for() {
            Some(left) if !record.phase().is_over() => advice::alive(&record, left),
            _ => advice::ways_on(record.id(), record.phase()),
        };
        return Err(wrong_phase(&record, &advice));
    }
    let ids = still_there(mdb, &record).await?;
    let plan = relocator.plan(&selection::back(mdb, &record, ids)?).await?;
    Runner::new(arguments, mdb, run_options(&asked.pacing))
        .run(&plan)
        .await
}

/// The briefcases of a move that are where it brought them.
async fn still_there(mdb: &Mdb, record: &MoveRecord) -> Result<Vec<Gdid>, Failure> {
    let relocator = mdb.relocator();
    let (source, target) = selection::ends(mdb, record)?;
    let ids = relocator.briefcases(record).await?;
    let (mut there, mut back, mut elsewhere) = (Vec::new(), 0, 0);
    for (id, place) in ids
        .iter()
        .zip(relocator.whereabouts(record.area(), &ids).await?)
    {
        match place {
            Ok(place) if place.shard() == target => there.push(*id),
            Ok(place) if place.shard() == source => back += 1,
            _ => elsewhere += 1,
        }
    }
    let mut said = String::new();
    for (number, what) in [
        (back, "back already"),
        (elsewhere, "moved elsewhere since, and left alone"),
    ] {
        if number > 0 {
            let separator = if said.is_empty() { "" } else { "; " };
            let are = output::are(number);
            let _ = write!(
                said,
                "{separator}{number} of {} {are} {what}",
                output::count(ids.len(), "briefcase")
            );
        }
    }
    if !said.is_empty() {
        output::note(&said);
    }
    Ok(there)
}

fn wrong_phase(record: &MoveRecord, advice: &str) -> Failure {
    Failure::Failed(format!(
        "move {} is {}: {advice}",
        record.id(),
        record.phase()
    ))
}
