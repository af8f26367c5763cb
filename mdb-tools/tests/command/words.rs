//! What the command says about itself: help, completions, and the answers to a wrong command line.

use crate::kit::{Ended, Store, golden, status};

#[test]
fn every_command_has_help_worth_reading() {
    let store = Store::empty();
    for path in [
        "",
        "quickstart",
        "init",
        "check",
        "route",
        "show",
        "central",
        "central get",
        "central put",
        "central rename",
        "central remove",
        "central claims",
        "gdid",
        "gdid floor",
        "gdid init-disks",
        "gdid next",
        "gdid replace-disk",
        "gdid serve",
        "gdid show",
        "gdid status",
        "move",
        "move plan",
        "move run",
        "move status",
        "move resume",
        "move abort",
        "move revert",
        "move list",
        "move briefcases",
        "move receipt",
        "move clean",
        "move prepare",
        "move processes",
        "move raise-epoch",
        "verify",
        "completions",
    ] {
        let ran = Ended::of(
            store
                .command(path.split_whitespace().chain(["--help"]))
                .env("COLUMNS", "100"),
        )
        .ends_with(status::DONE);
        assert_eq!(ran.err(), "");
        let name = format!("help_{}", path.replace(' ', "_"));
        golden(&name, ran.out());
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let store = Store::empty();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = store.run(["completions", shell]).ends_with(status::DONE);
        assert!(ran.out().contains("quickstart"), "{shell}");
        assert_eq!(ran.err(), "");
    }
    store
        .run(["completions", "tcsh"])
        .refuses(status::BAD_INPUT, &["tcsh", "bash"]);
}

#[test]
fn a_wrong_command_line_is_bad_input() {
    let store = Store::empty();
    for (arguments, part) in [
        (&[][..], "Usage: mdb"),
        (&["frob"], "frob"),
        (&["route"], "<AREA>"),
        (&["gdid", "show"], "<TEXT>"),
        (&["gdid", "next", "user", "--count", "0"], "0 is not in"),
        (&["gdid", "next", "user", "--count", "-1"], "-1"),
        (&["gdid", "next", "user", "--count", "many"], "many"),
        (&["central", "get", "user_email"], "<KEY>"),
        (
            &["central", "claims", "--confirm", "a", "--release", "b"],
            "--release",
        ),
        (&["quickstart", "--users", "0"], "0 is not in"),
        (&["show", "--config"], "--config"),
        (&["verify"], "<AREA>"),
        (&["verify", "user", "--yes"], "--repair"),
        (&["move"], "Usage: mdb move"),
        (&["move", "run", "user", "--gdid", "0:0:1"], "--to"),
        (&["move", "run", "user", "--to", "local/user_a0"], "--gdid"),
        (
            &[
                "move", "plan", "user", "--to", "a", "--gdid", "0:0:1", "--shard", "b",
            ],
            "--shard",
        ),
        (
            &[
                "move", "run", "user", "--to", "a", "--gdid", "0:0:1", "--batch", "0",
            ],
            "0 is not in",
        ),
        (&["move", "resume", "--batch", "10"], "--batch"),
        (&["move", "resume", "--parallel", "2"], "--parallel"),
        (&["move", "abort"], "<MOVE>"),
        (&["move", "clean", "--yes"], "--unknown"),
        (&["move", "list", "--gdid", "0:0:1"], "--area"),
        (&["move", "list", "--phase", "dome"], "done"),
    ] {
        store
            .run(arguments.iter().copied())
            .refuses(status::BAD_INPUT, &[part]);
    }
}

#[test]
fn the_version_is_said() {
    let ran = Store::empty().run(["--version"]).ends_with(status::DONE);
    assert_eq!(ran.out(), concat!("mdb ", env!("CARGO_PKG_VERSION"), "\n"));
}
