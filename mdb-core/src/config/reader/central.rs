//! `[central]`: shards, cache and indexes.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use super::section::{Schema, Section};
use super::sequences::duplicate_name;
use super::shards::{AreaEngine, Shards};
use super::syntax::second_central;
use crate::config::fault::{FaultCode, Found};
use crate::config::model::{
    CacheConfig, CentralConfig, HashKind, IndexConfig, KeyKind, Normalization,
};
use crate::config::names::{IndexName, PLAIN};

pub(super) const CENTRAL: Schema = Schema {
    name: "central",
    keys: &["hash", "shards", "cache", "index"],
};

pub(super) const CACHE: Schema = Schema {
    name: "cache",
    keys: &["capacity", "ttl_ms", "negative_ttl_ms"],
};

pub(super) const INDEX: Schema = Schema {
    name: "index",
    keys: &["name", "key", "normalize", "claim_ttl_ms"],
};

/// The words of `hash`.
pub(super) const HASHES: &[(&str, HashKind)] =
    &[("xxh3", HashKind::Xxh3), ("azos", HashKind::Azos)];

const KEYS: &[(&str, KeyKind)] = &[
    ("string", KeyKind::String),
    ("bytes", KeyKind::Bytes),
    ("integer", KeyKind::Integer),
];

const NORMALIZATIONS: &[(&str, Normalization)] = &[
    ("none", Normalization::None),
    ("trim", Normalization::Trim),
    ("fold", Normalization::Fold),
];

pub(super) fn read(root: &Section<'_, '_>, shards: &mut Shards<'_, '_>) -> Option<CentralConfig> {
    let mut sections = root.one_or_more("central", &CENTRAL).into_iter();
    let Some(section) = sections.next() else {
        if !root.has("central") || root.is_empty_list("central") {
            root.context().absent(
                Found::new(FaultCode::NoCentral, root.span(), "there is no CENTRAL")
                    .help("add `[central]` with `shards = [{ server = \"…\", database = \"…\" }]`"),
            );
        }
        return None;
    };
    for second in sections {
        root.context()
            .report(second_central(second.span()).other(section.span(), "the first one"));
    }
    let mut engine = AreaEngine::default();
    let hash = section.choice("hash", HASHES);
    let shards = shards.read(&section, &mut engine);
    let cache = read_cache(section.section("cache", &CACHE).as_ref());
    let indexes = read_indexes(&section);
    Some(CentralConfig {
        engine: engine.get()?,
        hash: hash.unwrap_or(HashKind::Xxh3),
        shards: shards?,
        cache,
        indexes,
    })
}

fn read_cache(section: Option<&Section<'_, '_>>) -> CacheConfig {
    let capacity = section.and_then(|cache| cache.integer("capacity", 0..=1_000_000_000));
    let duration = |key, default| {
        section
            .and_then(|cache| cache.milliseconds(key, 1))
            .unwrap_or(Duration::from_secs(default))
    };
    CacheConfig {
        capacity: capacity.unwrap_or(100_000),
        ttl: duration("ttl_ms", 60),
        negative_ttl: duration("negative_ttl_ms", 5),
    }
}

fn read_indexes(central: &Section<'_, '_>) -> Vec<IndexConfig> {
    let mut indexes = Vec::new();
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    for section in central.sections("index", &INDEX) {
        let name = section.required_text("name");
        section.require(
            "key",
            "add `key = \"string\"`, or `\"bytes\"` or `\"integer\"`",
        );
        let key = section.choice("key", KEYS);
        let normalization = section
            .choice("normalize", NORMALIZATIONS)
            .unwrap_or(Normalization::None);
        if let (Some(kind), Some(at)) = (key, section.key("normalize"))
            && kind != KeyKind::String
            && normalization != Normalization::None
        {
            let message = "only keys that are strings can be normalized";
            section.context().report(
                Found::new(FaultCode::NormalizeWithoutString, at, message)
                    .label("not for this key")
                    .help("remove `normalize`, or write `key = \"string\"`"),
            );
        }
        let claim_ttl = section.milliseconds("claim_ttl_ms", 1);
        let Some(name) = name else { continue };
        if let Some(first) = seen.get(name.value) {
            duplicate_name(&section, "indexes", &name, first);
            continue;
        }
        seen.insert(name.value, name.at.clone());
        let parsed = section
            .check_name(&name, &PLAIN)
            .then(|| name.value.parse::<IndexName>().ok());
        if let (Some(Some(name)), Some(key)) = (parsed, key) {
            let claim_ttl = claim_ttl.unwrap_or(Duration::from_mins(10));
            indexes.push(IndexConfig {
                name,
                key,
                normalization,
                claim_ttl,
            });
        }
    }
    indexes
}
