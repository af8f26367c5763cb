//! What moves leave: `mdb check` names it, `mdb move clean` collects it.

use crate::kit::{Store, golden, id, masked, status, text};

/// The messages of a kind that `mdb check` has.
#[track_caller]
fn warnings(store: &Store, check: &str) -> Vec<String> {
    store.warnings(check, "message")
}

/// What half a copy of a move is: rows of `0:0:4` on `user_a1`, and the fence that says so.
fn half_copy(store: &Store, by: &str) {
    let (user, order) = (id(4), id(1004));
    store.execute(
        "user_a1",
        &format!(
            "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) VALUES ({user}, '{by}', 4, 0, NULL, 0, 0);
             INSERT INTO account VALUES ({user}, 'Ann');
             INSERT INTO orders VALUES ({order}, {user});
             INSERT INTO line_item VALUES ({order}, 1)"
        ),
    );
}

#[test]
fn nothing_is_left_of_a_move_that_went_well() {
    let store = Store::with_briefcases();
    store.moved("0:0:2", "local/user_b0");
    assert_eq!(warnings(&store, "leftover"), [""; 0]);
    let ran = store.run(["move", "clean"]).ends_with(status::DONE);
    assert_eq!(
        (ran.out(), ran.err()),
        ("", "nothing is left of any move\n")
    );
}

#[test]
fn a_move_that_has_stopped_is_named_and_what_it_needs_stays() {
    let store = Store::with_briefcases();
    let stopped = store.stopped_move();
    let [warning] = &warnings(&store, "move")[..] else {
        panic!("not one warning");
    };
    assert!(
        warning.contains(&stopped) && warning.contains("mdb move resume"),
        "{warning}"
    );
    assert_eq!(warnings(&store, "leftover"), [""; 0], "needed is not left");
    let ran = store.run(["move", "clean"]).ends_with(status::DONE);
    golden("move_clean_needed", &masked(ran.out(), &[&stopped]));
    store
        .run(["move", "resume", &stopped])
        .ends_with(status::DONE);
    assert_eq!(warnings(&store, "move"), [""; 0]);
}

#[test]
fn half_a_copy_of_a_move_that_was_undone_is_collected() {
    let store = Store::with_briefcases();
    let undone = store.stopped_move();
    store
        .run(["move", "abort", &undone])
        .ends_with(status::DONE);
    half_copy(&store, &undone);
    let [warning] = &warnings(&store, "leftover")[..] else {
        panic!("not one warning");
    };
    assert!(
        warning.contains("half a copy") && warning.contains("mdb move clean"),
        "{warning}"
    );
    assert_eq!(store.accounts("user_a1"), 2, "a check removes nothing");
    let ran = store.run(["verify", "user"]).ends_with(status::FAILED);
    assert!(ran.out().contains("leftover"), "{ran:?}");

    let ran = store.run(["move", "clean"]).ends_with(status::DONE);
    golden("move_clean", &masked(ran.out(), &[&undone]));
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_a1")),
        (2, 1)
    );
    let lines = store.count("user_a1", "SELECT count(*) FROM line_item");
    assert_eq!(lines, Some(2), "those of the neighbour");
    assert_eq!(warnings(&store, "leftover"), [""; 0]);
    store.run(["verify", "user"]).ends_with(status::DONE);
}

#[test]
fn rows_that_a_finished_move_has_brought_are_not_half_a_copy() {
    let store = Store::with_briefcases();
    let done = store.moved("0:0:4", "local/user_b0");
    half_copy(&store, &done);
    let ran = store
        .run(["move", "clean", "--json"])
        .ends_with(status::DONE);
    assert!(ran.out().contains("doubtful"), "{ran:?}");
    assert_eq!(store.accounts("user_a1"), 2);
    let [warning] = &warnings(&store, "leftover")[..] else {
        panic!("not one warning");
    };
    assert!(warning.contains("does not agree"), "{warning}");
}

#[test]
fn a_sign_that_contradicts_the_catalog_stays() {
    let store = Store::with_briefcases();
    let done = store.moved("0:0:4", "local/user_b0");
    let sign = |shard| {
        let sign = format!(
            "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) VALUES ({}, '{done}', 3, 0, 'x', 1, 1)",
            id(4)
        );
        store.execute(shard, &sign);
        let ran = store
            .run(["move", "clean", "--json"])
            .ends_with(status::DONE)
            .objects();
        assert_eq!(ran.len(), 1, "{ran:#?}");
        text(&ran[0], "outcome").to_owned()
    };
    assert_eq!(
        sign("user_a0"),
        "removed",
        "it has gone, and everybody knows"
    );
    assert_eq!(sign("user_b0"), "doubtful", "that is where it is");
}

#[test]
fn a_process_that_somebody_knows_to_be_dead_is_forgotten() {
    let store = Store::with_briefcases();
    store.execute(
        "central",
        "INSERT INTO mdb_router (router, acknowledged, lease_until, waits_for, place) \
         VALUES ('mdb-dead', 0, 1774000000000, NULL, 'process 7 on a machine')",
    );
    store.moved("0:0:2", "local/user_a1");
    let [kept] = &warnings(&store, "leftover")[..] else {
        panic!("not one finding");
    };
    assert!(kept.contains("mdb move processes"), "{kept}");
    let found = store
        .run(["move", "processes", "--json"])
        .ends_with(status::DONE)
        .objects();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(text(&found[0], "process"), "mdb-dead");
    assert_eq!(text(&found[0], "state"), "silent");
    assert!(found[0]["for_ms"].as_u64() > Some(0));
    assert!(found[0]["acknowledged"].is_null());

    store
        .run(["move", "processes", "--forget", "mdb-deed"])
        .refuses(status::BAD_INPUT, &["mdb-deed", "mdb move processes"]);
    let ran = store
        .run(["move", "processes", "--forget", "mdb-dead"])
        .ends_with(status::DONE);
    golden("move_processes_forgotten", ran.out());
    store.run(["move", "clean"]).ends_with(status::DONE);
    assert_eq!(warnings(&store, "leftover"), [""; 0]);
    let none = store.run(["move", "processes"]).ends_with(status::DONE);
    assert_eq!((none.out(), none.err()), ("", "no process is registered\n"));
}
