//! Running `mdb` in a directory of its own, and reading what it says.

mod briefcases;
mod serving;
mod terminal;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

pub(crate) use briefcases::{MANY, MANY_MOVES, SHARDS, id, masked};
pub(crate) use serving::Serving;
pub(crate) use terminal::{INTERRUPT, Terminal};

/// The password of all configurations here: no output may hold it.
pub(crate) const PASSWORD: &str = "hunter2-in-the-open";

/// No run may take longer.
const LIMIT: Duration = Duration::from_mins(2);

/// The exit status of each kind of end.
pub(crate) mod status {
    pub(crate) const DONE: i32 = 0;
    pub(crate) const FAILED: i32 = 1;
    pub(crate) const BAD_INPUT: i32 = 2;
    pub(crate) const UNREACHABLE: i32 = 3;
    pub(crate) const INTERRUPTED: i32 = 130;
    pub(crate) const READER_GONE: i32 = 141;
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
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdb"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_remove("MDB_CONFIG")
            .env_remove("MDB_LOG")
            .env_remove("MDB_GDID_TOKEN")
            .env("MDB_TEST_PASSWORD", PASSWORD)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program in the directory.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// Runs the program with `input` on its standard input.
    pub(crate) fn feed<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: impl AsRef<[u8]>,
    ) -> Ended {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input.as_ref()).unwrap();
        file.rewind().unwrap();
        Ended::of(self.command(arguments).stdin(file))
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
    pub(crate) fn of(command: &mut Command) -> Self {
        let (out, mut ended) = Self::with_reader(command, read);
        ended.out = out.join().unwrap();
        ended.check();
        ended
    }

    /// Runs the command with a reader who takes one line of its data and goes away; the line, and the end.
    pub(crate) fn of_reader_who_goes(command: &mut Command) -> (String, Self) {
        let (line, ended) = Self::with_reader(command, |out| {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).unwrap();
            line
        });
        ended.check();
        (line, ended)
    }

    /// Runs the command; what `reader` makes of its data, and the end without them.
    fn with_reader<T>(command: &mut Command, reader: impl FnOnce(ChildStdout) -> T) -> (T, Self) {
        let started = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = read(child.stderr.take().unwrap());
        let read = reader(child.stdout.take().unwrap());
        let status = wait_for_end(&mut child, started);
        let ended = Self {
            status: status.code(),
            took: started.elapsed(),
            out: String::new(),
            err: err.join().unwrap(),
        };
        (read, ended)
    }

    #[track_caller]
    fn check(&self) {
        for text in [&self.out, &self.err] {
            assert!(!text.contains("panicked"), "{self:#?}");
            assert!(!text.contains(PASSWORD), "{self:#?}");
            assert!(
                !text.contains('\u{1b}'),
                "colours for no terminal: {self:#?}"
            );
        }
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

/// Waits, within the limit.
fn wait_for_end(child: &mut Child, since: Instant) -> ExitStatus {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if since.elapsed() > LIMIT {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
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

/// Reads to the end beside the caller, so that a full pipe stops nobody.
fn read(mut pipe: impl std::io::Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("output is text");
        text
    })
}

/// Compares line by line, without what indents `expected`.
#[track_caller]
pub(crate) fn same_lines(actual: &str, expected: &str) {
    let lines: Vec<&str> = actual.lines().collect();
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines, expected);
}

/// Compares with the file `golden/<name>.txt`; writes it where `MDB_BLESS` is set.
#[track_caller]
pub(crate) fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/command/golden")
        .join(format!("{name}.txt"));
    if std::env::var_os("MDB_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        actual == expected,
        "{} says otherwise; if this is meant, run with MDB_BLESS=1:\n{actual}",
        path.display()
    );
}
