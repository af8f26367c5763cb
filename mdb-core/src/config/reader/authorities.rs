//! `[[authority]]`: where the count of each authority is kept.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use mdb_gdid::{AuthorityId, AuthorityIds};
use secrecy::SecretString;
use url::Url;

use super::context::quoted;
use super::section::{Schema, Section, Written};
use super::sequences::duplicate_name;
use super::servers::cut;
use crate::config::fault::{FaultCode, Found};
use crate::config::model::{AuthorityConfig, AuthorityKind};
use crate::config::names::PLAIN;

pub(super) const AUTHORITY: Schema = Schema {
    name: "authority",
    keys: &[
        "name",
        "kind",
        "ids",
        "shard",
        "paths",
        "urls",
        "token",
        "ca",
        "timeout_ms",
    ],
};

/// What stands in `kind`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Central,
    Disk,
    Http,
}

const KINDS: &[(&str, Kind)] = &[
    ("central", Kind::Central),
    ("disk", Kind::Disk),
    ("http", Kind::Http),
];

impl Kind {
    fn word(self) -> &'static str {
        KINDS
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(word, _)| word)
    }

    /// The keys that only this kind has.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Central => &["shard"],
            Self::Disk => &["paths"],
            Self::Http => &["urls", "token", "ca", "timeout_ms"],
        }
    }
}

/// The authorities in the order of the file. `shards` is how many CENTRAL has, where that is known.
pub(super) fn read(root: &Section<'_, '_>, shards: Option<usize>) -> Vec<AuthorityConfig> {
    let mut authorities = Vec::new();
    let mut names: HashMap<&str, Range<usize>> = HashMap::new();
    let mut numbers: HashMap<u64, Range<usize>> = HashMap::new();
    for section in root.sections("authority", &AUTHORITY) {
        let name = section.required_text("name");
        section.require(
            "kind",
            "add `kind = \"central\"`, or `\"disk\"` or `\"http\"`",
        );
        let kind = section.choice("kind", KINDS);
        let ids = read_ids(&section, &mut numbers);
        let kind = kind.and_then(|kind| {
            not_for_kind(&section, kind);
            match kind {
                Kind::Central => read_central(&section, shards),
                Kind::Disk => read_disk(&section),
                Kind::Http => read_http(&section),
            }
        });
        let Some(name) = name else { continue };
        if let Some(first) = names.get(name.value) {
            duplicate_name(&section, "authorities", &name, first);
            continue;
        }
        names.insert(name.value, name.at.clone());
        if section.check_name(&name, &PLAIN)
            && let (Some(ids), Some(kind)) = (ids, kind)
        {
            authorities.push(AuthorityConfig {
                name: name.value.to_owned(),
                ids,
                kind,
            });
        }
    }
    authorities
}

fn read_ids(
    section: &Section<'_, '_>,
    numbers: &mut HashMap<u64, Range<usize>>,
) -> Option<AuthorityIds> {
    section.require(
        "ids",
        "add `ids = [0]`: the numbers of its authorities, 0 to 15",
    );
    if section.is_empty_list("ids") {
        section.context().report(
            Found::new(
                FaultCode::OutOfRange,
                section.key("ids").unwrap_or(section.span()),
                "`ids` has no number",
            )
            .label("no authority")
            .help("an authority has at least one number, 0 to 15"),
        );
    }
    let mut ids = Vec::new();
    for Written { value, at } in section.integers("ids", &(0..=15)) {
        if let Some(first) = numbers.get(&value) {
            let message = format!("two authorities have the number {value}");
            section.context().report(
                Found::new(FaultCode::DuplicateAuthority, at, message)
                    .label("the second one")
                    .other(first.clone(), "the first one")
                    .help("two that count apart under one number issue the same ids; give one of them another"),
            );
            continue;
        }
        numbers.insert(value, at);
        ids.extend(u8::try_from(value).ok().and_then(AuthorityId::new));
    }
    AuthorityIds::new(ids)
}

fn not_for_kind(section: &Section<'_, '_>, kind: Kind) {
    for (_, other) in KINDS.iter().filter(|(_, other)| *other != kind) {
        for key in other.keys() {
            if let Some(at) = section.key(key) {
                let message = format!("`{key}` is for authorities of kind \"{}\"", other.word());
                section.context().report(
                    Found::new(FaultCode::NotForKind, at, message)
                        .label("not here")
                        .help(format!(
                            "this one is of kind \"{}\"; remove `{key}`",
                            kind.word()
                        )),
                );
            }
        }
    }
}

fn read_central(section: &Section<'_, '_>, shards: Option<usize>) -> Option<AuthorityKind> {
    let most = shards.map_or(255, |shards| shards.saturating_sub(1) as u64);
    let shard = if section.has("shard") {
        section.integer("shard", 0..=most)?
    } else {
        0
    };
    Some(AuthorityKind::Central {
        shard: usize::try_from(shard).ok()?,
    })
}

fn read_disk(section: &Section<'_, '_>) -> Option<AuthorityKind> {
    section.require(
        "paths",
        "add `paths = [\"…\"]`: directories on different disks",
    );
    let written = section.texts("paths");
    if section.is_empty_list("paths") {
        section.context().report(
            Found::new(
                FaultCode::OutOfRange,
                section.key("paths").unwrap_or(section.span()),
                "`paths` has no directory",
            )
            .label("nowhere to count")
            .help("name at least one directory; three on different disks are safer"),
        );
    }
    let mut seen: HashMap<PathBuf, Range<usize>> = HashMap::new();
    let mut paths = Vec::new();
    for path in written {
        let value = cut(section, &path)?.plain().unwrap_or_default();
        let whole = section.context().base().join(&value);
        if value.is_empty() {
            section.context().report(
                Found::new(FaultCode::BadName, path.at.clone(), "this is no directory")
                    .label("empty")
                    .help("write a path; a relative one counts from this file"),
            );
        } else if let Some(first) = seen.get(&whole) {
            duplicate_name(section, "paths", &path, first);
        } else {
            seen.insert(whole.clone(), path.at.clone());
            paths.push(whole);
        }
    }
    (!paths.is_empty()).then_some(AuthorityKind::Disk { paths })
}

fn read_http(section: &Section<'_, '_>) -> Option<AuthorityKind> {
    section.require("urls", "add `urls = [\"https://…\"]`, the nearest first");
    section.require(
        "token",
        "add `token = \"${MDB_GDID_TOKEN}\"`, as `mdb gdid serve` has it",
    );
    let written = section.texts("urls");
    let urls: Vec<Option<Url>> = written.iter().map(|url| read_url(section, url)).collect();
    if section.is_empty_list("urls") {
        section.context().report(
            Found::new(
                FaultCode::OutOfRange,
                section.key("urls").unwrap_or(section.span()),
                "`urls` has no URL",
            )
            .label("nobody to ask")
            .help("name at least one host that runs `mdb gdid serve`"),
        );
    }
    let token = section
        .text("token")
        .and_then(|token| cut(section, &token)?.plain());
    let ca = section
        .text("ca")
        .and_then(|ca| cut(section, &ca)?.plain())
        .map(|ca| section.context().base().join(ca));
    let timeout = section.milliseconds("timeout_ms", 1);
    let urls = urls.into_iter().collect::<Option<Vec<_>>>()?;
    (!urls.is_empty()).then_some(AuthorityKind::Http {
        urls,
        token: SecretString::from(token?),
        ca,
        timeout: timeout.unwrap_or(Duration::from_secs(2)),
    })
}

fn read_url(section: &Section<'_, '_>, written: &Written<&str>) -> Option<Url> {
    let text = cut(section, written)?.plain().unwrap_or_default();
    let refused = |code, message: String, help: &'static str| {
        let found = Found::new(code, written.at.clone(), message);
        section.context().report(found.label("here").help(help));
    };
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    });
    let Some(url) = url else {
        let help = "write https://HOST:PORT; the token stands in `token`";
        refused(
            FaultCode::MalformedUrl,
            format!("{} is no URL of a host", quoted(written.value)),
            help,
        );
        return None;
    };
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_local {
        let message = "the token would go over the network unprotected".to_owned();
        refused(
            FaultCode::UnprotectedUrl,
            message,
            "write https:// for a host that is not this one",
        );
        return None;
    }
    Some(url)
}
