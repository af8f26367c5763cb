//! One location: who it says it is, that nobody else counts there, and the files of its counts.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::error::LocationError;
use super::files::{FileStep, Files};
use super::record::{
    CounterKey, Identity, IdentityState, RecordError, SetId, authority_list, counter_text,
    read_counter,
};
use crate::authority::{AuthorityId, Ledger};

/// The file that says which location this is.
pub(super) const IDENTITY: &str = "location";
/// The file that is locked while a process counts here.
pub(super) const LOCK: &str = "lock";

/// A directory in which authorities count, one file a sequence.
#[derive(Debug)]
pub(super) struct Location {
    path: PathBuf,
    /// Its place among the configured ones, from 1.
    number: usize,
    of: usize,
    authorities: Vec<AuthorityId>,
    files: Files,
    /// The set of all locations, known from the first that was attached.
    set: Arc<OnceLock<SetId>>,
    lock: Mutex<Option<File>>,
}

impl Location {
    /// The locations at `paths` for `authorities`, none of them touched yet.
    pub(super) fn all(paths: &[PathBuf], authorities: &[AuthorityId], files: &Files) -> Vec<Self> {
        let mut authorities = authorities.to_vec();
        authorities.sort_unstable();
        let set = Arc::new(OnceLock::new());
        let location = |(path, number): (&PathBuf, usize)| Self {
            path: path.clone(),
            number,
            of: paths.len(),
            authorities: authorities.clone(),
            files: files.clone(),
            set: Arc::clone(&set),
            lock: Mutex::new(None),
        };
        paths.iter().zip(1..).map(location).collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// The identity that it should have.
    pub(super) fn identity(&self, set: SetId, state: IdentityState) -> Identity {
        Identity {
            set,
            number: self.number,
            of: self.of,
            authorities: self.authorities.clone(),
            state,
        }
    }

    /// Who it says it is; `None` when it says nothing.
    pub(super) fn read_identity(&self) -> Result<Option<Identity>, LocationError> {
        let Some(bytes) = self.files.read(&self.path.join(IDENTITY))? else {
            return Ok(None);
        };
        let identity = Identity::read(&bytes).map_err(|source| LocationError::Identity {
            path: self.path.clone(),
            source,
        })?;
        self.check(&identity)?;
        Ok(Some(identity))
    }

    fn check(&self, identity: &Identity) -> Result<(), LocationError> {
        let path = self.path.clone();
        if identity.of != self.of {
            return Err(LocationError::OtherCount {
                path,
                found: identity.of,
                configured: self.of,
            });
        }
        if identity.authorities != self.authorities {
            return Err(LocationError::OtherAuthorities {
                path,
                found: authority_list(&identity.authorities),
                configured: authority_list(&self.authorities),
            });
        }
        if identity.number != self.number {
            return Err(LocationError::OtherNumber {
                path,
                found: identity.number,
                configured: self.number,
            });
        }
        Ok(())
    }

    /// Makes sure that this is the location that it should be, and that it is locked.
    ///
    /// It is asked before each use: a disk can be unmounted, and another one be mounted in its place.
    pub(super) fn attach(&self) -> Result<Identity, LocationError> {
        let identity = self.read_identity()?;
        let identity = identity.ok_or_else(|| LocationError::NotInitialised {
            path: self.path.clone(),
        })?;
        let set = *self.set.get_or_init(|| identity.set);
        if identity.set != set {
            return Err(LocationError::OtherSet {
                path: self.path.clone(),
                found: identity.set.to_string(),
                expected: set.to_string(),
            });
        }
        self.lock()?;
        Ok(identity)
    }

    /// Locks the location for this process, unless it is locked already.
    pub(super) fn lock(&self) -> Result<(), LocationError> {
        let path = self.path.join(LOCK);
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*held
            && self
                .files
                .step(FileStep::Lock, &path, || is_at(file, &path))?
        {
            return Ok(());
        }
        let locked = self
            .files
            .step(FileStep::Lock, &path, || take_lock(&path))?;
        match locked {
            Ok(file) => {
                *held = Some(file);
                Ok(())
            }
            Err(holder) => Err(LocationError::InUse {
                path: self.path.clone(),
                holder,
            }),
        }
    }

    /// The count that it holds; `None` when it holds none of this sequence.
    pub(super) fn read(&self, key: &CounterKey) -> Result<Option<Ledger>, LocationError> {
        let set = self.attach()?.set;
        let path = self.counter(key);
        let Some(bytes) = self.files.read(&path)? else {
            // No file is an answer only while the disk is there, and one that has been there all the time.
            return match self.attach()?.state {
                IdentityState::Ready => Ok(None),
                IdentityState::New => Err(LocationError::Damaged {
                    path,
                    source: RecordError::Missing,
                }),
            };
        };
        match read_counter(set, key, &bytes) {
            Ok(ledger) => Ok(Some(ledger)),
            Err(source) => Err(LocationError::Damaged { path, source }),
        }
    }

    /// Makes `ledger` its count, durably. `anchored`: the directories of the file were made durable
    /// by this process before.
    pub(super) fn write(
        &self,
        key: &CounterKey,
        ledger: &Ledger,
        anchored: bool,
    ) -> Result<(), LocationError> {
        let set = *self
            .set
            .get()
            .ok_or_else(|| LocationError::NotInitialised {
                path: self.path.clone(),
            })?;
        let directory = if anchored {
            self.directory(key)
        } else {
            let digit = authority_digit(key.authority);
            self.files
                .anchor(&self.path, &[&digit, key.scope.as_str()])?
        };
        let text = counter_text(set, key, ledger);
        Ok(self
            .files
            .replace(&directory, key.sequence.as_str(), &text)?)
    }

    fn directory(&self, key: &CounterKey) -> PathBuf {
        let digit = authority_digit(key.authority);
        self.path.join(digit).join(key.scope.as_str())
    }

    fn counter(&self, key: &CounterKey) -> PathBuf {
        self.directory(key).join(key.sequence.as_str())
    }

    /// All counts of which it has a file.
    pub(super) fn keys(&self) -> Result<Vec<CounterKey>, LocationError> {
        let mut keys = Vec::new();
        for authority in &self.authorities {
            let directory = self.path.join(authority_digit(*authority));
            for scope in self.names(&directory)? {
                let sequences = self.names(&directory.join(&scope))?;
                // What is no name is no file of ours: a temporary one begins with a dot.
                let Ok(scope) = scope.parse() else { continue };
                keys.extend(sequences.iter().filter_map(|name| {
                    Some(CounterKey {
                        authority: *authority,
                        scope: crate::names::ScopeName::clone(&scope),
                        sequence: name.parse().ok()?,
                    })
                }));
            }
        }
        Ok(keys)
    }

    /// The names in a directory; none when it does not exist.
    pub(super) fn names(&self, directory: &Path) -> Result<Vec<String>, LocationError> {
        let listed = self.files.step(FileStep::Read, directory, || {
            let entries = match fs::read_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect()
        });
        Ok(listed?)
    }
}

/// The directory of an authority: its number as one hexadecimal digit.
fn authority_digit(authority: AuthorityId) -> String {
    format!("{:x}", authority.get())
}

/// Locks the file and writes this process into it; the inner error is who holds it.
fn take_lock(path: &Path) -> io::Result<Result<File, String>> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is helps, but the error does not depend on it.
            let _ = file.take(100).read_to_string(&mut holder);
            let holder = holder.trim();
            let unknown = || "another process".to_owned();
            return Ok(Err(if holder.is_empty() {
                unknown()
            } else {
                holder.to_owned()
            }));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", std::process::id())?;
    Ok(Ok(file))
}

/// Whether `path` is still the file that is held open: it isn't after another disk was mounted there.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
