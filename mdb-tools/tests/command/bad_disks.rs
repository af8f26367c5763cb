//! Disks that are full, files that are damaged, directories that can't be written.

use std::process::Command;

use crate::kit::{Ended, Store, status};

const SAMPLE: &str = include_str!("../../../config/quickstart.toml");

/// The program, where no file may grow beyond so many blocks of 512 bytes.
///
/// The signal that a larger file raises is ignored, so that writing fails as on a full disk.
fn with_little_room(store: &Store, blocks: u32, arguments: &str) -> Ended {
    let mut command = Command::new("sh");
    command
        .current_dir(store.path())
        .env_remove("MDB_CONFIG")
        .arg("-c")
        .arg(format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec '{}' {arguments}",
            env!("CARGO_BIN_EXE_mdb")
        ));
    Ended::of(&mut command)
}

#[test]
fn a_disk_that_is_full_from_the_first_byte() {
    let store = Store::with(SAMPLE);
    with_little_room(&store, 0, "init")
        .ends_with(status::FAILED)
        .says(&["error: ", "`local`"]);
    store.run(["init"]).ends_with(status::DONE);
}

#[test]
fn a_disk_that_fills_up_on_the_way() {
    // The program can be started from so many kilobytes on; what it writes itself needs more.
    for blocks in [16, 48, 80, 120, 160] {
        let store = Store::empty();
        let ran = with_little_room(&store, blocks, "quickstart --dir . --users 1200")
            .ends_with(status::FAILED)
            .says(&["error: "]);
        assert_eq!(ran.out(), "", "{ran:#?}");
        // Once there is room, it goes on from there, and nothing is half-written.
        store
            .run(["quickstart", "--dir", ".", "--users", "1200"])
            .ends_with(status::DONE);
        let claims = store.run(["central", "claims", "--older-than", "0", "--json"]);
        assert_eq!(claims.ends_with(status::DONE).out(), "");
        store.run(["check"]).ends_with(status::DONE);
        let sum = |sql: &str| -> i64 {
            ["user_a0", "user_a1", "user_b0", "user_b1"]
                .iter()
                .map(|shard| store.count(shard, sql).unwrap())
                .sum()
        };
        for table in ["account", "address", "balance"] {
            assert_eq!(sum(&format!("SELECT count(*) FROM {table}")), 1200);
        }
    }
}

#[test]
fn a_directory_below_a_file() {
    let store = Store::empty();
    std::fs::write(store.path().join("file"), "").unwrap();
    store
        .run(["quickstart", "--dir", "file/demo"])
        .refuses(status::FAILED, &["`file/demo`", "--dir"]);
    let below = Store::with(SAMPLE.replace("sqlite:data", "sqlite:mdb.toml"));
    below
        .run(["init"])
        .refuses(status::FAILED, &["`local`", "mdb.toml"]);
    assert_eq!(
        std::fs::read_to_string(below.configuration()).unwrap(),
        SAMPLE.replace("sqlite:data", "sqlite:mdb.toml")
    );
}

#[test]
fn a_directory_that_can_not_be_written() {
    // Even root can make nothing there.
    Store::empty()
        .run(["quickstart", "--dir", "/proc/demo"])
        .refuses(status::FAILED, &["`/proc/demo`", "--dir"]);
    Store::with(SAMPLE.replace("sqlite:data", "sqlite:/proc/demo"))
        .run(["init"])
        .refuses(status::FAILED, &["`local`", "/proc/demo"]);
    Store::with(SAMPLE.replace("sqlite:data", "sqlite:/proc"))
        .run(["init"])
        .refuses(status::FAILED, &["`local`"]);
}

#[test]
fn a_file_that_is_no_database() {
    let store = Store::quickstart(1);
    for damage in [
        &b"this is no database, but a text, and a long one at that\n"[..],
        &[0xff; 5000],
    ] {
        // A write-ahead log, if one was left, would be written into the file.
        for left in ["central.db-wal", "central.db-shm"] {
            let _ = std::fs::remove_file(store.path().join("data").join(left));
        }
        std::fs::write(store.database("central"), damage.repeat(50)).unwrap();
        for command in [
            &["gdid", "next", "user"][..],
            &["central", "get", "user_email", "x"],
            &["init"],
        ] {
            let ran = store
                .run(command.iter().copied())
                .ends_with(status::FAILED)
                .says(&["error: ", "not a database"]);
            assert!(!ran.out().contains("central"), "{ran:#?}");
        }
        let found = std::fs::read(store.database("central")).unwrap();
        assert!(
            found == damage.repeat(50),
            "left as it is, for whoever can save it"
        );
    }
}

#[test]
fn a_database_that_is_a_directory() {
    let store = Store::with(SAMPLE);
    std::fs::create_dir_all(store.database("user_b0")).unwrap();
    store
        .run(["init"])
        .ends_with(status::FAILED)
        .says(&["error: ", "`user_b0`"]);
}
