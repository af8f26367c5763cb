//! A database that is lost while the store is in use, or restored from a backup.

use std::path::{Path, PathBuf};

use crate::kit::{Store, golden, same_lines, status, text};

#[test]
fn a_lost_central_is_not_taken_for_a_new_one() {
    let store = Store::quickstart(20);
    let lost = store.database("central");
    for path in central_files(lost.parent().unwrap()) {
        std::fs::rename(&path, store.path().join(path.file_name().unwrap())).unwrap();
    }
    for _ in 0..2 {
        let refused = store.run(["init"]).ends_with(status::FAILED);
        for words in ["`central`", "is in use", "restore its backup"] {
            assert!(refused.err().contains(words), "{refused:#?}");
        }
    }

    let made = store
        .run(["init", "--new-central", "--json"])
        .ends_with(status::DONE);
    let outcomes = made.objects();
    assert_eq!(text(&outcomes[0], "area"), "CENTRAL");
    assert_ne!(text(&outcomes[0], "outcome"), "unchanged");
    store.run(["init"]).ends_with(status::DONE);

    // Its backup is as good as it was.
    for path in central_files(store.path()) {
        std::fs::rename(&path, lost.with_file_name(path.file_name().unwrap())).unwrap();
    }
    store.run(["check"]).ends_with(status::DONE);
}

/// The files of CENTRAL's database.
fn central_files(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_central = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("central")
    };
    files.filter(is_central).collect()
}

#[test]
fn a_central_from_before_a_move_is_believed_when_a_person_says_so() {
    let store = Store::with_briefcases();
    store.moved("0:0:2", "local/user_a1");
    let data = store.database("central").parent().unwrap().to_owned();
    for file in central_files(&data) {
        std::fs::copy(&file, store.path().join(file.file_name().unwrap())).unwrap();
    }
    store.moved("0:0:4", "local/user_a1");
    store.run(["check"]).ends_with(status::DONE);
    for file in central_files(&data) {
        std::fs::remove_file(file).unwrap();
    }
    for file in central_files(store.path()) {
        std::fs::rename(&file, data.join(file.file_name().unwrap())).unwrap();
    }

    let refused = || {
        let ran = store.run(["check", "--json"]);
        let found = ran.objects().into_iter();
        found
            .filter(|found| text(found, "check") == "epoch")
            .collect::<Vec<_>>()
    };
    let found = refused();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(text(&found[0], "severity"), "error");
    assert_eq!(text(&found[0], "database"), "user_a0");
    assert!(text(&found[0], "message").contains("up to epoch 4, but the catalog is at epoch 2"));
    let strays = store
        .run(["verify", "user", "--json"])
        .ends_with(status::FAILED)
        .objects();
    assert!(!strays.is_empty());
    assert!(strays.iter().all(|found| found["gdid"] == "0:0:4"));

    let raised = store
        .run(["move", "raise-epoch", "--json"])
        .ends_with(status::DONE);
    same_lines(raised.out(), r#"{"outcome":"raised","before":2,"after":5}"#);
    let again = store.run(["move", "raise-epoch"]).ends_with(status::DONE);
    golden("move_raise_epoch", again.out());
    assert!(refused().is_empty());
}

/// Takes a database away, with no backup.
pub(crate) fn lose(store: &Store, database: &str) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = store.database(database).into_os_string();
        path.push(suffix);
        if Path::new(&path).exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_lost_shard_is_not_taken_for_a_new_one() {
    let store = Store::quickstart(20);
    lose(&store, "user_a0");
    for _ in 0..2 {
        let refused = store.run(["init", "--json"]).ends_with(status::FAILED);
        assert_eq!(refused.objects().len(), 4, "{refused:?}");
        refused.says(&[
            "`user_a0`",
            "the configuration names the wrong server or database",
            "`mdb init --new-shard local/user_a0`",
        ]);
    }
    store
        .run(["init", "--new-shard", "local/user_c0"])
        .refuses(status::BAD_INPUT, &["local/user_c0", "mdb show"]);
    store
        .run(["init", "--new-shard", "local/central"])
        .refuses(status::BAD_INPUT, &["local/central"]);
    store
        .run(["init", "--new-shard", "local/user_a1"])
        .ends_with(status::FAILED);
    let made = store
        .run(["init", "--new-shard", "local/user_a0", "--json"])
        .ends_with(status::DONE);
    assert_eq!(text(&made.objects()[1], "outcome"), "stamped");
    store.run(["init"]).ends_with(status::DONE);
}

#[test]
fn a_lost_shard_of_ids_to_come_is_not_taken_for_a_new_one_either() {
    let store = Store::with_briefcases();
    store.run(["gdid", "next", "user"]).ends_with(status::DONE);
    store.moved("0:0:4", "local/user_b0");
    lose(&store, "user_b0");
    for _ in 0..2 {
        store.run(["init"]).ends_with(status::FAILED).says(&[
            "`user_b0`",
            "briefcases were moved there",
            "`mdb init --new-shard local/user_b0`",
        ]);
    }
    store
        .run(["init", "--new-shard", "local/user_b0"])
        .ends_with(status::DONE);
}
