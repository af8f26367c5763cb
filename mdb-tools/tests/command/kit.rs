//! Running `mdb` in a directory of its own, and reading what it says.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

/// The password of all configurations here: no output may hold it.
pub(crate) const PASSWORD: &str = "hunter2-in-the-open";

/// No run may take longer.
const LIMIT: Duration = Duration::from_secs(120);

/// The exit status of each kind of end.
pub(crate) mod status {
    pub(crate) const DONE: i32 = 0;
    pub(crate) const FAILED: i32 = 1;
    pub(crate) const BAD_INPUT: i32 = 2;
    pub(crate) const UNREACHABLE: i32 = 3;
}

/// A directory with a configuration in it.
pub(crate) struct Store {
    directory: TempDir,
}

impl Store {
    /// An empty directory.
    pub(crate) fn empty() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A directory with that configuration.
    pub(crate) fn with(configuration: impl AsRef<[u8]>) -> Self {
        let store = Self::empty();
        std::fs::write(store.configuration(), configuration).unwrap();
        store
    }

    /// What `mdb quickstart` leaves with so many users.
    pub(crate) fn quickstart(users: u32) -> Self {
        let store = Self::empty();
        store
            .run([
                "quickstart",
                "--dir",
                ".",
                "--users",
                &users.to_string(),
                "--json",
            ])
            .ends_with(status::DONE);
        store
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.path().join("mdb.toml")
    }

    /// The file of a database.
    pub(crate) fn database(&self, name: &str) -> PathBuf {
        self.path().join("data").join(format!("{name}.db"))
    }

    /// The program, to be started in the directory with nothing of the caller's environment that it reads.
    pub(crate) fn command(&self) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_mdb"));
        command
            .current_dir(self.path())
            .env_remove("MDB_CONFIG")
            .env_remove("MDB_LOG")
            .env("MDB_TEST_PASSWORD", PASSWORD)
            .timeout(LIMIT);
        command
    }

    /// Runs the program in the directory.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        Ended::of(self.command().args(arguments))
    }

    /// Runs SQL on one of the store's databases.
    pub(crate) fn execute(&self, database: &str, sql: &str) {
        let path = self.database(database);
        wait(async {
            let mut connection = open(&path).await.unwrap();
            connection.execute(sqlx::raw_sql(sql)).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    /// The integer that a query on one of the store's databases answers; nothing if it can't be asked yet.
    pub(crate) fn count(&self, database: &str, sql: &str) -> Option<i64> {
        let path = self.database(database);
        wait(async {
            let mut connection = open(&path).await?;
            sqlx::query_scalar(sql).fetch_one(&mut connection).await
        })
        .ok()
    }
}

async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(30))
        .connect()
        .await
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
    took: Duration,
}

impl Ended {
    /// Runs the command, and checks what holds for every run.
    pub(crate) fn of(command: &mut assert_cmd::Command) -> Self {
        let started = Instant::now();
        let output = command.output().unwrap();
        let ended = Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("data is text"),
            err: String::from_utf8(output.stderr).expect("messages are text"),
            took: started.elapsed(),
        };
        for text in [&ended.out, &ended.err] {
            assert!(!text.contains("panicked"), "{ended:#?}");
            assert!(!text.contains(PASSWORD), "{ended:#?}");
            assert!(
                !text.contains('\u{1b}'),
                "colours for no terminal: {ended:#?}"
            );
        }
        ended
    }

    pub(crate) fn status(&self) -> Option<i32> {
        self.status
    }

    #[track_caller]
    pub(crate) fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        self
    }

    /// A failure: nothing on standard output, a message with each of `parts` on standard error.
    #[track_caller]
    pub(crate) fn refuses(self, status: i32, parts: &[&str]) -> Self {
        let ended = self.ends_with(status);
        assert_eq!(ended.out, "", "{ended:#?}");
        ended.says(parts)
    }

    /// A message with each of `parts` on standard error.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in {self:#?}");
        }
        assert!(
            self.err.len() < 20_000,
            "nobody reads {} bytes",
            self.err.len()
        );
        self
    }

    #[track_caller]
    pub(crate) fn within(self, limit: Duration) -> Self {
        assert!(self.took < limit, "took {:?}: {self:#?}", self.took);
        self
    }

    /// Standard output.
    pub(crate) fn out(&self) -> &str {
        &self.out
    }

    /// Standard error.
    pub(crate) fn err(&self) -> &str {
        &self.err
    }

    /// Standard output as JSON, an object a line.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| match serde_json::from_str(line) {
                Ok(value @ Value::Object(_)) => value,
                _ => panic!("no JSON object: {line}"),
            })
            .collect()
    }
}

/// The text at `key`.
#[track_caller]
pub(crate) fn text<'v>(object: &'v Value, key: &str) -> &'v str {
    object[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{key}` in {object}"))
}

/// Asks again and again, with a breath between, until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
