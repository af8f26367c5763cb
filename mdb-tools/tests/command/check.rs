//! `mdb check`: each thing that it can find.

use serde_json::Value;

use crate::kit::{Store, golden, status, text};

const KEYS: [&str; 7] = [
    "area", "check", "database", "message", "server", "severity", "table",
];

/// The findings of a check that ends with `status`, each in the documented shape.
#[track_caller]
fn findings(store: &Store, status: i32) -> Vec<Value> {
    let ran = store.run(["check", "--json"]).ends_with(status);
    let found = ran.objects();
    for finding in &found {
        let mut keys: Vec<&str> = finding
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, KEYS);
        assert!(["error", "warning", "notice"].contains(&text(finding, "severity")));
    }
    found
}

/// Exactly one finding on that database, of that kind, with those words.
#[track_caller]
fn finds(store: &Store, database: &str, check: &str, words: &[&str]) {
    let all = findings(store, status::FAILED);
    let found: Vec<&Value> = all
        .iter()
        .filter(|finding| text(finding, "database") == database && text(finding, "check") == check)
        .collect();
    let [only] = found.as_slice() else {
        panic!("not one `{check}` on {database} in {all:#?}");
    };
    for word in words {
        assert!(
            text(only, "message").contains(word),
            "no `{word}` in {only}"
        );
    }
}

#[test]
fn a_good_store_has_no_findings() {
    let store = Store::quickstart(2);
    assert!(findings(&store, status::DONE).is_empty());
    let ran = store.run(["check"]).ends_with(status::DONE);
    assert_eq!(ran.out(), "all is well: 5 shards checked\n");
}

#[test]
fn a_missing_table() {
    let store = Store::quickstart(2);
    store.execute("user_a1", "DROP TABLE address");
    finds(&store, "user_a1", "table", &["`address` is missing"]);
    finds(&store, "user_a1", "schema", &["`address`", "user_a0"]);
    let table = store.run(["check"]).ends_with(status::FAILED);
    golden("check", table.out());
}

#[test]
fn a_missing_key_column() {
    let store = Store::quickstart(2);
    store.execute(
        "user_b0",
        "DROP TABLE balance; CREATE TABLE balance (owner BLOB NOT NULL PRIMARY KEY, cents INTEGER NOT NULL) WITHOUT ROWID",
    );
    finds(&store, "user_b0", "suitability", &["`g_user`", "`balance`"]);
}

#[test]
fn a_missing_column_towards_the_parent() {
    let store = Store::quickstart(2);
    store.execute(
        "user_b0",
        "DROP TABLE line_item; CREATE TABLE line_item (line_no INTEGER NOT NULL, product TEXT, PRIMARY KEY (line_no)) WITHOUT ROWID",
    );
    finds(
        &store,
        "user_b0",
        "suitability",
        &["`g_order`", "`line_item`"],
    );
}

#[test]
fn a_key_column_that_holds_no_ids() {
    let store = Store::quickstart(2);
    store.execute(
        "user_b0",
        "DROP TABLE balance; CREATE TABLE balance (g_user TEXT NOT NULL PRIMARY KEY, cents INTEGER NOT NULL) WITHOUT ROWID",
    );
    finds(
        &store,
        "user_b0",
        "suitability",
        &["`g_user` is TEXT", "12 bytes"],
    );
}

#[test]
fn a_key_column_that_allows_null() {
    let store = Store::quickstart(2);
    store.execute(
        "user_b0",
        "DROP TABLE address; CREATE TABLE address (n TEXT NOT NULL PRIMARY KEY, g_user BLOB) WITHOUT ROWID",
    );
    finds(&store, "user_b0", "key", &["`g_user` allows NULL"]);
}

#[test]
fn a_missing_primary_key() {
    let store = Store::quickstart(2);
    store.execute(
        "user_a0",
        "DROP TABLE balance; CREATE TABLE balance (g_user BLOB NOT NULL, cents INTEGER NOT NULL)",
    );
    finds(&store, "user_a0", "suitability", &["no primary key"]);
}

#[test]
fn a_column_that_the_server_numbers() {
    let store = Store::quickstart(2);
    store.execute(
        "user_a0",
        "DROP TABLE balance; CREATE TABLE balance (
            number INTEGER PRIMARY KEY AUTOINCREMENT, g_user BLOB NOT NULL, cents INTEGER NOT NULL)",
    );
    finds(&store, "user_a0", "suitability", &["`number`", "use ids"]);
}

#[test]
fn a_table_that_is_in_no_briefcase_type() {
    let store = Store::quickstart(2);
    for shard in ["user_a0", "user_a1", "user_b0", "user_b1"] {
        store.execute(
            shard,
            "CREATE TABLE note (g_user BLOB NOT NULL PRIMARY KEY, body TEXT) WITHOUT ROWID;
             CREATE TABLE city (name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID",
        );
    }
    finds(
        &store,
        "user_a0",
        "manifest",
        &["`note`", "`g_user`", "left behind"],
    );
    let all = findings(&store, status::FAILED);
    assert_eq!(
        all.len(),
        4,
        "a table without the key column is nobody's: {all:#?}"
    );
}

#[test]
fn a_foreign_key_from_what_stays_behind() {
    let store = Store::quickstart(2);
    for shard in ["user_a0", "user_a1", "user_b0", "user_b1"] {
        let audit = "CREATE TABLE audit (n TEXT NOT NULL PRIMARY KEY, g_order BLOB REFERENCES orders ON DELETE CASCADE)";
        store.execute(shard, audit);
    }
    finds(
        &store,
        "user_a0",
        "suitability",
        &["`audit`", "(g_order)", "`orders`", "add it"],
    );
    assert_eq!(findings(&store, status::FAILED).len(), 4);
}

#[test]
fn a_trigger_that_moves_fire() {
    let store = Store::quickstart(2);
    let trigger =
        "CREATE TRIGGER tell AFTER INSERT ON account BEGIN UPDATE balance SET cents = 0; END";
    store.execute("user_a0", trigger);
    let all = findings(&store, status::DONE);
    let [only] = &all[..] else {
        panic!("{all:#?}");
    };
    assert_eq!(text(only, "severity"), "notice");
    assert_eq!(text(only, "check"), "suitability");
    assert!(text(only, "message").contains("`tell`"), "{only}");
}

#[test]
fn schemas_that_differ_between_shards() {
    let store = Store::quickstart(2);
    store.execute("user_a1", "ALTER TABLE account ADD COLUMN phone TEXT");
    finds(
        &store,
        "user_a1",
        "schema",
        &["`account`", "user_a0", "`phone` is here only"],
    );
    assert_eq!(findings(&store, status::FAILED).len(), 1);
}

#[test]
fn a_database_of_another_shard() {
    let store = Store::quickstart(2);
    let (a, b) = (store.database("user_a0"), store.database("user_b1"));
    let aside = store.path().join("aside");
    std::fs::rename(&a, &aside).unwrap();
    std::fs::rename(&b, &a).unwrap();
    std::fs::rename(&aside, &b).unwrap();
    finds(&store, "user_a0", "stamp", &["`user_a0`"]);
    finds(&store, "user_b1", "stamp", &["`user_b1`"]);
}

#[test]
fn a_missing_database() {
    let store = Store::quickstart(2);
    std::fs::remove_file(store.database("user_b1")).unwrap();
    finds(&store, "user_b1", "database", &["`user_b1`", "mdb init"]);
    assert!(!store.database("user_b1").exists(), "a check makes nothing");
}
