//! Arguments and lines of standard input that are no ids, no keys, no names.

use crate::kit::{Store, status, text};

const LONG: usize = 64 * 1024;

#[test]
fn malformed_ids_are_refused_with_the_place() {
    let store = Store::quickstart(1);
    let long = "9".repeat(LONG);
    let cases: [(&str, &str); 44] = [
        ("", "no id"),
        (" ", "no id"),
        (":", "no id"),
        ("::", "no id"),
        (":::", "no id"),
        ("0:0", "no id"),
        ("0:0:", "no id"),
        (":0:1", "no id"),
        ("0::1", "no id"),
        ("0:0:1:", "no id"),
        ("0:0:1:2", "no id"),
        ("0:0:-1", "no id"),
        ("0:0:+1", "no id"),
        ("+0:0:1", "no id"),
        ("0:0:1.0", "no id"),
        ("0:0:1e3", "no id"),
        ("0:0:0x1", "no id"),
        ("0:0:1_000", "no id"),
        ("0:0 1", "no id"),
        ("0:0:1 1", "no id"),
        ("0:16:1", "above 15"),
        ("0:18:1", "above 15"),
        ("0:256:1", "above 15"),
        ("4294967296:0:1", "no id"),
        ("99999999999999999999:0:1", "no id"),
        ("0:0:1152921504606846976", "no id"),
        ("0:0:18446744073709551616", "no id"),
        ("0:0:٣", "no id"),
        ("0:0:１", "no id"),
        ("0：0：1", "no id"),
        ("0:0:1\u{0301}", "no id"),
        ("null", "no id"),
        ("'; DROP TABLE account; --", "no id"),
        ("../../etc/passwd", "no id"),
        ("{\"gdid\":\"0:0:1\"}", "no id"),
        ("0x", "no id"),
        ("0x0", "no id"),
        ("00000000000000000000007", "no id"),
        ("0000000000000000000000007b", "no id"),
        ("0x00000000000000000000007g", "no id"),
        ("0x0x0000000000000000000007", "no id"),
        ("AIAIIW-AI", "checksum"),
        ("AIAIIW-", "no id"),
        (&long, "no id"),
    ];
    for (bad, part) in cases {
        for command in [
            &["route", "user"][..],
            &["gdid", "show"],
            &["central", "put", "user_email", "new@example.org"],
        ] {
            // The good one beside it is not answered either.
            let good = (command[0] != "central").then_some("0:0:1");
            let arguments = command.iter().copied().chain(good).chain(["--", bad]);
            store
                .run(arguments)
                .refuses(status::BAD_INPUT, &["error: ", part]);
        }
        if !bad.trim().is_empty() {
            let lines = format!("0:0:1\n{bad}\n");
            store
                .feed(["route", "user"], &lines)
                .refuses(status::BAD_INPUT, &["error: ", part]);
        }
    }
    let taken = store.run(["central", "get", "user_email", "new@example.org"]);
    taken.ends_with(status::FAILED);
}

#[test]
fn ids_that_have_no_shard_are_refused() {
    let store = Store::with(
        include_str!("../../../config/quickstart.toml")
            .replace("start = \"0:0:0\"", "start = \"0:0:100\""),
    );
    for (id, part) in [("0:0:0", "no id"), ("0:0:99", "0:0:99")] {
        store
            .run(["route", "user", id])
            .refuses(status::BAD_INPUT, &[part, "`user`"]);
    }
    store
        .run(["route", "user", "0:0:100"])
        .ends_with(status::DONE);
}

#[test]
fn standard_input_that_is_no_text() {
    let store = Store::with(include_str!("../../../config/quickstart.toml"));
    for input in [
        &b"\xff\xfe0:0:1\n"[..],
        b"0:0:1\n\0\0\n",
        &vec![0x9f; 100_000],
    ] {
        for command in [&["route", "user"][..], &["gdid", "show", "-"]] {
            store
                .feed(command.iter().copied(), input)
                .refuses(status::BAD_INPUT, &["error: "]);
        }
    }
}

#[test]
fn names_that_nothing_has() {
    let store = Store::quickstart(1);
    let long = "x".repeat(LONG);
    for name in [
        "'; DROP TABLE account; --",
        "\"",
        "`",
        "../../etc/passwd",
        "用户",
        "user\n",
        "",
        &long,
    ] {
        for arguments in [
            &["route", name, "0:0:1"][..],
            &["gdid", "next", name],
            &["central", "get", name, "x"],
            &["central", "claims", name],
        ] {
            store
                .run(arguments)
                .refuses(status::BAD_INPUT, &["there is no "]);
        }
    }
    store.run(["check"]).ends_with(status::DONE);
}

#[test]
fn keys_that_are_odd_but_possible() {
    let store = Store::quickstart(1);
    for key in [
        "o'brien@example.org",
        "a;b@example.org",
        "'; DELETE FROM account; --",
        "\"quoted\"@example.org",
        "`",
        "\\",
        "%",
        "_",
        "..",
        "用户@例え.jp",
        "😀@example.org",
        "مستخدم@example.org",
        "a b@example.org",
    ] {
        store
            .run(["central", "put", "user_email", key, "0:0:7"])
            .ends_with(status::DONE);
        let found = store
            .run(["central", "get", "user_email", key, "--json"])
            .ends_with(status::DONE)
            .objects();
        assert_eq!(text(&found[0], "key"), key);
        assert_eq!(text(&found[0], "gdid"), "0:0:7");
        store
            .run(["central", "remove", "user_email", key])
            .ends_with(status::DONE);
    }
}

#[test]
fn keys_that_are_impossible() {
    let store = Store::quickstart(1);
    let long = format!("{}@example.org", "a".repeat(LONG));
    // Short as typed, long when folded.
    let swollen = "ΐ".repeat(256);
    for key in ["", "  ", &long] {
        for arguments in [
            &["get", "user_email", key][..],
            &["put", "user_email", key, "0:0:7"],
            &["rename", "user_email", "bela.1@example.org", key],
            &["remove", "user_email", key],
        ] {
            store
                .run(["central"].iter().chain(arguments))
                .refuses(status::BAD_INPUT, &["not a key", "user_email"]);
        }
    }
    let ran = store.run(["central", "get", "user_email", &swollen]);
    assert!(matches!(ran.status(), Some(1 | 2)), "{ran:#?}");
    store
        .run(["central", "get", "user_email", "bela.1@example.org"])
        .ends_with(status::DONE);
}
