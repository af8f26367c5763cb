//! `mdb gdid init-disks` and `replace-disk`: authorities that count in files.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use crate::ids_serve::{TOKEN, counted_on_disk, next, serve, uninitialised};
use crate::kit::{Store, status, text};
use crate::lost::lose;

const SAMPLE: &str = include_str!("../../../config/quickstart.toml");

/// An authority for a configuration that has none.
const DISKS: &str = "
[[authority]]
name = \"here\"
kind = \"disk\"
paths = [\"a\", \"b\"]
ids = [5]
";

/// A store with briefcases, of which that authority issues the next ids.
fn in_use() -> Store {
    let store = Store::with_briefcases();
    std::fs::write(store.configuration(), format!("{SAMPLE}{DISKS}")).unwrap();
    store
}

#[test]
fn nothing_begins_to_count_by_itself() {
    let store = uninitialised();
    for command in [
        &["gdid", "next", "user"][..],
        &["gdid", "floor", "user", "0:0:7"],
        &["gdid", "serve", "--listen", "127.0.0.1:0"],
    ] {
        let mut command = store.command(command);
        let ran = crate::kit::Ended::of(command.env("MDB_GDID_TOKEN", "0123456789abcdef"));
        ran.ends_with(status::FAILED).says(&["not initialised"]);
    }
    let first = store
        .run(["gdid", "init-disks", "--json"])
        .ends_with(status::DONE);
    let made = first.objects();
    assert_eq!(made.len(), 3);
    assert_eq!(text(&made[0], "authority"), "here");
    assert!(text(&made[2], "path").ends_with("/c"), "{}", made[2]);
    assert_eq!(next(&store, 1), ["0:5:1"]);
    let again = store
        .run(["gdid", "init-disks", "here", "--json"])
        .ends_with(status::DONE);
    assert_eq!(again.out(), first.out());
    assert_ne!(next(&store, 1), ["0:5:1"], "it goes on where it was");
}

#[test]
fn disks_that_are_not_mounted_are_not_begun_anew() {
    let store = in_use();
    let begin = ["gdid", "init-disks", "--new-authority"];
    store.run(begin).ends_with(status::DONE);
    assert_eq!(next(&store, 1), ["0:5:1"]);

    let away = |name: &str| {
        (
            store.path().join(name),
            store.path().join("away").join(name),
        )
    };
    let disks: [(PathBuf, PathBuf); 2] = ["a", "b"].map(away);
    std::fs::create_dir(store.path().join("away")).unwrap();
    for (mounted, unmounted) in &disks {
        std::fs::rename(mounted, unmounted).unwrap();
    }
    store
        .run(["gdid", "next", "user"])
        .ends_with(status::FAILED)
        .says(&["is a disk not mounted?", "issue ids of authority 5 again"]);
    for _ in 0..2 {
        store.run(["gdid", "init-disks"]).refuses(
            status::FAILED,
            &[
                "shard local/user_a0 of the store is in use",
                "is a disk not mounted?",
                "`mdb gdid init-disks here --new-authority`",
            ],
        );
    }
    for (mounted, unmounted) in &disks {
        assert!(!mounted.exists(), "{}", mounted.display());
        std::fs::rename(unmounted, mounted).unwrap();
    }
    store.run(["gdid", "init-disks"]).ends_with(status::DONE);
    assert_ne!(next(&store, 1), ["0:5:1"], "it goes on where it was");
}

#[test]
fn a_store_that_cant_be_asked_may_be_in_use() {
    // A port that was free a moment ago: nobody listens there.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("mysql://{}/{{database}}", listener.local_addr().unwrap());
    drop(listener);
    let store = Store::with(SAMPLE.replace("sqlite:data", &url) + DISKS);
    store.run(["gdid", "init-disks"]).refuses(
        status::UNREACHABLE,
        &["can't be asked", "`local`", "--new-authority`"],
    );
    assert!(!store.path().join("a").exists());
    store
        .run(["gdid", "init-disks", "--new-authority"])
        .ends_with(status::DONE);
}

#[test]
fn a_lost_disk_is_replaced() {
    let store = counted_on_disk();
    next(&store, 1);
    let lost = store.path().join("b");
    std::fs::remove_dir_all(&lost).unwrap();
    store
        .run(["gdid", "init-disks"])
        .refuses(status::UNREACHABLE, &["/b", "not an initialised location"]);
    std::fs::create_dir(&lost).unwrap();
    store
        .run(["gdid", "next", "user"])
        .refuses(status::UNREACHABLE, &["/b"]);
    let ran = store
        .run(["gdid", "replace-disk", "b"])
        .ends_with(status::DONE);
    assert!(
        ran.out()
            .ends_with("/b is ready: authority `here` counts there\n"),
        "{ran:#?}"
    );
    next(&store, 1);
    store.run(["gdid", "status"]).ends_with(status::DONE);
}

#[test]
fn disks_are_named_as_they_are_configured() {
    let store = counted_on_disk();
    store
        .run(["gdid", "init-disks", "hear"])
        .refuses(status::BAD_INPUT, &["`hear`", "`here`"]);
    store
        .run(["gdid", "replace-disk", "d"])
        .refuses(status::BAD_INPUT, &["d is none of the `paths`"]);
    let without = Store::with(include_str!("../../../config/quickstart.toml"));
    without
        .run(["gdid", "init-disks"])
        .refuses(status::BAD_INPUT, &["no [[authority]] of kind \"disk\""]);
}

#[test]
fn one_process_counts_on_disks() {
    let store = counted_on_disk();
    let serving = serve(&store, &["127.0.0.1:0"]);
    store
        .run(["gdid", "next", "user"])
        .refuses(status::UNREACHABLE, &["in use by"]);
    store
        .run(["gdid", "status"])
        .ends_with(status::UNREACHABLE)
        .says(&["can't reach authority `here`"]);
    serving.stop("-TERM").ends_with(status::DONE);
    assert_eq!(next(&store, 1).len(), 1);
}

#[test]
fn shards_are_made_ready_by_asking_whoever_holds_the_disks() {
    let store = in_use();
    store
        .run(["gdid", "init-disks", "--new-authority"])
        .ends_with(status::DONE);
    next(&store, 1);
    let serving = serve(&store, &["127.0.0.1:0"]);
    lose(&store, "user_a1");
    store.run(["init"]).ends_with(status::UNREACHABLE).says(&[
        "`user_a1`",
        "in use by",
        "ask it over HTTP",
    ]);

    let url = text(serving.said(), "url");
    let asking = format!(
        "{SAMPLE}\n[[authority]]\nname = \"there\"\nkind = \"http\"\nids = [5]\n\
         urls = [\"{url}\"]\ntoken = \"{TOKEN}\"\n"
    );
    std::fs::write(store.configuration(), asking).unwrap();
    store
        .run(["init"])
        .ends_with(status::FAILED)
        .says(&["`user_a1`", "sequence `user` is at 0:0:"]);
    store
        .run(["init", "--new-shard", "local/user_a1"])
        .ends_with(status::DONE);
}
