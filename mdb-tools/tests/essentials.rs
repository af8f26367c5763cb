//! What scripts rely on: the shape of every JSON line, exit statuses, and bad input that is refused
//! with a reason and leaves nothing behind. The command runs as a process, on SQLite files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Store {
    directory: TempDir,
}

struct Answer {
    status: i32,
    out: String,
    err: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let status = output.status.code().unwrap_or(-1);
        Self {
            status,
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    fn objects(&self) -> Vec<Value> {
        assert_eq!(self.status, 0, "{}", self.err);
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn mdb() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdb"));
    command
        .env_remove("MDB_CONFIG")
        .env_remove("MDB_LOG")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Answer {
    Answer::of(mdb().args(arguments).output().unwrap())
}

impl Store {
    /// A quickstart with a few users.
    fn new(users: u32) -> Self {
        let store = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let answer = store.quickstart(users);
        assert_eq!(answer.status, 0, "{}", answer.err);
        store
    }

    fn quickstart(&self, users: u32) -> Answer {
        let directory = self.directory.path().to_str().unwrap();
        run(&[
            "quickstart",
            "--dir",
            directory,
            "--users",
            &users.to_string(),
            "--json",
        ])
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("mdb.toml")
    }

    fn mdb(&self, arguments: &[&str]) -> Answer {
        Answer::of(
            mdb()
                .env("MDB_CONFIG", self.config())
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    /// Another configuration beside the first one, on the same data.
    fn changed(&self, change: impl FnOnce(&str) -> String) -> PathBuf {
        let path = self.directory.path().join("changed.toml");
        std::fs::write(
            &path,
            change(&std::fs::read_to_string(self.config()).unwrap()),
        )
        .unwrap();
        path
    }

    fn sql(&self, database: &str, statement: &str) {
        let file = self
            .directory
            .path()
            .join("data")
            .join(format!("{database}.db"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            use sqlx::{Connection, Executor};
            let url = format!("sqlite:{}", file.display());
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            connection.execute(statement).await.unwrap();
            connection.close().await.unwrap();
        });
    }
}

fn count(landed: &[Value], key: &str) -> i64 {
    landed.iter().filter_map(|row| row[key].as_i64()).sum()
}

#[test]
fn a_second_quickstart_goes_on_and_a_killed_one_too() {
    let store = Store {
        directory: tempfile::tempdir().unwrap(),
    };
    // Killed as soon as each of these is there: the first shard, the last one, some users.
    for (file, bytes) in [
        ("central.db", 0),
        ("user_b1.db", 0),
        ("user_a0.db-wal", 100_000),
    ] {
        let directory = store.directory.path().to_str().unwrap();
        let mut child = mdb()
            .args(["quickstart", "--dir", directory, "--users", "300"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let file = store.directory.path().join("data").join(file);
        while file.metadata().map_or(true, |found| found.len() < bytes)
            && child.try_wait().unwrap().is_none()
        {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let first = store.quickstart(300).objects();
    assert_eq!(count(&first, "users"), 300);
    assert_eq!(count(&first, "addresses"), 300);
    assert_eq!(
        store
            .mdb(&["central", "claims", "--older-than", "0", "--json"])
            .objects(),
        Vec::<Value>::new()
    );
    assert_eq!(
        store.quickstart(300).objects(),
        first,
        "a second run changes nothing"
    );
    let check = store.mdb(&["check"]);
    assert_eq!(
        (check.status, check.out.trim()),
        (0, "all is well: 5 shards checked"),
        "{}",
        check.err
    );
}

#[test]
fn json_lines_have_the_documented_shape() {
    let store = Store::new(20);
    let routed = store
        .mdb(&["route", "user", "0:0:1", "0:9:600", "--json"])
        .objects();
    assert_eq!(
        routed[0],
        json!({"gdid": "0:0:1", "area": "user", "generation": "0:0", "partition": "0:0", "slot": 3711,
               "shard": 1, "server": "local", "database": "user_a1"})
    );
    assert_eq!(routed[1]["partition"], "0:501");

    let azos = store.changed(|text| {
        text.replace(
            "name = \"user\"\n\n# The first 500",
            "name = \"user\"\nhash = \"azos\"\n# The first 500",
        )
    });
    let routed = run(&[
        "route",
        "user",
        "0:0:1",
        "--json",
        "--config",
        azos.to_str().unwrap(),
    ])
    .objects();
    assert_eq!(routed[0]["slot"], Value::Null);

    assert_eq!(
        store
            .mdb(&[
                "gdid",
                "show",
                "0x00000000100000000000004B",
                "AIAIIW-IW",
                "--json"
            ])
            .objects(),
        [
            json!({"gdid": "0:1:75", "hex": "00000000100000000000004b", "era": 0, "authority": 1, "counter": 75,
                   "elink": "ACACIG-GP"}),
            json!({"gdid": "0:0:123", "hex": "00000000000000000000007b", "era": 0, "authority": 0, "counter": 123,
                   "elink": "ABACKR-KR"}),
        ]
    );
    let issued = store
        .mdb(&["gdid", "next", "user", "--count", "3", "--json"])
        .objects();
    let mut ids: Vec<String> = issued
        .iter()
        .map(|line| line["gdid"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        issued
            .iter()
            .all(|line| line.as_object().unwrap().len() == 1)
    );
    ids.dedup();
    assert_eq!(ids.len(), 3);

    let shown = store.mdb(&["show", "--sizes", "--json"]).objects();
    assert_eq!(shown.len(), 5);
    assert_eq!(shown[1]["tables"][0]["table"], "account");
    assert_eq!(
        store.mdb(&["init", "--json"]).objects()[0]["outcome"],
        "unchanged"
    );
}

#[test]
fn the_index_at_the_command_line() {
    let store = Store::new(2);
    let put = store.mdb(&[
        "central",
        "put",
        "user_email",
        " Zoe@Example.org",
        "0:0:900",
        "--json",
    ]);
    assert_eq!(put.objects()[0]["gdid"], "0:0:900");
    let taken = store.mdb(&["central", "put", "user_email", "zoe@example.org", "0:0:901"]);
    assert_eq!(taken.status, 1);
    assert!(taken.err.contains("0:0:900 holds it"), "{}", taken.err);
    let renamed = store.mdb(&[
        "central",
        "rename",
        "user_email",
        "zoe@example.org",
        "zoe@example.com",
        "--json",
    ]);
    assert_eq!(renamed.objects()[0]["to"], "zoe@example.com");
    let gone = store.mdb(&["central", "get", "user_email", "zoe@example.org", "--json"]);
    assert_eq!(
        (gone.status, gone.out.trim()),
        (
            1,
            r#"{"index":"user_email","key":"zoe@example.org","gdid":null}"#
        )
    );
    let removed = store.mdb(&[
        "central",
        "remove",
        "user_email",
        "zoe@example.com",
        "--json",
    ]);
    assert_eq!(removed.objects()[0]["gdid"], "0:0:900");
}

#[test]
fn ids_come_from_standard_input_too() {
    use std::io::Write;
    let store = Store::new(1);
    let mut child = mdb()
        .env("MDB_CONFIG", store.config())
        .args(["route", "user", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"0:0:1\n\n  0:0:700  \n")
        .unwrap();
    let answer = Answer::of(child.wait_with_output().unwrap());
    assert_eq!(
        answer
            .objects()
            .iter()
            .map(|line| line["gdid"].clone())
            .collect::<Vec<_>>(),
        ["0:0:1", "0:0:700"]
    );
}

#[test]
fn check_finds_what_would_break() {
    let store = Store::new(1);
    store.sql(
        "user_a0",
        "ALTER TABLE account ADD COLUMN nick TEXT; DROP TABLE balance; \
        CREATE TABLE note (g_user BLOB, n INTEGER PRIMARY KEY AUTOINCREMENT); \
        DROP TABLE address; CREATE TABLE address (g_user BLOB, kind TEXT)",
    );
    let answer = store.mdb(&["check", "--json"]);
    assert_eq!(answer.status, 1);
    for expected in [
        "table `balance` is missing",
        "`note` carries the key column `g_user` but is in no briefcase type",
        "the table has no primary key",
        "key column `g_user` allows NULL",
        "table `account` differs from the one in database `user_a0`",
    ] {
        assert!(answer.out.contains(expected), "{expected}\n{}", answer.out);
    }
}

#[test]
fn a_database_under_another_name_is_refused() {
    let store = Store::new(3);
    let swapped = store.changed(|text| {
        text.replace("user_a0", "x")
            .replace("user_a1", "user_a0")
            .replace("\"x\"", "\"user_a1\"")
    });
    let answer = run(&["check", "--config", swapped.to_str().unwrap()]);
    assert_eq!(answer.status, 1);
    assert!(answer.out.contains("is stamped as"), "{}", answer.out);
    assert_eq!(
        run(&["init", "--config", swapped.to_str().unwrap()]).status,
        1
    );
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let store = Store::new(1);
    let file = |name: &str, bytes: &[u8]| {
        let path = store.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = std::fs::read_to_string(store.config()).unwrap();
    let cut = &whole[..whole.find("user_b0").unwrap()];
    let down = b"[store]\nname = \"s\"\n[[server]]\nname = \"d\"\nurl = \"postgres://u:secret@127.0.0.1:1/{database}\"\n\
        [central]\nshards = [{ server = \"d\", database = \"c\" }]\n[[central.index]]\nname = \"i\"\nkey = \"string\"\n";
    let cases: [(Vec<&str>, Option<String>, i32); 15] = [
        (vec!["show"], Some(file("cut.toml", cut.as_bytes())), 2),
        (
            vec!["show"],
            Some(file("binary.toml", &[0, 159, 146, 150])),
            2,
        ),
        (vec!["show"], Some(file("empty.toml", b"")), 2),
        (
            vec!["show"],
            Some(file("huge.toml", &vec![b'#'; 10 << 20])),
            2,
        ),
        (vec!["show"], Some("no-such-file.toml".into()), 2),
        (
            vec!["show"],
            Some(store.directory.path().to_str().unwrap().to_owned()),
            2,
        ),
        (vec!["route", "user", "0:18:1"], None, 2),
        (vec!["route", "user", "0:0:0"], None, 2),
        (vec!["route", "'; DROP TABLE account; --", "0:0:1"], None, 2),
        (vec!["gdid", "show", "AIAIIW-AI"], None, 2),
        (vec!["gdid", "next", "usr"], None, 2),
        (vec!["central", "get", "user_mail", "x"], None, 2),
        (vec!["central", "put", "user_email", "x", "0:0:0"], None, 2),
        (vec!["no-such-command"], None, 2),
        (
            vec!["central", "get", "i", "x"],
            Some(file("down.toml", down)),
            3,
        ),
    ];
    for (arguments, config, status) in cases {
        let config = config.unwrap_or_else(|| store.config().to_str().unwrap().to_owned());
        let answer = Answer::of(
            mdb()
                .args(&arguments)
                .args(["--config", &config])
                .output()
                .unwrap(),
        );
        assert_eq!(
            answer.status, status,
            "{arguments:?} with {config}: {}",
            answer.err
        );
        assert!(answer.out.is_empty(), "{arguments:?}: {}", answer.out);
        assert!(
            !answer.err.contains("panicked") && !answer.err.contains("secret"),
            "{arguments:?}: {}",
            answer.err
        );
        assert!(
            answer.err.len() > 20,
            "{arguments:?} says why: {}",
            answer.err
        );
    }
    let long = "x".repeat(60_000) + "@example.org";
    let answer = store.mdb(&["central", "put", "user_email", &long, "0:0:7"]);
    assert_eq!(answer.status, 2);
    assert!(answer.err.contains("at most 512"), "{}", answer.err);
}

#[test]
fn a_directory_that_can_not_be_made_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file: &Path = &directory.path().join("file");
    std::fs::write(file, "x").unwrap();
    let below = file.join("below");
    let answer = run(&["quickstart", "--dir", below.to_str().unwrap()]);
    assert_eq!(answer.status, 1);
    assert!(
        answer.err.contains("can't set up directory"),
        "{}",
        answer.err
    );
}

#[test]
fn several_processes_never_get_one_id_twice() {
    let store = Store::new(1);
    let children: Vec<_> = (0..4)
        .map(|_| {
            mdb()
                .env("MDB_CONFIG", store.config())
                .args(["gdid", "next", "user", "-n", "2000"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for child in children {
        let answer = Answer::of(child.wait_with_output().unwrap());
        assert_eq!(answer.status, 0);
        assert!(answer.out.lines().all(|id| ids.insert(id.to_owned())));
    }
    assert_eq!(ids.len(), 8000);
}
