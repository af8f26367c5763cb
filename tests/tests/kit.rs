//! Tests of the server kit itself, on both engines.

use std::env;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mdb_tests::kit::{
    BlackHole, Durability, Kind, PASSWORD, Server, USER, free_port, shared, shared_mariadb,
    shared_postgres, unique, wait_for,
};
use sqlx::{Connection as _, Executor as _, MySqlConnection, PgConnection, Row as _};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

type Outcome = Result<(), Box<dyn Error>>;

/// Set in the processes that tests start from this same program; says how they shall end.
const VICTIM: &str = "MDB_TEST_KIT_VICTIM";

/// How long anything may take that happens at once on an idle machine.
const LIMIT: Duration = Duration::from_secs(20);

/// How long an answer is awaited that must not come.
const NO_ANSWER: Duration = Duration::from_millis(300);

/// `1` as a 64-bit integer in both engines.
const ONE: &str = "SELECT count(*)";

/// A connection to either engine.
enum Client {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

impl Client {
    async fn open(kind: Kind, url: &str) -> Result<Self, sqlx::Error> {
        Ok(match kind {
            Kind::Postgres => Self::Postgres(PgConnection::connect(url).await?),
            Kind::MariaDb => Self::MariaDb(MySqlConnection::connect(url).await?),
        })
    }

    async fn of(server: &Server, database: &str) -> Result<Self, sqlx::Error> {
        Self::open(server.kind(), &server.url(database)).await
    }

    async fn run(&mut self, statement: &str) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.execute(statement).await.map(drop),
            Self::MariaDb(connection) => connection.execute(statement).await.map(drop),
        }
    }

    async fn number(&mut self, query: &str) -> Result<i64, sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.fetch_one(query).await?.try_get(0),
            Self::MariaDb(connection) => connection.fetch_one(query).await?.try_get(0),
        }
    }
}

#[tokio::test]
async fn shared_servers_answer_and_stay() -> Outcome {
    for kind in Kind::ALL {
        let server = shared(kind, 0).await?;
        let database = server.create_database("kit").await?;
        assert_eq!(Client::of(&server, &database).await?.number(ONE).await?, 1);
        assert_eq!(shared(kind, 0).await?.port(), server.port());
        assert!(server.url_template().ends_with("/{database}"));
    }
    Ok(())
}

#[tokio::test]
async fn two_servers_of_an_engine_are_apart() -> Outcome {
    let postgres = [shared_postgres(0).await?, shared_postgres(1).await?];
    let mariadb = [shared_mariadb(0).await?, shared_mariadb(1).await?];
    for [first, second] in [postgres, mariadb] {
        assert_ne!(first.port(), second.port());
        assert_ne!(first.pid(), second.pid());
        let only_on_first = first.create_database("kit").await?;
        assert!(Client::of(&first, &only_on_first).await.is_ok());
        assert!(Client::of(&second, &only_on_first).await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_refused() -> Outcome {
    for kind in Kind::ALL {
        let server = shared(kind, 0).await?;
        let right = format!("{USER}:{PASSWORD}@");
        let url = server.url(USER);
        assert!(Client::open(kind, &url).await.is_ok());
        for wrong in [format!("{USER}:wrong@"), format!("{USER}@")] {
            let refused = Client::open(kind, &url.replace(&right, &wrong)).await;
            let error = refused.err().ok_or("a wrong password was accepted")?;
            assert!(matches!(error, sqlx::Error::Database(_)), "{error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_user_sees_and_ends_its_own_sessions() -> Outcome {
    for kind in Kind::ALL {
        let server = shared(kind, 0).await?;
        let database = server.create_database("kit").await?;
        let mut victim = Client::of(&server, &database).await?;
        let mut other = Client::of(&server, &database).await?;
        let (id, seen, end) = match kind {
            Kind::Postgres => (
                "SELECT pg_backend_pid()::bigint",
                "SELECT count(*) FROM pg_stat_activity WHERE pid = {id} AND query LIKE '%backend_pid%'",
                "SELECT pg_terminate_backend({id})",
            ),
            Kind::MariaDb => (
                "SELECT CAST(connection_id() AS SIGNED)",
                "SELECT count(*) FROM information_schema.processlist WHERE id = {id}",
                "KILL {id}",
            ),
        };
        let id = victim.number(id).await?.to_string();
        assert_eq!(other.number(&seen.replace("{id}", &id)).await?, 1);
        other.run(&end.replace("{id}", &id)).await?;
        wait_for("the session's end", LIMIT, async || {
            victim.number(ONE).await.is_err()
        })
        .await;
    }
    Ok(())
}

#[tokio::test]
async fn a_stalled_server_answers_nobody_until_it_is_resumed() -> Outcome {
    for kind in Kind::ALL {
        let server = Server::start(kind, Durability::Fast).await?;
        let mut open = Client::of(&server, USER).await?;
        server.stall();
        assert!(timeout(NO_ANSWER, Client::of(&server, USER)).await.is_err());
        {
            // The connection stays usable, since the query is not given up but awaited to its end.
            let mut query = std::pin::pin!(open.number(ONE));
            assert!(timeout(NO_ANSWER, &mut query).await.is_err());
            server.resume();
            assert_eq!(timeout(LIMIT, query).await??, 1);
        }
        let mut new = timeout(LIMIT, Client::of(&server, USER)).await??;
        assert_eq!(new.number(ONE).await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn committed_rows_outlive_kills() -> Outcome {
    for kind in Kind::ALL {
        for durability in [Durability::Fast, Durability::Fsync] {
            let server = Server::start(kind, durability).await?;
            let (port, first_pid) = (server.port(), server.pid());
            let mut client = Client::of(&server, USER).await?;
            client.run("CREATE TABLE kept (id INT PRIMARY KEY)").await?;
            for id in 0..50 {
                let statement = format!("INSERT INTO kept VALUES ({id})");
                client.run(&statement).await?;
            }
            server.kill().await;
            assert_eq!(server.pid(), None);
            assert!(client.number(ONE).await.is_err());
            assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());

            server.restart().await?;
            assert_eq!(server.port(), port);
            assert_ne!(server.pid(), first_pid);
            let mut client = Client::of(&server, USER).await?;
            assert_eq!(client.number("SELECT count(*) FROM kept").await?, 50);

            // A stalled server can be killed and restarted, too.
            server.stall();
            server.restart().await?;
            let mut client = Client::of(&server, USER).await?;
            assert_eq!(client.number("SELECT count(*) FROM kept").await?, 50);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stopped_or_dropped_server_leaves_no_directory() -> Outcome {
    for kind in Kind::ALL {
        let stopped = Server::start(kind, Durability::Fast).await?;
        let directory = stopped.directory().to_owned();
        assert!(directory.join("log").is_file());
        stopped.stop().await;
        assert!(!directory.exists());

        let stalled = Server::start(kind, Durability::Fast).await?;
        let directory = stalled.directory().to_owned();
        stalled.stall();
        drop(stalled);
        assert!(!directory.exists());
    }
    Ok(())
}

#[tokio::test]
async fn a_panicking_test_keeps_its_servers_directory() -> Outcome {
    let server = Server::start(Kind::Postgres, Durability::Fast).await?;
    let directory = server.directory().to_owned();
    let test = tokio::spawn(async move {
        let _held = server;
        panic!("as a failing test does (expected)");
    });
    assert!(test.await.is_err());
    assert!(directory.join("log").is_file());
    assert!(directory.join("data").is_dir());
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

/// The other half of the next two tests, in a process of its own: starts servers, one of each engine stalled, names
/// them, and then fails or waits to be killed.
#[tokio::test]
async fn victim() -> Outcome {
    let Some(end) = env::var_os(VICTIM) else {
        return Ok(());
    };
    let mut servers = Vec::new();
    for kind in Kind::ALL {
        servers.push(shared(kind, 0).await?);
        servers.push(shared(kind, 1).await?);
        servers[servers.len() - 1].stall();
    }
    for server in &servers {
        let pid = server.pid().ok_or("not running")?;
        println!("server {pid} {}", server.directory().display());
    }
    println!("all");
    assert!(end != "fail", "as a failing test does (expected)");
    std::future::pending().await
}

/// The process id and the directory of a server of `victim`.
type Named = (String, PathBuf);

/// A process that runs `victim`, and its servers.
fn start_victim(end: &str) -> Result<(Child, Vec<Named>), Box<dyn Error>> {
    let mut child = Command::new(env::current_exe()?)
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, end)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take().ok_or("no pipe")?;
    let mut servers = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        if line == "all" {
            break;
        }
        // The harness may have begun the line with the test's name.
        if let Some((_, server)) = line.split_once("server ")
            && let Some((pid, directory)) = server.split_once(' ')
        {
            servers.push((pid.to_owned(), PathBuf::from(directory)));
        }
    }
    assert_eq!(servers.len(), 4);
    Ok((child, servers))
}

#[tokio::test]
async fn a_killed_process_leaves_nothing() -> Outcome {
    let (mut child, servers) = start_victim("wait")?;
    child.kill()?;
    child.wait()?;
    for (pid, directory) in servers {
        let workspace = directory.parent().ok_or("no parent")?;
        let nobody = async || working_below(workspace) == 0 && ended(&pid);
        wait_for("the server's end", LIMIT, nobody).await;
        let removed = async || !workspace.exists();
        wait_for("the directory's removal", LIMIT, removed).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_failing_test_keeps_the_shared_servers_it_holds() -> Outcome {
    let (mut child, servers) = start_victim("fail")?;
    assert!(!child.wait()?.success());
    for (pid, directory) in servers {
        let nobody = async || working_below(&directory) == 0 && ended(&pid);
        wait_for("the server's end", LIMIT, nobody).await;
        assert!(directory.join("log").is_file());
        assert!(directory.join("data").is_dir());
        std::fs::remove_dir_all(directory)?;
    }
    Ok(())
}

/// Whether no process has this id, other than one whose parent has not yet taken notice of its end.
fn ended(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.map_or(true, |status| status.contains("State:\tZ"))
}

fn working_below(directory: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
        .filter(|working| working.starts_with(directory))
        .count()
}

#[tokio::test]
async fn a_black_hole_accepts_and_never_answers() -> Outcome {
    let hole = BlackHole::start().await?;
    let mut connection = TcpStream::connect(hole.address()).await?;
    wait_for("the connection", LIMIT, async || hole.accepted() == 1).await;
    let mut answer = [0];
    assert!(
        timeout(NO_ANSWER, connection.read(&mut answer))
            .await
            .is_err()
    );
    let url = format!("postgres://{USER}@127.0.0.1:{}/{USER}", hole.port());
    assert!(
        timeout(NO_ANSWER, PgConnection::connect(&url))
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
#[should_panic(expected = "in vain for what never comes")]
async fn waiting_in_vain_says_for_what() {
    wait_for("what never comes", Duration::from_millis(20), async || {
        false
    })
    .await;
}

#[test]
fn names_and_ports_can_be_used() -> Outcome {
    assert_ne!(unique("kit"), unique("kit"));
    let port = free_port()?;
    std::net::TcpListener::bind(("127.0.0.1", port))?;
    Ok(())
}
