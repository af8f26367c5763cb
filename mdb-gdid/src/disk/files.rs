//! Files as a location needs them: read whole, or replaced whole and durably.
//!
//! Every operation goes through [`Files::step`], so that a test can make each one fail in turn.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

#[cfg(feature = "failpoints")]
use std::sync::Arc;

/// No file of a location is longer.
pub(super) const MAX_BYTES: usize = 1024;

/// One operation on a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileStep {
    /// Opening a file to read it.
    Open,
    /// Reading a file.
    Read,
    /// Creating a directory.
    CreateDirectory,
    /// Creating a file.
    Create,
    /// Writing a file.
    Write,
    /// Waiting until a file's content is on the disk.
    SyncFile,
    /// Putting a file in the place of another.
    Rename,
    /// Waiting until a directory's entries are on the disk.
    SyncDirectory,
    /// Locking a file.
    Lock,
}

impl FileStep {
    fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::CreateDirectory => "create directory",
            Self::Create => "create",
            Self::Write => "write",
            Self::SyncFile | Self::SyncDirectory => "sync",
            Self::Rename => "replace",
            Self::Lock => "lock",
        }
    }
}

/// An operation on a file that failed.
#[derive(Debug, thiserror::Error)]
#[error("can't {} {}", step.verb(), path.display())]
pub struct FileError {
    step: FileStep,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// What was tried.
    pub fn step(&self) -> FileStep {
        self.step
    }

    /// On which file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Makes operations on files fail, for tests.
#[cfg(feature = "failpoints")]
pub trait FailPoints: Send + Sync + std::fmt::Debug {
    /// Called before an operation. An error means that it is not done.
    ///
    /// # Errors
    ///
    /// Any; it is reported as the operation's own.
    fn before(&self, step: FileStep, path: &Path) -> io::Result<()>;

    /// Called when an operation has succeeded. An error means that it is reported as failed.
    ///
    /// # Errors
    ///
    /// Any; it is reported as the operation's own.
    fn after(&self, step: FileStep, path: &Path) -> io::Result<()>;
}

/// The door to the file system.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    #[cfg(feature = "failpoints")]
    pub(super) fail_points: Option<Arc<dyn FailPoints>>,
}

impl Files {
    #[cfg_attr(
        not(feature = "failpoints"),
        expect(clippy::unused_self, reason = "holds the fail points")
    )]
    pub(super) fn step<T>(
        &self,
        step: FileStep,
        path: &Path,
        run: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, FileError> {
        #[cfg(feature = "failpoints")]
        let run = || match &self.fail_points {
            Some(points) => {
                points.before(step, path)?;
                let done = run()?;
                points.after(step, path)?;
                Ok(done)
            }
            None => run(),
        };
        run().map_err(|source| FileError {
            step,
            path: path.to_owned(),
            source,
        })
    }

    /// A file's content, one byte more than [`MAX_BYTES`] at most; `None` when there is no file.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        let file = match self.step(FileStep::Open, path, || File::open(path)) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        self.step(FileStep::Read, path, || {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        })
    }

    /// Puts `text` in the place of what `directory/name` holds. When it returns, the new content is
    /// on the disk; after a crash before, it is the old one or the new one, never a part.
    pub(super) fn replace(
        &self,
        directory: &Path,
        name: &str,
        text: &str,
    ) -> Result<(), FileError> {
        // No name of a sequence begins with a dot, so this is nobody's file.
        let temporary = directory.join(format!(".{name}.new"));
        let path = directory.join(name);
        let mut file = self.step(FileStep::Create, &temporary, || File::create(&temporary))?;
        self.step(FileStep::Write, &temporary, || {
            file.write_all(text.as_bytes())
        })?;
        self.step(FileStep::SyncFile, &temporary, || file.sync_all())?;
        self.step(FileStep::Rename, &path, || fs::rename(&temporary, &path))?;
        self.sync_directory(directory)
    }

    /// Sees to it that the directories `below` exist in `directory`, one in the other, and that they
    /// are found there after a crash. Returns the last one.
    pub(super) fn anchor(&self, directory: &Path, below: &[&str]) -> Result<PathBuf, FileError> {
        let mut parent = directory.to_owned();
        for name in below {
            let child = parent.join(name);
            self.create_directory(&child)?;
            // One that was there may have been created right before a crash.
            self.sync_directory(&parent)?;
            parent = child;
        }
        Ok(parent)
    }

    pub(super) fn create_directory(&self, path: &Path) -> Result<(), FileError> {
        self.step(FileStep::CreateDirectory, path, || {
            match fs::create_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                    Ok(())
                }
                created => created,
            }
        })
    }

    pub(super) fn sync_directory(&self, path: &Path) -> Result<(), FileError> {
        self.step(FileStep::SyncDirectory, path, || {
            File::open(path)?.sync_all()
        })
    }
}
