//! Whether SQLite has ended a transaction by itself, as it does when the disk is full:
//! <https://sqlite.org/lang_transaction.html>.

use rusqlite::ffi;
use sqlx::sqlite::SqliteConnection;

/// Whether a transaction is open, whatever the driver counts.
pub(super) async fn is_in_transaction(
    connection: &mut SqliteConnection,
) -> Result<bool, sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    let handle = handle.as_raw_handle().as_ptr();
    // SAFETY: the connection is open and nobody else's meanwhile.
    #[expect(
        unsafe_code,
        reason = "neither crate tells it of a connection of sqlx's"
    )]
    let autocommit = unsafe { ffi::sqlite3_get_autocommit(handle) };
    Ok(autocommit == 0)
}
