//! What good configurations become.

use secrecy::ExposeSecret as _;

use super::{BASE, CENTRAL, parse};
use crate::config::{EngineKind, HashKind, ServerName};

fn good(rest: &str) -> crate::config::Config {
    let text = format!("{BASE}{CENTRAL}{rest}");
    parse(&text).unwrap_or_else(|e| panic!("{}", e.render(crate::config::Colour::Plain, 100)))
}

/// The whole URL of database `d` on a server with this `url`.
fn database_url(url: &str) -> String {
    let config = good(&format!("[[server]]\nname = \"s\"\nurl = '{url}'\n"));
    let server = config.server(&"s".parse::<ServerName>().unwrap()).unwrap();
    server
        .primary()
        .database_url(&"d".parse().unwrap())
        .expose_secret()
        .to_owned()
}

#[test]
fn a_url_gets_its_database() {
    for (url, whole) in [
        ("postgres://h", "postgres://h/d"),
        ("postgresql://u@h/", "postgresql://u@h/d"),
        ("mysql://u:p@h:33/{database}", "mysql://u:p@h:33/d"),
        (
            "mariadb://[::1]:33/{database}?ssl-mode=disabled",
            "mariadb://[::1]:33/d?ssl-mode=disabled",
        ),
        ("postgres://u:${SET}@h/{database}", "postgres://u:value@h/d"),
        (
            "postgres://u:$${SET%7D@h/{database}",
            "postgres://u:${SET%7D@h/d",
        ),
        ("sqlite:data", "sqlite:/srv/data/d.db"),
        ("sqlite:///var/a b", "sqlite:/var/a%20b/d.db"),
        ("sqlite:${SET}/x", "sqlite:/srv/value/x/d.db"),
    ] {
        assert_eq!(database_url(url).replace("%7B", "{"), whole, "{url}");
    }
}

#[test]
fn limits_fall_back_server_by_server() {
    let config = good(
        "[defaults]\nmax_connections = 5\nstatement_cache = 7\n\
         [[server]]\nname = \"s\"\nurl = \"sqlite:x\"\nmax_connections = 9\n",
    );
    let limits = |place: usize| {
        let limits = config.servers()[place].limits();
        (
            limits.max_connections(),
            limits.statement_cache(),
            limits.connect_timeout().as_millis(),
        )
    };
    assert_eq!(limits(0), (5, 7, 2000));
    assert_eq!(limits(2), (9, 7, 2000));
}

#[test]
fn generations_hold_from_their_breakpoints() {
    let config = good(
        "[[area]]\nname = \"a\"\nhash = \"azos\"\n\
         [[area.generation]]\n\
         [[area.generation.partition]]\nstart = \"0:0:10\"\nshards = [{ server = \"pg\", database = \"a\" }]\n\
         [[area.generation]]\nbreakpoint = \"0:0:50\"\n\
         [[area.generation.partition]]\nstart = \"000000000000000000000014\"\nshards = [{ server = \"pg\", database = \"b\" }]\n\
         [[area.generation.partition]]\nstart = \"1:0:0\"\nshards = [{ server = \"pg\", database = \"c\" }]\n",
    );
    let area = &config.areas()[0];
    assert_eq!(
        (area.engine(), area.hash()),
        (EngineKind::Postgres, HashKind::Azos)
    );
    let shown: Vec<_> = area
        .generations()
        .iter()
        .map(|g| {
            let starts: Vec<_> = g
                .partitions()
                .iter()
                .map(|p| p.start().to_string())
                .collect();
            (g.breakpoint().to_string(), starts.join(" "))
        })
        .collect();
    let expected = [("0:0", "0:10"), ("0:50", "0:20 1:0")];
    assert_eq!(shown, expected.map(|(b, s)| (b.to_owned(), s.to_owned())));
}

#[test]
fn a_store_needs_no_area_and_a_single_central_may_be_written_as_a_list() {
    assert!(good("").areas().is_empty());
    let text = format!("{BASE}{}", CENTRAL.replace("[central]", "[[central]]"));
    assert_eq!(parse(&text).unwrap().central().shards().len(), 1);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_matter() {
    let text = format!("\u{feff}{BASE}{CENTRAL}").replace('\n', "\r\n");
    assert!(parse(&text).is_ok(), "{}", super::render(&text));
}
