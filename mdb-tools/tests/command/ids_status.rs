//! `mdb gdid status`: where each authority is with each sequence.

use crate::kit::{Store, golden, same_lines, status, text};

const SAMPLE: &str = include_str!("../../../config/quickstart.toml");

/// The sample, with more authorities.
pub(crate) fn with_authorities(more: &str) -> Store {
    let store = Store::with(format!("{SAMPLE}\n{more}"));
    store.run(["init"]).ends_with(status::DONE);
    store
}

/// CENTRAL, and a server where nobody listens.
pub(crate) const ONE_AWAY: &str = r#"
[[authority]]
name = "central"
kind = "central"
ids = [0]

[[authority]]
name = "away"
kind = "http"
urls = ["http://127.0.0.1:9"]
token = "one-that-nobody-will-ask-for"
timeout_ms = 300
ids = [3]
"#;

#[test]
fn every_sequence_is_shown() {
    let store = with_authorities("");
    let json = store
        .run(["gdid", "status", "--json"])
        .ends_with(status::DONE);
    same_lines(
        json.out(),
        r#"
    {"sequence":"user","scope":"QUICKSTART.MAIN.USER","authority":0,"place":"central","kind":"central","next":"0:0:1","remaining":1152921504606846975,"remaining_percent":100.0,"blocks":0,"outstanding":0,"lapse_in_ms":0,"notes":[],"alarm":null,"error":null}
    {"sequence":"order","scope":"QUICKSTART.MAIN.USER","authority":0,"place":"central","kind":"central","next":"0:0:1","remaining":1152921504606846975,"remaining_percent":100.0,"blocks":0,"outstanding":0,"lapse_in_ms":0,"notes":[],"alarm":null,"error":null}
    "#,
    );
    let table = store.run(["gdid", "status"]).ends_with(status::DONE);
    golden("gdid_status", table.out());
    let one = store
        .run(["gdid", "status", "ORDER", "--json"])
        .ends_with(status::DONE);
    assert_eq!(one.out().lines().next(), json.out().lines().nth(1));
    assert_eq!(
        store.run(["gdid", "status", "--json"]).out(),
        json.out(),
        "asking changes nothing"
    );
}

#[test]
fn what_was_handed_out_counts() {
    let store = with_authorities("");
    for _ in 0..3 {
        store.run(["gdid", "next", "user"]).ends_with(status::DONE);
    }
    let shown = store
        .run(["gdid", "status", "user", "--json"])
        .ends_with(status::DONE)
        .objects()
        .remove(0);
    let blocks = shown["blocks"].as_u64().unwrap();
    assert!(blocks >= 3, "each process takes a block or more: {shown}");
    assert_eq!(shown["outstanding"].as_u64(), Some(blocks));
    let lapse = shown["lapse_in_ms"].as_u64().unwrap();
    assert!((1..=600_000).contains(&lapse), "{shown}");
    let next: mdb_gdid::Gdid = text(&shown, "next").parse().unwrap();
    assert!(next.counter() > 3, "{shown}");
    assert_eq!(
        shown["remaining"].as_u64(),
        Some(mdb_gdid::Gdid::MAX_COUNTER + 1 - next.counter())
    );
    assert_eq!(
        shown["remaining_percent"].as_f64(),
        Some(99.99),
        "rounded down"
    );
    let table = store
        .run(["gdid", "status", "user"])
        .ends_with(status::DONE);
    assert!(
        table.out().contains(&format!("{blocks} (for ")),
        "{}",
        table.out()
    );
}

#[test]
fn an_authority_that_is_away_hides_no_other() {
    let store = with_authorities(ONE_AWAY);
    let ran = store
        .run(["gdid", "status", "user", "--json"])
        .ends_with(status::UNREACHABLE)
        .says(&["can't reach authority `away`"]);
    let [here, away] = &ran.objects()[..] else {
        panic!("{ran:#?}");
    };
    assert_eq!(
        (text(here, "place"), &here["authority"]),
        ("central", &0.into())
    );
    assert_eq!(
        (text(here, "next"), here["error"].is_null()),
        ("0:0:1", true)
    );
    assert_eq!(
        (text(away, "place"), &away["authority"]),
        ("away", &3.into())
    );
    for key in [
        "next",
        "remaining",
        "remaining_percent",
        "blocks",
        "outstanding",
        "lapse_in_ms",
        "alarm",
    ] {
        assert!(away[key].is_null(), "{key} in {away}");
    }
    assert!(text(away, "error").contains("127.0.0.1:9"), "{away}");
    let table = store
        .run(["gdid", "status", "user"])
        .ends_with(status::UNREACHABLE);
    assert!(table.out().contains("away (http)"), "{}", table.out());
}

#[test]
fn the_end_of_the_eras_is_an_alarm() {
    let store = with_authorities("");
    for (era, said) in [
        (4_294_967_278_u32, None),
        (4_294_967_279, Some("only 15 eras are left after this one")),
        (4_294_967_294, Some("this is the last era")),
    ] {
        let floor = format!("{era}:0:1");
        store
            .run(["gdid", "floor", "user", &floor, "--yes"])
            .ends_with(status::DONE);
        let ends_with = if said.is_some() {
            status::FAILED
        } else {
            status::DONE
        };
        let shown = store
            .run(["gdid", "status", "user", "--json"])
            .ends_with(ends_with)
            .objects();
        assert_eq!(shown[0]["alarm"].as_str(), said, "{era}");
        assert_eq!(text(&shown[0], "next"), floor);
    }
    let last = format!("4294967294:0:{}", mdb_gdid::Gdid::MAX_COUNTER);
    store
        .run(["gdid", "floor", "user", &last])
        .ends_with(status::DONE);
    let shown = store.run(["gdid", "status"]).ends_with(status::FAILED);
    golden("gdid_status_alarm", shown.out());
    store
        .run(["gdid", "next", "user"])
        .refuses(status::FAILED, &["`user`", "come to its end"]);
}

#[test]
fn a_count_that_is_none_is_shown_and_fails() {
    let store = with_authorities("");
    store.run(["gdid", "next", "user"]).ends_with(status::DONE);
    store.execute("central", "UPDATE mdb_sequence SET counter = -7");
    let ran = store
        .run(["gdid", "status", "--json"])
        .ends_with(status::FAILED);
    let shown = ran.objects();
    assert!(
        text(&shown[0], "error").contains("no valid count"),
        "{ran:#?}"
    );
    assert!(shown[1]["error"].is_null(), "the other sequence is well");
}

#[test]
fn a_wrong_name_is_bad_input() {
    let store = with_authorities("");
    store
        .run(["gdid", "status", "user", "usr"])
        .refuses(status::BAD_INPUT, &["`usr`", "[[sequence]]"]);
    let none = SAMPLE
        .split("\n[[sequence]]")
        .enumerate()
        .map(|(place, part)| match place {
            0 => part,
            _ => part.split_once("\n\n").map_or("", |(_, rest)| rest),
        })
        .collect::<Vec<_>>()
        .join("\n");
    let ran = Store::with(none)
        .run(["gdid", "status"])
        .ends_with(status::DONE);
    assert_eq!(ran.out(), "the configuration declares no [[sequence]]\n");
}
