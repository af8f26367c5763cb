//! Servers that are down, silent, or something else altogether.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use crate::kit::{PASSWORD, Store, status, text};

/// The time-out of all servers here is 300 ms; a run may need it for each of three shards, and more on a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// Every command that needs a server.
const COMMANDS: [&[&str]; 7] = [
    &["init"],
    &["show", "--sizes"],
    &["central", "get", "user_email", "ann@example.org"],
    &["central", "put", "user_email", "ann@example.org", "0:0:1"],
    &["central", "rename", "user_email", "a@x", "b@x"],
    &["central", "claims"],
    &["gdid", "next", "user"],
];

const SCHEMES: [&str; 2] = ["postgres", "mysql"];

fn store(scheme: &str, port: u16) -> Store {
    Store::with(format!(
        r#"
[store]
name = "shop"

[[sequence]]
name = "user"

[defaults]
connect_timeout_ms = 300
acquire_timeout_ms = 300

[[server]]
name = "east"
url = "{scheme}://mdb:{PASSWORD}@127.0.0.1:{port}/{{database}}"

[central]
shards = [{{ server = "east", database = "central" }}]

[[central.index]]
name = "user_email"
key = "string"

[[area]]
name = "user"

[[area.partition]]
start = "0:0:0"
shards = [{{ server = "east", database = "a0" }}, {{ server = "east", database = "a1" }}]
"#
    ))
}

/// Each command ends with 3, soon, naming the server, and saying nothing on standard output; so does `check`,
/// which reports it as findings.
#[track_caller]
fn is_unreachable(store: &Store) {
    for command in COMMANDS {
        store
            .run(command.iter().copied())
            .refuses(status::UNREACHABLE, &["error: ", "`east`"])
            .within(SOON);
    }
    let checked = store
        .run(["check", "--json"])
        .ends_with(status::UNREACHABLE)
        .says(&["can't reach server `east`"])
        .within(SOON);
    let found = checked.objects();
    assert_eq!(found.len(), 3, "a finding a shard: {found:#?}");
    for finding in &found {
        assert_eq!(text(finding, "check"), "connection");
        assert_eq!(text(finding, "server"), "east");
    }
    // What needs no server works on.
    store
        .run(["route", "user", "0:0:1"])
        .ends_with(status::DONE);
    store.run(["show"]).ends_with(status::DONE);
}

#[test]
fn a_server_that_is_down() {
    for scheme in SCHEMES {
        // A port that was free a moment ago: nobody listens there.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        is_unreachable(&store(scheme, port));
    }
}

#[test]
fn a_server_that_accepts_and_never_answers() {
    for scheme in SCHEMES {
        // The system accepts on its own: connections are made, and nobody ever reads or writes.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        is_unreachable(&store(scheme, listener.local_addr().unwrap().port()));
        drop(listener);
    }
}

#[test]
fn a_server_that_hangs_up() {
    for scheme in SCHEMES {
        let store = store(scheme, serve(|_| {}));
        for command in COMMANDS {
            let ran = store
                .run(command.iter().copied())
                .says(&["error: ", "`east`"])
                .within(SOON);
            // One driver tells an end of the connection from another protocol, one does not.
            assert!(
                matches!(ran.status(), Some(status::FAILED | status::UNREACHABLE)),
                "{ran:#?}"
            );
            assert_eq!(ran.out(), "");
        }
    }
}

#[test]
fn a_server_of_another_kind() {
    const ANSWER: &[u8] =
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nwhat?\n";
    for scheme in SCHEMES {
        let port = serve(|mut connection| {
            // A database's client may speak first or not: answer either way.
            connection
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(ANSWER);
        });
        let store = store(scheme, port);
        for command in COMMANDS {
            let ran = store
                .run(command.iter().copied())
                .says(&["error: ", "`east`"])
                .within(SOON);
            assert_ne!(ran.status(), Some(status::DONE), "{ran:#?}");
            assert_eq!(ran.out(), "");
            if scheme == "postgres" {
                ran.says(&["another engine"]);
            }
        }
    }
}

#[test]
fn an_option_that_the_driver_does_not_know() {
    for (scheme, option) in [("postgres", "sslmode"), ("mysql", "ssl-mode")] {
        let store = store(scheme, 1);
        let configuration = std::fs::read_to_string(store.configuration()).unwrap();
        let odd = configuration.replace("{database}", &format!("{{database}}?{option}=perhaps"));
        std::fs::write(store.configuration(), odd).unwrap();
        for command in COMMANDS {
            store
                .run(command.iter().copied())
                .refuses(status::BAD_INPUT, &["`east`", "perhaps", "URL"]);
        }
    }
}

/// Answers every connection on a port of its own, until the tests end.
fn serve(answer: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            answer(connection);
        }
    });
    port
}

#[test]
fn a_shard_under_another_name() {
    let store = Store::quickstart(4);
    let configuration = std::fs::read_to_string(store.configuration()).unwrap();
    let swapped = configuration
        .replace("user_a0", "user_tmp")
        .replace("user_b1", "user_a0")
        .replace("user_tmp", "user_b1");
    std::fs::write(store.configuration(), swapped).unwrap();
    let init =
        store
            .run(["init"])
            .ends_with(status::FAILED)
            .says(&["stamped", "`user_a0`", "`user_b1`"]);
    assert!(!init.out().contains("user_a0"), "{init:#?}");
    store
        .run(["show", "--sizes"])
        .refuses(status::FAILED, &["stamped"]);
    store
        .run(["quickstart", "--dir", ".", "--users", "50"])
        .refuses(status::FAILED, &["stamped"]);
    // Nothing was written: in its right place all is as it was.
    std::fs::write(store.configuration(), configuration).unwrap();
    store.run(["check"]).ends_with(status::DONE);
    let users: i64 = ["user_a0", "user_a1", "user_b0", "user_b1"]
        .iter()
        .map(|shard| store.count(shard, "SELECT count(*) FROM account").unwrap())
        .sum();
    assert_eq!(users, 4);
}

#[test]
fn a_store_of_another_name() {
    let store = Store::quickstart(1);
    let configuration = std::fs::read_to_string(store.configuration()).unwrap();
    let other = configuration.replace("name = \"quickstart\"", "name = \"other\"");
    std::fs::write(store.configuration(), other).unwrap();
    for command in [
        &["gdid", "next", "user"][..],
        &["central", "get", "user_email", "x"],
        &["init"],
    ] {
        store
            .run(command.iter().copied())
            .refuses(status::FAILED, &["stamped", "quickstart", "other"]);
    }
}
