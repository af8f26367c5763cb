//! `mdb quickstart`: a first run, a second one, and runs that were killed half-way.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::kit::{Store, status, text, wait_until};

const SHARDS: [&str; 4] = ["user_a0", "user_a1", "user_b0", "user_b1"];

#[test]
fn a_first_run_says_what_landed_where() {
    let store = Store::empty();
    let ran = store
        .run(["quickstart", "--dir", "demo", "--users", "40"])
        .ends_with(status::DONE);
    for part in [
        "5 databases made ready, 40 users added",
        "user_b1",
        "One query over all shards: 40 users",
        "bela.1@example.org",
        "MDB_CONFIG=demo/mdb.toml",
        "mdb show --sizes",
    ] {
        assert!(ran.out().contains(part), "no `{part}` in\n{}", ran.out());
    }
    let sample = include_str!("../../../config/quickstart.toml");
    let left = std::fs::read_to_string(store.path().join("demo/mdb.toml")).unwrap();
    assert_eq!(left, sample, "the sample, ready for the other commands");
}

#[test]
fn a_second_run_continues() {
    let store = Store::quickstart(600);
    has_users(&store, 600);
    let again = store
        .run(["quickstart", "--dir", ".", "--users", "600"])
        .ends_with(status::DONE);
    assert!(
        again
            .out()
            .contains("0 databases made ready, 0 users added"),
        "{}",
        again.out()
    );
    has_users(&store, 600);
    let more = store
        .run(["quickstart", "--dir", ".", "--users", "610"])
        .ends_with(status::DONE);
    assert!(more.out().contains("10 users added"), "{}", more.out());
    has_users(&store, 610);
}

#[test]
fn killed_runs_are_continued_without_a_trace() {
    const USERS: u32 = 300;
    let store = Store::empty();
    for enough in [0, 1, 5, 40, 90, 150, 220] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mdb"))
            .args(["quickstart", "--dir", ".", "--users", &USERS.to_string()])
            .current_dir(store.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("users, or the end", || {
            let begun = store.configuration().exists();
            begun && accounts(&store) >= enough || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    store
        .run(["quickstart", "--dir", ".", "--users", &USERS.to_string()])
        .ends_with(status::DONE);
    has_users(&store, USERS);
    store.run(["check"]).ends_with(status::DONE);
    let configuration = std::fs::read_dir(store.path()).unwrap();
    let mut names: Vec<_> = configuration
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["data", "mdb.toml"], "nothing half-written is left");
}

#[test]
fn an_interrupt_leaves_a_clean_state() {
    let store = Store::empty();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mdb"))
        .args(["quickstart", "--dir", ".", "--users", "20000"])
        .current_dir(store.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("a few users", || {
        store.configuration().exists() && accounts(&store) >= 5
    });
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(
        child.wait().unwrap().code(),
        Some(status::INTERRUPTED),
        "ended by itself, with the status that says so"
    );
    store
        .run(["quickstart", "--dir", ".", "--users", "1"])
        .ends_with(status::DONE);
    store.run(["check"]).ends_with(status::DONE);
    let claims = store.run(["central", "claims", "--older-than", "0"]);
    assert_eq!(
        claims.ends_with(status::DONE).out(),
        "nothing is unfinished\n"
    );
}

fn accounts(store: &Store) -> i64 {
    SHARDS
        .iter()
        .filter_map(|shard| store.count(shard, "SELECT count(*) FROM account"))
        .sum()
}

/// Exactly so many users, each with all rows, on the shard of the id that CENTRAL has; nothing unfinished.
#[track_caller]
fn has_users(store: &Store, users: u32) {
    const INCOMPLETE: &str = "
        SELECT count(*) FROM account a
        JOIN (SELECT g_user, CAST(substr(email, instr(email, '.') + 1) AS INTEGER) AS number FROM account) n
          USING (g_user)
        WHERE (SELECT count(*) FROM address WHERE g_user = a.g_user) <> 1
           OR (SELECT count(*) FROM balance WHERE g_user = a.g_user) <> 1
           OR (SELECT count(*) FROM orders WHERE g_user = a.g_user) <> 1 + number % 3
           OR (SELECT count(*) FROM orders JOIN line_item USING (g_order) WHERE g_user = a.g_user)
              <> (1 + number % 3) * (2 + number % 3) / 2
           OR (SELECT -cents FROM balance WHERE g_user = a.g_user)
              <> (SELECT sum(quantity * cents) FROM orders JOIN line_item USING (g_order)
                  WHERE g_user = a.g_user)";
    const STRAY: &str = "
        SELECT (SELECT count(*) FROM address WHERE g_user NOT IN (SELECT g_user FROM account))
             + (SELECT count(*) FROM orders WHERE g_user NOT IN (SELECT g_user FROM account))
             + (SELECT count(*) FROM balance WHERE g_user NOT IN (SELECT g_user FROM account))
             + (SELECT count(*) FROM line_item WHERE g_order NOT IN (SELECT g_order FROM orders))";
    assert_eq!(accounts(store), i64::from(users));
    for shard in SHARDS {
        assert_eq!(store.count(shard, INCOMPLETE), Some(0), "{shard}");
        assert_eq!(store.count(shard, STRAY), Some(0), "{shard}");
    }

    let emails: Vec<String> = (1..=users).map(email).collect();
    let get = ["central", "get", "user_email", "--json"];
    let found = store
        .run(get.into_iter().chain(emails.iter().map(String::as_str)))
        .ends_with(status::DONE)
        .objects();
    let ids: Vec<&str> = found.iter().map(|entry| text(entry, "gdid")).collect();
    let routes = store
        .run(["route", "user", "--json"].iter().chain(&ids))
        .ends_with(status::DONE)
        .objects();
    let mut there = BTreeMap::<&str, Vec<&Value>>::new();
    for (entry, route) in found.iter().zip(&routes) {
        there
            .entry(text(route, "database"))
            .or_default()
            .push(entry);
    }
    for (shard, entries) in there {
        let pairs: Vec<String> = entries
            .iter()
            .map(|entry| {
                let id: mdb_gdid::Gdid = text(entry, "gdid").parse().unwrap();
                format!("(x'{id:x}', '{}')", text(entry, "key"))
            })
            .collect();
        let matching = format!(
            "WITH entry (g_user, email) AS (VALUES {}) SELECT count(*) FROM entry JOIN account USING (g_user, email)",
            pairs.join(", ")
        );
        let all = i64::try_from(pairs.len()).unwrap();
        assert_eq!(store.count(shard, &matching), Some(all), "{shard}");
    }
    let claims = store
        .run(["central", "claims", "--older-than", "0", "--json"])
        .ends_with(status::DONE);
    assert_eq!(claims.out(), "", "no unfinished claims");
}

/// The address that the quickstart gives to its user with that number.
fn email(number: u32) -> String {
    const NAMES: [&str; 16] = [
        "ann", "bela", "chen", "dara", "emil", "fatma", "goran", "hana", "ivo", "jin", "kofi",
        "lena", "mina", "noor", "olga", "paul",
    ];
    format!("{}.{number}@example.org", NAMES[number as usize % 16])
}
