//! Data that can't be written: to a disk that is full, or to a reader that has gone.

use std::fs::OpenOptions;
use std::process::Command;

use crate::kit::{Ended, MANY, MANY_MOVES, Store, status};

/// Has the command write to a disk that has no room; says how it ends, and what it says of that.
fn on_a_full_disk(command: &mut Command) -> (Option<i32>, String) {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = command.stdout(full).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    (ended.status.code(), said)
}

/// What a run that had to stop says names all that is not done, and how to go on.
#[track_caller]
fn told(store: &Store, said: &str) {
    let mut journal = store.journal();
    // What was only announced is undone.
    journal.retain(|(_, phase)| phase != "aborted");
    assert!((journal.len() as u64) < MANY, "{said}");
    let mut done = 0;
    for (id, phase) in &journal {
        if phase == "done" {
            done += 1;
        } else {
            assert!(said.contains(&format!("`mdb move resume {id}`")), "{said}");
        }
    }
    assert!(done > 0, "{said}");
    let left = MANY - journal.len() as u64;
    let left = format!("{left} briefcases were not begun");
    assert!(said.contains(&left), "{said}");
}

#[test]
fn a_full_disk_is_told() {
    let store = Store::quickstart(1);
    let commands: [&[&str]; 3] = [
        &["gdid", "next", "user", "--count", "100000"],
        &["show"],
        &["route", "user", "0:0:1", "--json"],
    ];
    for arguments in commands {
        let (code, said) = on_a_full_disk(&mut store.command(arguments));
        assert_eq!(code, Some(status::FAILED), "{said}");
        assert!(
            said.contains("error: can't write the data: No space left on device"),
            "{said}"
        );
    }
}

#[test]
fn moves_stop_in_order_when_a_disk_is_full() {
    let store = Store::with_many();
    let (code, said) = on_a_full_disk(&mut store.command(MANY_MOVES));
    assert_eq!(code, Some(status::FAILED), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    told(&store, &said);
    for (id, _) in store.journal().iter().filter(|(_, phase)| phase == "done") {
        assert!(
            said.contains(&format!("move {id} is done: 1 briefcase")),
            "{said}"
        );
    }
}

#[test]
fn moves_stop_in_order_when_their_reader_has_gone() {
    let store = Store::with_many();
    let (_, ended) = Ended::of_reader_who_goes(&mut store.command(MANY_MOVES));
    let said = ended.ends_with(status::READER_GONE).err().to_owned();
    assert!(!said.contains("error: "), "{said}");
    told(&store, &said);
}
