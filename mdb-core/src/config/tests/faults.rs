//! One report for each kind of fault, compared with `faults.golden`.
//!
//! `UPDATE_GOLDEN=1 cargo test` writes the file anew; read the difference before keeping it.

mod ids;

use std::fmt::Write as _;
use std::path::Path;

use super::{BASE, CENTRAL, faults, list, render};
use crate::config::FaultCode;

/// A shard list of its own for each area.
const AREA: &str = "[[area]]\nname = \"user\"\n[[area.partition]]\nstart = \"0:0:0\"\n\
                    shards = [{ server = \"pg\", database = \"u\" }]\n";

/// A configuration that is good but for `rest`, and what kind of fault that is.
fn cases() -> Vec<(FaultCode, String)> {
    use FaultCode as F;
    let with = |rest: &str| format!("{BASE}{CENTRAL}{rest}");
    let server = |rest: &str| with(&format!("[[server]]\nname = \"s\"\n{rest}\n"));
    let template = |url: &str| with(&format!("[[template]]\nname = \"t\"\nurl = {url}\n"));
    let index = |rest: &str| with(&format!("[[central.index]]\nname = \"i\"\n{rest}\n"));
    let area = |rest: &str| with(&format!("{AREA}{rest}"));
    let partition = |start: &str, shards: &str| {
        area(&format!(
            "[[area.partition]]\nstart = {start}\nshards = {shards}\n"
        ))
    };
    let one = "[{ server = \"pg\", database = \"v\" }]";
    let briefcase = |rest: &str| area(&format!("[[area.briefcase]]\nname = \"customer\"\n{rest}"));
    let generations = |second: &str| {
        with(&format!(
            "[[area]]\nname = \"user\"\n[[area.generation]]\nbreakpoint = \"0:0:5\"\n\
             [[area.generation.partition]]\nstart = \"0:0:5\"\nshards = [{{ server = \"pg\", database = \"u\" }}]\n\
             [[area.generation]]\n{second}\n"
        ))
    };
    let second_partition =
        |start: &str| format!("[[area.generation.partition]]\nstart = \"{start}\"\nshards = {one}");
    vec![
        (F::Syntax, server("url = \"sqlite:x\nmax_connections = 3")),
        (F::Syntax, with("[store]\nname = \"again\"\n")),
        (
            F::UnknownKey,
            server("url = \"sqlite:x\"\nmax_conections = 3"),
        ),
        (
            F::WrongType,
            server("url = \"sqlite:x\"\nmax_connections = \"3\""),
        ),
        (
            F::WrongType,
            with("[area]\nname = \"user\"\npartition = []"),
        ),
        (F::MissingKey, with("[[server]]\nurl = \"sqlite:x\"\n")),
        (
            F::MissingKey,
            format!("{CENTRAL}[[server]]\nname = \"files\"\nurl = \"sqlite:x\"\n"),
        ),
        (F::UnknownChoice, index("key = \"strnig\"")),
        (
            F::OutOfRange,
            server("url = \"sqlite:x\"\nmax_connections = 0"),
        ),
        (
            F::OutOfRange,
            server("url = \"sqlite:x\"\nconnect_timeout_ms = 86_400_001"),
        ),
        (
            F::BadName,
            with("[[server]]\nname = \"../east\"\nurl = \"sqlite:x\"\n"),
        ),
        (F::BadName, with("[[sequence]]\nname = \"\"\n")),
        (F::BadName, with("").replace("\"shop\"", "\"shop-\"")),
        (
            F::DuplicateName,
            with("[[sequence]]\nname = \"user\"\n[[sequence]]\nname = \"User\"\n"),
        ),
        (
            F::DuplicateName,
            with("[[server]]\nname = \"pg\"\nurl = \"sqlite:x\"\n"),
        ),
        (
            F::DuplicateName,
            area(
                "[[area]]\nname = \"User\"\n[[area.partition]]\nstart = \"0:0:0\"\nshards = [{ server = \"pg\", database = \"w\" }]\n",
            ),
        ),
        (F::NoCentral, BASE.to_owned()),
        (F::SecondCentral, with(CENTRAL)),
        (
            F::SecondCentral,
            format!(
                "{BASE}{}",
                "[[central]]\nshards = [{ server = \"files\", database = \"c\" }]\n".repeat(2)
            ),
        ),
        (F::AreaCentral, area("").replace("\"user\"", "\"Central\"")),
        (
            F::UnknownServer,
            partition("\"0:0:9\"", "[{ server = \"file\", database = \"v\" }]"),
        ),
        (
            F::UnknownArea,
            area("[[sequence]]\nname = \"s\"\narea = \"usr\""),
        ),
        (
            F::UnknownTemplate,
            server("template = \"gp\"\nhost = \"h\""),
        ),
        (
            F::UrlAndTemplate,
            server("url = \"sqlite:x\"\ntemplate = \"t\"\nhost = \"h\""),
        ),
        (F::HostWithoutTemplate, server("host = \"h\"")),
        (
            F::TemplateWithoutHost,
            format!(
                "{}[[server]]\nname = \"s\"\ntemplate = \"t\"\n",
                template("\"postgres://{host}\"")
            ),
        ),
        (F::UnknownEngine, server("url = \"oracle://h/{database}\"")),
        (
            F::MalformedUrl,
            server("url = \"postgres://u:geheim@h:port/{database}\""),
        ),
        (
            F::MalformedUrl,
            format!(
                "{}[[server]]\nname = \"s\"\ntemplate = \"t\"\nhost = \"a b\"\n",
                template("\"postgres://{host}\"")
            ),
        ),
        (
            F::LiteralDatabase,
            server("url = \"postgres://u:geheim@h/shop\""),
        ),
        (
            F::UnknownPlaceholder,
            template("\"postgres://u@{hots}/{database}\""),
        ),
        (
            F::UnknownPlaceholder,
            server("url = \"postgres://u@{host}/{database}\""),
        ),
        (
            F::MissingPlaceholder,
            template("\"postgres://u@h/{database}\""),
        ),
        (
            F::UnsetVariable,
            server("url = \"postgres://u:${MDB_UNSET}@h/{database}\""),
        ),
        (
            F::NotForEngine,
            server("url = \"sqlite:x\"\nadmin_database = \"postgres\""),
        ),
        (
            F::NotForEngine,
            server("url = \"postgres://h\"\nreplicas = [\"mysql://h\"]"),
        ),
        (F::BadStart, partition("\"0:0\"", one)),
        (F::StartWithAuthority, partition("\"0:3:500\"", one)),
        (F::DuplicateStart, partition("\"0:0:0\"", one)),
        (
            F::UnsortedStarts,
            area("").replace("0:0:0", "0:0:7")
                + &format!("[[area.partition]]\nstart = \"0:0:6\"\nshards = {one}\n"),
        ),
        (F::NoShards, partition("\"0:0:9\"", "[]")),
        (
            F::TooManyShards,
            partition("\"0:0:9\"", &{
                let shards: Vec<_> = (0..257)
                    .map(|i| format!("{{ server = \"pg\", database = \"s{i}\" }}"))
                    .collect();
                format!("[{}]", shards.join(", "))
            }),
        ),
        (
            F::DuplicateShard,
            partition("\"0:0:9\"", "[{ server = \"pg\", database = \"u\" }]"),
        ),
        (
            F::MixedEngines,
            partition("\"0:0:9\"", "[{ server = \"files\", database = \"v\" }]"),
        ),
        (F::NoPartitions, with("[[area]]\nname = \"user\"\n")),
        (F::NoPartitions, generations("breakpoint = \"0:0:9\"")),
        (
            F::PartitionAndGeneration,
            area(&format!(
                "[[area.generation]]\n{}\n",
                second_partition("0:0:0")
            )),
        ),
        (
            F::BreakpointOrder,
            generations(&format!(
                "breakpoint = \"0:0:5\"\n{}",
                second_partition("0:0:5")
            )),
        ),
        (F::MissingKey, generations(&second_partition("0:0:5"))),
        (
            F::BreakpointGap,
            generations(&format!(
                "breakpoint = \"0:0:9\"\n{}",
                second_partition("0:0:12")
            )),
        ),
        (
            F::NormalizeWithoutString,
            index("key = \"bytes\"\nnormalize = \"trim\""),
        ),
        (F::NoTables, briefcase("")),
        (
            F::TableReach,
            briefcase("[[area.briefcase.table]]\nname = \"account\"\n"),
        ),
        (
            F::TableReach,
            briefcase(
                "[[area.briefcase.table]]\nname = \"account\"\nkey = \"k\"\nparent = \"p\"\n",
            ),
        ),
        (
            F::UnknownParent,
            briefcase(
                "[[area.briefcase.table]]\nname = \"account\"\nkey = \"k\"\n[[area.briefcase.table]]\nname = \"line\"\nparent = \"acount\"\non = { k = \"k\" }\n",
            ),
        ),
    ]
}

#[test]
fn every_kind_of_fault_has_its_report() {
    let mut reports = String::new();
    let cases = [cases(), ids::cases()].concat();
    for (code, text) in &cases {
        let faults = faults(text);
        let codes: Vec<_> = faults.iter().map(super::super::Fault::code).collect();
        assert_eq!(
            codes,
            [*code],
            "one fault alone in\n{text}\n{}",
            render(text)
        );
        writeln!(reports, "=== {code}\n{}", render(text)).unwrap();
    }
    for code in FaultCode::ALL {
        assert!(
            cases.iter().any(|(shown, _)| shown == code),
            "no case for {code}"
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/faults.golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &reports).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (got, expected)) in reports.lines().zip(golden.lines()).enumerate() {
        assert_eq!(got, expected, "faults.golden, line {}", number + 1);
    }
    assert_eq!(
        reports.lines().count(),
        golden.lines().count(),
        "faults.golden has another length"
    );
}

/// A dozen and more faults, in every part of the file.
const BROKEN: &str = r#"[store]
name = "my shop"
[sequences]
low_water_percent = 95
[[server]]
name = "east"
url = "postgres://mdb:${NOT_SET}@h/{database}"
max_connections = 0
[[server]]
name = "east"
url = "oracle:x"
colour = "red"
[[central]]
shards = [{ server = "est", database = "c" }]
[[central]]
shards = []
[[area]]
name = "CENTRAL"
[[area.partition]]
start = "0:1:0"
shards = []
[[area]]
name = "user"
[[area.partition]]
start = "0:0:9"
shards = [{ server = "east", database = "a" }, { server = "east", database = "a" }]
[[area.partition]]
start = "zero"
"#;

#[test]
fn all_faults_come_in_one_go_and_by_position() {
    assert_eq!(
        list(BROKEN),
        "2:8 bad_name `\"my shop\"`\n\
         4:21 out_of_range `95`\n\
         7:23 unset_variable `${NOT_SET}`\n\
         8:19 out_of_range `0`\n\
         10:8 duplicate_name `\"east\"`\n\
         11:7 unknown_engine `\"oracle:x\"`\n\
         12:1 unknown_key `colour`\n\
         14:22 unknown_server `\"est\"`\n\
         15:1 second_central `[[central]]`\n\
         18:8 area_central `\"CENTRAL\"`\n\
         20:9 start_with_authority `\"0:1:0\"`\n\
         21:1 no_shards `shards`\n\
         26:48 duplicate_shard `{ server = \"east\", database = \"a\" }`\n\
         27:1 missing_key `[[area.partition]]`\n\
         28:9 bad_start `\"zero\"`\n"
    );
}

#[test]
fn a_syntax_error_hides_no_other_fault_and_causes_no_nonsense() {
    let text = BROKEN
        .replace("name = \"my shop\"", "name = \"my shop")
        .replace("low_water_percent = 95", "low_water_percent = = 95");
    let list = list(&text);
    assert_eq!(
        list.lines().filter(|line| line.contains("syntax")).count(),
        2,
        "{list}"
    );
    for code in [
        "unset_variable",
        "unknown_engine",
        "unknown_key",
        "start_with_authority",
        "bad_start",
    ] {
        assert!(list.contains(code), "{code} is missing in\n{list}");
    }
    for nonsense in ["missing_key", "no_central", "unknown_server", "wrong_type"] {
        assert!(
            !list.contains(nonsense),
            "{nonsense} follows from the syntax errors:\n{list}"
        );
    }
}

#[test]
fn a_summary_is_one_line() {
    let faults = faults(BASE);
    assert_eq!(
        faults.to_string(),
        "1 fault in mdb.toml: line 1: there is no CENTRAL"
    );
    let summary = super::faults("").to_string();
    assert_eq!(
        summary,
        "2 faults in mdb.toml; the first: line 1: there is no section `[store]`"
    );
}
