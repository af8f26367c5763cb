//! A client that knows nothing of MDB: it transfers by plain SQL, on whichever shard takes it.

use std::time::Duration;

use mdb_core::Gdid;
use mdb_core::error::chain;
use mdb_tests::bank::{ACCOUNTS, Known, transfer_statements};
use mdb_tests::store::TestEngine;
use sqlx::{Connection as _, Database};

use crate::Task;

/// Between two transfers.
const REST: Duration = Duration::from_millis(15);

pub(crate) async fn run<DB: TestEngine>(task: Task) -> Result<(), String> {
    let connect = async |place| {
        let connection = <DB as Database>::Connection::connect(task.argument(place)).await;
        connection.map_err(|error| chain(&error))
    };
    let mut connections = [connect(0).await?, connect(1).await?];
    let mut ledger = Task::ledger();
    println!("writing");
    let mut shard = 0;
    while !task.words.is_over() {
        let user = task.users[fastrand::usize(..task.users.len())];
        let transfer = ledger.transfer();
        let known = transfer_on::<DB>(&mut connections[shard], user, transfer).await?;
        let noted = ledger.note(known, user, transfer);
        noted.map_err(|error| error.to_string())?;
        if known != Known::Acknowledged {
            shard = 1 - shard;
        }
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

/// Any refusal will do: there is no such customer here, a trigger does not let it pass, others were first.
async fn transfer_on<DB: TestEngine>(
    connection: &mut <DB as Database>::Connection,
    user: Gdid,
    transfer: Gdid,
) -> Result<Known, String> {
    let accounts = [fastrand::u64(..ACCOUNTS), fastrand::u64(..ACCOUNTS)];
    let statements = transfer_statements::<DB>(user, transfer, accounts, fastrand::i64(1..50));
    let failed = |error: sqlx::Error| chain(&error);
    let mut transaction = match connection.begin().await {
        Ok(transaction) => transaction,
        Err(sqlx::Error::Database(_)) => return Ok(Known::Refused),
        Err(error) => return Err(failed(error)),
    };
    for statement in &statements {
        match DB::execute_on(&mut transaction, statement).await {
            Ok(1..) => {}
            Ok(0) | Err(sqlx::Error::Database(_)) => {
                transaction.rollback().await.map_err(failed)?;
                return Ok(Known::Refused);
            }
            Err(error) => return Err(failed(error)),
        }
    }
    match transaction.commit().await {
        Ok(()) => Ok(Known::Acknowledged),
        Err(sqlx::Error::Database(_)) => Ok(Known::Refused),
        Err(error) => Err(failed(error)),
    }
}
