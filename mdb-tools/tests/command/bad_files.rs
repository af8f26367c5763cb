//! Files that are no configuration.

use std::time::Duration;

use crate::kit::{PASSWORD, Store, status};

/// Every command that reads a configuration.
const COMMANDS: [&[&str]; 7] = [
    &["init"],
    &["check"],
    &["show"],
    &["route", "user", "0:0:1"],
    &["central", "get", "user_email", "x"],
    &["central", "claims"],
    &["gdid", "next", "user"],
];

/// Each command refuses the configuration, soon, and leaves nothing.
#[track_caller]
fn refused(store: &Store, parts: &[&str]) {
    for command in COMMANDS {
        store
            .run(command.iter().copied())
            .refuses(status::BAD_INPUT, parts)
            .within(Duration::from_secs(10));
    }
    assert!(!store.path().join("data").exists(), "nothing is made");
}

const SAMPLE: &str = include_str!("../../../config/quickstart.toml");

#[test]
fn a_missing_file() {
    refused(&Store::empty(), &["mdb.toml", "check the path"]);
}

#[test]
fn an_empty_file() {
    refused(&Store::with(""), &["[store]", "there is no CENTRAL"]);
}

#[test]
fn a_directory() {
    let store = Store::empty();
    std::fs::create_dir(store.configuration()).unwrap();
    refused(&store, &["mdb.toml", "directory"]);
}

#[test]
fn a_truncated_file() {
    // Wherever it ends, it is a fault or a smaller configuration; never a panic.
    let ends: Vec<usize> = (0..SAMPLE.len()).step_by(41).collect();
    assert!(ends.len() > 20);
    for end in ends {
        let store = Store::with(&SAMPLE.as_bytes()[..end]);
        let ran = store.run(["show"]);
        assert!(
            matches!(ran.status(), Some(status::DONE | status::BAD_INPUT)),
            "{ran:#?}"
        );
        assert_eq!(ran.out().is_empty(), ran.status() == Some(2), "{ran:#?}");
    }
    let cut = &SAMPLE[..SAMPLE.find("\"central\" }]").unwrap()];
    refused(&Store::with(cut), &["mdb::config::syntax", "mdb.toml:"]);
}

#[test]
fn a_binary_file() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_mdb")).unwrap();
    refused(&Store::with(&program[..100_000]), &["mdb.toml", "UTF-8"]);
    let noise: Vec<u8> = (0..=255).cycle().take(5000).collect();
    refused(&Store::with(noise), &["mdb.toml"]);
    refused(&Store::with(vec![0; 5000]), &["mdb.toml"]);
}

#[test]
fn a_file_that_is_not_utf_8() {
    let latin = SAMPLE
        .replace("quickstart\"", "caf#\"")
        .replace('#', "\u{e9}");
    let latin: Vec<u8> = latin
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect();
    refused(&Store::with(latin), &["mdb.toml", "UTF-8"]);
}

#[test]
fn ten_megabytes() {
    let comment = format!("# {}\n", "x".repeat(97));
    let big = format!("{SAMPLE}{}", comment.repeat(100_000));
    assert!(big.len() > 10_000_000);
    refused(&Store::with(big), &["at most"]);
}

#[test]
fn a_megabyte_of_faults() {
    let store = Store::with(format!(
        "{SAMPLE}\n{}",
        "[[area]]\nnam = 3\n".repeat(60_000)
    ));
    let ran = store.run(["show"]).ends_with(status::BAD_INPUT);
    assert_eq!(ran.out(), "");
    assert!(
        ran.err().len() < 100_000,
        "nobody reads {} bytes",
        ran.err().len()
    );
    ran.within(Duration::from_secs(20));
}

#[test]
fn deep_nesting() {
    let store = Store::with(format!(
        "a = {}{}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    ));
    refused(&store, &["mdb.toml"]);
}

#[test]
fn a_file_that_may_not_be_read_twice() {
    // A pipe, as `--config <(…)` makes it, has no size.
    let store = Store::empty();
    let ran = store.feed(["show", "--config", "/dev/stdin"], SAMPLE);
    ran.ends_with(status::DONE);
    store
        .run(["show", "--config", "/dev/zero"])
        .refuses(status::BAD_INPUT, &["/dev/zero", "at most"]);
}

#[test]
fn names_that_are_no_names() {
    for name in [
        "a'b",
        "a;b",
        "a`b",
        "a b",
        "é",
        "漢字",
        "..",
        "../x",
        "/etc/passwd",
        "a\u{202e}b",
        "\u{1f600}",
        "-x",
        "",
        "user\u{0}",
        &"x".repeat(81),
    ] {
        // TOML writes what it must escape as JSON does.
        let quoted = serde_json::to_string(name).unwrap();
        for place in [
            "\"user_a0\"",
            "\"local\"",
            "\"quickstart\"",
            "\"user_email\"",
        ] {
            let store = Store::with(SAMPLE.replace(place, &quoted));
            let ran = store
                .run(["init"])
                .refuses(status::BAD_INPUT, &["mdb.toml:"]);
            assert!(ran.err().contains("name"), "{ran:#?}");
            let names = std::fs::read_dir(store.path()).unwrap().count();
            assert_eq!(names, 1, "nothing but the configuration");
        }
    }
}

#[test]
fn a_password_in_a_faulty_line_stays_unsaid() {
    for url in [
        format!("postgres://mdb:{PASSWORD}@"),
        format!("postgres://mdb:{PASSWORD}@host:port/{{database}}"),
        format!("postgres://mdb:{PASSWORD}@[::1/{{database}}"),
        format!("postgras://mdb:{PASSWORD}@host/{{database}}"),
        format!("postgres://mdb:{PASSWORD}@host/{{datebase}}"),
        "postgres://mdb:${MDB_TEST_PASSWORD}@host:port/{database}".to_owned(),
        "postgres://mdb:${MDB_NO_SUCH}@host/{database}".to_owned(),
    ] {
        Store::with(SAMPLE.replace("sqlite:data", &url))
            .run(["show"])
            .refuses(status::BAD_INPUT, &["mdb.toml:"]);
    }
    // A quote too few: the rest of the line is no TOML, but is still nobody's business.
    let unquoted = format!("url = postgres://mdb:{PASSWORD}@host/{{database}}");
    Store::with(SAMPLE.replace("url = \"sqlite:data\"", &unquoted))
        .run(["show"])
        .refuses(status::BAD_INPUT, &["mdb.toml:"]);
}
