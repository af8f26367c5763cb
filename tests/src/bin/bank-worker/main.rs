//! A process of a bank's test: it uses the bank, or moves its briefcases.
//!
//! `bank-worker ROLE ENGINE CONFIG CUSTOMERS [ARGUMENT…]`:
//!
//! - `service [outages]`: transfers and reads whole balances through MDB. With `outages`, servers may fail meanwhile;
//!   otherwise it ends with a failure when anything fails.
//! - `writer URL URL`: transfers by plain SQL on the two shards, knowing nothing of MDB.
//! - `move SHARD`, `resume MOVE`, `abort MOVE`: does that once, and prints `done` or `failed: …`. With the variable
//!   `BANK_HALT` set to `before N` or `after N` it waits at the step of that number: it prints `halted`, and goes on when
//!   a line comes in.
//! - `shuttle`: brings moves of these customers to an end that somebody has left, then moves all back and forth, and
//!   prints `trip` for each time that they have arrived.
//!
//! All end when their standard input does: services and writers after the transfer under way, `shuttle` after the
//! trip, the others at once. `BANK_LEDGER` names the file of the process' ledger, `BANK_NUMBER` its number.

mod mover;
mod service;
mod words;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;

use mdb_core::Gdid;
use mdb_tests::bank::LedgerWriter;
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres, Sqlite};

use words::Words;

/// What the process was started with.
struct Task {
    role: String,
    config: PathBuf,
    users: Vec<Gdid>,
    more: Vec<String>,
    words: Words,
}

impl Task {
    fn ledger() -> LedgerWriter {
        let variable = |name| std::env::var(name).expect("a ledger and a number");
        let number = variable("BANK_NUMBER").parse().expect("a number");
        let path = PathBuf::from(variable("BANK_LEDGER"));
        LedgerWriter::create(&path, number).expect("a new file")
    }

    fn argument(&self, place: usize) -> &str {
        self.more.get(place).map_or("", String::as_str)
    }

    async fn run<DB: TestEngine>(self) -> Result<(), String> {
        match self.role.as_str() {
            "service" => service::run::<DB>(self).await,
            "writer" => writer::run::<DB>(self).await,
            "move" | "resume" | "abort" => mover::once::<DB>(self).await,
            "shuttle" => mover::shuttle::<DB>(self).await,
            role => Err(format!("no role is called {role}")),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().expect("ROLE ENGINE CONFIG CUSTOMERS");
    let (role, engine, config, users) = (argument(), argument(), argument(), argument());
    let users = users.split(',').map(|id| id.parse().expect("an id"));
    let task = Task {
        role,
        config: config.into(),
        users: users.collect(),
        more: arguments.collect(),
        words: Words::listen(),
    };
    let end = match engine.as_str() {
        "SQLite" => Box::pin(task.run::<Sqlite>()).await,
        "PostgreSQL" => Box::pin(task.run::<Postgres>()).await,
        _ => Box::pin(task.run::<MySql>()).await,
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
