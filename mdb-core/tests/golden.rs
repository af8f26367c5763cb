//! The golden vectors: where keys live, fixed once and for ever.
//!
//! `golden/routes.tsv` was written once by [`write_the_vectors`] and is never written again: a
//! change of routing that changes a line would lose data in every running store.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test may panic; the generator cuts random numbers on purpose"
)]

mod golden {
    pub(crate) mod generate;
    pub(crate) mod key;
    pub(crate) mod topologies;
}

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use golden::key::Key;
use golden::topologies::topologies;
use mdb_core::routing::{RouteError, Router, ShardKey};

/// XXH3-64 of the file: a line can't be changed together with the code unnoticed.
const DIGEST: u64 = 0x2dcc_4bda_1d0e_8b74;

/// A line without its answer: topology, area, key type, key.
type Question<'a> = [&'a str; 4];

/// Generation, partition, slot, shard, as they stand in the file.
type Answer = [String; 4];

const NONE: &str = "-";

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn routes() -> String {
    fs::read_to_string(directory().join("routes.tsv")).expect("the vectors are in the repository")
}

fn lines(text: &str) -> impl Iterator<Item = (usize, Question<'_>, [&str; 4])> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.starts_with('#'))
        .map(|(number, line)| {
            let fields: Vec<&str> = line.split('\t').collect();
            let fields: [&str; 8] = fields.try_into().unwrap_or_else(|fields| {
                panic!("routes.tsv:{number}: eight fields, not {fields:?}");
            });
            let [
                topology,
                area,
                kind,
                key,
                generation,
                partition,
                slot,
                shard,
            ] = fields;
            (
                number,
                [topology, area, kind, key],
                [generation, partition, slot, shard],
            )
        })
}

/// What the router says.
fn answer(routers: &HashMap<String, Router>, [topology, area, kind, key]: Question<'_>) -> Answer {
    let router = &routers[topology];
    let key = Key::parse(kind, key);
    let none = || NONE.to_owned();
    if area == "CENTRAL" {
        let route = key.with_shard_key(|key: ShardKey<'_>| router.central(&key));
        let slot = route
            .slot()
            .map_or_else(none, |slot| slot.get().to_string());
        return [none(), none(), slot, route.position().to_string()];
    }
    let route = match router
        .area(area)
        .expect("is in the topology")
        .route(key.gdid())
    {
        Ok(route) => route,
        Err(RouteError::BelowFirstPartition { .. }) => return [none(), none(), none(), none()],
        Err(error) => panic!("{key:?}: {error}"),
    };
    let topology = router.topology();
    let index = topology.area_index(area).expect("is in the topology");
    let generation = &topology.area(index).generations()[usize::from(route.generation().get())];
    let partition = &generation.partitions()[route.partition().get() as usize];
    assert_eq!(
        partition.shards()[usize::from(route.position().get())],
        route.shard_id(),
        "position and shard say the same"
    );
    [
        generation.breakpoint().to_string(),
        partition.start().to_string(),
        route
            .slot()
            .map_or_else(none, |slot| slot.get().to_string()),
        route.position().to_string(),
    ]
}

#[test]
fn every_vector_routes_as_it_always_did() {
    let routers = topologies(&directory().join("topologies.toml"));
    let text = routes();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for (number, question, expected) in lines(&text) {
        let found = answer(&routers, question);
        if found != expected {
            wrong.push(format!(
                "routes.tsv:{number}: {question:?} is at {found:?}, was {expected:?}"
            ));
        }
        checked += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} of {checked}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(checked >= 10_000, "only {checked} vectors");
}

#[test]
fn the_vectors_are_those_that_were_written_once() {
    let digest = twox_hash::XxHash3_64::oneshot(routes().as_bytes());
    assert_eq!(
        digest, DIGEST,
        "routes.tsv was changed; its digest is {digest:#018x}"
    );
}

/// A set of vectors that leaves a case out would not notice a change there.
#[test]
fn the_vectors_cover_what_routing_depends_on() {
    let text = routes();
    let mut kinds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut partitions: BTreeMap<[&str; 4], usize> = BTreeMap::new();
    for (_, [topology, area, kind, _], [generation, partition, ..]) in lines(&text) {
        if area == "CENTRAL" {
            *kinds.entry((topology, kind)).or_default() += 1;
        } else {
            *partitions
                .entry([topology, area, generation, partition])
                .or_default() += 1;
        }
    }
    for topology in ["xxh3", "azos", "wide"] {
        for kind in golden::key::KINDS {
            let count = kinds.get(&(topology, kind)).copied().unwrap_or_default();
            assert!(count >= 20, "{count} {kind} keys in CENTRAL of {topology}");
        }
    }
    let routers = topologies(&directory().join("topologies.toml"));
    for (name, router) in &routers {
        for area in router.topology().areas() {
            for (_, generation, partition, _) in area.effective_ranges() {
                let generation = &area.generations()[usize::from(generation.get())];
                let start = generation.partitions()[partition.get() as usize]
                    .start()
                    .to_string();
                let breakpoint = generation.breakpoint().to_string();
                let count = partitions
                    .get(&[name.as_str(), area.name().as_str(), &breakpoint, &start])
                    .copied()
                    .unwrap_or_default();
                assert!(
                    count >= 16,
                    "{count} ids in partition {start} of {name}/{}",
                    area.name()
                );
            }
        }
    }
}

/// The recipe of `golden/README.md`, followed by a program that shares no code with this one.
#[test]
fn another_language_comes_to_the_same_shards() {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/check-golden.py");
    let output = Command::new("python3")
        .arg(&script)
        .arg(directory())
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("python3 can't be started ({error}); install the Debian package `python3` (3.11 or later)")
    });
    let (said, failed) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}{failed}");
    let count = lines(&routes()).count();
    assert_eq!(said.trim(), format!("{count} of {count} vectors agree"));
}

#[test]
#[ignore = "writes routes.tsv, once in the life of the project; refuses when it is there"]
fn write_the_vectors() {
    let path = directory().join("routes.tsv");
    let routers = topologies(&directory().join("topologies.toml"));
    let mut text = golden::generate::HEADER.to_owned();
    for [topology, area, kind, key] in golden::generate::questions() {
        let question = [
            topology.as_str(),
            area.as_str(),
            kind.as_str(),
            key.as_str(),
        ];
        let answer = answer(&routers, question);
        text.push_str(&[question.join("\t"), answer.join("\t")].join("\t"));
        text.push('\n');
    }
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path);
    let mut file =
        file.unwrap_or_else(|error| panic!("{} is not overwritten: {error}", path.display()));
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    println!(
        "digest {:#018x}",
        twox_hash::XxHash3_64::oneshot(text.as_bytes())
    );
}
