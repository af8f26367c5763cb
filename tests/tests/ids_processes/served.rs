//! Authorities that are asked over HTTP. What stands between the processes and the count fails: the server is killed,
//! answers are lost, nothing passes at all.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mdb_tests::kit::free_port;

use crate::databases::Store;
use crate::fleet::{Fleet, target};
use crate::relay::{Passes, Relay};

const TOKEN: &str = "a-token-for-tests-of-processes";

const DISKS: &str = r#"
[[authority]]
name = "disks"
kind = "disk"
paths = ["a", "b", "c"]
ids = [4, 9]
"#;

/// `mdb gdid serve`, as a process.
struct Server {
    child: Child,
}

impl Server {
    /// Starts it, and waits until it listens.
    fn start(config: &Path, port: u16) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mdb-of-tests"))
            .arg("--config")
            .arg(config)
            .args(["gdid", "serve", "--listen", &format!("127.0.0.1:{port}")])
            .env("MDB_GDID_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut said).unwrap();
        assert!(said.contains(&port.to_string()), "{said}");
        Self { child }
    }
}

impl Drop for Server {
    /// Ends it as a crash would.
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_asked_for_over_http_never_repeat() {
    let port = free_port().unwrap();
    let relay = Relay::to(port).await;
    let asking = format!(
        r#"
        [[authority]]
        name = "served"
        kind = "http"
        urls = ["http://127.0.0.1:{}"]
        token = "{TOKEN}"
        timeout_ms = 300
        ids = [4, 9]
        "#,
        relay.port()
    );
    let store = Store::start("sqlite:data", &asking).await;
    store.configure("keeper.toml", "sqlite:data", DISKS);
    let keeper = store.path("keeper.toml");

    let mut server = Server::start(&keeper, port);
    let mut fleet = Fleet::start(&store.config());
    for eighth in 1..8 {
        fleet.run_to(target() * eighth / 8);
        match eighth % 3 {
            0 => relay.lose(Passes::Nothing).await,
            1 => relay.lose(Passes::Requests).await,
            _ => {
                drop(server);
                server = Server::start(&keeper, port);
            }
        }
    }
    fleet.run_to(target());
    let ledger = fleet.end_all();
    let known = ledger.authorities().iter().all(|id| [4, 9].contains(id));
    assert!(known, "{:?}", ledger.authorities());
}
