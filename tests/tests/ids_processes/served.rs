//! Authorities that are asked over HTTP. What stands between the processes and the count fails: the server is killed,
//! answers are lost, nothing passes at all.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mdb_tests::kit::free_port;

use crate::databases::Store;
use crate::fleet::{Fleet, Part};
use crate::relay::{Passes, Relay};

const TOKEN: &str = "a-token-for-tests-of-processes";

const ON_DISKS: &str = r#"
[[authority]]
name = "keeper"
kind = "disk"
paths = ["a", "b", "c"]
ids = [4, 9]
"#;

const IN_A_DATABASE: &str = r#"
[[authority]]
name = "keeper"
kind = "central"
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

/// Servers that share a count, the first of them behind a relay, and a store that asks them.
struct Hosts {
    keeper: PathBuf,
    ports: Vec<u16>,
    servers: Vec<Server>,
    relay: Relay,
    store: Store,
}

impl Hosts {
    async fn start(count: usize, authority: &str) -> Self {
        let ports: Vec<u16> = (0..count).map(|_| free_port().unwrap()).collect();
        let relay = Relay::to(ports[0]).await;
        let asked = std::iter::once(relay.port()).chain(ports.iter().skip(1).copied());
        let urls: Vec<String> = asked
            .map(|port| format!("\"http://127.0.0.1:{port}\""))
            .collect();
        let asking = format!(
            r#"
            [[authority]]
            name = "served"
            kind = "http"
            urls = [{}]
            token = "{TOKEN}"
            timeout_ms = 300
            ids = [4, 9]
            "#,
            urls.join(", ")
        );
        let store = Store::start("sqlite:data", &asking).await;
        store.configure("keeper.toml", "sqlite:data", authority);
        let keeper = store.path("keeper.toml");
        if authority == ON_DISKS {
            store.init_disks("keeper.toml");
        }
        let servers = ports.iter().map(|port| Server::start(&keeper, *port));
        Self {
            servers: servers.collect(),
            keeper,
            ports,
            relay,
            store,
        }
    }

    /// Kills one of the servers, and starts it again.
    fn restart_one(&mut self) {
        let place = fastrand::usize(..self.servers.len());
        drop(self.servers.remove(place));
        let server = Server::start(&self.keeper, self.ports[place]);
        self.servers.insert(place, server);
    }

    /// Lets everything go wrong in turn while processes take ids.
    async fn disturb(mut self) {
        let mut fleet = Fleet::start(&self.store.config(), 3);
        for eighth in 1..8 {
            fleet.run_to(Part(eighth));
            match eighth % 3 {
                0 => self.relay.lose(Passes::Nothing).await,
                1 => self.relay.lose(Passes::Requests).await,
                _ => self.restart_one(),
            }
        }
        fleet.run_to(Part::WHOLE);
        for id in fleet.end_all().authorities() {
            assert!([4, 9].contains(&id), "authority {id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_from_a_host_with_disks_never_repeat() {
    Hosts::start(1, ON_DISKS).await.disturb().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_from_two_hosts_with_one_database_never_repeat() {
    Hosts::start(2, IN_A_DATABASE).await.disturb().await;
}
