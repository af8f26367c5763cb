//! What MySQL's and MariaDB's error numbers mean.

use super::super::ErrorClass;

/// The server's number of an error: <https://mariadb.com/kb/en/mariadb-error-codes/>.
pub(super) fn number_of(error: &sqlx::Error) -> Option<u16> {
    let sqlx::Error::Database(error) = error else {
        return None;
    };
    let error = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
    Some(error.number())
}

/// See [`Engine::error_class`](super::super::Engine::error_class).
pub(super) fn class_of(error: &sqlx::Error) -> ErrorClass {
    if let Some(class) = ErrorClass::of_driver(error) {
        return class;
    }
    let sqlx::Error::Database(database) = error else {
        return ErrorClass::Other;
    };
    let Some(mysql) = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() else {
        return ErrorClass::Other;
    };
    // https://mariadb.com/kb/en/mariadb-error-codes/
    match mysql.number() {
        1062 => ErrorClass::UniqueViolation,
        // The last one: definitions changed while the statement was prepared anew, again and again.
        1205 | 1213 | 1020 | 1615 => ErrorClass::Conflict,
        1317 | 1969 | 3024 => ErrorClass::Cancelled,
        1053 | 1152 | 1927 | 4031 => ErrorClass::LostConnection,
        1040 | 1203 => ErrorClass::Unavailable,
        1054 => ErrorClass::MissingColumn,
        1146 => ErrorClass::MissingTable,
        1049 => ErrorClass::MissingDatabase,
        1044 => ErrorClass::HiddenDatabase,
        1045 | 1142 | 1227 => ErrorClass::NoPermission,
        1290 | 1792 | 1836 => ErrorClass::ReadOnly,
        // MDB's own triggers signal with that state.
        1644 if mysql.code() == Some("45M01") => ErrorClass::Fenced,
        _ => ErrorClass::Other,
    }
}
