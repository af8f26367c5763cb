//! `mdb central`: entries of an index, and what is left unfinished.

use serde_json::json;

use crate::kit::{Store, golden, same_lines, status, text};

#[test]
fn an_entry_lives_from_put_to_remove() {
    let store = Store::quickstart(2);
    let done = |arguments: &[&str]| {
        let ran = store
            .run(["central", "--json"].iter().chain(arguments))
            .ends_with(status::DONE);
        assert_eq!(ran.err(), "");
        ran.out().to_owned()
    };
    let put = done(&["put", "user_email", " Zoe@Example.org", "0:0:77"]);
    same_lines(
        &put,
        r#"{"index":"user_email","key":" Zoe@Example.org","gdid":"0:0:77"}"#,
    );
    let found = done(&["get", "user_email", "zoe@example.org", "bela.1@example.org"]);
    same_lines(
        &found,
        r#"
    {"index":"user_email","key":"zoe@example.org","gdid":"0:0:77"}
    {"index":"user_email","key":"bela.1@example.org","gdid":"0:0:1"}
    "#,
    );
    let renamed = done(&["rename", "user_email", "zoe@example.org", "zoe@example.com"]);
    same_lines(
        &renamed,
        r#"{"index":"user_email","from":"zoe@example.org","to":"zoe@example.com","gdid":"0:0:77"}"#,
    );
    let removed = done(&["remove", "user_email", "zoe@example.com"]);
    same_lines(
        &removed,
        r#"{"index":"user_email","key":"zoe@example.com","gdid":"0:0:77"}"#,
    );

    let nobody = store
        .run(["central", "get", "user_email", "zoe@example.com", "--json"])
        .ends_with(status::FAILED);
    same_lines(
        nobody.out(),
        r#"{"index":"user_email","key":"zoe@example.com","gdid":null}"#,
    );
    let again = store
        .run([
            "central",
            "remove",
            "user_email",
            "zoe@example.com",
            "--json",
        ])
        .ends_with(status::FAILED);
    assert!(again.objects()[0]["gdid"].is_null());
}

#[test]
fn entries_are_a_table_for_people() {
    let store = Store::quickstart(2);
    let ran = store
        .run([
            "central",
            "get",
            "user_email",
            "bela.1@example.org",
            "no@example.org",
        ])
        .ends_with(status::FAILED);
    golden("central_get", ran.out());
}

#[test]
fn a_taken_key_names_its_holder_and_changes_nothing() {
    let store = Store::quickstart(2);
    store
        .run([
            "central",
            "put",
            "user_email",
            "BELA.1@example.org",
            "0:0:9",
        ])
        .refuses(status::FAILED, &["taken", "user_email", "0:0:1"]);
    store
        .run([
            "central",
            "rename",
            "user_email",
            "bela.1@example.org",
            "chen.2@example.org",
        ])
        .refuses(status::FAILED, &["taken", "0:0:2"]);
    store
        .run(["central", "rename", "user_email", "nobody@x", "other@x"])
        .refuses(status::FAILED, &["not in index"]);
    let found = store
        .run([
            "central",
            "get",
            "--json",
            "user_email",
            "bela.1@example.org",
            "chen.2@example.org",
        ])
        .ends_with(status::DONE)
        .objects();
    assert_eq!(text(&found[0], "gdid"), "0:0:1");
    assert_eq!(text(&found[1], "gdid"), "0:0:2");
}

#[test]
fn an_unknown_index_is_bad_input() {
    let store = Store::quickstart(1);
    for arguments in [
        &["get", "user_mail", "x"][..],
        &["put", "user_mail", "x", "0:0:1"],
        &["rename", "user_mail", "x", "y"],
        &["remove", "user_mail", "x"],
        &["claims", "user_mail"],
    ] {
        store
            .run(["central"].iter().chain(arguments))
            .refuses(status::BAD_INPUT, &["`user_mail`", "[[central.index]]"]);
    }
}

#[test]
fn keys_are_read_as_their_index_has_them() {
    let config = include_str!("../../../config/quickstart.toml").replace(
        "[[area]]",
        "[[central.index]]\nname = \"device\"\nkey = \"bytes\"\n\n\
         [[central.index]]\nname = \"number\"\nkey = \"integer\"\n\n[[area]]",
    );
    let store = Store::with(config);
    store.run(["init"]).ends_with(status::DONE);
    for (index, key, same) in [
        ("device", "0x00FF", "00ff"),
        ("number", "42", "+42"),
        ("number", "9223372036854775807", "9223372036854775807"),
    ] {
        store
            .run(["central", "put", index, key, "0:0:5"])
            .ends_with(status::DONE);
        let found = store
            .run(["central", "get", index, same, "--json"])
            .ends_with(status::DONE);
        assert_eq!(found.objects()[0]["gdid"], json!("0:0:5"), "{key}");
    }
    // After `--` there are no options, so that a negative number is a key.
    store
        .run(["central", "put", "number", "--", "-1", "0:0:5"])
        .ends_with(status::DONE);
    for (index, key) in [
        ("device", "0ff"),
        ("device", "zz"),
        ("device", "+1"),
        ("device", "é"),
        ("device", ""),
        ("number", "1.5"),
        ("number", "9223372036854775808"),
        ("number", ""),
    ] {
        store
            .run(["central", "put", index, key, "0:0:5"])
            .refuses(status::BAD_INPUT, &[index]);
    }
}

#[test]
fn claims_are_listed_and_settled() {
    let store = Store::quickstart(2);
    let nothing = store
        .run(["central", "claims"])
        .ends_with(status::DONE)
        .out()
        .to_owned();
    assert_eq!(nothing, "nothing is unfinished\n");

    // As a process leaves it that was killed between claim and confirm.
    claim(&store, "ann@example.org", 81);
    claim(&store, "bob@example.org", 82);
    let young = store.run(["central", "claims", "--json"]).ends_with(0);
    assert_eq!(young.out(), "", "claims are given time");
    let old = store
        .run(["central", "claims", "--older-than", "0", "--json"])
        .ends_with(status::DONE)
        .objects();
    assert_eq!(old.len(), 2);
    for (found, (key, gdid)) in old
        .iter()
        .zip([("ann@example.org", "0:0:81"), ("bob@example.org", "0:0:82")])
    {
        assert_eq!(text(found, "key"), key);
        assert_eq!(text(found, "gdid"), gdid);
        assert_eq!(text(found, "kind"), "claim");
        assert_eq!(text(found, "index"), "user_email");
        assert!(found["age_ms"].is_u64());
        assert!(found["settled"].is_null());
    }
    for (action, key, end) in [
        ("--confirm", "ann@example.org", "completed"),
        ("--release", "bob@example.org", "undone"),
    ] {
        let settled = store
            .run(["central", "claims", "user_email", action, key, "--json"])
            .ends_with(status::DONE)
            .objects();
        assert_eq!(text(&settled[0], "settled"), end);
    }
    let found = store
        .run([
            "central",
            "get",
            "user_email",
            "ann@example.org",
            "bob@example.org",
            "--json",
        ])
        .ends_with(status::FAILED)
        .objects();
    assert_eq!(found[0]["gdid"], json!("0:0:81"));
    assert!(found[1]["gdid"].is_null());
    store
        .run([
            "central",
            "claims",
            "user_email",
            "--release",
            "ann@example.org",
        ])
        .ends_with(status::FAILED)
        .says(&["no unfinished claim", "`ann@example.org`"]);
}

#[test]
fn only_claims_of_a_named_index_are_settled() {
    let config = include_str!("../../../config/quickstart.toml").replace(
        "[[area]]",
        "[[central.index]]\nname = \"user_name\"\nkey = \"string\"\n\n[[area]]",
    );
    let store = Store::with(config);
    store.run(["init"]).ends_with(status::DONE);
    for index in ["user_email", "user_name"] {
        claim_in(&store, index, "ann", 81);
    }
    let all = ["central", "claims", "--older-than", "0"];
    let old = store.run(all).ends_with(status::DONE);
    assert!(
        old.err().contains("mdb central claims INDEX --confirm KEY"),
        "{old:?}"
    );
    let one = ["central", "claims", "user_name", "--older-than", "0"];
    let old = store.run(one).ends_with(status::DONE);
    assert!(
        old.err()
            .contains("mdb central claims user_name --confirm KEY"),
        "{old:?}"
    );
    for action in ["--confirm", "--release"] {
        store
            .run(["central", "claims", action, "ann"])
            .refuses(status::BAD_INPUT, &["<INDEX>"]);
    }
    let unfinished = |store: &Store| store.run(all.iter().chain(&["--json"])).objects();
    assert_eq!(unfinished(&store).len(), 2);
    store
        .run(["central", "claims", "user_name", "--release", "ann"])
        .ends_with(status::DONE);
    let left = unfinished(&store);
    assert_eq!(left.len(), 1);
    assert_eq!(text(&left[0], "index"), "user_email");
}

/// Leaves a claim behind, through the library.
fn claim(store: &Store, key: &str, counter: u64) {
    claim_in(store, "user_email", key, counter);
}

fn claim_in(store: &Store, index: &str, key: &str, counter: u64) {
    let path = store.configuration();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let mdb = mdb_core::Mdb::open(&path).await.unwrap();
            let id = mdb_core::Gdid::new(0, 0, counter).unwrap();
            let index = mdb.central().index(index);
            drop(index.claim(key, id).await.unwrap());
        });
}
