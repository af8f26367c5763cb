//! Tests of the whole way from text to model or report.

mod extremes;
mod faults;
mod model;
mod samples;
mod secrets;

use std::fmt::Write as _;
use std::path::Path;

use super::{Colour, Config, ConfigError, Faults};

/// What every good configuration needs; tests add to it.
const BASE: &str = "\
[store]
name = \"shop\"
[[server]]
name = \"files\"
url = \"sqlite:data\"
[[server]]
name = \"pg\"
url = \"postgres://mdb@h/{database}\"
";

/// A CENTRAL to go with it.
const CENTRAL: &str = "\
[central]
shards = [{ server = \"files\", database = \"c\" }]
";

fn environment(name: &str) -> Option<String> {
    match name {
        "SET" => Some("value".to_owned()),
        "MDB_GDID_TOKEN" => Some("0123456789abcdef".to_owned()),
        "MDB_PASSWORD" | "MDB_PG_PASSWORD" | "MDB_MYSQL_PASSWORD" => Some("p@ss/w:?#rd".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("mdb.toml", text, Path::new("/srv"), &environment)
}

fn faults(text: &str) -> Faults {
    match parse(text) {
        Err(ConfigError::Faults(faults)) => faults,
        other => panic!("no faults, but {other:?}"),
    }
}

fn render(text: &str) -> String {
    parse(text).map_or_else(
        |error| error.render(Colour::Plain, 100),
        |_| "no fault\n".to_owned(),
    )
}

/// The faults of `text`, one a line: position, code, underlined text.
fn list(text: &str) -> String {
    let mut lines = String::new();
    for fault in faults(text).iter() {
        let code = fault.code().as_str().trim_start_matches("mdb::config::");
        writeln!(
            lines,
            "{}:{} {code} `{}`",
            fault.line(),
            fault.column(),
            fault.underlined()
        )
        .unwrap();
    }
    lines
}
