//! A service: it transfers and reads through MDB.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::{Gdid, Mdb, TransactError, is_transient};
use mdb_tests::bank::{Known, LedgerWriter, SUM, Teller};
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

use crate::{Task, Words};

/// How many customers it serves at the same time.
const AT_ONCE: usize = 2;

/// Between two customers; as fast as it can would leave a mover something to catch up with for ever.
const REST: Duration = Duration::from_millis(15);

struct Service<DB: TestEngine> {
    teller: Teller<DB>,
    ledger: Mutex<LedgerWriter>,
    users: Vec<Gdid>,
    words: Words,
    outages: bool,
}

pub(crate) async fn run<DB: TestEngine>(task: Task) -> Result<(), String> {
    let mdb = Mdb::open(&task.config).await;
    let mdb = mdb.map_err(|error| chain(&error))?;
    mdb.join().await;
    let service = Arc::new(Service {
        teller: Teller::<DB>::new(&mdb),
        ledger: Mutex::new(Task::ledger()),
        outages: task.argument(0) == "outages",
        users: task.users,
        words: task.words,
    });
    println!("serving");
    let mut serving = JoinSet::new();
    for _ in 0..AT_ONCE {
        serving.spawn(Arc::clone(&service).serve());
    }
    while let Some(end) = serving.join_next().await {
        end.map_err(|error| error.to_string())??;
    }
    mdb.leave().await;
    Ok(())
}

impl<DB: TestEngine> Service<DB> {
    async fn serve(self: Arc<Self>) -> Result<(), String> {
        while !self.words.is_over() {
            let user = self.users[fastrand::usize(..self.users.len())];
            let transfer = self.ledger().transfer();
            let known = self.transfer(user, transfer).await?;
            let noted = self.ledger().note(known, user, transfer);
            noted.map_err(|error| error.to_string())?;
            self.look(user, (known == Known::Acknowledged).then_some(transfer))
                .await?;
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, LedgerWriter> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn transfer(&self, user: Gdid, transfer: Gdid) -> Result<Known, String> {
        match self.teller.transfer(user, transfer).await {
            Ok(()) => Ok(Known::Acknowledged),
            Err(TransactError::OutcomeUnknown { .. }) if self.outages => Ok(Known::Unknown),
            Err(TransactError::Database(error)) if self.outages && is_transient::<DB>(&error) => {
                Ok(Known::Refused)
            }
            Err(error) => Err(format!("transfer of {user}: {}", chain(&error))),
        }
    }

    /// Reads the whole balance, and what was just acknowledged.
    async fn look(&self, user: Gdid, transfer: Option<Gdid>) -> Result<(), String> {
        if let Some(sum) = self.read(user, self.teller.sum(user).await)?
            && sum != SUM
        {
            return Err(format!("{user} has {sum} together"));
        }
        if let Some(transfer) = transfer
            && let Some(count) = self.read(user, self.teller.has(user, transfer).await)?
            && count != 1
        {
            return Err(format!("{user} had transfer {transfer} and has {count}"));
        }
        Ok(())
    }

    /// What was read; nothing when a server fails that may.
    fn read(&self, user: Gdid, answer: Result<i64, sqlx::Error>) -> Result<Option<i64>, String> {
        match answer {
            Ok(number) => Ok(Some(number)),
            Err(error) if self.outages && is_transient::<DB>(&error) => Ok(None),
            Err(error) => Err(format!("reading {user}: {}", chain(&error))),
        }
    }
}
