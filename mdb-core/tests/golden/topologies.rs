//! Reads `topologies.toml` and compiles its routers.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use mdb_core::config::{DatabaseName, EngineKind, HashKind, ServerName};
use mdb_core::routing::Router;
use mdb_core::topology::{AreaBuilder, TopologyBuilder};
use mdb_gdid::RangeKey;
use toml::de::{DeTable, DeValue};

type Table<'a> = DeTable<'a>;

/// The routers by the names of their topologies.
pub(crate) fn topologies(path: &Path) -> HashMap<String, Router> {
    let text = fs::read_to_string(path).expect("the topologies are in the repository");
    let file = DeTable::parse(&text).expect("topologies.toml is TOML");
    tables(file.get_ref(), "topology")
        .map(|table| (text_of(table, "name").to_owned(), router(table)))
        .collect()
}

fn router(table: &Table<'_>) -> Router {
    let engine = EngineKind::Sqlite;
    let DeValue::Table(central) = value(table, "central") else {
        panic!("`central` is a table");
    };
    let store = "golden".parse().unwrap();
    let mut topology =
        TopologyBuilder::new(store, engine, hash(central), shards("central", central));
    for area in tables(table, "area") {
        let name = text_of(area, "name");
        let mut parts = AreaBuilder::new(name.parse().unwrap(), engine, hash(area));
        for (g, generation) in tables(area, "generation").enumerate() {
            parts = parts.generation(start(generation, "breakpoint"));
            for (p, partition) in tables(generation, "partitions").enumerate() {
                let databases = shards(&format!("{name}_{g}_{p}"), partition);
                parts = parts.partition(start(partition, "start"), databases);
            }
        }
        topology = topology.area(parts);
    }
    Router::new(topology.build().expect("the topologies are sound"))
}

fn value<'a, 'i>(table: &'a Table<'i>, key: &str) -> &'a DeValue<'i> {
    table
        .get(key)
        .unwrap_or_else(|| panic!("no `{key}` in {table:?}"))
        .get_ref()
}

fn tables<'a, 'i>(table: &'a Table<'i>, key: &str) -> impl Iterator<Item = &'a Table<'i>> {
    let DeValue::Array(list) = value(table, key) else {
        panic!("`{key}` is a list");
    };
    list.iter().map(|item| match item.get_ref() {
        DeValue::Table(table) => table,
        other => panic!("a table, not {other:?}"),
    })
}

fn text_of<'a>(table: &'a Table<'_>, key: &str) -> &'a str {
    match value(table, key) {
        DeValue::String(text) => text,
        other => panic!("`{key}` is a text, not {other:?}"),
    }
}

fn hash(table: &Table<'_>) -> HashKind {
    match text_of(table, "hash") {
        "xxh3" => HashKind::Xxh3,
        "azos" => HashKind::Azos,
        other => panic!("no hash is called {other}"),
    }
}

fn start(table: &Table<'_>, key: &str) -> RangeKey {
    text_of(table, key).parse().unwrap()
}

fn shards(prefix: &str, table: &Table<'_>) -> Vec<(ServerName, DatabaseName)> {
    let DeValue::Integer(count) = value(table, "shards") else {
        panic!("`shards` is a number");
    };
    let count: usize = count.as_str().parse().unwrap();
    let database = |position| format!("{prefix}_{position}").parse().unwrap();
    (0..count)
        .map(|position| ("one".parse().unwrap(), database(position)))
        .collect()
}
