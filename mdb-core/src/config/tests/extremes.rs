//! Files that are no configuration at all, or far too much of one.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::samples::REFERENCE;
use super::{BASE, CENTRAL, environment, faults, parse, render};
use crate::config::loader::{MAX_SIZE, load};
use crate::config::{Colour, ConfigError};

#[test]
fn every_truncation_of_the_reference_is_read() {
    for (end, _) in REFERENCE.char_indices().step_by(7) {
        render(&REFERENCE[..end]);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,300}") {
        render(&text);
    }

    #[test]
    fn any_soup_of_tokens_is_read(tokens in prop::collection::vec(prop::sample::select(vec![
        "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "\n", "\r", "#", "0:0:0",
        "area", "central", "server", "name", "url", "shards", "partition", "\"postgres://u:p@h\"",
        "${", "$${", "{host}", "1", "-1", "1e9", "true", "1979-05-27", "\u{feff}", "ü", "\u{1b}",
    ]), 0..60)) {
        render(&tokens.concat());
    }

    #[test]
    fn a_changed_reference_is_read(at in 0..REFERENCE.len(), length in 0..40usize, patch in "\\PC{0,5}") {
        let start = REFERENCE.floor_char_boundary(at);
        let end = REFERENCE.floor_char_boundary((start + length).min(REFERENCE.len()));
        render(&format!("{}{patch}{}", &REFERENCE[..start], &REFERENCE[end..]));
    }
}

#[test]
fn a_hundred_thousand_unknown_keys_are_counted() {
    let mut text = format!("{BASE}{CENTRAL}[[server]]\nname = \"s\"\nurl = \"sqlite:x\"\n");
    for number in 0..100_000 {
        writeln!(text, "max_conections_{number:08} = \"{number:012}\"").unwrap();
    }
    assert!(text.len() > 3_500_000 && (text.len() as u64) < MAX_SIZE);
    let all = faults(&text);
    assert_eq!(
        (all.total(), all.iter().len(), all.omitted()),
        (100_000, 50, 99_950)
    );
    let report = render(&text);
    assert!(report.len() < 100_000, "{} bytes", report.len());
    assert!(report.ends_with("100000 faults in mdb.toml; 99950 more are not shown\n"));
}

/// With quadratic work on any of them, this would not end within a test's patience.
#[test]
fn files_made_to_be_slow_are_read() {
    let keys: Vec<_> = (0..100_000)
        .map(|number| format!("key_{number} = = {number}"))
        .collect();
    let good: Vec<_> = (0..100_000)
        .map(|number| format!("key_{number} = {number}"))
        .collect();
    let shards: Vec<_> = (0..60_000)
        .map(|n| format!("{{server=\"s{n}\",database=\"d\"}}"))
        .collect();
    // Quadratic in `toml` itself if its tables keep the order of their keys (`preserve_order`).
    let sections: Vec<_> = (0..50_000)
        .map(|n| format!("[a{n}.b]"))
        .chain((0..50_000).map(|n| format!("[a{n}]")))
        .collect();
    let errors: Vec<_> = (0..200_000).map(|n| format!("a{n} = = 1")).collect();
    for line in [
        format!("store = {{ {} }}", keys.join(", ")),
        format!("store = {{ {} }}", good.join(", ")),
        format!("central.shards = [{}]", shards.join(",")),
        "x".repeat(4_000_000),
        "[".repeat(4_000_000),
        format!("a = \"{}", "\\u".repeat(2_000_000)),
        "a\n".repeat(2_000_000),
        "[central]\n".repeat(400_000),
        "[[central]]\n".repeat(300_000),
        sections.join("\n"),
        errors.join("\n"),
        "[[area]]\nname = \"a\"\n".repeat(200_000),
    ] {
        let report = render(&line);
        assert!(
            report.len() < 100_000,
            "{} bytes: {}",
            report.len(),
            &line[..40]
        );
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mdb.toml");
    std::fs::write(&path, vec![b'a'; 10_000_000]).unwrap();
    let error = load(&path).unwrap_err();
    assert!(matches!(
        error,
        ConfigError::TooLarge {
            size: 10_000_000,
            limit: MAX_SIZE,
            ..
        }
    ));
    let text = "a".repeat(10_000_000);
    assert!(matches!(parse(&text), Err(ConfigError::TooLarge { .. })));
    let report = error.render(Colour::Plain, 100);
    assert!(
        report.contains("4194304") && report.contains("mdb::config::too_large"),
        "{report}"
    );
}

#[test]
fn binary_files_are_named_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mdb.toml");
    for (bytes, place) in [
        (&b"[store]\nname = \"\xff\""[..], (16, 2)),
        (b"[store]\n\0", (8, 2)),
        (b"\x7fELF\x02\x01\x01\0", (7, 1)),
    ] {
        std::fs::write(&path, bytes).unwrap();
        match load(&path) {
            Err(ConfigError::NotText { offset, line, .. }) => assert_eq!((offset, line), place),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_is_read_relative_to_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mdb.toml");
    assert!(matches!(load(&path), Err(ConfigError::Read { .. })));
    assert!(matches!(
        load(directory.path()),
        Err(ConfigError::Read { .. })
    ));
    std::fs::write(&path, format!("{BASE}{CENTRAL}")).unwrap();
    let config = load(&path).unwrap();
    assert_eq!(
        config.servers()[0].primary().directory(),
        Some(&*directory.path().join("data"))
    );
}

#[test]
fn an_unusual_name_and_width_are_no_matter() {
    let parsed = crate::config::Config::parse("a\u{1b}b", "x", Path::new(""), &environment);
    let error = parsed.unwrap_err();
    for width in [0, 1, 40, 1000] {
        assert!(error.render(Colour::Plain, width).contains("syntax"));
    }
}
