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
    if phase.is_over() {
        return format!(
            "move {id} is {phase}, by another process: {}",
            ways_on(id, phase)
        );
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_that_another_process_has_ended_is_not_to_be_resumed() {
        assert_eq!(
            stopped("m1", MovePhase::Done),
            "move m1 is done, by another process: `mdb move revert m1` moves its briefcases back"
        );
        assert_eq!(
            stopped("m1", MovePhase::Aborted),
            "move m1 is aborted, by another process: there is nothing left to do"
        );
        assert_eq!(
            stopped("m1", MovePhase::Copying),
            "move m1 has stopped while it was copying: `mdb move resume m1` goes on with it, `mdb move abort m1` undoes it"
        );
    }
}
