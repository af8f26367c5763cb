//! `mdb move abort` and `mdb move revert`: back to where the briefcases were, before and after the commit point.

use mdb_core::Mdb;
use mdb_core::relocate::{MoveError, MoveOptions, MovePhase, MoveRecord, TakeOver, WayBack};
use serde::Serialize;

use super::running::Runner;
use super::{advice, find, run_options};
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
    let way_back = relocator.way_back(record.id()).await?;
    if let Some(left) = left_alone(&way_back) {
        output::note(&left);
    }
    let plan = relocator.plan(way_back.request()).await?;
    Runner::new(arguments, mdb, run_options(&asked.pacing))
        .run(&plan)
        .await
}

/// What is to be said of briefcases that have left where the move brought them.
fn left_alone(way_back: &WayBack) -> Option<String> {
    let mut said = Vec::new();
    for (number, what) in [
        (way_back.back(), "back already"),
        (
            way_back.elsewhere(),
            "moved elsewhere since, and left alone",
        ),
    ] {
        if number > 0 {
            let are = output::are(number);
            let all = output::count(way_back.briefcases(), "briefcase");
            said.push(format!("{number} of {all} {are} {what}"));
        }
    }
    (!said.is_empty()).then(|| said.join("; "))
}

fn wrong_phase(record: &MoveRecord, advice: &str) -> Failure {
    Failure::Failed(format!(
        "move {} is {}: {advice}",
        record.id(),
        record.phase()
    ))
}
