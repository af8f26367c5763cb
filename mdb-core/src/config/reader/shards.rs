//! Shard lists, and the checks that go over all of them.

use std::collections::HashMap;
use std::ops::Range;

use super::context::{Context, quoted};
use super::section::{Schema, Section, Written};
use super::servers::Servers;
use crate::config::fault::{FaultCode, Found};
use crate::config::model::{EngineKind, ShardConfig};
use crate::config::names::{DatabaseName, ServerName};

pub(super) const SHARD: Schema = Schema {
    name: "shard",
    keys: &["server", "database"],
};

/// The most shards in one list.
const MAX_SHARDS: usize = 256;

/// The shards read so far, over CENTRAL and all areas.
pub(super) struct Shards<'c, 'a> {
    context: &'c Context<'a>,
    servers: &'c Servers,
    used: HashMap<(String, String), Range<usize>>,
}

/// The engine of the shards of one area, and the first shard that has it.
#[derive(Default)]
pub(super) struct AreaEngine(Option<(EngineKind, Range<usize>)>);

impl AreaEngine {
    pub(super) fn get(&self) -> Option<EngineKind> {
        self.0.as_ref().map(|(engine, _)| *engine)
    }
}

impl<'c, 'a> Shards<'c, 'a> {
    pub(super) fn new(context: &'c Context<'a>, servers: &'c Servers) -> Self {
        Self {
            context,
            servers,
            used: HashMap::new(),
        }
    }

    /// Reads the list `shards` of a section; the whole list or nothing.
    pub(super) fn read(
        &mut self,
        owner: &Section<'_, '_>,
        engine: &mut AreaEngine,
    ) -> Option<Vec<ShardConfig>> {
        owner.require(
            "shards",
            "add `shards = [{ server = \"…\", database = \"…\" }]`",
        );
        let at = owner.key("shards")?;
        if owner.is_empty_list("shards") {
            self.context.report(
                Found::new(FaultCode::NoShards, at, "there is no shard in the list")
                    .label("empty")
                    .help(
                        "a list has 1 to 256 shards, each `{ server = \"…\", database = \"…\" }`",
                    ),
            );
            return None;
        }
        let sections = owner.sections("shards", &SHARD);
        if sections.len() > MAX_SHARDS {
            let message = format!("there are {} shards in the list", sections.len());
            self.context.report(
                Found::new(FaultCode::TooManyShards, at, message)
                    .label("too many")
                    .help("a list has 1 to 256 shards; add partitions rather than shards"),
            );
        }
        let written = sections.len();
        let shards: Vec<_> = sections
            .into_iter()
            .filter_map(|section| self.read_one(&section, engine))
            .collect();
        (shards.len() == written && !shards.is_empty()).then_some(shards)
    }

    fn read_one(
        &mut self,
        section: &Section<'_, '_>,
        area: &mut AreaEngine,
    ) -> Option<ShardConfig> {
        let server = section.required_text("server");
        let database = section.required_name::<DatabaseName>("database");
        let server = server.filter(|server| self.check_server(server, area));
        let (server, database) = (server?, database?);
        let place = (server.value.to_owned(), database.value.as_str().to_owned());
        if let Some(first) = self.used.get(&place) {
            let message = format!(
                "database {} on server {} already is a shard",
                quoted(&place.1),
                quoted(&place.0)
            );
            self.context.report(
                Found::new(FaultCode::DuplicateShard, section.span(), message)
                    .label("the second shard")
                    .other(first.clone(), "the first one")
                    .help("each shard of the store has a database of its own"),
            );
            return None;
        }
        self.used.insert(place, section.span());
        let server = server.value.parse::<ServerName>().ok()?;
        Some(ShardConfig {
            server,
            database: database.value,
        })
    }

    /// Whether the server is known and of the area's engine; if not, reports it.
    fn check_server(&self, server: &Written<&str>, area: &mut AreaEngine) -> bool {
        let Some(engine) = self.servers.engines.get(server.value) else {
            let message = format!("there is no server {}", quoted(server.value));
            let known = self.servers.engines.keys().map(String::as_str);
            let help = self.context.known(server.value, known, "servers");
            self.context.absent(
                Found::new(FaultCode::UnknownServer, server.at.clone(), message)
                    .label("unknown server")
                    .help(help),
            );
            return false;
        };
        let Some(engine) = *engine else { return true };
        let (first, at) = area.0.get_or_insert((engine, server.at.clone()));
        if *first == engine {
            return true;
        }
        let message = format!("this shard is on {engine}, but the first one is on {first}");
        self.context.report(
            Found::new(FaultCode::MixedEngines, server.at.clone(), message)
                .label(engine.to_string())
                .other(at.clone(), first.to_string())
                .help("all shards of an area, and all of CENTRAL, are on one engine"),
        );
        false
    }
}
