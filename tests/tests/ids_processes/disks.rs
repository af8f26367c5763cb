//! Authorities that count in files on several disks, one of which is restored from an earlier copy.

use std::path::Path;

use crate::databases::Store;
use crate::fleet::{Fleet, target};

const DISKS: &str = r#"
[[authority]]
name = "disks"
kind = "disk"
paths = ["a", "b", "c"]
ids = [7]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_counted_on_disks_never_repeat() {
    let store = Store::start("sqlite:data", DISKS).await;
    let mut fleet = Fleet::start(&store.config());
    fleet.run_to(target() / 4);
    fleet.pause();
    copy(&store.path("b"), &store.path("copy"));
    fleet.resume();
    fleet.run_to(target() / 2);
    fleet.pause();
    std::fs::remove_dir_all(store.path("b")).unwrap();
    copy(&store.path("copy"), &store.path("b"));
    fleet.resume();
    fleet.run_to(target());
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
