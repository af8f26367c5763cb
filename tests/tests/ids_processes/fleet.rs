//! Processes that take ids, each killed again and again and replaced by another.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ledger::{ID_BYTES, Ledger};

/// How many tasks each has.
const TASKS: usize = 3;

/// How many processes there are over the time, at least.
const LIVES: u64 = 24;

/// No test waits longer for the next ids.
const PATIENCE: Duration = Duration::from_mins(2);

/// How many ids a test takes, at least.
fn target() -> u64 {
    match std::env::var_os("MDB_TEST_LONG") {
        Some(_) => 10_000_000,
        None => 2_000_000,
    }
}

/// A part of the whole, in eighths.
#[derive(Clone, Copy)]
pub(crate) struct Part(pub(crate) u64);

impl Part {
    pub(crate) const WHOLE: Self = Self(8);

    fn of(self, whole: u64) -> u64 {
        whole * self.0 / 8
    }
}

/// Processes that take ids of the sequence `user`.
pub(crate) struct Fleet {
    config: PathBuf,
    at_once: usize,
    logs: TempDir,
    lives: usize,
    running: Vec<Process>,
    /// What the processes wrote that have ended.
    bytes: u64,
}

struct Process {
    child: Child,
    directory: PathBuf,
}

impl Process {
    fn start(config: &Path, directory: PathBuf) -> Self {
        std::fs::create_dir(&directory).unwrap();
        let said = std::fs::File::create(directory.with_extension("err")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_id-worker"))
            .arg(config)
            .args(["user", &TASKS.to_string()])
            .arg(&directory)
            .env_remove("MDB_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    fn bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.directory).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.with_extension("err")).unwrap()
    }

    /// Kills it, which must not have ended by itself.
    fn kill(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("a process ended by itself with {status}: {}", self.said());
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Fleet {
    /// Starts so many processes.
    pub(crate) fn start(config: &Path, at_once: usize) -> Self {
        let mut fleet = Self {
            config: config.to_owned(),
            at_once,
            logs: mdb_tests::kit::temp_dir().unwrap(),
            lives: 0,
            running: Vec::new(),
            bytes: 0,
        };
        fleet.resume();
        fleet
    }

    /// How many ids were written down by now.
    fn taken(&self) -> u64 {
        let running: u64 = self.running.iter().map(Process::bytes).sum();
        (self.bytes + running) / ID_BYTES as u64
    }

    /// Kills one process after the other, each at a random point, and starts others in their places, until that part
    /// of the ids was taken by that part of the processes.
    pub(crate) fn run_to(&mut self, part: Part) {
        let step = target() / LIVES;
        while self.taken() < part.of(target()) || (self.lives as u64) < part.of(LIVES) {
            let place = fastrand::usize(..self.running.len());
            self.wait_for(self.taken() + fastrand::u64(..=2 * step));
            // Up to here it was between two writes of a log, as seen from outside; now it is anywhere.
            std::thread::sleep(Duration::from_micros(fastrand::u64(..5_000)));
            let killed = self.running.swap_remove(place);
            self.end(killed);
            self.resume();
        }
    }

    fn wait_for(&self, ids: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.taken() < ids {
            assert!(
                Instant::now() < deadline,
                "waited in vain for {ids} ids, there are {}; the processes say: {:?}",
                self.taken(),
                self.running.iter().map(Process::said).collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills all processes.
    pub(crate) fn pause(&mut self) {
        for process in std::mem::take(&mut self.running) {
            self.end(process);
        }
    }

    /// Starts as many processes as were killed.
    pub(crate) fn resume(&mut self) {
        while self.running.len() < self.at_once {
            self.lives += 1;
            let directory = self.logs.path().join(self.lives.to_string());
            self.running.push(Process::start(&self.config, directory));
        }
    }

    fn end(&mut self, mut process: Process) {
        process.kill();
        self.bytes += process.bytes();
    }

    /// Kills all processes, and reads what all that there ever were wrote down.
    ///
    /// # Panics
    ///
    /// When an id is there twice, or a task's ids don't ascend.
    pub(crate) fn end_all(mut self) -> Ledger {
        self.pause();
        let mut ledger = Ledger::default();
        for life in 1..=self.lives {
            for task in 0..TASKS {
                let path = self.logs.path().join(format!("{life}/{task}"));
                // One that was killed early has not got that far.
                if path.exists() {
                    ledger.add_file(&path);
                }
            }
        }
        assert!(ledger.count() >= target(), "{} ids", ledger.count());
        ledger
    }
}
