//! `mdb gdid` and `mdb route`: ids on the command line and from standard input.

use std::collections::HashSet;

use crate::kit::{Ended, Store, golden, same_lines, status, text};

/// What every shape below is routed by.
fn sample() -> Store {
    Store::with(include_str!("../../../config/quickstart.toml"))
}

#[test]
fn a_routed_id_has_the_documented_shape() {
    let store = sample();
    let ran = store
        .run(["route", "user", "0:3:1", "0:0:501", "--json"])
        .ends_with(status::DONE);
    same_lines(
        ran.out(),
        r#"
    {"gdid":"0:3:1","area":"user","generation":"0:0","partition":"0:0","slot":1216,"shard":0,"server":"local","database":"user_a0"}
    {"gdid":"0:0:501","area":"user","generation":"0:0","partition":"0:501","slot":3640,"shard":1,"server":"local","database":"user_b1"}
    "#,
    );
    assert_eq!(ran.err(), "");
    assert!(!store.path().join("data").exists(), "no server is asked");
}

#[test]
fn an_area_that_hashes_as_azos_does_has_no_slots() {
    let azos = include_str!("../../../config/quickstart.toml")
        .replace("[[area]]\nname", "[[area]]\nhash = \"azos\"\nname");
    let ran = Store::with(azos)
        .run(["route", "user", "0:0:1", "--json"])
        .ends_with(status::DONE);
    assert!(ran.objects()[0]["slot"].is_null(), "{}", ran.out());
}

#[test]
fn a_route_is_a_table_for_people() {
    let ran = sample()
        .run(["route", "user", "0:0:1", "0:0:501"])
        .ends_with(status::DONE);
    golden("route", ran.out());
}

#[test]
fn ids_are_read_from_standard_input() {
    let store = sample();
    let written = store.run(["route", "user", "0:0:1", "0:0:2", "--json"]);
    for dash in [Some("-"), None] {
        let arguments = ["route", "user", "--json"].into_iter().chain(dash);
        let read = store
            .feed(arguments, "0:0:1\n\n  000000000000000000000002\r\n")
            .ends_with(status::DONE);
        assert_eq!(read.out(), written.out());
    }
    let shown = store
        .feed(["gdid", "show", "-", "--json"], "AIAIIW-IW\n")
        .ends_with(status::DONE);
    assert_eq!(text(&shown.objects()[0], "gdid"), "0:0:123");
    let nothing = store
        .feed(["route", "user", "--json"], "")
        .ends_with(status::DONE);
    assert_eq!(nothing.out(), "");
}

#[test]
fn an_id_is_shown_in_all_its_forms() {
    let store = Store::empty();
    let ran = store
        .run([
            "gdid",
            "show",
            "--json",
            "0:0:123",
            "7:15:1152921504606846975",
        ])
        .ends_with(status::DONE);
    same_lines(
        ran.out(),
        r#"
    {"gdid":"0:0:123","hex":"00000000000000000000007b","era":0,"authority":0,"counter":123,"elink":"ABACKR-KR"}
    {"gdid":"7:15:1152921504606846975","hex":"00000007ffffffffffffffff","era":7,"authority":15,"counter":1152921504606846975,"elink":"AXBUFZ-ALXAXAXAXA-XAXAXAXA"}
    "#,
    );
    let all = ran.objects();
    for id in &all {
        let hex = text(id, "hex");
        for form in [
            text(id, "gdid"),
            hex,
            &format!("0x{hex}"),
            text(id, "elink"),
        ] {
            let again = store
                .run(["gdid", "show", "--json", form])
                .ends_with(status::DONE);
            assert_eq!(&again.objects()[0], id, "{form}");
        }
    }
    let table = store
        .run(["gdid", "show", "AIAIIW-IW", "0x7b"])
        .status()
        .unwrap();
    assert_eq!(table, status::BAD_INPUT, "one bad id among good ones");
    let table = store
        .run(["gdid", "show", "AIAIIW-IW"])
        .ends_with(status::DONE);
    golden("gdid_show", table.out());
}

#[test]
fn fresh_ids_come_one_a_line() {
    let store = Store::with(include_str!("../../../config/quickstart.toml"));
    store.run(["init"]).ends_with(status::DONE);
    let json = store
        .run(["gdid", "next", "user", "--count", "3", "--json"])
        .ends_with(status::DONE);
    same_lines(
        json.out(),
        r#"
    {"gdid":"0:0:1"}
    {"gdid":"0:0:2"}
    {"gdid":"0:0:3"}
    "#,
    );
    let many = store
        .run(["gdid", "next", "user", "-n", "3000"])
        .ends_with(status::DONE);
    let ids: HashSet<&str> = many.out().lines().collect();
    assert_eq!(ids.len(), 3000);
    assert!(!ids.contains("0:0:1"));
    store
        .run(["gdid", "next", "usr"])
        .refuses(status::BAD_INPUT, &["`usr`", "[[sequence]]"]);
}

#[test]
fn processes_at_once_never_issue_the_same_id() {
    const PROCESSES: usize = 6;
    const COUNT: usize = 700;
    let store = sample();
    store.run(["init"]).ends_with(status::DONE);
    let printed: Vec<Ended> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PROCESSES)
            .map(|_| {
                scope.spawn(|| store.run(["gdid", "next", "user", "--count", &COUNT.to_string()]))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().ends_with(status::DONE))
            .collect()
    });
    let ids: HashSet<&str> = printed
        .iter()
        .flat_map(|ended| ended.out().lines())
        .collect();
    assert_eq!(ids.len(), PROCESSES * COUNT);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let store = sample();
    store.run(["init"]).ends_with(status::DONE);
    let mut many = store.command(["gdid", "next", "user", "--count", "100000"]);
    let (first, ended) = Ended::of_reader_who_goes(&mut many);
    assert!(
        first.trim_end().parse::<mdb_gdid::Gdid>().is_ok(),
        "{first}"
    );
    assert_eq!(ended.ends_with(status::READER_GONE).err(), "");
}
