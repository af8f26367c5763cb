//! `[[area]]`: generations, partitions and what must hold between them.

use std::collections::HashMap;
use std::ops::Range;

use mdb_gdid::RangeKey;

use super::briefcases;
use super::central::HASHES;
use super::context::quoted;
use super::section::{Schema, Section, Written};
use super::sequences::duplicate_name;
use super::shards::{AreaEngine, Shards};
use super::starts;
use crate::config::fault::{FaultCode, Found};
use crate::config::model::{AreaConfig, Capture, GenerationConfig, HashKind, PartitionConfig};
use crate::config::names::{AreaName, PLAIN};

pub(super) const AREA: Schema = Schema {
    name: "area",
    keys: &[
        "name",
        "hash",
        "capture",
        "partition",
        "generation",
        "briefcase",
    ],
};

const CAPTURES: &[(&str, Capture)] = &[("moving", Capture::Moving), ("always", Capture::Always)];

pub(super) const GENERATION: Schema = Schema {
    name: "generation",
    keys: &["breakpoint", "partition"],
};

pub(super) const PARTITION: Schema = Schema {
    name: "partition",
    keys: &["start", "shards"],
};

/// The names of all areas, also of those with faults, in lower case, and where each stands.
pub(super) type AreaNames = HashMap<String, Range<usize>>;

/// Reads all areas; those with a fault are left out.
pub(super) fn read(
    root: &Section<'_, '_>,
    shards: &mut Shards<'_, '_>,
) -> (Vec<AreaConfig>, AreaNames) {
    let mut seen = AreaNames::new();
    let mut areas = Vec::new();
    for section in root.sections("area", &AREA) {
        let name = section
            .required_text("name")
            .and_then(|name| read_name(&section, &name, &mut seen));
        let hash = section.choice("hash", HASHES).unwrap_or(HashKind::Xxh3);
        let mut engine = AreaEngine::default();
        let generations = read_generations(&section, shards, &mut engine);
        let briefcases = briefcases::read(&section);
        let capture = section.choice("capture", CAPTURES);
        if let (Some(name), Some(engine), Some(generations)) = (name, engine.get(), generations) {
            areas.push(AreaConfig {
                name,
                engine,
                hash,
                generations,
                briefcases,
                capture: capture.unwrap_or(Capture::Moving),
            });
        }
    }
    (areas, seen)
}

fn read_name(
    section: &Section<'_, '_>,
    name: &Written<&str>,
    seen: &mut AreaNames,
) -> Option<AreaName> {
    if name.value.eq_ignore_ascii_case("central") {
        section.context().report(
            Found::new(
                FaultCode::AreaCentral,
                name.at.clone(),
                "an area can't be called CENTRAL",
            )
            .label("reserved")
            .help("CENTRAL is described in `[central]`; give this area another name"),
        );
        return None;
    }
    let folded = name.value.to_ascii_lowercase();
    if let Some(first) = seen.get(&folded) {
        duplicate_name(section, "areas", name, first);
        return None;
    }
    seen.insert(folded, name.at.clone());
    section
        .check_name(name, &PLAIN)
        .then(|| name.value.parse().ok())?
}

fn read_generations(
    area: &Section<'_, '_>,
    shards: &mut Shards<'_, '_>,
    engine: &mut AreaEngine,
) -> Option<Vec<GenerationConfig>> {
    match (area.key("partition"), area.key("generation")) {
        (Some(partition), Some(generation)) => {
            let message = "the area has partitions of its own and generations";
            area.context().report(
                Found::new(FaultCode::PartitionAndGeneration, generation, message)
                    .label("generations")
                    .other(partition, "partitions")
                    .help("put the partitions into the first `[[area.generation]]`"),
            );
        }
        (None, None) => {
            no_partitions(area, "area", "[[area.partition]]");
            return None;
        }
        _ => {}
    }
    // With both, each is still read, so that all its faults are found.
    let own = area
        .key("partition")
        .map(|_| read_partitions(area, shards, engine));
    let mut generations: Vec<Option<GenerationConfig>> = own
        .into_iter()
        .map(|partitions| {
            let partitions = partitions?
                .into_iter()
                .map(|written| written.value)
                .collect();
            Some(GenerationConfig {
                breakpoint: RangeKey::MIN,
                partitions,
            })
        })
        .collect();
    let mut last: Option<Written<RangeKey>> = None;
    for (index, section) in area.sections("generation", &GENERATION).iter().enumerate() {
        let breakpoint = read_breakpoint(section, index, &mut last);
        let partitions = read_partitions(section, shards, engine);
        if let (Some(breakpoint), Some(first), true) = (
            &breakpoint,
            partitions.as_ref().and_then(|p| p.first()),
            index > 0,
        ) && first.value.start > breakpoint.value
        {
            gap(section, breakpoint, first);
        }
        generations.push(breakpoint.zip(partitions).map(|(breakpoint, partitions)| {
            GenerationConfig {
                breakpoint: breakpoint.value,
                partitions: partitions
                    .into_iter()
                    .map(|written| written.value)
                    .collect(),
            }
        }));
    }
    if generations.is_empty()
        && (area.is_empty_list("generation") || area.is_empty_list("partition"))
    {
        no_partitions(area, "area", "[[area.partition]]");
    }
    generations
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .filter(|list| !list.is_empty())
}

fn read_breakpoint(
    section: &Section<'_, '_>,
    index: usize,
    last: &mut Option<Written<RangeKey>>,
) -> Option<Written<RangeKey>> {
    if index == 0 && !section.has("breakpoint") {
        let first = Written {
            value: RangeKey::MIN,
            at: section.span(),
        };
        *last = Some(first.clone());
        return Some(first);
    }
    section.require(
        "breakpoint",
        "add `breakpoint = \"era:0:counter\"`: the first id it decides about",
    );
    let breakpoint = starts::read(section, "breakpoint")?;
    if let Some(last) = last.as_ref().filter(|last| last.value >= breakpoint.value) {
        let message = format!(
            "breakpoint {} is not above the one before it, {}",
            breakpoint.value, last.value
        );
        section.context().report(
            Found::new(FaultCode::BreakpointOrder, breakpoint.at, message)
                .label("not above")
                .other(last.at.clone(), "the one before")
                .help("breakpoints ascend from generation to generation"),
        );
        return None;
    }
    *last = Some(breakpoint.clone());
    Some(breakpoint)
}

fn gap(
    section: &Section<'_, '_>,
    breakpoint: &Written<RangeKey>,
    first: &Written<PartitionConfig>,
) {
    let message = format!(
        "ids from breakpoint {} up to {} would have no home",
        breakpoint.value, first.value.start
    );
    section.context().report(
        Found::new(FaultCode::BreakpointGap, first.at.clone(), message)
            .label("starts above the breakpoint")
            .other(breakpoint.at.clone(), "the breakpoint")
            .help("start the generation's first partition at its breakpoint, or below"),
    );
}

fn no_partitions(section: &Section<'_, '_>, kind: &str, header: &str) {
    section.context().absent(
        Found::new(
            FaultCode::NoPartitions,
            section.span(),
            format!("the {kind} has no partition"),
        )
        .label("no partition")
        .help(format!("add `{header}` with `start` and `shards`")),
    );
}

/// Reads partitions, each with the place of its start; all of them or nothing.
fn read_partitions(
    owner: &Section<'_, '_>,
    shards: &mut Shards<'_, '_>,
    engine: &mut AreaEngine,
) -> Option<Vec<Written<PartitionConfig>>> {
    if !owner.has("partition") {
        no_partitions(owner, "generation", "[[area.generation.partition]]");
        return None;
    }
    let mut seen: HashMap<RangeKey, Range<usize>> = HashMap::new();
    let mut last: Option<Written<RangeKey>> = None;
    let mut partitions = Vec::new();
    for section in owner.sections("partition", &PARTITION) {
        section.require(
            "start",
            "add `start = \"era:0:counter\"`: the partition's lowest id",
        );
        let start = starts::read(&section, "start");
        if let Some(start) = &start {
            check_order(&section, start, &seen, last.as_ref());
            seen.entry(start.value).or_insert_with(|| start.at.clone());
            if last.as_ref().is_none_or(|last| last.value < start.value) {
                last = Some(start.clone());
            }
        }
        let shards = shards.read(&section, engine);
        partitions.push(start.zip(shards).map(|(start, shards)| Written {
            value: PartitionConfig {
                start: start.value,
                shards,
            },
            at: start.at,
        }));
    }
    partitions
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .filter(|list| !list.is_empty())
}

fn check_order(
    section: &Section<'_, '_>,
    start: &Written<RangeKey>,
    seen: &HashMap<RangeKey, Range<usize>>,
    last: Option<&Written<RangeKey>>,
) {
    if let Some(first) = seen.get(&start.value) {
        let message = format!("two partitions start at {}", start.value);
        section.context().report(
            Found::new(FaultCode::DuplicateStart, start.at.clone(), message)
                .label("the second one")
                .other(first.clone(), "the first one")
                .help("give one of them another start, or put their shards into one list"),
        );
    } else if let Some(last) = last.filter(|last| last.value > start.value) {
        let message = format!(
            "start {} is below the start before it, {}",
            quoted_key(start),
            quoted_key(last)
        );
        section.context().report(
            Found::new(FaultCode::UnsortedStarts, start.at.clone(), message)
                .label("below")
                .other(last.at.clone(), "the start before")
                .help("write the partitions in ascending order of their starts"),
        );
    }
}

fn quoted_key(start: &Written<RangeKey>) -> String {
    quoted(&start.value.to_string())
}
