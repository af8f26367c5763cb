//! The configurations of the repository: they parse, and the reference is complete.

use std::collections::HashSet;
use std::path::Path;

use secrecy::ExposeSecret as _;
use toml::de::{DeTable, DeValue};

use super::environment;
use crate::config::reader::SCHEMAS;
use crate::config::{
    Capture, Config, ConfigError, EngineKind, KeyKind, Normalization, Reach, SequenceConfig,
};

pub(super) const REFERENCE: &str = include_str!("../../../../config/mdb.reference.toml");
const QUICKSTART: &str = include_str!("../../../../config/quickstart.toml");
const POSTGRES: &str = include_str!("../../../../config/postgres.toml");
const MARIADB: &str = include_str!("../../../../config/mariadb.toml");

fn parse(text: &str) -> Config {
    let parsed = Config::parse("sample.toml", text, Path::new("/srv"), &environment);
    parsed.unwrap_or_else(|error: ConfigError| {
        panic!("{}", error.render(crate::config::Colour::Plain, 100))
    })
}

/// Adds `section.key` for all keys of a table; a section is named by its last key, as schemas are.
fn collect(table: &DeTable<'_>, section: &str, keys: &mut HashSet<String>) {
    for (key, value) in table {
        keys.insert(format!("{section}.{}", key.get_ref()));
        // Shards are the items of a list called by the plural, and pairs have free keys.
        let inner = if key.get_ref() == "shards" {
            "shard"
        } else {
            key.get_ref()
        };
        match value.get_ref() {
            DeValue::Table(table) if inner != "on" => collect(table, inner, keys),
            DeValue::Array(values) => {
                for value in values {
                    if let DeValue::Table(table) = value.get_ref() {
                        collect(table, inner, keys);
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn the_reference_shows_every_key() {
    let mut keys = HashSet::new();
    collect(
        DeTable::parse(REFERENCE).unwrap().get_ref(),
        "configuration",
        &mut keys,
    );
    for schema in SCHEMAS {
        for key in schema.keys {
            let key = format!("{}.{key}", schema.name);
            assert!(keys.contains(&key), "the reference doesn't show `{key}`");
        }
    }
}

#[test]
fn the_reference_shows_no_default() {
    let reference = parse(REFERENCE);
    let plain = parse(&format!(
        "{}{}[[central.index]]\nname = \"i\"\nkey = \"string\"\n\
         [[area]]\nname = \"a\"\n[[area.partition]]\nstart = \"0:0:0\"\n\
         shards = [{{ server = \"files\", database = \"a\" }}]\n",
        super::BASE,
        super::CENTRAL
    ));
    let (a, b) = (reference.sequences(), plain.sequences());
    let scopes = a
        .declared()
        .iter()
        .map(|declared| declared.scope().as_str());
    assert_eq!(
        scopes.collect::<Vec<_>>(),
        ["SHOP_EU.SECOND.USER", "SHOP_EU.SECOND.CENTRAL"]
    );
    assert_eq!(b.declared(), []);
    assert_ne!(a.options().smallest(), b.options().smallest());
    assert_ne!(a.options().largest(), b.options().largest());
    assert_ne!(a.options().low_water(), b.options().low_water());
    assert_ne!(a.options().block_life(), b.options().block_life());
    let kinds = |sequences: &SequenceConfig| -> Vec<&str> {
        sequences
            .authorities()
            .iter()
            .map(|a| a.kind().as_str())
            .collect()
    };
    assert_eq!(kinds(a), ["central", "disk", "http"]);
    assert_eq!(kinds(b), ["central"]);
    let default = plain.servers()[0].limits();
    for server in [&reference.servers()[0], &reference.servers()[1]] {
        let limits = server.limits();
        assert_ne!(limits.max_connections(), default.max_connections());
        assert_ne!(limits.connect_timeout(), default.connect_timeout());
        assert_ne!(limits.acquire_timeout(), default.acquire_timeout());
        assert_ne!(limits.statement_timeout(), default.statement_timeout());
        assert_ne!(limits.idle_timeout(), default.idle_timeout());
        assert_ne!(limits.max_lifetime(), default.max_lifetime());
        assert_ne!(limits.test_after_idle(), default.test_after_idle());
        assert_ne!(limits.statement_cache(), default.statement_cache());
        assert_ne!(server.admin_database(), plain.servers()[0].admin_database());
    }
    assert_ne!(
        reference.servers()[0].limits(),
        reference.servers()[1].limits()
    );
    let (a, b) = (reference.central(), plain.central());
    assert_ne!(a.hash(), b.hash());
    assert_ne!(a.cache().capacity(), b.cache().capacity());
    assert_ne!(a.cache().ttl(), b.cache().ttl());
    assert_ne!(a.cache().negative_ttl(), b.cache().negative_ttl());
    assert_ne!(
        a.indexes()[0].normalization(),
        b.indexes()[0].normalization()
    );
    assert_ne!(a.indexes()[0].claim_ttl(), b.indexes()[0].claim_ttl());
    assert_ne!(reference.areas()[0].hash(), plain.areas()[0].hash());
    assert_eq!(reference.areas()[0].capture(), Capture::Always);
    assert_eq!(plain.areas()[0].capture(), Capture::Moving);
    let breakpoint =
        |config: &Config, area: usize| config.areas()[area].generations()[0].breakpoint();
    assert_ne!(breakpoint(&reference, 1), breakpoint(&plain, 0));
}

#[test]
fn a_password_from_the_environment_is_encoded() {
    let reference = parse(REFERENCE);
    let east = &reference.servers()[0];
    let database = "user_a0".parse().unwrap();
    assert_eq!(
        east.primary().database_url(&database).expose_secret(),
        "postgres://mdb:p%40ss%2Fw%3A%3F%23rd@10.0.0.1:5432/user_a0?sslmode=prefer"
    );
    assert_eq!(
        east.replicas()[1].database_url(&database).expose_secret(),
        "postgres://mdb:p%40ss%2Fw%3A%3F%23rd@10.0.0.3:5433/user_a0?sslmode=prefer"
    );
    assert_eq!(east.primary().to_string(), "postgres://mdb:…@10.0.0.1:5432");
}

#[test]
fn quickstart_is_embedded_and_spreads_a_thousand_users() {
    let config = parse(QUICKSTART);
    assert_eq!(config.store().as_str(), "quickstart");
    assert_eq!(
        config.servers()[0].primary().directory(),
        Some(Path::new("/srv/data"))
    );
    assert_eq!(config.central().shards().len(), 1);
    assert_eq!(config.central().engine(), EngineKind::Sqlite);
    let index = &config.central().indexes()[0];
    assert_eq!(
        (index.name().as_str(), index.key(), index.normalization()),
        ("user_email", KeyKind::String, Normalization::Fold)
    );
    let area = &config.areas()[0];
    let partitions = area.generations()[0].partitions();
    assert_eq!(
        partitions
            .iter()
            .map(|p| (p.start().to_string(), p.shards().len()))
            .collect::<Vec<_>>(),
        [("0:0".to_owned(), 2), ("0:501".to_owned(), 2)]
    );
    let tables = area.briefcases()[0].tables();
    let names: Vec<_> = tables
        .iter()
        .map(crate::config::TableConfig::name)
        .collect();
    assert_eq!(
        names,
        ["account", "address", "orders", "line_item", "balance"]
    );
    assert_eq!(
        *tables[0].reach(),
        Reach::Key {
            column: "g_user".to_owned()
        }
    );
    let on = vec![("g_order".to_owned(), "g_order".to_owned())];
    assert_eq!(
        *tables[3].reach(),
        Reach::Parent {
            table: "orders".to_owned(),
            on
        }
    );
}

#[test]
fn the_server_samples_differ_in_engine_only() {
    for (text, engine, shown) in [
        (
            POSTGRES,
            EngineKind::Postgres,
            "postgres://mdb:…@127.0.0.1:5432",
        ),
        (MARIADB, EngineKind::MySql, "mysql://mdb:…@127.0.0.1:3306"),
    ] {
        let config = parse(text);
        let servers: Vec<_> = config.servers().iter().map(|s| s.name().as_str()).collect();
        assert_eq!(servers, ["east", "west"]);
        assert_eq!(config.servers()[1].primary().to_string(), shown);
        assert_eq!(
            (config.central().engine(), config.areas()[0].engine()),
            (engine, engine)
        );
    }
}
