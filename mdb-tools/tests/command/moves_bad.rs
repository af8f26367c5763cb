//! `mdb move` with what it can't do: each with the reason, and nothing touched.

use crate::kit::{SHARDS, Store, id, status};

/// Runs `mdb move plan` and `run`; both refuse, alike.
#[track_caller]
fn refused(store: &Store, arguments: &[&str], status: i32, parts: &[&str]) {
    for command in ["plan", "run"] {
        let all = ["move", command, "user"]
            .into_iter()
            .chain(arguments.iter().copied());
        store.run(all).refuses(status, parts);
    }
    let listed = store.run(["move", "list"]).ends_with(status::DONE);
    assert_eq!(listed.out(), "", "nothing is recorded");
}

#[test]
fn ids_that_are_none() {
    let store = Store::with_briefcases();
    let refused = |id, parts: &[&str]| {
        refused(
            &store,
            &["--to", "local/user_a1", "--gdid", id],
            status::BAD_INPUT,
            parts,
        );
    };
    refused("0:0:x", &["`0:0:x` is no id"]);
    refused("ann@example.org", &["`ann@example.org` is no id"]);
    refused("", &["`` is no id"]);
}

#[test]
fn ids_that_nobody_has() {
    let store = Store::with_briefcases();
    let to = ["--to", "local/user_b0", "--gdid"];
    refused(
        &store,
        &[to[0], to[1], to[2], "0:0:0"],
        status::FAILED,
        &["0:0:0", "no shard"],
    );
    refused(
        &store,
        &[to[0], to[1], to[2], "0:0:77", "0:0:2"],
        status::BAD_INPUT,
        &["1 briefcase has no rows: 0:0:77;", "--even-empty"],
    );
    // One that was never used can be moved all the same: it may have been issued.
    let plan = ["move", "plan", "user", to[0], to[1], to[2], "0:0:77"];
    let ran = store
        .run(plan.into_iter().chain(["--even-empty"]))
        .ends_with(status::DONE);
    assert!(ran.err().contains("have no rows"), "{ran:?}");
}

#[test]
fn strays_are_not_moved() {
    let store = Store::with_briefcases();
    // Their home has no rows of them.
    for (shard, user) in [("user_b0", 77), ("user_b1", 77)] {
        store.execute(
            shard,
            &format!("INSERT INTO balance VALUES ({}, 1)", id(user)),
        );
    }
    for which in [["--range", "0:0:70..0:0:80"], ["--shard", "local/user_b0"]] {
        let run = ["move", "run", "user", "--to", "local/user_b1"];
        store
            .run(run.iter().chain(&which))
            .ends_with(status::DONE)
            .says(&["nothing to move"]);
    }
    let known = "SELECT count(*) FROM mdb_relocation";
    assert_eq!(store.count("central", known), Some(0));
}

#[test]
fn lines_of_a_file_are_numbered() {
    let store = Store::with_briefcases();
    let from = ["--to", "local/user_a1", "--from-file", "ids"];
    refused(&store, &from, status::BAD_INPUT, &["can't read ids"]);
    std::fs::write(store.path().join("ids"), "0:0:2\n\n0:0:4 # Ann\n").unwrap();
    refused(
        &store,
        &from,
        status::BAD_INPUT,
        &["line 3 of ids", "`0:0:4 # Ann` is no id"],
    );
    std::fs::write(store.path().join("ids"), "\n").unwrap();
    refused(&store, &from, status::BAD_INPUT, &["no ids in ids"]);
    let fed = [
        "move",
        "run",
        "user",
        "--to",
        "local/user_a1",
        "--from-file",
        "-",
    ];
    store
        .feed(fed, "0:0:2\nnobody\n")
        .refuses(status::BAD_INPUT, &["line 2 of standard input"]);
}

#[test]
fn places_that_are_none() {
    let store = Store::with_briefcases();
    let to = |to| ["--to", to, "--gdid", "0:0:2"];
    refused(
        &store,
        &to("local/user_c0"),
        status::BAD_INPUT,
        &["`local/user_c0`", "`local/user_a0`, `local/user_a1`"],
    );
    refused(
        &store,
        &to("local/central"),
        status::BAD_INPUT,
        &["`local/central`"],
    );
    let elsewhere = [
        "move",
        "plan",
        "orders",
        "--to",
        "local/user_a0",
        "--gdid",
        "0:0:2",
    ];
    store
        .run(elsewhere)
        .refuses(status::BAD_INPUT, &["`orders`", "user"]);
    for (range, part) in [
        ("0:0:5", "`..` is missing"),
        ("0:0:5..0:0:5", "ends before"),
        ("0:0:5..x", "`0:0:5..x` is no range"),
        ("0:3:5..0:0:9", "no range"),
    ] {
        let range = ["--to", "local/user_a0", "--range", range];
        refused(&store, &range, status::BAD_INPUT, &[part]);
    }
}

#[test]
fn moves_that_are_none() {
    let store = Store::with_briefcases();
    for command in [
        "abort",
        "resume",
        "revert",
        "receipt",
        "status",
        "briefcases",
    ] {
        store
            .run(["move", command, "0123abcd"])
            .refuses(status::BAD_INPUT, &["no move 0123abcd", "mdb move list"]);
        store
            .run(["move", command, ""])
            .refuses(status::BAD_INPUT, &["give a move's id", "mdb move list"]);
    }
    let ran = store.run(["move", "resume"]).ends_with(status::DONE);
    assert_eq!(ran.err(), "there is no move to resume\n");
}

#[test]
fn tables_that_can_not_be_moved() {
    let to = ["--to", "local/user_a1", "--gdid", "0:0:2"];
    for (tables, parts) in [
        (
            "DROP TABLE balance; CREATE TABLE balance (g_user BLOB NOT NULL, cents INTEGER)",
            ["table `balance`", "no primary key"],
        ),
        (
            "DROP TABLE balance; CREATE TABLE balance (n INTEGER PRIMARY KEY AUTOINCREMENT, g_user BLOB NOT NULL)",
            ["column `n`", "numbered by the server"],
        ),
        (
            "CREATE TABLE note (g_user BLOB NOT NULL PRIMARY KEY)",
            ["table `note`", "left behind"],
        ),
        ("DROP TABLE balance", ["table `balance`", "missing"]),
    ] {
        let store = Store::with_briefcases();
        for shard in SHARDS {
            store.execute(shard, tables);
        }
        refused(&store, &to, status::FAILED, &parts);
    }
    let store = Store::with_briefcases();
    store.execute(
        "user_a1",
        "DROP TABLE account; CREATE TABLE account ( \
         g_user BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, phone TEXT NOT NULL) WITHOUT ROWID",
    );
    refused(&store, &to, status::FAILED, &["table `account`", "`phone`"]);
    let elsewhere = ["--to", "local/user_b0", "--gdid", "0:0:2"];
    let plan = ["move", "plan", "user"].iter().chain(&elsewhere);
    store.run(plan).ends_with(status::DONE);
}
