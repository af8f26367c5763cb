//! How a column's texts are compared, which no pragma tells.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

use rusqlite::ffi;
use sqlx::sqlite::SqliteConnection;

/// The collation that compares bytes.
pub(super) const BINARY: &str = "BINARY";

/// The collation of each of the columns, which are pairs of a table's name and theirs.
pub(super) async fn collations(
    connection: &mut SqliteConnection,
    columns: &[(&str, &str)],
) -> Result<Vec<String>, sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    let handle = handle.as_raw_handle().as_ptr();
    let collations = columns.iter().map(|(table, column)| {
        let unknown = || sqlx::Error::ColumnNotFound(format!("{table}.{column}"));
        let names = (CString::new(*table), CString::new(*column));
        let (Ok(table), Ok(column)) = names else {
            return Err(unknown());
        };
        let mut collation: *const c_char = null();
        // SAFETY: the connection is open and nobody else's meanwhile; the names live as long as the call, and what is not asked
        // for may be null: https://sqlite.org/c3ref/table_column_metadata.html. What it points to holds until the next call.
        #[expect(
            unsafe_code,
            reason = "neither crate tells it of a connection of sqlx's"
        )]
        let name = unsafe {
            let code = ffi::sqlite3_table_column_metadata(
                handle,
                c"main".as_ptr(),
                table.as_ptr(),
                column.as_ptr(),
                null_mut(),
                &raw mut collation,
                null_mut(),
                null_mut(),
                null_mut(),
            );
            (code == ffi::SQLITE_OK && !collation.is_null()).then(|| CStr::from_ptr(collation))
        };
        let name = name.ok_or_else(unknown)?;
        // In any case they are the same to SQLite.
        Ok(name.to_string_lossy().to_ascii_uppercase())
    });
    collations.collect()
}
