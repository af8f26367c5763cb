//! A process that takes ids and writes each of them down until it is killed.
//!
//! `id-worker CONFIG SEQUENCE TASKS DIRECTORY`: several tasks share the sequence. Each takes ids in a way of its own
//! and appends them, 12 bytes each, to a file of its own below the directory. Failures that may pass are tried again;
//! any other ends the process, which says why on standard error.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::{Gdid, Mdb, SequenceError, StoreSequence};
use mdb_gdid::GeneratorHandle;
use tokio::task::JoinSet;

/// How many ids are written at once: what a kill takes away unseen is at most that many for each task.
const AT_ONCE: usize = 64;

/// After so many failures in a row it says which it is, for a test that waits in vain.
const MANY_FAILURES: u32 = 1000;

/// How an id is written down.
const ID_BYTES: usize = 12;

/// The ids of one task, written down.
struct Log {
    file: File,
    buffer: Vec<u8>,
}

impl Log {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::create_new(path)?,
            buffer: Vec::with_capacity(AT_ONCE * ID_BYTES),
        })
    }

    fn add(&mut self, id: Gdid) -> io::Result<()> {
        self.buffer.extend_from_slice(&id.to_bytes());
        if self.buffer.len() >= AT_ONCE * ID_BYTES {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// The ways of taking ids; each task has one.
enum Way {
    /// One after another, from what all tasks share.
    Shared,
    /// Many at once, over the ends of blocks.
    Many,
    /// One after another, each task from its own part.
    Handle(GeneratorHandle),
}

impl Way {
    fn of(number: usize, sequence: &StoreSequence) -> Result<Self, SequenceError> {
        Ok(match number % 3 {
            0 => Self::Shared,
            1 => Self::Many,
            _ => Self::Handle(sequence.handle()?),
        })
    }

    async fn take(&mut self, sequence: &StoreSequence, log: &mut Log) -> Result<(), Ended> {
        match self {
            Self::Shared => {
                let id = match sequence.try_next() {
                    Some(id) => id,
                    None => sequence.next().await?,
                };
                log.add(id)?;
            }
            Self::Many => {
                for id in sequence.take(AT_ONCE * 3 + 1).await? {
                    log.add(id)?;
                }
            }
            Self::Handle(handle) => {
                let id = match handle.try_next() {
                    Some(id) => id,
                    None => handle.next().await.map_err(SequenceError::from)?,
                };
                log.add(id)?;
            }
        }
        Ok(())
    }
}

enum Ended {
    Sequence(SequenceError),
    Log(io::Error),
}

impl From<SequenceError> for Ended {
    fn from(error: SequenceError) -> Self {
        Self::Sequence(error)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Log(error)
    }
}

/// Goes on until a failure that does not pass by itself.
async fn take(sequence: StoreSequence, number: usize, mut log: Log) -> String {
    let mut way = match Way::of(number, &sequence) {
        Ok(way) => way,
        Err(error) => return chain(&error),
    };
    let mut failures = 0;
    loop {
        match way.take(&sequence, &mut log).await {
            Ok(()) => failures = 0,
            Err(Ended::Sequence(error)) if error.is_transient() => {
                failures += 1;
                if failures == MANY_FAILURES {
                    eprintln!("still trying: {}", chain(&error));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(Ended::Sequence(error)) => return chain(&error),
            Err(Ended::Log(error)) => return error.to_string(),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let mut argument = || arguments.next().expect("CONFIG SEQUENCE TASKS DIRECTORY");
    let config = PathBuf::from(argument());
    let sequence = argument().into_string().expect("a name");
    let count: usize = argument()
        .to_str()
        .and_then(|count| count.parse().ok())
        .expect("a number of tasks");
    let directory = PathBuf::from(argument());

    let mdb = match Mdb::open(&config).await {
        Ok(mdb) => mdb,
        Err(error) => {
            eprintln!("{}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let log = Log::create(&directory.join(number.to_string())).expect("a new file");
        tasks.spawn(take(mdb.sequence(&sequence), number, log));
    }
    if let Some(ended) = tasks.join_next().await {
        eprintln!("{}", ended.expect("taking ids does not panic"));
    }
    ExitCode::FAILURE
}
