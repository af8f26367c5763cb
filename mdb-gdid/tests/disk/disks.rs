//! Directories that stand for disks, and what can happen to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use mdb_gdid::{
    AuthorityError, AuthorityId, AuthorityIds, AuthorityStatus, Block, BlockLife, BlockSize,
    BlockSource, DiskAuthority, DiskOpenError, DiskOptions, LocationError, Place, RangeKey,
};

/// The authority whose turn it always is: the only one.
pub(crate) const AUTHORITY: u8 = 11;

/// A few disks, each with a location of the same set.
pub(crate) struct Disks {
    directory: tempfile::TempDir,
    pub(crate) count: usize,
}

/// A directory in memory if there is one: these tests sync a lot, and no power fails.
fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

pub(crate) fn ids(numbers: &[u8]) -> AuthorityIds {
    let ids = numbers.iter().map(|id| AuthorityId::new(*id).unwrap());
    AuthorityIds::new(ids.collect()).unwrap()
}

pub(crate) fn size(ids: u16) -> BlockSize {
    BlockSize::new(ids).unwrap()
}

impl Disks {
    /// Disks that are not initialised.
    pub(crate) fn raw(count: usize) -> Self {
        Self {
            directory: temporary(),
            count,
        }
    }

    pub(crate) fn new(count: usize) -> Self {
        let disks = Self::raw(count);
        DiskAuthority::initialise(&disks.options()).unwrap();
        disks
    }

    pub(crate) fn location(&self, disk: usize) -> PathBuf {
        self.directory.path().join(format!("disk{disk}/ids"))
    }

    pub(crate) fn locations(&self) -> Vec<PathBuf> {
        (0..self.count).map(|disk| self.location(disk)).collect()
    }

    pub(crate) fn options(&self) -> DiskOptions {
        let place = Place::new("disks");
        DiskOptions::new(ids(&[AUTHORITY]), self.locations(), BlockLife::USUAL, place)
    }

    pub(crate) fn open(&self) -> DiskAuthority {
        open(&self.options()).unwrap()
    }

    /// The file with the count at a location.
    pub(crate) fn file(&self, disk: usize) -> PathBuf {
        self.location(disk).join("b/SHOP.MAIN/user")
    }

    /// The last counter that a location says was handed out; `None` when it says nothing valid.
    pub(crate) fn counter(&self, disk: usize) -> Option<u64> {
        let text = fs::read_to_string(self.file(disk)).ok()?;
        text.ends_with('\n').then_some(())?;
        let (_, counter) = text.split_once(" counter=")?;
        counter.split(' ').next()?.parse().ok()
    }

    fn kept(&self, disk: usize, as_what: &str) -> PathBuf {
        self.directory.path().join(format!("disk{disk}.{as_what}"))
    }

    /// Keeps a copy of all counts of a location.
    pub(crate) fn back_up(&self, disk: usize) {
        let backup = self.kept(disk, "backup");
        let _ = fs::remove_dir_all(&backup);
        copy(&self.location(disk), &backup);
    }

    /// Puts the copy in the place of the location: all of it, or the counts alone.
    pub(crate) fn restore(&self, disk: usize, whole: bool) {
        let (backup, location) = (self.kept(disk, "backup"), self.location(disk));
        if !backup.is_dir() {
            return;
        }
        if whole {
            fs::remove_dir_all(&location).unwrap();
            copy(&backup, &location);
        } else {
            let counts = location.join("b");
            let _ = fs::remove_dir_all(&counts);
            if backup.join("b").is_dir() {
                copy(&backup.join("b"), &counts);
            }
        }
    }

    /// Unmounts a disk; the mount point stays, or the location itself was one.
    pub(crate) fn unmount(&self, disk: usize, is_mount_point: bool) {
        let (location, away) = (self.location(disk), self.kept(disk, "away"));
        if !away.exists() {
            fs::rename(&location, &away).unwrap();
            if is_mount_point {
                fs::create_dir(&location).unwrap();
            }
        }
    }

    pub(crate) fn mount(&self, disk: usize) {
        let (location, away) = (self.location(disk), self.kept(disk, "away"));
        if away.exists() {
            let _ = fs::remove_dir(&location);
            fs::rename(&away, &location).unwrap();
        }
    }

    pub(crate) fn is_away(&self, disk: usize) -> bool {
        self.kept(disk, "away").exists()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opens, once a thread of an earlier one that still writes has come to its end.
pub(crate) fn open(options: &DiskOptions) -> Result<DiskAuthority, DiskOpenError> {
    loop {
        match DiskAuthority::open(options) {
            Err(DiskOpenError::Refused {
                source: LocationError::InUse { .. },
            }) => thread::sleep(Duration::from_millis(1)),
            opened => return opened,
        }
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

pub(crate) fn allocate(source: &DiskAuthority, ids: u16) -> Result<Block, AuthorityError> {
    let (scope, sequence) = ("SHOP.MAIN".parse().unwrap(), "user".parse().unwrap());
    wait(source.allocate(&scope, &sequence, size(ids)))
}

pub(crate) fn raise(
    source: &DiskAuthority,
    floor: RangeKey,
) -> Result<Vec<AuthorityStatus>, AuthorityError> {
    let (scope, sequence) = ("SHOP.MAIN".parse().unwrap(), "user".parse().unwrap());
    wait(source.raise(&scope, &sequence, floor))
}

pub(crate) fn status(source: &DiskAuthority) -> Result<AuthorityStatus, AuthorityError> {
    let (scope, sequence) = ("SHOP.MAIN".parse().unwrap(), "user".parse().unwrap());
    let all = wait(source.status(&scope, &sequence))?;
    let [status] = all.try_into().unwrap();
    Ok(status)
}

/// An error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", in_full(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}
