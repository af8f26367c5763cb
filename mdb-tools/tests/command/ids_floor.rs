//! `mdb gdid floor`: no authority issues ids below it any more.

use std::process::{Command, Stdio};

use mdb_gdid::Gdid;

use crate::ids_status::{ONE_AWAY, with_authorities};
use crate::kit::{Ended, Store, golden, same_lines, status, text, wait_until};

/// CENTRAL and a disk.
const TWO: &str = r#"
[[authority]]
name = "main"
kind = "central"
ids = [0]

[[authority]]
name = "disk"
kind = "disk"
paths = ["ids"]
ids = [1]
"#;

/// A store whose blocks lapse so soon.
fn lapsing_after(millis: u32, authorities: &str) -> Store {
    with_authorities(&format!(
        "{authorities}\n[sequences]\nblock_life_ms = {millis}\n"
    ))
}

fn next(store: &Store) -> Gdid {
    let ran = store.run(["gdid", "next", "user"]).ends_with(status::DONE);
    ran.out().trim().parse().unwrap()
}

#[test]
fn all_authorities_are_raised() {
    let store = with_authorities(TWO);
    store.run(["gdid", "init-disks"]).ends_with(status::DONE);
    let floor = ["gdid", "floor", "user"];
    let raised = store
        .run(floor.iter().chain(&["0:0:500", "--json"]))
        .ends_with(status::DONE)
        .says(&["no id of sequence `user` below 0:0:500 is issued any more"]);
    same_lines(
        raised.out(),
        r#"
    {"sequence":"user","floor":"0:0:500","authority":0,"place":"main","kind":"central","outcome":"raised","before":"0:0:1","after":"0:0:500","outstanding":0,"lapse_in_ms":0,"error":null}
    {"sequence":"user","floor":"0:0:500","authority":1,"place":"disk","kind":"disk","outcome":"raised","before":"0:1:1","after":"0:1:500","outstanding":0,"lapse_in_ms":0,"error":null}
    "#,
    );
    let again = store
        .run(floor.iter().chain(&["0:0:500"]))
        .ends_with(status::DONE);
    golden("gdid_floor_unchanged", again.out());
    let higher = store
        .run(floor.iter().chain(&["0x00000000000000000000044c"]))
        .ends_with(status::DONE);
    golden("gdid_floor", higher.out());
    let other = store
        .run(["gdid", "status", "order", "--json"])
        .ends_with(status::DONE);
    assert_eq!(
        text(&other.objects()[0], "next"),
        "0:0:1",
        "another sequence"
    );
    assert_eq!(next(&store), Gdid::new(0, 0, 1100).unwrap());
}

#[test]
fn blocks_from_before_are_waited_for() {
    let store = lapsing_after(2_000, TWO);
    store.run(["gdid", "init-disks"]).ends_with(status::DONE);
    assert_eq!(next(&store), Gdid::new(0, 0, 1).unwrap());
    let floor = ["gdid", "floor", "user", "0:0:100000", "--json"];
    let waited = store
        .run(floor.iter().chain(&["--wait"]))
        .ends_with(status::DONE)
        .says(&[
            "ids below 0:0:100000 can still come out of blocks that were handed out before, until 2",
            " from now)",
            "no id of sequence `user` below 0:0:100000 is issued any more",
        ]);
    assert!(waited.objects()[0]["outstanding"].as_u64() > Some(0));
    let after = store.run(floor).ends_with(status::DONE);
    assert_eq!(after.objects()[0]["lapse_in_ms"], 0, "all have lapsed");
    assert_eq!(text(&after.objects()[0], "outcome"), "unchanged");
}

#[test]
fn an_interrupted_wait_leaves_the_floor_raised() {
    let store = lapsing_after(600_000, "");
    next(&store);
    let mut waiting = store
        .command(["gdid", "floor", "user", "0:0:5000", "--wait"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the floor", || {
        let ran = store.run(["gdid", "status", "user", "--json"]);
        ran.objects()[0]["next"] == "0:0:5000"
    });
    let sent = Command::new("kill")
        .args(["-INT", &waiting.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(waiting.wait().unwrap().code(), Some(status::INTERRUPTED));
    assert_eq!(next(&store), Gdid::new(0, 0, 5000).unwrap());
}

#[test]
fn an_authority_that_is_away_is_named() {
    let store = with_authorities(ONE_AWAY);
    for outcome in ["raised", "unchanged"] {
        let ran = store
            .run(["gdid", "floor", "user", "0:0:700", "--wait", "--json"])
            .ends_with(status::UNREACHABLE)
            .says(&[
                "`central` (0) only, not on `away` (3)",
                "may still be issued",
                "harmless",
            ]);
        let [here, away] = &ran.objects()[..] else {
            panic!("{ran:#?}");
        };
        assert_eq!(
            (text(here, "outcome"), text(here, "after")),
            (outcome, "0:0:700")
        );
        assert_eq!(text(away, "outcome"), "failed");
        assert!(text(away, "error").contains("127.0.0.1:9"), "{away}");
        assert!(
            away["before"].is_null() && away["after"].is_null(),
            "{away}"
        );
    }
}

#[test]
fn a_far_era_has_to_be_meant() {
    let store = with_authorities("");
    let floor = |era: u32| format!("{era}:0:1");
    store.run(["gdid", "floor", "user", &floor(2)]).refuses(
        status::BAD_INPUT,
        &[
            "era 2",
            "authority 0 at `central` is in era 0",
            "1 whole era ",
            "nothing was raised",
            "--yes",
        ],
    );
    assert_eq!(
        next(&store),
        Gdid::new(0, 0, 1).unwrap(),
        "nothing was raised"
    );
    for arguments in [&["1:0:1"][..], &["3:0:1", "--yes"]] {
        store
            .run(["gdid", "floor", "user"].iter().chain(arguments))
            .ends_with(status::DONE);
        let floor: Gdid = arguments[0].parse().unwrap();
        assert_eq!(next(&store), floor);
    }
    store
        .run(["gdid", "floor", "user", &floor(u32::MAX), "--yes"])
        .refuses(status::BAD_INPUT, &["the last era is 4294967294"]);
}

#[test]
fn bad_input_is_refused() {
    let store = with_authorities("");
    let refused = |sequence: &str, floor: &str, parts: &[&str]| {
        let ran: Ended = store.run(["gdid", "floor", sequence, floor]);
        ran.refuses(status::BAD_INPUT, parts);
    };
    refused("usr", "0:0:7", &["`usr`", "[[sequence]]"]);
    refused("user", "seven", &["`seven` is no floor"]);
    refused("user", "0:0:", &["`0:0:` is no floor", "at character 5"]);
    refused(
        "user",
        "0:3:77",
        &["`0:3:77` is no floor", "authority 0, not 3", "write 0:0:77"],
    );
    refused(
        "user",
        "0:0:1152921504606846976",
        &["above 1152921504606846975"],
    );
    refused("user", "AIAIIW-IW", &["is no floor"]);
    assert_eq!(
        next(&store),
        Gdid::new(0, 0, 1).unwrap(),
        "nothing was raised"
    );
}
