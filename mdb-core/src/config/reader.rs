//! Reading the TOML tree into the model, gathering every fault on the way.
//!
//! A [`Section`](section::Section) walks one TOML table: it knows the table's keys, reads values
//! by type and reports what is wrong, with the byte range that it is at. Functions of this module
//! return `None` where nothing usable was written; they have reported why. Only when no fault was
//! found is there a [`Config`].

mod areas;
mod authorities;
mod briefcases;
mod central;
mod context;
mod section;
mod sequences;
mod servers;
mod shards;
mod starts;
mod syntax;

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::context::Context;
use self::section::{Schema, Section, Written};
use super::fault::{FaultCode, Faults, Found, mask};
use super::model::Config;
use super::names::StoreName;

/// All keys of a configuration, section by section; the reference file shows each.
#[cfg(test)]
pub(super) const SCHEMAS: &[&Schema] = &[
    &ROOT,
    &STORE,
    &sequences::SEQUENCES,
    &sequences::SEQUENCE,
    &authorities::AUTHORITY,
    &servers::DEFAULTS,
    &servers::TEMPLATE,
    &servers::SERVER,
    &central::CENTRAL,
    &central::CACHE,
    &central::INDEX,
    &areas::AREA,
    &areas::GENERATION,
    &areas::PARTITION,
    &shards::SHARD,
    &briefcases::BRIEFCASE,
    &briefcases::TABLE,
];

const ROOT: Schema = Schema {
    name: "configuration",
    keys: &[
        "store",
        "sequences",
        "sequence",
        "authority",
        "defaults",
        "template",
        "server",
        "central",
        "area",
    ],
};

const STORE: Schema = Schema {
    name: "store",
    keys: &["name"],
};

/// Reads `text`; see [`Config::parse`].
pub(super) fn read(
    name: &str,
    text: &str,
    base: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Faults> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let context = Context::new(text, base, environment);
    syntax::report(&context, &errors);
    let config = read_root(&context, &tree);
    let mut faults = context.into_faults();
    match config {
        Some(config) if faults.is_empty() => return Ok(config),
        // Whoever gives nothing has said why; this keeps a report from ever being empty.
        None if faults.is_empty() => {
            faults.push(Found::new(
                FaultCode::MissingKey,
                0..0,
                "the configuration is not complete",
            ));
        }
        _ => {}
    }
    Err(faults.finish(
        name,
        &mask(text, &syntax::secret_values(text, tree.get_ref())),
    ))
}

fn read_root(context: &Context<'_>, tree: &Spanned<DeTable<'_>>) -> Option<Config> {
    let root = Section::root(context, tree.get_ref(), &ROOT);
    let store = read_store(&root);
    let servers = servers::read(&root);
    let mut shards = shards::Shards::new(context, &servers);
    let central = central::read(&root, &mut shards);
    let (areas, area_names) = areas::read(&root, &mut shards);
    let authorities = authorities::read(&root, central.as_ref().map(|c| c.shards().len()));
    let sequences = sequences::read(&root, store.as_ref(), &area_names, authorities);
    Some(Config {
        store: store?.value,
        sequences: sequences?,
        servers: servers.list,
        central: central?,
        areas,
    })
}

fn read_store(root: &Section<'_, '_>) -> Option<Written<StoreName>> {
    if !root.has("store") {
        root.context().absent(
            Found::new(
                FaultCode::MissingKey,
                root.span(),
                "there is no section `[store]`",
            )
            .help("add `[store]` with `name = \"…\"`; every shard is stamped with it"),
        );
    }
    root.section("store", &STORE)?.required_name("name")
}

/// Whether the parser put this value in place of one that it couldn't read.
fn is_placeholder(value: &Spanned<DeValue<'_>>) -> bool {
    value.span().is_empty()
}
