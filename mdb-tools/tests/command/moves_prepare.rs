//! `mdb move prepare`: triggers that stay, in areas with `capture = "always"`.

use crate::kit::{SHARDS, Store, golden, same_lines, status};

/// How many triggers of MDB's a database has.
fn triggers(store: &Store, shard: &str) -> i64 {
    let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'mdb_%'";
    store.count(shard, count).unwrap()
}

/// The databases that `mdb check` finds not prepared.
#[track_caller]
fn unprepared(store: &Store) -> Vec<String> {
    store.warnings("prepared", "database")
}

/// Changes when the area's triggers stand.
fn set_capture(store: &Store, from: &str, to: &str) {
    let configuration = std::fs::read_to_string(store.configuration()).unwrap();
    assert!(configuration.contains(from));
    std::fs::write(store.configuration(), configuration.replace(from, to)).unwrap();
}

const NAME: &str = "[[area]]\nname = \"user\"\n";
const ALWAYS: &str = "[[area]]\nname = \"user\"\ncapture = \"always\"\n";
const MOVING: &str = "[[area]]\nname = \"user\"\ncapture = \"moving\"\n";

#[test]
fn what_is_prepared_stays() {
    let store = Store::with_briefcases();
    set_capture(&store, NAME, ALWAYS);
    assert_eq!(unprepared(&store), SHARDS);

    let ran = store.run(["move", "prepare"]).ends_with(status::DONE);
    golden("move_prepare", ran.out());
    let installed = SHARDS.map(|shard| triggers(&store, shard));
    assert!(installed[0] > 0, "{installed:?}");
    assert_eq!(installed, [installed[0]; 4]);
    assert_eq!(unprepared(&store), [""; 0]);
    let again = store
        .run(["move", "prepare", "user", "--json"])
        .ends_with(status::DONE);
    same_lines(
        again.out(),
        r#"
    {"area":"user","shard":"0:0/0:0/0","shard_name":"local/user_a0","server":"local","database":"user_a0","outcome":"prepared"}
    {"area":"user","shard":"0:0/0:0/1","shard_name":"local/user_a1","server":"local","database":"user_a1","outcome":"prepared"}
    {"area":"user","shard":"0:0/0:501/0","shard_name":"local/user_b0","server":"local","database":"user_b0","outcome":"prepared"}
    {"area":"user","shard":"0:0/0:501/1","shard_name":"local/user_b1","server":"local","database":"user_b1","outcome":"prepared"}
    "#,
    );

    store.execute("user_a1", "DROP TRIGGER mdb_capture_1_delete");
    assert_eq!(unprepared(&store), ["user_a1"], "a single one");
    store.run(["move", "prepare"]).ends_with(status::DONE);
    assert_eq!(unprepared(&store), [""; 0]);

    store.moved("0:0:2", "local/user_b0");
    let ran = store.run(["move", "clean"]).ends_with(status::DONE);
    assert_eq!(ran.err(), "nothing is left of any move\n");
    assert_eq!(SHARDS.map(|shard| triggers(&store, shard)), installed);
    store.run(["verify", "user"]).ends_with(status::DONE);
}

#[test]
fn a_first_move_prepares_its_shards() {
    let store = Store::with_briefcases();
    set_capture(&store, NAME, ALWAYS);
    store.moved("0:0:2", "local/user_b0");
    assert_eq!(unprepared(&store), ["user_a1", "user_b1"]);
}

#[test]
fn what_is_not_to_stay_any_more_is_collected() {
    let store = Store::with_briefcases();
    set_capture(&store, NAME, ALWAYS);
    store.run(["move", "prepare"]).ends_with(status::DONE);
    set_capture(&store, ALWAYS, MOVING);
    let verified = store.run(["verify", "user"]).ends_with(status::FAILED);
    for part in ["local/user_b1", "triggers and change tables", "removable"] {
        assert!(verified.out().contains(part), "{verified:?}");
    }
    assert_eq!(store.warnings("leftover", "database"), SHARDS);
    store.run(["move", "clean"]).ends_with(status::DONE);
    store.run(["verify", "user"]).ends_with(status::DONE);
    assert_eq!(SHARDS.map(|shard| triggers(&store, shard)), [0; 4]);
}

#[test]
fn what_can_not_be_prepared() {
    let store = Store::with_briefcases();
    let ran = store.run(["move", "prepare"]).ends_with(status::DONE);
    assert_eq!(ran.err(), "no area has `capture = \"always\"`\n");
    store
        .run(["move", "prepare", "user"])
        .refuses(status::BAD_INPUT, &["area `user`", "capture = \"always\""]);
    store
        .run(["move", "prepare", "uesr"])
        .refuses(status::BAD_INPUT, &["no area called `uesr`"]);
    set_capture(&store, NAME, ALWAYS);
    store.execute("user_b1", "DROP TABLE line_item");
    store.run(["move", "prepare"]).refuses(
        status::FAILED,
        &["local/user_b1, table `line_item`: it is missing"],
    );
    assert_eq!(triggers(&store, "user_a0"), 0, "all or none");
}
