//! What SQLite offers and sqlx doesn't.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use sqlx::sqlite::SqliteConnection;

/// Whether a connection's writes fire triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Triggers {
    Fire,
    Rest,
}

/// Has `work` done with the connection itself, while nobody else uses it.
pub(super) async fn with_handle<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    // SAFETY: the handle is that of an open connection of the one SQLite that both crates link, and
    // `handle` keeps it open and everybody else from using it until `borrowed` is gone, which does not
    // close what it does not own. (With its feature `hooks` it would remove sqlx's progress handler.)
    #[expect(unsafe_code, reason = "sqlx hands out no other way to it")]
    let borrowed = unsafe { Connection::from_handle(handle.as_raw_handle().as_ptr()) };
    borrowed
        .and_then(|borrowed| work(&borrowed))
        .map_err(|error| sqlx::Error::AnyDriverError(Box::new(error)))
}

/// Sets that, and says what it was before.
pub(super) async fn set_triggers(
    connection: &mut SqliteConnection,
    triggers: Triggers,
) -> Result<Triggers, sqlx::Error> {
    const OPTION: DbConfig = DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
    with_handle(connection, |handle| {
        let found = if handle.db_config(OPTION)? {
            Triggers::Fire
        } else {
            Triggers::Rest
        };
        if found != triggers {
            handle.set_db_config(OPTION, triggers == Triggers::Fire)?;
        }
        Ok(found)
    })
    .await
}
