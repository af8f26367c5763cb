//! A location that does not answer: neither an error nor a success, until it comes back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use mdb_gdid::{DiskAuthority, DiskOpenError, FailPoints, FileStep, LocationError};

use crate::disks::{Disks, allocate, status};

/// Holds back all operations of one kind below a path, while it is told to.
#[derive(Debug)]
struct Hang {
    below: PathBuf,
    step: FileStep,
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Hang {
    fn set(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.changed.notify_all();
    }
}

impl FailPoints for Hang {
    fn before(&self, step: FileStep, path: &Path) -> io::Result<()> {
        if step == self.step && path.starts_with(&self.below) {
            let hangs = self.hangs.lock().unwrap();
            drop(self.changed.wait_while(hangs, |hangs| *hangs).unwrap());
        }
        Ok(())
    }

    fn after(&self, _: FileStep, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_hangs_is_left_behind_and_catches_up() {
    for step in [FileStep::Open, FileStep::SyncFile, FileStep::Rename] {
        let disks = Disks::new(3);
        let hang = Arc::new(Hang {
            below: disks.location(2),
            step,
            hangs: Mutex::new(false),
            changed: Condvar::new(),
        });
        let options = disks.options().with_fail_points(Arc::clone(&hang) as _);
        let source = DiskAuthority::open(&options).unwrap();
        allocate(&source, 10).unwrap();
        hang.set(true);
        assert_eq!(allocate(&source, 10).unwrap().last().counter(), 20);
        assert_eq!(allocate(&source, 10).unwrap().last().counter(), 30);
        assert_eq!(disks.counter(2), Some(10));
        if step != FileStep::Open {
            let told = status(&source).unwrap();
            assert!(told.notes()[0].contains("is still busy"), "{told:?}");
        }

        // What hangs still holds the lock: nobody else may count until it is over.
        drop(source);
        let error = DiskAuthority::open(&disks.options()).unwrap_err();
        let DiskOpenError::Refused { source } = error else {
            panic!("{error:?}")
        };
        assert!(matches!(source, LocationError::InUse { .. }), "{source:?}");
        hang.set(false);
        // The write of 20 that hung may be done now; it does not undo what came after it.
        let source = disks.open();
        assert_eq!(allocate(&source, 10).unwrap().first().counter(), 31);
        assert_eq!(disks.counter(2), Some(40));
    }
}

#[test]
fn what_comes_back_in_time_is_not_overtaken() {
    let disks = Disks::new(3);
    let hang = Arc::new(Hang {
        below: disks.location(2),
        step: FileStep::Rename,
        hangs: Mutex::new(false),
        changed: Condvar::new(),
    });
    let options = disks.options().with_fail_points(Arc::clone(&hang) as _);
    let source = DiskAuthority::open(&options).unwrap();
    allocate(&source, 10).unwrap();
    hang.set(true);
    allocate(&source, 10).unwrap();
    allocate(&source, 10).unwrap();
    hang.set(false);
    while disks.counter(2) != Some(20) {
        std::thread::yield_now();
    }
    // It may still be busy with the end of its write; then it follows one block later.
    while disks.counter(2) == Some(20) {
        allocate(&source, 10).unwrap();
    }
    assert_eq!(disks.counter(2), disks.counter(0));
}
