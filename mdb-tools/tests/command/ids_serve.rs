//! `mdb gdid serve`: ids handed out to other machines, which have the authority as one of kind `http`.

use std::path::Path;

use serde_json::Value;

use crate::kit::{Ended, Serving, Store, golden, status, text, wait_until};

pub(crate) const TOKEN: &str = "a-token-for-tests-of-the-command";
const OLD_TOKEN: &str = "the-one-that-is-to-be-replaced";

/// A store without areas, whose ids are counted by that authority.
fn store(authority: &str) -> Store {
    let store = Store::with(format!(
        r#"
[store]
name = "shop"

[sequences]
smallest_block = 4
largest_block = 16

[[sequence]]
name = "user"

[[server]]
name = "local"
url = "sqlite:data"

[central]
shards = [{{ server = "local", database = "central" }}]

{authority}
"#
    ));
    store.run(["init"]).ends_with(status::DONE);
    store
}

/// Disks that nobody has made ready yet.
pub(crate) fn uninitialised() -> Store {
    store(
        r#"
[[authority]]
name = "here"
kind = "disk"
paths = ["a", "b", "c"]
ids = [5]
"#,
    )
}

pub(crate) fn counted_on_disk() -> Store {
    let store = uninitialised();
    store.run(["gdid", "init-disks"]).ends_with(status::DONE);
    store
}

/// A store on another machine, as it were, which asks at `url`.
fn asking(url: &str, token: &str, id: u8, more: &str) -> Store {
    store(&format!(
        r#"
[[authority]]
name = "there"
kind = "http"
urls = ["{url}"]
token = "{token}"
timeout_ms = 1000
ids = [{id}]
{more}
"#
    ))
}

pub(crate) fn serve(store: &Store, arguments: &[&str]) -> Serving {
    let serve = ["gdid", "serve", "--json", "--listen"];
    let mut command = store.command(serve.iter().chain(arguments));
    Serving::start(command.env("MDB_GDID_TOKEN", format!("{OLD_TOKEN} {TOKEN}")))
}

pub(crate) fn next(store: &Store, count: u32) -> Vec<String> {
    let ran = store
        .run(["gdid", "next", "user", "--count", &count.to_string()])
        .ends_with(status::DONE);
    ran.out().lines().map(str::to_owned).collect()
}

#[test]
fn the_count_of_a_database_is_served() {
    let keeper = store("");
    let serving = serve(&keeper, &["127.0.0.1:0"]);
    let said = serving.said();
    assert_eq!(text(said, "authority"), "central");
    assert_eq!(said["ids"], Value::from(vec![0]));
    let url = text(said, "url");
    assert_eq!(url, format!("http://{}", text(said, "address")));

    let other = asking(url, TOKEN, 0, "");
    assert_eq!(next(&other, 3), ["0:0:1", "0:0:2", "0:0:3"]);
    let here = next(&keeper, 1);
    assert!(!next(&other, 50).contains(&here[0]), "one count for both");
    let old = asking(url, OLD_TOKEN, 0, "");
    next(&old, 1);

    let seen = |store: &Store| {
        let ran = store
            .run(["gdid", "status", "--json"])
            .ends_with(status::DONE);
        let shown = ran.objects().remove(0);
        (shown["next"].clone(), shown["blocks"].clone())
    };
    assert_eq!(seen(&other), seen(&keeper));
    other
        .run(["gdid", "floor", "user", "0:0:9000"])
        .ends_with(status::DONE);
    assert_eq!(next(&keeper, 1), ["0:0:9000"]);
    serving.stop("-TERM").ends_with(status::DONE);
}

#[test]
fn the_count_of_disks_is_served() {
    let keeper = counted_on_disk();
    let serving = serve(&keeper, &["127.0.0.1:0", "--authority", "here", "-v"]);
    let other = asking(text(serving.said(), "url"), TOKEN, 5, "");
    assert_eq!(next(&other, 2), ["0:5:1", "0:5:2"]);
    let stopped = serving.stop("-INT").ends_with(status::DONE);
    assert_eq!(stopped.out().lines().count(), 1, "{stopped:#?}");
    assert!(
        stopped.err().contains("user"),
        "requests are logged: {stopped:#?}"
    );
    assert!(!stopped.err().contains(TOKEN) && !stopped.err().contains(OLD_TOKEN));
    other
        .run(["gdid", "next", "user"])
        .refuses(status::UNREACHABLE, &["`user`"]);
}

#[test]
fn who_lacks_the_token_gets_nothing() {
    let keeper = counted_on_disk();
    let serving = serve(&keeper, &["127.0.0.1:0"]);
    let wrong = "not-a-token-that-it-knows";
    let other = asking(text(serving.said(), "url"), wrong, 5, "");
    for command in [
        &["gdid", "next", "user"][..],
        &["gdid", "floor", "user", "0:0:100", "--json"],
        &["gdid", "status", "user", "--json"],
    ] {
        let ran = other.run(command).ends_with(status::FAILED);
        let said = [ran.out(), ran.err()].concat();
        assert!(said.contains("token"), "{ran:#?}");
        for secret in [wrong, TOKEN, OLD_TOKEN] {
            assert!(!said.contains(secret), "{ran:#?}");
        }
    }
    let right = asking(text(serving.said(), "url"), TOKEN, 5, "");
    assert_eq!(next(&right, 1), ["0:5:1"], "nothing was handed out before");
    let stranger = asking(text(serving.said(), "url"), TOKEN, 6, "");
    stranger
        .run(["gdid", "next", "user"])
        .refuses(status::FAILED, &["`user`", "authority 5, which is not"]);
}

#[test]
fn tls_is_spoken() {
    let keeper = counted_on_disk();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&keeper, "ids.pem", &certificate.cert.pem());
    write(&keeper, "ids.key", &certificate.signing_key.serialize_pem());
    let serving = serve(
        &keeper,
        &[
            "127.0.0.1:0",
            "--tls-cert",
            "ids.pem",
            "--tls-key",
            "ids.key",
        ],
    );
    let url = text(serving.said(), "url");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let url = url.replace("127.0.0.1", "localhost");

    let trusting = asking(&url, TOKEN, 5, "ca = \"ca.pem\"");
    write(&trusting, "ca.pem", &certificate.cert.pem());
    assert_eq!(next(&trusting, 1), ["0:5:1"]);
    let other = asking(&url, TOKEN, 5, "");
    let ran = other.run(["gdid", "next", "user"]);
    assert_ne!(ran.status(), Some(status::DONE), "{ran:#?}");
    assert!(ran.err().contains("certificate"), "{ran:#?}");

    write(&keeper, "broken.pem", "-----BEGIN CERTIFICATE-----\n");
    refuses(
        &keeper,
        &[
            "127.0.0.1:0",
            "--tls-cert",
            "broken.pem",
            "--tls-key",
            "ids.key",
        ],
        &["broken.pem"],
    );
    refuses(
        &keeper,
        &[
            "127.0.0.1:0",
            "--tls-cert",
            "ids.pem",
            "--tls-key",
            "missing.key",
        ],
        &["missing.key"],
    );
    refuses(
        &keeper,
        &["127.0.0.1:0", "--tls-cert", "ids.pem"],
        &["--tls-key"],
    );
}

fn write(store: &Store, name: &str, content: &str) {
    std::fs::write(store.path().join(name), content).unwrap();
}

#[track_caller]
fn refuses(store: &Store, arguments: &[&str], parts: &[&str]) {
    let serve = ["gdid", "serve", "--listen"];
    let mut command = store.command(serve.iter().chain(arguments));
    Ended::of(command.env("MDB_GDID_TOKEN", TOKEN)).refuses(status::BAD_INPUT, parts);
}

#[test]
fn what_would_give_the_token_away_is_refused() {
    let store = store("");
    refuses(
        &store,
        &["0.0.0.0:0"],
        &["0.0.0.0:0", "--tls-cert", "--insecure"],
    );
    refuses(&store, &["[::]:0"], &["--insecure"]);
    refuses(&store, &["ids.example.org:7443"], &["ids.example.org:7443"]);
    refuses(&store, &["127.0.0.1"], &["127.0.0.1"]);
    let serving = serve(&store, &["0.0.0.0:0", "--insecure"]);
    assert!(text(serving.said(), "url").starts_with("http://0.0.0.0:"));
    serving.stop("-TERM").ends_with(status::DONE);
}

#[test]
fn without_a_token_nothing_is_served() {
    let store = store("");
    let serve = ["gdid", "serve", "--listen", "127.0.0.1:0"];
    store
        .run(serve)
        .refuses(status::BAD_INPUT, &["--token-file", "MDB_GDID_TOKEN"]);
    write(&store, "empty", "\n \n");
    write(&store, "short", "0123456789abcdef\nhunter2\n");
    for (file, part) in [
        ("missing", "No such file"),
        ("empty", "there is no token"),
        ("short", "token 2 has 7 characters"),
    ] {
        let ran = store
            .run(serve.iter().chain(&["--token-file", file]))
            .refuses(status::BAD_INPUT, &[file, part]);
        assert!(!ran.err().contains("hunter2"), "{ran:#?}");
    }
    // A file goes before the environment.
    write(&store, "tokens", "a-token-from-a-file-of-them\n");
    let serving = self::serve(&store, &["127.0.0.1:0", "--token-file", "tokens"]);
    let url = text(serving.said(), "url");
    next(&asking(url, "a-token-from-a-file-of-them", 0, ""), 1);
    asking(url, TOKEN, 0, "")
        .run(["gdid", "next", "user"])
        .refuses(status::FAILED, &["token"]);
}

#[test]
fn which_authority_has_to_be_clear() {
    let two = store(
        r#"
[[authority]]
name = "central"
kind = "central"
ids = [0]

[[authority]]
name = "here"
kind = "disk"
paths = ["ids"]
ids = [1]

[[authority]]
name = "there"
kind = "http"
urls = ["http://127.0.0.1:9"]
token = "any-token-will-do-for-this"
ids = [2]
"#,
    );
    two.run(["gdid", "init-disks"]).ends_with(status::DONE);
    refuses(
        &two,
        &["127.0.0.1:0"],
        &["--authority", "`central`", "`here`"],
    );
    refuses(
        &two,
        &["127.0.0.1:0", "--authority", "hear"],
        &["`hear`", "`here`"],
    );
    refuses(
        &two,
        &["127.0.0.1:0", "--authority", "there"],
        &["`there`", "HTTP"],
    );
    let serving = serve(&two, &["127.0.0.1:0", "--authority", "here"]);
    assert_eq!(serving.said()["ids"], Value::from(vec![1]));

    let taken = text(serving.said(), "address").to_owned();
    let mut command = two.command([
        "gdid",
        "serve",
        "--authority",
        "central",
        "--listen",
        &taken,
    ]);
    Ended::of(command.env("MDB_GDID_TOKEN", TOKEN))
        .refuses(status::FAILED, &["can't listen", &taken]);
}

#[test]
fn a_killed_server_repeats_nothing() {
    let keeper = counted_on_disk();
    let mut serving = serve(&keeper, &["127.0.0.1:0"]);
    let address = text(serving.said(), "address").to_owned();
    let other = asking(text(serving.said(), "url"), TOKEN, 5, "");
    let mut ids: Vec<String> = Vec::new();
    for round in 0..4 {
        let asker = other
            .command(["gdid", "next", "user", "--count", "1000000"])
            .stdout(std::fs::File::create(other.path().join("ids")).unwrap())
            .stderr(std::process::Stdio::null())
            .spawn();
        let mut asker = asker.unwrap();
        let taken = || lines(&other.path().join("ids"));
        wait_until("ids", || taken().len() > 1500 + 700 * round);
        serving.kill();
        let ended = asker.wait().unwrap();
        assert_eq!(
            ended.code(),
            Some(status::UNREACHABLE),
            "its server is away"
        );
        ids.extend(taken());
        serving = serve(&keeper, &[&address]);
    }
    ids.extend(next(&other, 100));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id came twice");
}

/// The whole lines of a file.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

#[test]
fn it_says_where_it_listens() {
    let store = store("");
    let mut command = store.command(["gdid", "serve", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start_in_words(command.env("MDB_GDID_TOKEN", TOKEN));
    let stopped = serving.stop("-TERM").ends_with(status::DONE);
    let port = stopped
        .out()
        .trim_end()
        .rsplit_once(':')
        .unwrap()
        .1
        .to_owned();
    assert!(port.parse::<u16>().is_ok(), "{stopped:#?}");
    golden("gdid_serve", &stopped.out().replace(&port, "PORT"));
    assert_eq!(stopped.err(), "", "nothing else without -v");
}
