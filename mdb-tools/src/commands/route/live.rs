//! Where ids live by the catalog, as it is now.

use mdb_core::Gdid;
use mdb_core::relocate::Motion;
use mdb_core::routing::Placement;
use serde::Serialize;

use crate::args::{Arguments, RouteArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store::{self, Place};

#[derive(Serialize)]
struct Live {
    gdid: Gdid,
    area: String,
    #[serde(flatten)]
    home: At,
    by_rule: At,
    relocated: bool,
    moving: bool,
}

/// A shard.
#[derive(Serialize)]
struct At {
    partition: Option<String>,
    shard: u8,
    server: String,
    database: String,
}

impl From<Place> for At {
    fn from(place: Place) -> Self {
        Self {
            partition: place.partition,
            shard: place.shard,
            server: place.server,
            database: place.database,
        }
    }
}

pub(super) async fn run(arguments: &Arguments, route: &RouteArguments) -> Result<(), Failure> {
    let ids: Vec<Gdid> = store::texts_or_stdin(&route.ids)?
        .iter()
        .map(|text| store::read_id(text))
        .collect::<Result<_, _>>()?;
    let mdb = store::open(arguments).await?;
    let topology = mdb.topology();
    let area = store::area(topology, &route.area)?;
    let mut all = Vec::new();
    for place in mdb.relocator().whereabouts(&route.area, &ids).await? {
        let place = place?;
        all.push(Live {
            gdid: place.id(),
            area: topology.area(area).name().to_string(),
            home: Place::of(topology, place.shard()).into(),
            by_rule: Place::of(topology, place.by_rule()).into(),
            relocated: place.placement() == Placement::Relocated,
            moving: place.motion() == Motion::Moves,
        });
    }
    match arguments.format() {
        Format::Json => all.iter().for_each(output::json),
        Format::Table => {
            let mut table = output::table([
                "gdid",
                "partition",
                "shard",
                "where",
                "placed",
                "by rule",
                "moving",
            ]);
            for live in all {
                let placed = if live.relocated {
                    "by a move"
                } else {
                    "by rule"
                };
                table.add_row([
                    live.gdid.to_string(),
                    live.home.partition.unwrap_or_default(),
                    live.home.shard.to_string(),
                    format!("{}/{}", live.home.server, live.home.database),
                    placed.to_owned(),
                    format!("{}/{}", live.by_rule.server, live.by_rule.database),
                    if live.moving { "yes" } else { "no" }.to_owned(),
                ]);
            }
            output::print(&table);
        }
    }
    Ok(())
}
