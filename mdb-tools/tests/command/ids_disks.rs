//! `mdb gdid init-disks` and `replace-disk`: authorities that count in files.

use crate::ids_serve::{counted_on_disk, next, serve, uninitialised};
use crate::kit::{Store, status, text};

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
