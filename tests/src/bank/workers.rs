//! Processes that use the bank, or move its briefcases: started, listened to, let go on, killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mdb_core::Gdid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{Bank, Ledger};
use crate::kit::temp_dir;
use crate::store::TestEngine;

/// No test waits longer for a word, or the end, of a process.
const PATIENCE: Duration = Duration::from_mins(3);

/// Starts processes, and keeps their ledgers.
#[derive(Debug)]
pub struct Workers {
    program: PathBuf,
    engine: &'static str,
    config: PathBuf,
    files: TempDir,
    started: u32,
}

impl Workers {
    /// Processes of that program for the bank.
    ///
    /// # Panics
    ///
    /// When there is no room for their files.
    pub fn new<DB: TestEngine>(bank: &Bank<DB>, program: &str) -> Self {
        Self {
            program: program.into(),
            engine: DB::NAME,
            config: bank.config(),
            files: temp_dir().expect("there is room for a directory"),
            started: 0,
        }
    }

    /// A command for a process of that role, for these customers.
    pub fn command(&mut self, role: &str, users: &[Gdid]) -> Command {
        // Number 1 is the bank itself.
        self.started += 1;
        let users: Vec<String> = users.iter().map(Gdid::to_string).collect();
        let mut command = Command::new(&self.program);
        command
            .args([role, self.engine])
            .arg(&self.config)
            .arg(users.join(","))
            .env("BANK_NUMBER", (self.started + 1).to_string())
            .env("BANK_LEDGER", self.file("ledger"))
            .env_remove("MDB_CONFIG");
        command
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.files.path().join(format!("{}.{ending}", self.started))
    }

    /// Starts the command that was made last.
    ///
    /// # Panics
    ///
    /// When the process can't be started.
    pub fn start(&self, mut command: Command) -> Worker {
        let said = self.file("err");
        let errors = File::create(&said).expect("a new file");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .expect("the program is built");
        let out = child.stdout.take().expect("it is piped");
        Worker {
            to: child.stdin.take(),
            lines: BufReader::new(out).lines(),
            child,
            said,
        }
    }

    /// What all processes have written down until now.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for number in 1..=self.started {
            ledger.append(self.ledger_of(number));
        }
        ledger
    }

    /// What the process of that number, counted from 1, has written down until now.
    pub fn ledger_of(&self, number: u32) -> Ledger {
        Ledger::read(&self.files.path().join(format!("{number}.ledger")))
    }
}

/// A process. It is killed when this is dropped, and ends by itself when the test's process does.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    to: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    said: PathBuf,
}

impl Worker {
    /// The next line that it prints; none when it has closed its output.
    ///
    /// # Panics
    ///
    /// When there is none for minutes.
    pub async fn line(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("a process is silent; {}", said(&self.said)));
        line.expect("a pipe can be read")
    }

    /// Sends it an empty line: go on.
    pub async fn go_on(&mut self) {
        if let Some(to) = &mut self.to {
            // One that has ended needs no word.
            let _gone = to.write_all(b"\n").await;
        }
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it can't be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Whether it still runs.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    pub fn runs(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be asked for")
            .is_none()
    }

    /// Asks it to end, waits for that, and says how it ended and what it said.
    ///
    /// # Panics
    ///
    /// When it goes on for minutes.
    pub async fn end(mut self) -> (ExitStatus, String) {
        drop(self.to.take());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let ended =
            ended.unwrap_or_else(|_| panic!("a process does not end; {}", said(&self.said)));
        (ended.expect("a child can be waited for"), said(&self.said))
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Panics
    ///
    /// When it reports a failure, or goes on for minutes.
    pub async fn finish(self) {
        let (status, said) = self.end().await;
        assert!(status.success(), "a process ended with {status}; {said}");
    }

    /// What it has said on standard error.
    pub fn said(&self) -> String {
        said(&self.said)
    }
}

fn said(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    format!("it said: {text:?}")
}
