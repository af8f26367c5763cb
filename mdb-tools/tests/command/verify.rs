//! `mdb verify`: each thing that it can find, and what it leaves alone.

use serde_json::Value;

use crate::kit::{Store, golden, id, status, text};

/// The findings, each in the documented shape.
#[track_caller]
fn findings(store: &Store, arguments: &[&str], status: i32) -> Vec<Value> {
    let all = ["verify", "user", "--json"].iter().chain(arguments);
    let mut found = store.run(all).ends_with(status).objects();
    // What moves have left comes first, in a shape of its own.
    found.retain(|line| line.get("fault").is_some());
    for finding in &found {
        let mut keys: Vec<&str> = finding
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        let expected = [
            "advice",
            "area",
            "database",
            "fault",
            "gdid",
            "home",
            "move",
            "rows",
            "server",
            "shard",
            "shard_name",
            "table",
        ];
        assert_eq!(keys, expected);
        assert_ne!(text(finding, "advice"), "");
    }
    found
}

/// Exactly one finding: of that kind, in that table on `user_b0`.
#[track_caller]
fn finds(store: &Store, fault: &str, table: &str) -> Value {
    let mut found = findings(store, &[], status::FAILED);
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = found.remove(0);
    assert_eq!(text(&found, "fault"), fault);
    assert_eq!(text(&found, "database"), "user_b0");
    assert_eq!(text(&found, "table"), table);
    found
}

#[test]
fn a_good_store_has_no_findings() {
    let store = Store::with_briefcases();
    assert!(findings(&store, &[], status::DONE).is_empty());
    let ran = store.run(["verify", "user"]).ends_with(status::DONE);
    assert_eq!(ran.out(), "all is well: 12 keys on 4 shards\n");
    store.moved("0:0:2", "local/user_b0");
    assert!(
        findings(&store, &[], status::DONE).is_empty(),
        "moved, and at home"
    );
    let few = store
        .run(["verify", "user", "0:0:2", "0:0:3"])
        .ends_with(status::DONE);
    assert!(few.out().starts_with("all is well"), "{few:?}");
}

#[test]
fn strays_and_split_briefcases() {
    let store = Store::with_briefcases();
    let stray = id(77);
    store.execute(
        "user_b0",
        &format!("INSERT INTO balance VALUES ({stray}, 1)"),
    );
    let found = finds(&store, "stray", "balance");
    assert_eq!(text(&found, "gdid"), "0:0:77");
    assert_eq!(found["rows"], 1);
    let home = text(&found, "home");
    let home = home.strip_prefix("local/").unwrap();
    assert!(["user_a0", "user_a1"].contains(&home), "{home}");
    store.execute(home, &format!("INSERT INTO account VALUES ({stray}, 'Bo')"));
    finds(&store, "split", "balance");
    let table = store.run(["verify", "user"]).ends_with(status::FAILED);
    golden("verify", table.out());

    assert!(
        findings(&store, &["0:0:2"], status::DONE).is_empty(),
        "not asked for"
    );
    assert_eq!(
        findings(&store, &["0:0:2", "0:0:77"], status::FAILED).len(),
        1
    );
    let fed = store
        .feed(["verify", "user", "-"], "0:0:77\n")
        .ends_with(status::FAILED);
    assert!(fed.out().contains("split"), "{fed:?}");
    // It is nobody's to delete.
    store
        .run(["verify", "user", "--repair", "--yes"])
        .ends_with(status::FAILED);
    finds(&store, "split", "balance");
}

#[test]
fn rows_without_a_parent() {
    let store = Store::with_briefcases();
    let order = id(2000);
    store.execute(
        "user_b0",
        &format!("INSERT INTO line_item VALUES ({order}, 1), ({order}, 2)"),
    );
    let found = finds(&store, "orphans", "line_item");
    assert_eq!(found["rows"], 2);
    assert_eq!(found["gdid"], Value::Null);
}

#[test]
fn keys_that_are_no_ids() {
    let store = Store::with_briefcases();
    store.execute(
        "user_b0",
        "INSERT INTO balance VALUES (x'00', 1), (x'0102', 1), ('0:0:2', 1)",
    );
    let found = finds(&store, "no_ids", "balance");
    assert_eq!(found["rows"], 3);
}

#[test]
fn a_fence_of_an_unknown_move_is_found_and_removed() {
    let store = Store::with_briefcases();
    let user = id(900);
    let fence = |state| {
        format!(
            "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) \
             VALUES ({user}, 'lost', {state}, 0, NULL, 0, 0)"
        )
    };
    store.execute("user_b0", &fence(1));
    let found = finds(&store, "unknown_move", "mdb_fence");
    assert_eq!(text(&found, "move"), "lost");
    let asked = store
        .run(["verify", "user", "--repair"])
        .ends_with(status::FAILED);
    assert!(asked.out().contains("removable"), "{asked:?}");
    assert!(asked.err().contains("--repair --yes"), "{asked:?}");
    finds(&store, "unknown_move", "mdb_fence");
    let mended = store
        .run(["verify", "user", "--repair", "--yes"])
        .ends_with(status::DONE);
    assert!(mended.out().contains("removed"), "{mended:?}");
    assert!(findings(&store, &[], status::DONE).is_empty());

    // Where rows may have been received, only a person can say.
    store.execute("user_b0", &fence(4));
    store
        .run(["verify", "user", "--repair", "--yes"])
        .ends_with(status::FAILED);
    finds(&store, "unknown_move", "mdb_fence");
}

/// Rows of `0:0:4`, which moves from `user_a0`, at its target.
fn arrive(store: &Store) {
    store.execute(
        "user_a1",
        &format!("INSERT INTO balance VALUES ({}, 1)", id(4)),
    );
}

#[test]
fn a_briefcase_on_its_way_is_not_looked_at() {
    let store = Store::with_briefcases();
    let stopped = store.stopped_move();
    arrive(&store);
    // As if its mover were alive.
    store.execute(
        "central",
        "UPDATE mdb_move SET lease_until = 9000000000000000",
    );
    let ran = store.run(["verify", "user"]).ends_with(status::DONE);
    assert!(ran.err().contains("1 briefcase is moving"), "{ran:?}");
    assert!(!ran.out().contains("all is well"), "{ran:?}");
    assert!(
        ran.out().contains("not everything was looked at"),
        "{ran:?}"
    );
    let skipped = findings(&store, &[], status::DONE);
    assert_eq!(skipped.len(), 1, "{skipped:#?}");
    assert_eq!(text(&skipped[0], "fault"), "in_motion");
    assert_eq!(text(&skipped[0], "gdid"), "0:0:4");
    assert_eq!(text(&skipped[0], "move"), stopped);
    assert_eq!(skipped[0]["rows"], Value::Null);
}

#[test]
fn a_briefcase_that_a_stopped_move_keeps_on_its_way_has_to_be_seen_to() {
    let store = Store::with_briefcases();
    let stopped = store.stopped_move();
    arrive(&store);
    let ran = store.run(["verify", "user"]).ends_with(status::FAILED);
    assert_eq!(ran.out(), "");
    assert!(ran.err().contains("1 briefcase is moving"), "{ran:?}");
    let resume = format!("`mdb move resume {stopped}`");
    assert!(ran.err().contains(&resume), "{ran:?}");
    let skipped = findings(&store, &[], status::FAILED);
    assert_eq!(skipped.len(), 1, "{skipped:#?}");
    assert_eq!(text(&skipped[0], "fault"), "in_motion");
    assert!(
        text(&skipped[0], "advice").contains(&resume),
        "{skipped:#?}"
    );
    // Another briefcase is none of its business.
    store
        .run(["verify", "user", "0:0:2"])
        .ends_with(status::DONE);
}

#[test]
fn what_can_not_be_decided_while_a_move_is_not_over() {
    let store = Store::with_briefcases();
    let stopped = store.stopped_move();
    let order = id(2000);
    store.execute(
        "user_a1",
        &format!("INSERT INTO line_item VALUES ({order}, 1)"),
    );
    let mut undecided = findings(&store, &[], status::FAILED);
    undecided.retain(|line| text(line, "fault") != "in_motion");
    assert_eq!(undecided.len(), 1, "{undecided:#?}");
    assert_eq!(text(&undecided[0], "fault"), "undecided");
    assert_eq!(text(&undecided[0], "shard_name"), "local/user_a1");
    assert_eq!(text(&undecided[0], "table"), "line_item");
    assert_eq!(text(&undecided[0], "move"), stopped);
    let resume = format!("`mdb move resume {stopped}`");
    assert!(
        text(&undecided[0], "advice").contains(&resume),
        "{undecided:#?}"
    );
    store
        .run(["move", "abort", &stopped])
        .ends_with(status::DONE);
    assert_eq!(
        text(&findings(&store, &[], status::FAILED)[0], "fault"),
        "orphans"
    );
}

#[test]
fn what_can_not_be_verified() {
    let store = Store::with_briefcases();
    store
        .run(["verify", "orders"])
        .refuses(status::BAD_INPUT, &["`orders`", "user"]);
    store
        .run(["verify", "user", "nobody"])
        .refuses(status::BAD_INPUT, &["`nobody` is no id"]);
    store.execute("user_b1", "DROP TABLE balance");
    store
        .run(["verify", "user"])
        .refuses(status::FAILED, &["balance"]);
}
