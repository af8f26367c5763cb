//! `mdb quickstart`: a store with users on SQLite files, from nothing.

mod people;
mod tour;

use std::path::{Path, PathBuf};

use mdb_core::central::BriefcaseFound;
use mdb_core::{Area, InitOutcome, Mdb, ScatterOptions};
use sqlx::{Executor, Sqlite};

use crate::args::{Arguments, QuickstartArguments};
use crate::failure::Failure;
use crate::output;
use crate::store;

const CONFIGURATION: &str = include_str!("../../../config/quickstart.toml");

/// The tables of a user's briefcase, parents first.
const SCHEMA: [&str; 5] = [
    "CREATE TABLE IF NOT EXISTS account (
        g_user BLOB NOT NULL PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS address (
        g_user BLOB NOT NULL REFERENCES account, kind TEXT NOT NULL, street TEXT NOT NULL, city TEXT NOT NULL,
        PRIMARY KEY (g_user, kind)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS orders (
        g_order BLOB NOT NULL PRIMARY KEY, g_user BLOB NOT NULL REFERENCES account, placed TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS line_item (
        g_order BLOB NOT NULL REFERENCES orders, line_no INTEGER NOT NULL, product TEXT NOT NULL,
        quantity INTEGER NOT NULL, cents INTEGER NOT NULL, PRIMARY KEY (g_order, line_no)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS balance (
        g_user BLOB NOT NULL PRIMARY KEY REFERENCES account, cents INTEGER NOT NULL) WITHOUT ROWID",
];

pub(crate) async fn run(
    arguments: &Arguments,
    quickstart: &QuickstartArguments,
) -> Result<(), Failure> {
    let path = lay_configuration(&quickstart.dir)?;
    let mdb = Mdb::open(&path).await?;
    let _ = arguments.opened.set(mdb.clone());
    let mut created = 0;
    for shard in store::shard_ids(mdb.topology()) {
        if mdb.init_shard(shard).await?.outcome() != InitOutcome::Unchanged {
            created += 1;
        }
    }
    let users = mdb.area::<Sqlite>("user")?;
    create_tables(&users).await?;
    settle_interrupted(&mdb, &users).await?;
    let added = people::add(&mdb, &users, quickstart.users).await?;
    tour::show(
        arguments,
        &mdb,
        &users,
        &tour::Done {
            path,
            created,
            added,
        },
    )
    .await
}

/// Puts the configuration into the directory, unless there is one.
fn lay_configuration(directory: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| {
        Failure::Failed(format!(
            "can't set up directory `{}`: {error}; name another one with --dir",
            directory.display()
        ))
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let path = directory.join("mdb.toml");
    if !path.exists() {
        // Written beside and renamed, so that an interrupted run leaves no half of it.
        let unfinished = directory.join(".mdb.toml.unfinished");
        std::fs::write(&unfinished, CONFIGURATION).map_err(failed)?;
        std::fs::rename(&unfinished, &path).map_err(failed)?;
    }
    Ok(path)
}

async fn create_tables(users: &Area<Sqlite>) -> Result<(), Failure> {
    let created = users
        .each_shard(ScatterOptions::new(), |shard| async move {
            for table in SCHEMA {
                (&shard).execute(table).await?;
            }
            Ok::<_, sqlx::Error>(())
        })
        .report()
        .await;
    match created.failed().first() {
        None => Ok(()),
        Some((shard, error)) => Err(Failure::Failed(format!(
            "can't create tables on {shard}: {}",
            mdb_core::error::chain(error)
        ))),
    }
}

/// Confirms or releases the claims that an interrupted run has left: the user's own shard knows.
async fn settle_interrupted(mdb: &Mdb, users: &Area<Sqlite>) -> Result<(), Failure> {
    let emails = mdb.central().index("user_email");
    for left in emails.unfinished(std::time::Duration::ZERO).await? {
        let account = sqlx::query("SELECT 1 FROM account WHERE g_user = ?")
            .bind(left.id())
            .fetch_optional(&users.briefcase(left.id())?)
            .await?;
        let briefcase = if account.is_some() {
            BriefcaseFound::Yes
        } else {
            BriefcaseFound::No
        };
        emails.settle(&left, briefcase).await?;
        output::note(&format!(
            "settled {}, which an interrupted run had left",
            left.key()
        ));
    }
    Ok(())
}
