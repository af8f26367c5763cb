//! A CENTRAL that is lost while the store is in use.

use crate::kit::{Store, status, text};

#[test]
fn a_lost_central_is_not_taken_for_a_new_one() {
    let store = Store::quickstart(20);
    let lost = store.database("central");
    for file in std::fs::read_dir(lost.parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("central")
        {
            std::fs::rename(&path, store.path().join(path.file_name().unwrap())).unwrap();
        }
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
    for file in std::fs::read_dir(store.path()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("central") {
            std::fs::rename(&path, lost.with_file_name(name)).unwrap();
        }
    }
    store.run(["check"]).ends_with(status::DONE);
}
