//! What can be done about a move: the commands, as they are typed.

use std::time::Duration;

use mdb_core::relocate::{MovePhase, MoveRecord};

/// What can be done about a move that nobody runs.
pub(super) fn ways_on(id: &str, phase: MovePhase) -> String {
    match phase {
        MovePhase::Purging => past_commit_point(id),
        MovePhase::Done => format!("`mdb move revert {id}` moves its briefcases back"),
        MovePhase::Aborting => format!("`mdb move abort {id}` goes on with undoing it"),
        MovePhase::Aborted => "there is nothing left to do".to_owned(),
        _ => format!("`mdb move resume {id}` goes on with it, `mdb move abort {id}` undoes it"),
    }
}

/// What can be done about a move that has been decided.
pub(super) fn past_commit_point(id: &str) -> String {
    format!(
        "it has passed its commit point: `mdb move resume {id}` brings it to its end, then `mdb move revert {id}` \
         moves its briefcases back"
    )
}

/// What is to be said of a move whose mover has stopped.
pub(crate) fn stopped(id: &str, phase: MovePhase) -> String {
    format!(
        "move {id} has stopped while it was {phase}: {}",
        ways_on(id, phase)
    )
}

/// What is to be said of a move that a process seems to run.
pub(super) fn alive(record: &MoveRecord, left: Duration) -> String {
    format!(
        "move {} is {}, and its mover is taken to be alive: unless it goes on, its lease runs out in {} s; `--force` \
         takes the move over at once",
        record.id(),
        record.phase(),
        seconds(left)
    )
}

/// Whole seconds, rounded up.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
