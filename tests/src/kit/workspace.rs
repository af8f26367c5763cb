//! The directory in which one process keeps its servers, and the janitor that clears it afterwards.
//!
//! Rust drops no statics, and a killed process drops nothing. So a small shell, the *janitor*, waits for the process
//! to end, in whatever way: it reads from a pipe whose other end only this process holds. Then it kills what may be
//! left of the servers (one that was stalled does not react to anything else) and removes each server's directory,
//! unless it is marked as evidence.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::KitError;
use super::engine::Product;
use super::template::open_to_all;

/// The file that marks a server's directory as evidence.
pub(super) const EVIDENCE: &str = "evidence";

const JANITOR: &str = include_str!("janitor.sh");

/// The process's directory and the janitor that waits for the process's end.
struct Workspace {
    path: PathBuf,
    /// Holds the write end of the janitor's pipe; never dropped, as it is in a static.
    _janitor: Child,
}

/// A new, empty directory for one server of this process.
pub(super) fn server_directory(product: Product) -> Result<PathBuf, KitError> {
    static WORKSPACE: Mutex<Option<Workspace>> = Mutex::new(None);
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let mut workspace = WORKSPACE.lock().unwrap_or_else(PoisonError::into_inner);
    let parent = match workspace.as_ref() {
        Some(workspace) => workspace.path.clone(),
        None => workspace.insert(Workspace::open()?).path.clone(),
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = parent.join(format!("{}-{number}", product.label()));
    fs::create_dir(&path).map_err(KitError::file("create", &path))?;
    open_to_all(&path)?;
    Ok(path)
}

impl Workspace {
    fn open() -> Result<Self, KitError> {
        let parent = std::env::temp_dir();
        // Processes are found by their working directory, which the kernel reports without symbolic links.
        let parent = parent
            .canonicalize()
            .map_err(KitError::file("resolve", &parent))?;
        let directory = tempfile::Builder::new()
            .prefix(&format!("mdb-tests-{}-", std::process::id()))
            .tempdir_in(&parent)
            .map_err(KitError::file("create a directory in", &parent))?;
        open_to_all(directory.path())?;
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // Ctrl-C is for the tests; the janitor has its work after them.
            .process_group(0)
            .spawn()
            .map_err(|source| KitError::Run {
                program: "sh".to_owned(),
                source,
            })?;
        Ok(Self {
            path: directory.keep(),
            _janitor: janitor,
        })
    }
}

/// The System V shared memory that a killed `PostgreSQL` left, as its lock file names it.
///
/// Nobody else removes it, and there is room for a few thousand of them per machine.
pub(super) fn remove_shared_memory(data: &Path) {
    let Ok(lock) = fs::read_to_string(data.join("postmaster.pid")) else {
        return;
    };
    let segment = lock
        .lines()
        .nth(6)
        .and_then(|line| line.split_whitespace().nth(1));
    if let Some(segment) = segment {
        let _gone = Command::new("ipcrm")
            .args(["-m", segment])
            .stderr(Stdio::null())
            .status();
    }
}

/// A temporary directory for a test's own files (`SQLite` databases, configurations); removed when dropped.
///
/// # Errors
///
/// When the directory cannot be created.
pub fn temp_dir() -> io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("mdb-tests-files-")
        .tempdir()
}
