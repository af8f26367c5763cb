//! A password never shows, wherever it was written and however broken the file is.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::{BASE, CENTRAL};
use crate::config::{Colour, Config, ConfigError};

/// The middle of each password.
const CORE: &str = "Kx7Qz9Wv";

/// Everything that can be printed of a result.
fn printed(text: &str, value: Option<&str>) -> String {
    let environment = |name: &str| (name == "PW").then(|| value.map(str::to_owned)).flatten();
    match Config::parse("mdb.toml", text, Path::new("/srv"), &environment) {
        Ok(config) => {
            let servers: Vec<_> = config
                .servers()
                .iter()
                .map(|s| s.primary().to_string())
                .collect();
            format!("{config:?} {config:#?} {servers:?}")
        }
        Err(error) => {
            let mut snippets = String::new();
            if let ConfigError::Faults(faults) = &error {
                for f in faults.iter() {
                    let (snippet, underlined) = (f.snippet(), f.underlined());
                    write!(snippets, "{f} {f:?} {snippet} {underlined} {:?}", f.help()).unwrap();
                }
            }
            let rendered = [
                error.render(Colour::Plain, 100),
                error.render(Colour::Ansi, 60),
            ]
            .join("\n");
            format!("{error} {error:?} {error:#?} {snippets} {rendered}")
        }
    }
}

/// URLs that may or may not be right, with a password in them.
fn urls(password: &str) -> Vec<String> {
    [
        "postgres://mdb:PW@h/{database}",
        "postgres://mdb:PW@h/literal",
        "mysql://mdb:PW@h:port",
        "oracle://mdb:PW@h",
        "postgres://mdb:PW@{hots}/{database}",
        "postgres:mdb:PW@h",
        "postgres://mdb:PW@${UNSET}/{database}",
        "mysql://h/{database}?password=PW&a={b}",
    ]
    .iter()
    .map(|url| url.replace("PW", password))
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_password_in_the_file_never_shows(
        before in "[A-Za-z0-9!$%&()*+,./:;<=>?@^_|~ äß-]{0,8}",
        after in "[A-Za-z0-9!$%&()*+,./:;<=>?@^_|~ äß-]{0,8}",
        key in prop::sample::select(vec!["url", "urll", "host", "password"]),
        tail in prop::sample::select(vec!["", "\nmax_connections = 0", "\ncolour = 3", " x"]),
    ) {
        // Its core is looked for, so that half a password doesn't pass.
        for url in urls(&format!("{before}{CORE}{after}")) {
            for value in [format!("\"{url}\""), format!("'{url}'"), format!("\"\"\"{url}\"\"\""), format!("\"{url}"), url.clone()] {
                let text = format!("{BASE}{CENTRAL}[[server]]\nname = \"s\"\n{key} = {value}{tail}\n");
                let printed = printed(&text, None);
                prop_assert!(!printed.contains(CORE), "{text}\n{printed}");
            }
        }
    }

    #[test]
    fn a_password_in_the_environment_never_shows(before in "[ -~äß]{0,8}", after in "[ -~äß]{0,8}") {
        let password = format!("{before}{CORE}{after}");
        for url in urls("${PW}").into_iter().chain(["${PW}".to_owned()]) {
            let text = format!("{BASE}{CENTRAL}[[server]]\nname = \"s\"\nurl = \"{url}\"\n");
            let template = format!(
                "{BASE}{CENTRAL}[[template]]\nname = \"t\"\nurl = \"{}\"\n\
                 [[server]]\nname = \"s\"\ntemplate = \"t\"\nhost = \"h\"\n",
                url.replace("@h", "@{host}")
            );
            for text in [text, template] {
                let printed = printed(&text, Some(&password));
                prop_assert!(!printed.contains(CORE), "{text}\n{printed}");
            }
        }
    }
}

#[test]
fn a_token_never_shows() {
    let authority =
        "[[authority]]\nname = \"a\"\nkind = \"http\"\nids = [1]\nurls = [\"https://h\"]";
    for value in [
        format!("\"{CORE}\""),
        format!("\"{CORE}"),
        CORE.to_owned(),
        format!("[\"{CORE}\"]"),
        "\"${PW}\"".to_owned(),
        "\"${PW}${UNSET}\"".to_owned(),
    ] {
        for (key, more) in [
            ("token", ""),
            ("token", "\nshard = 1"),
            ("tokn", ""),
            ("tokens", ""),
        ] {
            let text = format!("{BASE}{CENTRAL}{authority}\n{key} = {value}{more}\n");
            let printed = printed(&text, Some(CORE));
            assert!(!printed.contains(CORE), "{text}\n{printed}");
        }
    }
}

#[test]
fn an_escaped_or_folded_password_never_shows() {
    for value in [
        r#""postgres://mdb:gehei\u006d\u0040h/x""#,
        "\"\"\"postgres://mdb:gehei\nm-rest@h/x\"\"\"",
        r#""postgres\u003a//mdb\u003Ageheim\u0040h/x""#,
        r#"["postgres://mdb:geheim@h/x", "postgres://mdb:geheim@h/y"]"#,
        r#"{ passphrase = "geheim", pwd = ["geheim"] }"#,
    ] {
        for key in ["url", "replicas", "colour"] {
            let text = format!(
                "{BASE}{CENTRAL}[[server]]\nname = \"s\"\n{key} = {value}\nmax_connections = 0\n"
            );
            let printed = printed(&text, None);
            assert!(
                !printed.contains("gehei") && !printed.contains("m-rest"),
                "{text}\n{printed}"
            );
        }
    }
}
