//! Authorities that count in files on several disks, one of which is put back to an earlier copy.

use std::path::Path;

use crate::databases::Store;
use crate::fleet::{Fleet, Part};

/// Three disks.
const DISKS: &str = r#"
[[authority]]
name = "disks"
kind = "disk"
paths = ["a", "b", "c"]
ids = [7]
"#;

/// One process at a time can count on disks: each begins where a killed one has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_counted_on_disks_never_repeat() {
    let store = Store::start("sqlite:data", DISKS).await;
    store.init_disks("mdb.toml");
    let mut fleet = Fleet::start(&store.config(), 1);
    for part in [2, 5].map(Part) {
        fleet.run_to(part);
        fleet.pause();
        copy(&store.path("b"), &store.path("earlier"));
        fleet.resume();
        fleet.run_to(Part(part.0 + 1));
        fleet.pause();
        std::fs::remove_dir_all(store.path("b")).unwrap();
        std::fs::rename(store.path("earlier"), store.path("b")).unwrap();
        fleet.resume();
    }
    fleet.run_to(Part::WHOLE);
    assert_eq!(fleet.end_all().authorities(), [7]);
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
