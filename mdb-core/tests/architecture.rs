//! The rules of the house that a compiler does not check, read from the source text.
//!
//! - Modules depend in one direction only; a new module has to be given its layer here.
//! - Configuration, topology and routing are pure: no I/O, no clock, no randomness, not async.
//! - Every file says at its top what it is for, and is short enough to hold one idea.
//! - The id crate stands alone: without features it pulls in no runtime and no driver.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod architecture {
    pub(crate) mod scan;
}

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use architecture::scan::{Source, Use};

/// The layers of `mdb-core`, lowest first. A module uses its own layer and those below.
const LAYERS: &[&[&str]] = &[
    &["error", "failpoint"],
    &["config"],
    &["topology"],
    &["routing"],
    &["engine"],
    &["servers"],
    &["catalog"],
    // The user's handles: an area hands out briefcases, and a briefcase asks its area for routes.
    &[
        "area",
        "briefcase",
        "central",
        "guard",
        "inspect",
        "scatter",
        "sequence",
    ],
    &["relocate"],
    &["store"],
];

/// The modules that do nothing but compute.
const PURE: &[&str] = &["config", "topology", "routing"];

/// The one file in them that opens files and reads the environment.
const LOADER: &str = "config/loader.rs";

/// Modules of `std` that reach outside the process.
const IMPURE_STD: &[&str] = &["env", "fs", "net", "process", "thread"];

/// Names that mean a runtime, a driver, a clock or chance.
const IMPURE_NAMES: &[&str] = &[
    "async",
    "await",
    "fastrand",
    "getrandom",
    "rand",
    "sqlx",
    "tokio",
    "Instant",
    "SystemTime",
];

/// A file that is longer holds two ideas.
const MAX_LINES: usize = 400;

/// Longer files, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
}

/// All Rust files below `directory`, in order, with their paths from there.
fn rust_files(directory: &Path) -> Vec<(String, PathBuf)> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(directory)
            .unwrap_or_else(|error| panic!("{} can't be listed: {error}", directory.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(directory, &mut found);
    found.sort();
    assert!(
        !found.is_empty(),
        "no Rust file below {}",
        directory.display()
    );
    let named = |path: PathBuf| {
        let name = path.strip_prefix(directory).unwrap().display().to_string();
        (name, path)
    };
    found.into_iter().map(named).collect()
}

fn sources() -> Vec<(String, Source)> {
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .into_iter()
        .map(|(name, path)| {
            let source = Source::new(&name, &fs::read_to_string(path).unwrap());
            (name, source)
        })
        .collect()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What is wrong with one use of a module of the crate, if anything is.
fn upward(from: &str, to: &str) -> Option<String> {
    let Some(own) = layer_of(from) else {
        return Some(format!(
            "module `{from}` has no layer; give it one in LAYERS"
        ));
    };
    match layer_of(to) {
        None => Some(format!(
            "`{to}` is no module of a layer; name the module that defines it"
        )),
        Some(other) if other > own => Some(format!("`{from}` is below `{to}` and must not use it")),
        Some(_) => None,
    }
}

fn assert_none(faults: &[String], rule: &str) {
    let mut text = String::new();
    for fault in faults {
        writeln!(text, "  {fault}").unwrap();
    }
    assert!(faults.is_empty(), "{rule}:\n{text}");
}

#[test]
fn modules_depend_in_one_direction() {
    let mut faults = Vec::new();
    for (file, source) in sources() {
        if file == "lib.rs" {
            for module in source.declared_modules() {
                if layer_of(&module.name).is_none() {
                    faults.push(format!(
                        "mdb-core/src/{file}:{}: module `{}` has no layer; give it one in LAYERS",
                        module.line, module.name
                    ));
                }
            }
            continue;
        }
        for Use { name, line } in source.uses_of_crate() {
            if let Some(fault) = upward(source.module(), &name) {
                faults.push(format!("mdb-core/src/{file}:{line}: {fault}"));
            }
        }
    }
    assert_none(&faults, "modules depend in one direction only");
}

#[test]
fn the_pure_modules_are_pure() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (file, source) in sources() {
        if !PURE.contains(&source.module()) || file == LOADER || source.is_test_file() {
            continue;
        }
        seen += 1;
        let outside = source
            .uses_of_std()
            .into_iter()
            .filter(|used| IMPURE_STD.contains(&used.name.as_str()));
        let named = source
            .names()
            .into_iter()
            .filter(|used| IMPURE_NAMES.contains(&used.name.as_str()));
        for Use { name, line } in outside.chain(named) {
            faults.push(format!(
                "mdb-core/src/{file}:{line}: `{name}` does not belong in a pure module"
            ));
        }
    }
    assert!(seen > 10, "only {seen} files were found in {PURE:?}");
    assert_none(
        &faults,
        "configuration, topology and routing do no I/O, read no clock and are not async",
    );
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let mut faults = Vec::new();
    for package in ["mdb-gdid", "mdb-core", "mdb-tools", "tests"] {
        for (name, path) in rust_files(&workspace().join(package).join("src")) {
            let text = fs::read_to_string(path).unwrap();
            let file = format!("{package}/src/{name}");
            if !text.starts_with("//! ") {
                faults.push(format!(
                    "{file}:1: does not begin with `//!` and what it is for"
                ));
            }
            let lines = text.lines().count();
            let allowed = LONG_FILES.iter().any(|(long, _)| *long == file);
            if lines > MAX_LINES && !allowed {
                faults.push(format!(
                    "{file}:{lines}: longer than {MAX_LINES} lines; split it by idea"
                ));
            }
            if allowed && lines <= MAX_LINES {
                faults.push(format!("{file}: no longer needs its place in LONG_FILES"));
            }
        }
    }
    assert_none(&faults, "files are introduced and short");
}

#[test]
fn the_id_crate_stands_alone() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "mdb-gdid", "--no-default-features"])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--locked", "--offline"])
        .current_dir(workspace())
        .output()
        .expect("cargo can be started");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        tree.starts_with("mdb-gdid v"),
        "not the tree of mdb-gdid: {tree}"
    );
    let unwanted: Vec<&str> = tree
        .lines()
        .filter(|line| {
            let name = line.split(' ').next().unwrap_or_default();
            ["tokio", "sqlx"].iter().any(|crate_name| {
                name == *crate_name || name.starts_with(&format!("{crate_name}-"))
            })
        })
        .collect();
    assert!(
        unwanted.is_empty(),
        "mdb-gdid without features depends on {unwanted:?}"
    );
}

mod the_scan_itself {
    //! A scan that overlooks things would pass everything.

    use super::*;

    fn crate_uses(file: &str, text: &str) -> Vec<(String, usize)> {
        Source::new(file, text)
            .uses_of_crate()
            .into_iter()
            .map(|used| (used.name, used.line))
            .collect()
    }

    fn names(uses: Vec<(String, usize)>) -> Vec<String> {
        uses.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn finds_every_way_to_name_a_module() {
        let found = crate_uses(
            "routing/slots.rs",
            "use crate::store;\n\nfn f() { crate::area::g() }\n",
        );
        assert_eq!(found, [("store".to_owned(), 1), ("area".to_owned(), 3)]);
        let grouped = "use crate::{config::A, servers::{self, B}, topology};";
        assert_eq!(
            names(crate_uses("routing.rs", grouped)),
            ["config", "servers", "topology"]
        );
        assert_eq!(
            names(crate_uses("routing.rs", "use super::store::Mdb;")),
            ["store"]
        );
        assert_eq!(
            names(crate_uses(
                "routing/slots.rs",
                "use super::{azos, router}; use super::super::store::Mdb;"
            )),
            ["store"]
        );
        let inline = "mod tests { use super::*; use super::super::area::Area; }";
        assert_eq!(names(crate_uses("routing.rs", inline)), ["area"]);
        assert_eq!(
            names(crate_uses("routing.rs", "use crate :: store :: Mdb;")),
            ["store"]
        );
    }

    #[test]
    fn comments_and_texts_are_no_code() {
        let text = r##"
            //! [`crate::store`]
            /* crate::area /* nested */ crate::store */
            const A: &str = "crate::store";
            const B: &str = r#"use crate::store; " "#;
            const C: (char, char) = ('"', '\'');
            fn f<'a>(x: &'a str) -> &'a str { x }
            use crate::config;
        "##;
        assert_eq!(crate_uses("routing.rs", text), [("config".to_owned(), 8)]);
        assert_eq!(Source::new("a.rs", "let x = 'a'; y.await").names().len(), 4);
    }

    #[test]
    fn upward_uses_are_faults() {
        assert!(upward("config", "topology").is_some());
        assert!(upward("routing", "servers").is_some());
        assert!(upward("central", "store").is_some());
        assert!(
            upward("routing", "Mdb").is_some(),
            "a re-export hides its layer"
        );
        assert!(upward("unheard_of", "config").is_some());
        assert!(upward("store", "routing").is_none());
        assert!(upward("area", "briefcase").is_none());
    }

    #[test]
    fn purity_is_looked_for_outside_tests_only() {
        let text = "use std::{fmt, net::Ipv4Addr};\nasync fn f() {}\n#[cfg(test)]\nmod tests { use std::time::Instant; }";
        let source = Source::new("config.rs", text);
        let used: Vec<String> = source
            .uses_of_std()
            .into_iter()
            .map(|used| used.name)
            .collect();
        assert_eq!(used, ["fmt", "net"]);
        let names: Vec<String> = source.names().into_iter().map(|used| used.name).collect();
        assert!(names.contains(&"async".to_owned()));
        assert!(!names.contains(&"Instant".to_owned()));
        assert!(Source::new("config/tests/faults.rs", "").is_test_file());
        assert!(!Source::new("config/reader.rs", "").is_test_file());
    }
}
