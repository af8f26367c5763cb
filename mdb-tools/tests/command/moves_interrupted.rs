//! `mdb move run` that is asked to stop: what it says of what is done, what has stopped, and what was not begun.

use std::collections::BTreeSet;

use crate::kit::{Ended, MANY, MANY_MOVES, Serving, Store, status, text};

/// Runs the move until its first batch is done, and the others can't go on; then sends the signal.
fn interrupted(store: &Store, signal: &str) -> Ended {
    let run = Serving::start(&mut store.command(MANY_MOVES));
    store.fall_asleep();
    run.stop(signal)
}

/// The moves in the journal that are over, or are not.
fn moves(store: &Store, are_over: &[&str]) -> BTreeSet<String> {
    let journal = store.journal().into_iter();
    let these = journal.filter(|(_, phase)| are_over.contains(&phase.as_str()));
    these.map(|(id, _)| id).collect()
}

#[track_caller]
fn stops_in_order(signal: &str) {
    let store = Store::with_many();
    let ended = interrupted(&store, signal).ends_with(status::INTERRUPTED);
    store.wake_up();
    let reported: BTreeSet<String> = ended
        .objects()
        .iter()
        .map(|line| text(line, "move").to_owned())
        .collect();
    assert_eq!(reported, moves(&store, &["done"]), "{ended:?}");
    assert!(!reported.is_empty());
    let phases = ["planned", "announced", "copying", "flipping", "purging"];
    let stopped = moves(&store, &phases);
    for id in &stopped {
        let resume = format!("`mdb move resume {id}`");
        assert!(ended.err().contains(&resume), "{ended:?}");
    }
    // What was only announced is undone.
    let begun = u64::try_from(reported.len() + stopped.len()).unwrap();
    assert!(begun < MANY, "{ended:?}");
    let left = format!("{} briefcases were not begun", MANY - begun);
    assert!(ended.err().contains(&left), "{ended:?}");

    // As it was said.
    for id in &stopped {
        store.run(["move", "resume", id]).ends_with(status::DONE);
    }
    let again = MANY_MOVES
        .iter()
        .filter(|word| !["--max-rows-per-second", "1", "--batch"].contains(word));
    store.run(again).ends_with(status::DONE);
    assert_eq!(store.accounts("user_b0"), i64::try_from(MANY).unwrap());
}

#[test]
fn an_interrupt_stops_where_it_can_be_resumed() {
    stops_in_order("-INT");
}

#[test]
fn a_service_manager_stops_it_likewise() {
    stops_in_order("-TERM");
}

#[test]
fn a_batch_is_reported_in_words_as_it_ends() {
    let store = Store::with_many();
    let words = MANY_MOVES.iter().filter(|word| **word != "--json");
    let run = Serving::start_in_words(&mut store.command(words));
    store.fall_asleep();
    let ended = run.stop("-INT").ends_with(status::INTERRUPTED);
    store.wake_up();
    let first = ended.out().lines().next().unwrap();
    assert!(
        first.contains(" is done: 1 briefcase, 6 rows, fenced "),
        "{ended:?}"
    );
}
