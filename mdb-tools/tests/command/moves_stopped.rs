//! `mdb move` that has stopped, been interrupted or killed: resumed and undone.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::kit::{Store, golden, masked, same_lines, status, text, wait_until};

/// Starts a move of `0:0:4` to `user_a1` that waits for a process which doesn't answer.
fn waiting_move(store: &Store) -> Child {
    store.fall_asleep();
    let (run, to) = (["move", "run", "user"], ["--to", "local/user_a1"]);
    let child = store
        .command(run.iter().chain(&to).chain(&["--gdid", "0:0:4"]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the announcement", || {
        let announced = "SELECT count(*) FROM mdb_move WHERE phase = 1";
        store.count("central", announced) == Some(1)
    });
    child
}

/// The only move in the journal.
fn only_move(store: &Store) -> String {
    store.journal().remove(0).0
}

#[test]
fn a_killed_move_is_taken_over_by_force_or_later() {
    let store = Store::with_briefcases();
    let mut child = waiting_move(&store);
    child.kill().unwrap();
    child.wait().unwrap();
    store.wake_up();
    let id = only_move(&store);
    // It seems to be alive for some seconds.
    store.run(["move", "resume", &id]).refuses(
        status::FAILED,
        &["another process runs the move", " s; `--force`"],
    );
    store
        .run(["move", "abort", &id])
        .refuses(status::FAILED, &["its lease runs out in", " s; `--force`"]);
    let ran = store.run(["move", "status"]).ends_with(status::DONE);
    assert!(ran.out().contains("alive for "), "{ran:?}");
    let ran = store.run(["move", "resume"]).ends_with(status::DONE);
    for part in [&id, "runs out in", "`--force`", "no move to resume"] {
        assert!(ran.err().contains(part), "no `{part}` in {ran:?}");
    }
    store
        .run(["move", "abort", &id, "--force"])
        .ends_with(status::DONE);
    assert_eq!(store.journal(), [(id, "aborted".to_owned())]);
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_a1")),
        (2, 1)
    );
    store.run(["verify", "user"]).ends_with(status::DONE);
}

#[test]
fn a_move_that_has_stopped_is_resumed() {
    let store = Store::with_briefcases();
    let stopped = store.stopped_move();
    let ran = store.run(["move", "status"]).ends_with(status::DONE);
    golden("move_status", &masked(ran.out(), &[&stopped]));
    let busy = [
        "move",
        "run",
        "user",
        "--to",
        "local/user_b0",
        "--gdid",
        "0:0:4",
    ];
    store
        .run(busy)
        .refuses(status::FAILED, &["being moved already"]);
    let resumed = store
        .run(["move", "resume", &stopped, "--json"])
        .ends_with(status::DONE);
    assert_eq!(resumed.objects()[0]["rows"], 6);
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_a1")),
        (1, 2)
    );
    assert!(
        store
            .journal()
            .contains(&(stopped.clone(), "done".to_owned()))
    );
    store
        .run(["move", "resume", &stopped])
        .refuses(status::FAILED, &["done", "nothing left to do"]);
    let revert = format!("`mdb move revert {stopped}`");
    store
        .run(["move", "abort", &stopped])
        .refuses(status::FAILED, &["is done", &revert]);
}

#[test]
fn all_that_are_not_over_are_taken_by_force() {
    let store = Store::with_briefcases();
    let mut child = waiting_move(&store);
    child.kill().unwrap();
    child.wait().unwrap();
    store.wake_up();
    let resumed = store
        .run(["move", "resume", "--force", "--json"])
        .ends_with(status::DONE);
    assert_eq!(text(&resumed.objects()[0], "move"), only_move(&store));
    assert_eq!(store.accounts("user_a1"), 2);
}

#[test]
fn past_the_commit_point_a_move_goes_forward() {
    let store = Store::with_briefcases();
    let decided = store.decided_move();
    let ways = [
        format!("`mdb move resume {decided}`"),
        format!("`mdb move revert {decided}`"),
    ];
    for command in ["abort", "revert"] {
        store
            .run(["move", command, &decided])
            .refuses(status::FAILED, &["is purging", &ways[0], &ways[1]]);
    }
    let resumed = store
        .run(["move", "resume", &decided, "--json"])
        .ends_with(status::DONE)
        .objects();
    assert_eq!(resumed[0]["rows"], 6, "as it was verified: {resumed:#?}");
    let receipt = store.run(["move", "receipt", &decided, "--json"]);
    assert_eq!(
        Value::from(receipt.ends_with(status::DONE).objects()),
        resumed[0]["tables"]
    );
    store
        .run(["move", "revert", &decided])
        .ends_with(status::DONE);
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_a1")),
        (2, 1)
    );
}

#[test]
fn a_receipt_that_was_not_kept_does_not_make_a_move_an_unverified_one() {
    let store = Store::with_briefcases();
    let done = store.moved("0:0:4", "local/user_a1");
    // What a mover leaves that dies right after the decision.
    store.execute("central", "UPDATE mdb_move SET detail = ''");
    let ran = store.run(["move", "receipt", &done]).refuses(
        status::FAILED,
        &[
            "is done",
            "it was verified",
            "before it had kept the receipt",
        ],
    );
    assert!(!ran.err().contains("not been verified"), "{ran:?}");
    let listed = store
        .run(["move", "list", "--json"])
        .ends_with(status::DONE);
    assert!(listed.objects()[0]["rows"].is_null(), "{listed:?}");
}

#[test]
fn a_move_that_has_stopped_is_undone() {
    let store = Store::with_briefcases();
    let stopped = store.stopped_move();
    let abort = format!("`mdb move abort {stopped}`");
    store
        .run(["move", "revert", &stopped])
        .refuses(status::FAILED, &["is announced", &abort]);
    let undone = store
        .run(["move", "abort", &stopped[..6], "--json"])
        .ends_with(status::DONE)
        .says(&["is undone"]);
    same_lines(
        undone.out(),
        &format!(r#"{{"move":"{stopped}","phase":"aborted"}}"#),
    );
    for command in ["abort", "revert"] {
        store
            .run(["move", command, &stopped])
            .refuses(status::FAILED, &["is aborted", "nothing left to do"]);
    }
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_a1")),
        (2, 1)
    );
    assert_eq!(store.journal(), [(stopped.clone(), "aborted".to_owned())]);
    store.run(["move", "receipt", &stopped]).refuses(
        status::FAILED,
        &["is aborted", "once a move is verified and decided"],
    );
    // Nothing of it is in the way of another.
    store.moved("0:0:4", "local/user_a1");
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_a1")),
        (1, 2)
    );
}
