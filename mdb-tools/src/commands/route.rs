//! `mdb route`: where ids live, by the configuration alone or by the catalog.

mod live;

use mdb_core::Gdid;
use mdb_core::OpenError;
use mdb_core::config::loader;
use mdb_core::routing::slots::Slot;
use mdb_core::routing::{Placement, Router};
use mdb_core::topology::Topology;
use serde::Serialize;

use crate::args::{Arguments, RouteArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store::{self, Place};

#[derive(Serialize)]
struct Routed {
    gdid: Gdid,
    area: String,
    generation: Option<String>,
    partition: Option<String>,
    slot: Option<u16>,
    shard: u8,
    server: String,
    database: String,
}

pub(crate) async fn run(arguments: &Arguments, route: &RouteArguments) -> Result<(), Failure> {
    if route.live {
        live::run(arguments, route).await
    } else {
        by_rule(arguments, route)
    }
}

fn by_rule(arguments: &Arguments, route: &RouteArguments) -> Result<(), Failure> {
    let config =
        loader::load(&arguments.config).map_err(|error| Failure::Config(Box::new(error)))?;
    let topology = Topology::from_config(&config).map_err(OpenError::Topology)?;
    let router = Router::new(topology);
    let area = router.area_at(store::area(router.topology(), &route.area)?);
    let mut all = Vec::new();
    for text in store::texts_or_stdin(&route.ids)? {
        let gdid = store::read_id(&text)?;
        let found = area.route(gdid)?;
        let place = Place::of(router.topology(), found.shard_id());
        debug_assert_eq!(
            found.placement(),
            Placement::Rule,
            "a configuration holds no relocations"
        );
        all.push(Routed {
            gdid,
            area: place.area,
            generation: place.generation,
            partition: place.partition,
            slot: found.slot().map(Slot::get),
            shard: place.shard,
            server: place.server,
            database: place.database,
        });
    }
    match arguments.format() {
        Format::Json => all.iter().for_each(output::json),
        Format::Table => {
            let mut table =
                output::table(["gdid", "generation", "partition", "slot", "shard", "where"]);
            for route in all {
                table.add_row([
                    route.gdid.to_string(),
                    route.generation.unwrap_or_else(|| "-".to_owned()),
                    route.partition.unwrap_or_else(|| "-".to_owned()),
                    route
                        .slot
                        .map_or_else(|| "-".to_owned(), |slot| slot.to_string()),
                    route.shard.to_string(),
                    format!("{}/{}", route.server, route.database),
                ]);
            }
            output::print(&table);
        }
    }
    Ok(())
}
