//! `mdb init` and `mdb show`: the shards, made ready and drawn.

use crate::kit::{Ended, Store, golden, same_lines, status, text};

const SAMPLE: &str = include_str!("../../../config/quickstart.toml");

#[test]
fn init_makes_every_shard_ready_and_repeats_without_change() {
    let store = Store::with(SAMPLE);
    let first = store.run(["init", "--json"]).ends_with(status::DONE);
    same_lines(
        first.out(),
        r#"
    {"shard":0,"area":"CENTRAL","partition":null,"server":"local","database":"central","outcome":"created"}
    {"shard":0,"area":"user","partition":"0:0","server":"local","database":"user_a0","outcome":"created"}
    {"shard":1,"area":"user","partition":"0:0","server":"local","database":"user_a1","outcome":"created"}
    {"shard":0,"area":"user","partition":"0:501","server":"local","database":"user_b0","outcome":"created"}
    {"shard":1,"area":"user","partition":"0:501","server":"local","database":"user_b1","outcome":"created"}
    "#,
    );
    assert_eq!(first.err(), "");
    let second = store.run(["init", "--json"]).ends_with(status::DONE);
    assert_eq!(
        second.out(),
        first.out().replace("created", "unchanged"),
        "again, without change"
    );
    golden("init", store.run(["init"]).ends_with(status::DONE).out());
}

#[test]
fn many_inits_at_once_do_no_harm() {
    let store = Store::with(SAMPLE);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| store.run(["init"])))
            .collect();
        for thread in threads {
            thread.join().unwrap().ends_with(status::DONE);
        }
    });
    // Everything is there but the user's own tables.
    let found = store.run(["check", "--json"]).ends_with(1).objects();
    assert!(
        found
            .iter()
            .all(|finding| text(finding, "check") == "table")
    );
}

#[test]
fn a_drawing_shows_every_shard() {
    let store = Store::with(SAMPLE);
    golden("show", store.run(["show"]).ends_with(status::DONE).out());
    let json = store.run(["show", "--json"]).ends_with(status::DONE);
    same_lines(
        json.out(),
        r#"
    {"area":"CENTRAL","generation":null,"partition":null,"shard":0,"server":"local","engine":"sqlite","database":"central"}
    {"area":"user","generation":"0:0","partition":"0:0","shard":0,"server":"local","engine":"sqlite","database":"user_a0"}
    {"area":"user","generation":"0:0","partition":"0:0","shard":1,"server":"local","engine":"sqlite","database":"user_a1"}
    {"area":"user","generation":"0:0","partition":"0:501","shard":0,"server":"local","engine":"sqlite","database":"user_b0"}
    {"area":"user","generation":"0:0","partition":"0:501","shard":1,"server":"local","engine":"sqlite","database":"user_b1"}
    "#,
    );
    assert!(!store.path().join("data").exists(), "no server is asked");
}

#[test]
fn generations_are_drawn_where_there_are_several() {
    let store = Store::with(
        SAMPLE
            .replace("[[area.partition]]\nstart = \"0:0:0\"", "[[area.generation]]\n[[area.generation.partition]]\nstart = \"0:0:0\"")
            .replace("[[area.partition]]\nstart = \"0:0:501\"", "[[area.generation]]\nbreakpoint = \"0:0:501\"\n[[area.generation.partition]]\nstart = \"0:0:501\""),
    );
    golden(
        "show_generations",
        store.run(["show"]).ends_with(status::DONE).out(),
    );
}

#[test]
fn sizes_are_counted() {
    let store = Store::quickstart(30);
    let shards = store
        .run(["show", "--sizes", "--json"])
        .ends_with(status::DONE)
        .objects();
    assert_eq!(shards.len(), 5);
    let accounts: u64 = shards
        .iter()
        .flat_map(|shard| shard["tables"].as_array().unwrap())
        .filter(|table| text(table, "table") == "account")
        .map(|table| {
            assert!(table["bytes"].as_u64().unwrap() > 0);
            table["rows"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(accounts, 30);
    let drawn = store.run(["show", "--sizes"]).ends_with(status::DONE);
    assert!(drawn.out().contains("account: 16 rows"), "{}", drawn.out());
}

#[test]
fn the_configuration_is_named_by_option_or_environment() {
    let store = Store::with(SAMPLE);
    let expected = store.run(["show"]).ends_with(status::DONE);
    let elsewhere = Store::empty();
    let path = store.configuration();
    let by_option = Ended::of(elsewhere.command(["show", "--config"]).arg(&path));
    assert_eq!(by_option.ends_with(0).out(), expected.out());
    let by_environment = Ended::of(elsewhere.command(["show"]).env("MDB_CONFIG", &path));
    assert_eq!(by_environment.ends_with(0).out(), expected.out());
    let both = Ended::of(
        elsewhere
            .command(["show", "-c"])
            .arg(&path)
            .env("MDB_CONFIG", "/nowhere"),
    );
    assert_eq!(both.out(), expected.out(), "the option wins");
    elsewhere
        .run(["show"])
        .refuses(status::BAD_INPUT, &["mdb.toml", "check the path"]);
}
