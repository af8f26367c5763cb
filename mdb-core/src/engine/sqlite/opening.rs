//! Opening a file, and telling why it can't be opened.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Sqlite};

use crate::engine::{Engine, ErrorClass};

/// Opens a connection. A file that is not there is told apart from one that can't be opened: SQLite says the same of both.
pub(super) async fn open(
    options: &SqliteConnectOptions,
    limit: Duration,
) -> Result<SqliteConnection, sqlx::Error> {
    let file = options.get_filename();
    let mut is_repeated = false;
    loop {
        let error = match unlocked(options, limit).await {
            Err(error) if Sqlite::error_class(&error) == ErrorClass::MissingDatabase => error,
            opened => return opened,
        };
        let Some((there, because)) = obstacle(file).await else {
            return Err(error);
        };
        if there == There::File && !is_repeated {
            // Somebody may have made it since SQLite looked for it.
            is_repeated = true;
            continue;
        }
        let because = match there {
            There::File => format!("{because} ({error})"),
            There::Other => because,
        };
        let message = format!("SQLite can't open {}: {because}", file.display());
        return Err(sqlx::Error::Configuration(message.into()));
    }
}

/// Opens a connection, again while another one puts the same new file into WAL mode.
///
/// SQLite takes the lock for that without asking the busy handler, since two that ask for it at
/// once would wait for each other: <https://sqlite.org/c3ref/busy_handler.html>.
async fn unlocked(
    options: &SqliteConnectOptions,
    limit: Duration,
) -> Result<SqliteConnection, sqlx::Error> {
    let began = Instant::now();
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(2))
        .with_max_delay(Duration::from_millis(50))
        .without_max_times()
        .with_jitter();
    (|| options.connect())
        .retry(waits)
        .when(|error| Sqlite::error_class(error) == ErrorClass::Conflict && began.elapsed() < limit)
        .await
}

/// What is where a file is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    File,
    Other,
}

/// Why what is there can't be opened; none if nothing is there.
async fn obstacle(file: &Path) -> Option<(There, String)> {
    match tokio::fs::metadata(file).await {
        // Nor can one be below what is no directory.
        Err(missing)
            if matches!(
                missing.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory
            ) =>
        {
            None
        }
        Err(other) => Some((There::Other, other.to_string())),
        Ok(found) if found.is_dir() => Some((There::Other, "it is a directory".to_owned())),
        Ok(_) => {
            let because =
                "perhaps it, or its directory, where its journal belongs, can't be written";
            Some((There::File, because.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use super::*;

    /// A file that comes while it is looked for is there, or is not.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_comes_meanwhile_is_opened_or_missing() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..200 {
            let file = directory.path().join(format!("{number}.db"));
            let options = SqliteConnectOptions::new().filename(&file);
            let making = tokio::task::spawn_blocking(move || std::fs::write(file, "").unwrap());
            let opened = open(&options, Duration::from_secs(5)).await;
            making.await.unwrap();
            match opened {
                Ok(connection) => connection.close().await.unwrap(),
                Err(error) => {
                    let class = Sqlite::error_class(&error);
                    assert_eq!(class, ErrorClass::MissingDatabase, "{error}");
                }
            }
        }
    }
}
