//! `mdb move`: briefcases from shard to shard.

use serde_json::Value;

use crate::kit::{Store, golden, masked, status, text};

/// The keys of an object, in order.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_plan_names_triggers_that_would_fire() {
    let store = Store::with_briefcases();
    store.execute(
        "user_b0",
        "CREATE TRIGGER tell AFTER INSERT ON account BEGIN UPDATE balance SET cents = 0; END",
    );
    let plan = ["move", "plan", "user", "--to", "local/user_b0"];
    let plan = plan.into_iter().chain(["--gdid", "0:0:2"]);
    let ran = store.run(plan.clone()).ends_with(status::DONE);
    assert!(
        ran.err()
            .contains("warning: table `account`: its trigger `tell`"),
        "{ran:?}"
    );
    let lines = store
        .run(plan.chain(["--json"]))
        .ends_with(status::DONE)
        .objects();
    let warnings = &lines[0]["warnings"];
    assert_eq!(warnings[0]["place"], "table `account`");
    assert!(
        text(&warnings[0], "reason").contains("`tell`"),
        "{warnings}"
    );
}

#[test]
fn a_plan_says_what_would_be_done_and_does_nothing() {
    let store = Store::with_briefcases();
    let plan = [
        "move",
        "plan",
        "user",
        "--to",
        "local/user_b0",
        "--gdid",
        "0:0:2",
        "0:0:3",
    ];
    let ran = store.run(plan).ends_with(status::DONE);
    assert!(
        ran.err()
            .contains("account, address, orders, line_item, balance"),
        "{ran:?}"
    );
    golden("move_plan", ran.out());
    let lines = store
        .run(plan.into_iter().chain(["--json"]))
        .ends_with(status::DONE);
    let lines = lines.objects();
    assert_eq!(lines.len(), 2, "a line for each source: {lines:#?}");
    for (line, source) in lines.iter().zip(["local/user_a0", "local/user_a1"]) {
        let expected = [
            "area",
            "batches",
            "briefcases",
            "rows",
            "seconds",
            "source",
            "tables",
            "target",
            "warnings",
            "worst_pause_ms",
        ];
        assert_eq!(keys(line), expected);
        assert_eq!(text(line, "source"), source);
        assert_eq!(text(line, "target"), "local/user_b0");
        assert_eq!(line["rows"], 6);
    }
    assert_eq!(store.journal(), []);
    assert_eq!(store.accounts("user_a0"), 2);
}

#[test]
fn a_run_moves_keeps_a_receipt_and_can_be_reverted() {
    let store = Store::with_briefcases();
    let run = [
        "move",
        "run",
        "user",
        "--to",
        "local/user_b1",
        "--gdid",
        "0:0:2",
    ];
    let ran = store
        .run(run.into_iter().chain(["--json"]))
        .ends_with(status::DONE);
    let lines = ran.objects();
    let [line] = lines.as_slice() else {
        panic!("not one batch: {lines:#?}");
    };
    assert_eq!(
        keys(line),
        ["briefcases", "move", "pause_ms", "rows", "tables"]
    );
    assert_eq!(
        (line["briefcases"].as_u64(), line["rows"].as_u64()),
        (Some(1), Some(6))
    );
    let first = text(line, "move");
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_b1")),
        (1, 1)
    );

    let receipt = store
        .run(["move", "receipt", &first[..8]])
        .ends_with(status::DONE);
    golden("move_receipt", receipt.out());
    let receipt = store
        .run(["move", "receipt", first, "--json"])
        .ends_with(status::DONE);
    assert_eq!(Value::from(receipt.objects()), line["tables"]);

    let back = store
        .run(["move", "revert", first, "--json"])
        .ends_with(status::DONE)
        .objects();
    assert_eq!(back[0]["tables"], line["tables"], "the same rows");
    let second = text(&back[0], "move");
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_b1")),
        (2, 0)
    );
    let listed = store.run(["move", "list"]).ends_with(status::DONE);
    golden("move_list", &masked(listed.out(), &[first, second]));
    let of_it = ["move", "list", "--area", "user", "--gdid"];
    let of = |gdid, more: &[&str]| {
        let all = of_it.into_iter().chain([gdid, "--json"]);
        let found = store.run(all.chain(more.iter().copied()));
        let found = found.ends_with(status::DONE).objects();
        found
            .iter()
            .map(|line| text(line, "move").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("0:0:2", &[]), [first, second]);
    assert_eq!(of("0:0:2", &["--phase", "aborted"]), [""; 0]);
    assert_eq!(of("0:0:3", &[]), [""; 0]);
    let briefcases = store.run(["move", "briefcases", first]);
    assert_eq!(briefcases.ends_with(status::DONE).out(), "0:0:2\n");
    let status = store.run(["move", "status"]).ends_with(status::DONE);
    assert_eq!((status.out(), status.err()), ("", "no move is under way\n"));
}

#[test]
fn briefcases_are_chosen_in_four_ways() {
    let store = Store::with_briefcases();
    let run = |which: &[&str]| {
        let all = ["move", "run", "user", "--json", "--to"]
            .iter()
            .chain(which);
        let ran = store.run(all).ends_with(status::DONE).objects();
        ran.iter()
            .map(|line| line["briefcases"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        run(&["local/user_a1", "--range", "0:0:3..0:0:5"]),
        1,
        "3 is there already"
    );
    assert_eq!(store.accounts("user_a1"), 2);
    assert_eq!(run(&["local/user_b0", "--shard", "local/user_a1"]), 2);
    assert_eq!(store.accounts("user_b0"), 2);
    std::fs::write(
        store.path().join("ids"),
        "0:0:3\n\n  0x000000000000000000000004\n",
    )
    .unwrap();
    assert_eq!(run(&["local/user_b1", "--from-file", "ids"]), 2);
    assert_eq!(store.accounts("user_b1"), 2);
    let fed = [
        "move",
        "run",
        "user",
        "--to",
        "local/user_a0",
        "--from-file",
        "-",
        "--batch",
        "1",
    ];
    store
        .feed(fed, "0:0:4\n0:0:3\n0:0:4\n")
        .ends_with(status::DONE);
    assert_eq!(store.accounts("user_a0"), 3);
    assert_eq!(store.journal().len(), 5, "two of them in batches of one");
}

#[test]
fn what_is_there_already_is_left_alone() {
    let store = Store::with_briefcases();
    for command in ["plan", "run"] {
        let to_itself = [
            "move",
            command,
            "user",
            "--to",
            "local/user_a1",
            "--gdid",
            "0:0:3",
        ];
        let ran = store.run(to_itself).ends_with(status::DONE);
        assert!(ran.err().contains("nothing to move"), "{ran:?}");
    }
    assert_eq!(store.journal(), []);
}

#[test]
fn what_was_moved_elsewhere_since_is_not_moved_back() {
    let store = Store::with_briefcases();
    let both = ["--gdid", "0:0:2", "0:0:4", "--json"];
    let run = ["move", "run", "user", "--to", "local/user_b0"];
    let moved = store.run(run.iter().chain(&both)).ends_with(status::DONE);
    let first = text(&moved.objects()[0], "move").to_owned();
    store.moved("0:0:4", "local/user_b1");
    let back = store
        .run(["move", "revert", &first])
        .ends_with(status::DONE)
        .says(&["1 of 2 briefcases is moved elsewhere since"]);
    assert!(back.out().contains("1 briefcase, 6 rows"), "{back:?}");
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_b1")),
        (1, 1)
    );
    store
        .run(["move", "revert", &first])
        .ends_with(status::DONE)
        .says(&["1 of 2 briefcases is back already", "nothing to move"]);
}

#[test]
fn a_plan_is_of_the_run_with_the_same_options() {
    let store = Store::with_briefcases();
    let plan = ["move", "plan", "user", "--to", "local/user_b0", "--json"];
    let both = ["--shard", "local/user_a0", "--batch", "1"];
    let slowly = ["--max-rows-per-second", "2", "--pause-target", "70"];
    let planned = store
        .run(plan.iter().chain(&both).chain(&slowly))
        .ends_with(status::DONE)
        .objects();
    let numbers =
        ["rows", "batches", "seconds", "worst_pause_ms"].map(|key| planned[0][key].as_u64());
    assert_eq!(numbers, [Some(12), Some(2), Some(6), Some(70)]);
}

#[test]
fn an_empty_journal_is_said_to_be_empty() {
    let store = Store::with_briefcases();
    let listed = store.run(["move", "list"]).ends_with(status::DONE);
    assert_eq!(
        (listed.out(), listed.err()),
        ("", "nothing was ever moved\n")
    );
}

#[test]
fn a_range_is_looked_for_where_it_can_be() {
    let store = Store::with_briefcases();
    std::fs::remove_file(store.database("user_b1")).unwrap();
    let plan = ["move", "plan", "user", "--to", "local/user_a1", "--json"];
    let planned = store
        .run(plan.iter().chain(&["--range", "0:0:2..0:0:5"]))
        .ends_with(status::DONE)
        .objects();
    assert_eq!(planned[0]["briefcases"], 2, "{planned:?}");
}
