//! `[defaults]`, `[[template]]` and `[[server]]`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use super::context::quoted;
use super::section::{Schema, Section, Written};
use super::sequences::duplicate_name;
use crate::config::endpoint::Endpoint;
use crate::config::expand::{self, Problem, is_host_and_port};
use crate::config::fault::{FaultCode, Found};
use crate::config::model::{EngineKind, ServerConfig, ServerLimits};
use crate::config::names::{DATABASE, PLAIN, ServerName};

pub(super) const DEFAULTS: Schema = Schema {
    name: "defaults",
    keys: &[
        "max_connections",
        "connect_timeout_ms",
        "acquire_timeout_ms",
        "statement_timeout_ms",
        "idle_timeout_ms",
        "max_lifetime_ms",
        "test_after_idle_ms",
        "statement_cache",
        "admin_database",
    ],
};

pub(super) const TEMPLATE: Schema = Schema {
    name: "template",
    keys: &["name", "url"],
};

pub(super) const SERVER: Schema = Schema {
    name: "server",
    keys: &[
        "name",
        "url",
        "template",
        "host",
        "replicas",
        "max_connections",
        "connect_timeout_ms",
        "acquire_timeout_ms",
        "statement_timeout_ms",
        "idle_timeout_ms",
        "max_lifetime_ms",
        "test_after_idle_ms",
        "statement_cache",
        "admin_database",
    ],
};

/// The servers that can be used, and the names of all that were written.
#[derive(Default)]
pub(super) struct Servers {
    pub(super) list: Vec<ServerConfig>,
    /// A server with a fault is known, but its engine may not be.
    pub(super) engines: BTreeMap<String, Option<EngineKind>>,
}

/// A template: nothing if it has a fault.
type Templates<'c> = BTreeMap<&'c str, Option<expand::Written<'c>>>;

pub(super) fn read(root: &Section<'_, '_>) -> Servers {
    let (limits, admin_database) = match root.section("defaults", &DEFAULTS) {
        Some(defaults) => (
            read_limits(&defaults, &BUILT_IN),
            read_admin_database(&defaults).map(|written| written.value.to_owned()),
        ),
        None => (BUILT_IN, None),
    };
    let admin_database = admin_database.unwrap_or_else(|| "postgres".to_owned());
    let templates = read_templates(root);
    let mut servers = Servers::default();
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    for section in root.sections("server", &SERVER) {
        let name = section.required_text("name");
        let endpoints = read_endpoints(&section, &templates);
        let limits = read_limits(&section, &limits);
        let admin = read_admin_database(&section);
        let engine = endpoints.as_ref().map(|(primary, _)| primary.engine());
        if let (Some(engine), Some(_), Some(at)) = (engine, &admin, section.key("admin_database"))
            && engine != EngineKind::Postgres
        {
            not_for_engine(
                &section,
                at,
                "`admin_database` is for PostgreSQL only",
                engine,
            );
        }
        let Some(name) = name else { continue };
        if let Some(first) = seen.get(name.value) {
            duplicate_name(&section, "servers", &name, first);
            continue;
        }
        seen.insert(name.value, name.at.clone());
        servers.engines.insert(name.value.to_owned(), engine);
        let parsed = section
            .check_name(&name, &PLAIN)
            .then(|| name.value.parse::<ServerName>().ok());
        if let (Some(Some(name)), Some((primary, replicas))) = (parsed, endpoints) {
            let admin_database =
                admin.map_or_else(|| admin_database.clone(), |a| a.value.to_owned());
            servers.list.push(ServerConfig {
                name,
                primary,
                replicas,
                limits,
                admin_database,
            });
        }
    }
    servers
}

/// Limits where the file says nothing.
const BUILT_IN: ServerLimits = ServerLimits {
    max_connections: 16,
    connect_timeout: Duration::from_secs(2),
    acquire_timeout: Duration::from_secs(5),
    statement_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_mins(10),
    max_lifetime: Duration::from_mins(30),
    test_after_idle: Duration::from_secs(1),
    statement_cache: 32,
};

fn read_limits(section: &Section<'_, '_>, default: &ServerLimits) -> ServerLimits {
    let connections = section.integer("max_connections", 1..=10_000);
    let statements = section.integer("statement_cache", 1..=10_000);
    let timeout = |key, default| section.milliseconds(key, 1).unwrap_or(default);
    ServerLimits {
        max_connections: connections
            .and_then(|number| number.try_into().ok())
            .unwrap_or(default.max_connections),
        connect_timeout: timeout("connect_timeout_ms", default.connect_timeout),
        acquire_timeout: timeout("acquire_timeout_ms", default.acquire_timeout),
        statement_timeout: timeout("statement_timeout_ms", default.statement_timeout),
        idle_timeout: timeout("idle_timeout_ms", default.idle_timeout),
        max_lifetime: timeout("max_lifetime_ms", default.max_lifetime),
        test_after_idle: section
            .milliseconds("test_after_idle_ms", 0)
            .unwrap_or(default.test_after_idle),
        statement_cache: statements
            .and_then(|number| number.try_into().ok())
            .unwrap_or(default.statement_cache),
    }
}

fn read_admin_database<'c>(section: &Section<'c, '_>) -> Option<Written<&'c str>> {
    let written = section.text("admin_database")?;
    section.check_name(&written, &DATABASE).then_some(written)
}

fn read_templates<'c>(root: &Section<'c, '_>) -> Templates<'c> {
    let mut templates = Templates::new();
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    for section in root.sections("template", &TEMPLATE) {
        let name = section.required_text("name");
        let url = section.required_text("url");
        let written = url.and_then(|url| read_template(&section, &url));
        let Some(name) = name else { continue };
        section.check_name(&name, &PLAIN);
        if let Some(first) = seen.get(name.value) {
            duplicate_name(&section, "templates", &name, first);
            continue;
        }
        seen.insert(name.value, name.at);
        templates.insert(name.value, written);
    }
    templates
}

fn read_template<'c>(
    section: &Section<'_, '_>,
    url: &Written<&'c str>,
) -> Option<expand::Written<'c>> {
    let written = cut(section, url)?;
    // Checked once here, with a host that is right, so that servers needn't repeat its faults.
    match written.endpoint(section.context().base(), Some("host")) {
        Err(problem) => {
            report(section, url, problem);
            None
        }
        Ok(_) if !written.has_host() => {
            let message = "the template has no `{host}`";
            section.context().report(
                Found::new(FaultCode::MissingPlaceholder, url.at.clone(), message)
                    .label("no `{host}`")
                    .help("put `{host}` where each server's own host belongs"),
            );
            None
        }
        Ok(_) => Some(written),
    }
}

/// The endpoints of a server, the primary first.
fn read_endpoints(
    section: &Section<'_, '_>,
    templates: &Templates<'_>,
) -> Option<(Endpoint, Vec<Endpoint>)> {
    let url = section.text("url");
    let template = section.text("template");
    let host = section.text("host");
    if let (Some(_), Some(second), Some(first)) =
        (&url, section.key("template"), section.key("url"))
    {
        let message = "the server has a `url` and a `template`";
        section.context().report(
            Found::new(FaultCode::UrlAndTemplate, second, message)
                .label("the template")
                .other(first, "the URL")
                .help("keep the URL, or the template with `host`"),
        );
        return None;
    }
    if let (Some(at), false) = (section.key("host"), section.has("template")) {
        section.context().report(
            Found::new(
                FaultCode::HostWithoutTemplate,
                at,
                "the server has a `host`, but no `template`",
            )
            .label("no template to put it in")
            .help("add `template = \"…\"`, or write the whole address as `url`"),
        );
        return None;
    }
    let replicas = section.texts("replicas");
    if let Some(template) = template {
        if !section.has("host") {
            section.context().absent(
                Found::new(
                    FaultCode::TemplateWithoutHost,
                    template.at.clone(),
                    "the server has a `template`, but no `host`",
                )
                .label("what host?")
                .help("add `host = \"…\"`, which is put in the template for `{host}`"),
            );
        }
        let Some(written) = templates.get(template.value) else {
            let message = format!("there is no template {}", quoted(template.value));
            let help =
                section
                    .context()
                    .known(template.value, templates.keys().copied(), "templates");
            section.context().absent(
                Found::new(FaultCode::UnknownTemplate, template.at, message)
                    .label("unknown template")
                    .help(help),
            );
            return None;
        };
        let written = written.as_ref()?;
        let replicas: Vec<_> = replicas
            .iter()
            .map(|host| hosted(section, written, host))
            .collect();
        let primary = hosted(section, written, &host?)?;
        return Some((primary, replicas.into_iter().collect::<Option<_>>()?));
    }
    if !section.has("url") && !section.has("template") {
        section.require("url", "add `url = \"…\"`, or `template` and `host`");
    }
    let primary = url.and_then(|url| whole(section, &url));
    let replicas: Vec<_> = replicas
        .iter()
        .map(|url| Some((whole(section, url)?, url)))
        .collect();
    let primary = primary?;
    let mut endpoints = Vec::new();
    for (endpoint, url) in replicas.into_iter().collect::<Option<Vec<_>>>()? {
        let message = match (primary.engine(), endpoint.engine()) {
            (EngineKind::Sqlite, _) => "a SQLite server has no replicas",
            (engine, other) if engine != other => {
                "the replica is of another engine than the server"
            }
            _ => {
                endpoints.push(endpoint);
                continue;
            }
        };
        not_for_engine(section, url.at.clone(), message, primary.engine());
        return None;
    }
    Some((primary, endpoints))
}

fn not_for_engine(section: &Section<'_, '_>, at: Range<usize>, message: &str, engine: EngineKind) {
    section.context().report(
        Found::new(FaultCode::NotForEngine, at, message)
            .label("not here")
            .help(format!("the server is {engine}; remove this")),
    );
}

/// An endpoint by a template and a host.
fn hosted(
    section: &Section<'_, '_>,
    template: &expand::Written<'_>,
    host: &Written<&str>,
) -> Option<Endpoint> {
    let value = cut(section, host)?
        .plain()
        .filter(|value| is_host_and_port(value));
    let endpoint = value.and_then(|value| {
        template
            .endpoint(section.context().base(), Some(&value))
            .ok()
    });
    if endpoint.is_none() {
        section.context().report(
            Found::new(FaultCode::MalformedUrl, host.at.clone(), "this is no host")
                .label("no host")
                .help("a host is a name, an IPv4 address or an IPv6 address in `[…]`, with or without `:port`"),
        );
    }
    endpoint
}

/// An endpoint by a whole URL.
fn whole(section: &Section<'_, '_>, url: &Written<&str>) -> Option<Endpoint> {
    let written = cut(section, url)?;
    if written.has_host() {
        let help = "`{host}` belongs into the URL of a `[[template]]`; write the host itself here";
        let at = url
            .value
            .find("{host}")
            .map_or(0..url.value.len(), |at| at..at + "{host}".len());
        let message = "`{host}` outside a template".to_owned();
        report(
            section,
            url,
            Problem {
                code: FaultCode::UnknownPlaceholder,
                at,
                message,
                help,
            },
        );
        return None;
    }
    match written.endpoint(section.context().base(), None) {
        Ok(endpoint) => Some(endpoint),
        Err(problem) => {
            report(section, url, problem);
            None
        }
    }
}

pub(super) fn cut<'t>(
    section: &Section<'_, '_>,
    text: &Written<&'t str>,
) -> Option<expand::Written<'t>> {
    match expand::cut(text.value, section.context().environment()) {
        Ok(written) => Some(written),
        Err(problems) => {
            for problem in problems {
                report(section, text, problem);
            }
            None
        }
    }
}

pub(super) fn report(section: &Section<'_, '_>, text: &Written<&str>, problem: Problem) {
    let at = inside(section.context().text(), text, &problem.at);
    section.context().report(
        Found::new(problem.code, at, problem.message)
            .label("here")
            .help(problem.help),
    );
}

/// The range in the file of a range in a decoded text; all of the text if it was written with
/// escapes.
fn inside(file: &str, text: &Written<&str>, range: &Range<usize>) -> Range<usize> {
    let raw = file.get(text.at.clone()).unwrap_or_default();
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
        3
    } else {
        1
    };
    let opening = (raw.get(quotes..))
        .and_then(|inner| inner.find(text.value).filter(|&at| at <= 2))
        .map(|skipped| text.at.start + quotes + skipped);
    match opening {
        Some(start) if range.len() < text.value.len() => start + range.start..start + range.end,
        _ => text.at.clone(),
    }
}
