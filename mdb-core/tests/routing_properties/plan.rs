//! Random topologies as plain lists, and routing over them written out naively.

use std::fmt::Write as _;
use std::sync::LazyLock;

use mdb_core::Gdid;
use mdb_core::config::{DatabaseName, EngineKind, HashKind, ServerName};
use mdb_core::topology::{AreaBuilder, Topology, TopologyBuilder};
use mdb_gdid::RangeKey;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

pub(crate) const AREA: &str = "user";

/// One area: its generations as lists.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) hash: HashKind,
    pub(crate) generations: Vec<PlannedGeneration>,
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedGeneration {
    pub(crate) breakpoint: RangeKey,
    /// Starts, each with the names of its shards' databases.
    pub(crate) partitions: Vec<(RangeKey, Vec<String>)>,
}

/// Where an id lives, by positions in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) generation: usize,
    pub(crate) partition: usize,
    pub(crate) slot: Option<u16>,
    pub(crate) position: usize,
}

fn databases(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|position| format!("{prefix}_{position}"))
        .collect()
}

impl Plan {
    /// All ids in one partition.
    pub(crate) fn one_range(hash: HashKind, shards: usize) -> Self {
        let partitions = vec![(RangeKey::MIN, databases("only", shards))];
        Self {
            hash,
            generations: vec![PlannedGeneration {
                breakpoint: RangeKey::MIN,
                partitions,
            }],
        }
    }

    pub(crate) fn with(&self, generations: Vec<PlannedGeneration>) -> Self {
        Self {
            hash: self.hash,
            generations,
        }
    }

    pub(crate) fn topology(&self) -> Topology {
        let server: ServerName = "one".parse().unwrap();
        let place = |name: &String| (server.clone(), name.parse::<DatabaseName>().unwrap());
        let central = vec![place(&"central".to_owned())];
        let engine = EngineKind::Sqlite;
        let mut area = AreaBuilder::new(AREA.parse().unwrap(), engine, self.hash);
        for generation in &self.generations {
            area = area.generation(generation.breakpoint);
            for (start, databases) in &generation.partitions {
                area = area.partition(*start, databases.iter().map(place).collect());
            }
        }
        TopologyBuilder::new("shop".parse().unwrap(), engine, HashKind::Xxh3, central)
            .area(area)
            .build()
            .unwrap()
    }

    pub(crate) fn to_toml(&self) -> String {
        let mut text = format!(
            "store = {{ name = \"shop\" }}\n\
             central = {{ shards = [{{ server = \"one\", database = \"central\" }}] }}\n\
             [[server]]\nname = \"one\"\nurl = \"sqlite:data\"\n\
             [[area]]\nname = \"{AREA}\"\nhash = \"{}\"\n",
            self.hash.as_str()
        );
        let start = |key: RangeKey| format!("{}:0:{}", key.era(), key.counter());
        for generation in &self.generations {
            let breakpoint = start(generation.breakpoint);
            writeln!(text, "[[area.generation]]\nbreakpoint = \"{breakpoint}\"").unwrap();
            for (key, databases) in &generation.partitions {
                let shards: Vec<String> = databases
                    .iter()
                    .map(|database| format!("{{ server = \"one\", database = \"{database}\" }}"))
                    .collect();
                let (start, shards) = (start(*key), shards.join(", "));
                writeln!(
                    text,
                    "[[area.generation.partition]]\nstart = \"{start}\"\nshards = [{shards}]"
                )
                .unwrap();
            }
        }
        text
    }

    /// From where on ids have a shard. A generation whose first start lies above the next breakpoint
    /// owns nothing; the next one then begins there.
    pub(crate) fn first_start(&self) -> RangeKey {
        let candidates = self.generations.iter().map(|generation| {
            let first = generation.partitions[0].0;
            first.max(generation.breakpoint)
        });
        candidates.min().unwrap()
    }

    pub(crate) fn last_start(&self) -> RangeKey {
        let last = self.generations.last().unwrap();
        last.partitions.last().unwrap().0.max(last.breakpoint)
    }

    pub(crate) fn with_partition_on_top(&self, start: RangeKey, shards: usize) -> Self {
        let mut grown = self.clone();
        let last = grown.generations.last_mut().unwrap();
        last.partitions.push((start, databases("top", shards)));
        grown
    }

    /// The slot of an id; none under Azos' hash.
    pub(crate) fn slot_of(&self, id: Gdid) -> Option<u16> {
        match self.hash {
            HashKind::Xxh3 => Some(naive_slot(&id.to_bytes())),
            HashKind::Azos => None,
        }
    }

    /// The last generation at or below the id, in it the last partition at or below, then the hash.
    pub(crate) fn home_of(&self, id: Gdid) -> Option<Home> {
        if id == Gdid::ZERO {
            return None;
        }
        let (era, counter) = (id.era(), id.id() & 0x0fff_ffff_ffff_ffff);
        let is_at_or_below = |start: RangeKey| (start.era(), start.counter()) <= (era, counter);
        let mut generation = None;
        for (index, candidate) in self.generations.iter().enumerate() {
            if is_at_or_below(candidate.breakpoint) {
                generation = Some(index);
            }
        }
        let generation = generation?;
        let mut partition = None;
        for (index, (start, _)) in self.generations[generation].partitions.iter().enumerate() {
            if is_at_or_below(*start) {
                partition = Some(index);
            }
        }
        let partition = partition?;
        let shards = self.generations[generation].partitions[partition].1.len();
        let slot = self.slot_of(id);
        let position = match slot {
            Some(slot) => naive_slots(shards)[usize::from(slot)],
            None => usize::try_from(naive_azos(id) % shards as u64).unwrap(),
        };
        Some(Home {
            generation,
            partition,
            slot,
            position,
        })
    }

    pub(crate) fn database(&self, home: Home) -> &str {
        &self.generations[home.generation].partitions[home.partition].1[home.position]
    }

    pub(crate) fn mutated(&self, mutation: &Mutation) -> Self {
        let mut changed = self.clone();
        match *mutation {
            Mutation::AddShard(which) => {
                let shards = &mut changed.partition_mut(which).1;
                if shards.len() < 256 {
                    shards.push("added".to_owned());
                }
            }
            Mutation::DropLastShard(which) => {
                let shards = &mut changed.partition_mut(which).1;
                if shards.len() > 1 {
                    shards.pop();
                }
            }
            Mutation::ReverseShards(which) => changed.partition_mut(which).1.reverse(),
            Mutation::AddPartition(start) => {
                let last = changed.generations.last_mut().unwrap();
                let place = last.partitions.partition_point(|(other, _)| *other < start);
                if last
                    .partitions
                    .get(place)
                    .is_none_or(|(other, _)| *other != start)
                {
                    last.partitions.insert(place, (start, databases("top", 3)));
                }
            }
            Mutation::AddGeneration(breakpoint) => {
                if changed.generations.last().unwrap().breakpoint < breakpoint {
                    changed.generations.push(PlannedGeneration {
                        breakpoint,
                        partitions: vec![(breakpoint, databases("next", 3))],
                    });
                }
            }
            Mutation::ChangeHash => {
                changed.hash = match changed.hash {
                    HashKind::Xxh3 => HashKind::Azos,
                    HashKind::Azos => HashKind::Xxh3,
                };
            }
        }
        changed
    }

    fn partition_mut(&mut self, which: usize) -> &mut (RangeKey, Vec<String>) {
        let mut all: Vec<_> = self
            .generations
            .iter_mut()
            .flat_map(|g| &mut g.partitions)
            .collect();
        let place = which % all.len();
        all.swap_remove(place)
    }
}

/// The slot table by the documented rule, one slot at a time.
pub(crate) fn naive_slots(shards: usize) -> &'static [usize] {
    static TABLES: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
        let mut tables = vec![vec![0; 4096]];
        for added in 1..256 {
            let mut table = tables[added - 1].clone();
            let mut held = vec![0; added];
            for &owner in &table {
                held[owner] += 1;
            }
            for _ in 0..4096 / (added + 1) {
                let most = *held.iter().max().unwrap();
                let fullest = held.iter().position(|&slots| slots == most).unwrap();
                let slot = table.iter().rposition(|&owner| owner == fullest).unwrap();
                table[slot] = added;
                held[fullest] -= 1;
            }
            tables.push(table);
        }
        tables
    });
    &TABLES[shards - 1]
}

/// The slot of a key's bytes, by another library's XXH3-64.
pub(crate) fn naive_slot(bytes: &[u8]) -> u16 {
    u16::try_from(twox_hash::XxHash3_64::oneshot(bytes) >> 52).unwrap()
}

/// Azos' hash of an id, byte by byte.
pub(crate) fn naive_azos(id: Gdid) -> u64 {
    let value = (u64::from(id.era()) << 32) ^ id.id();
    if value == 0 {
        return 0;
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for shift in [0, 8, 16, 24, 32, 40, 48, 56] {
        hash ^= (value >> shift) & 0xff;
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// A change of a plan; a number picks one of its partitions.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    AddShard(usize),
    DropLastShard(usize),
    ReverseShards(usize),
    AddPartition(RangeKey),
    AddGeneration(RangeKey),
    ChangeHash,
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<usize>().prop_map(Mutation::AddShard),
        any::<usize>().prop_map(Mutation::DropLastShard),
        any::<usize>().prop_map(Mutation::ReverseShards),
        range_key().prop_map(Mutation::AddPartition),
        range_key().prop_map(Mutation::AddGeneration),
        Just(Mutation::ChangeHash),
    ]
}

/// Few eras and small counters, so that keys meet on, between and around starts; and the limits.
pub(crate) fn range_key() -> impl Strategy<Value = RangeKey> {
    let era = prop_oneof![5 => 0..3_u32, 1 => Just(u32::MAX)];
    let counter =
        prop_oneof![8 => 0..60_u64, 1 => Just(Gdid::MAX_COUNTER), 1 => 0..=Gdid::MAX_COUNTER];
    (era, counter).prop_map(|(era, counter)| RangeKey::new(era, counter).unwrap())
}

/// Mostly near the starts of plans, sometimes anywhere.
pub(crate) fn id() -> impl Strategy<Value = Gdid> {
    let near = (range_key(), 0..16_u8)
        .prop_map(|(key, authority)| Gdid::new(key.era(), authority, key.counter()).unwrap());
    prop_oneof![5 => near, 1 => any::<[u8; 12]>().prop_map(Gdid::from_bytes)]
}

/// One to four generations of one to eight partitions with 1 to 256 shards each.
pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let shards = prop_oneof![12 => 1..9_usize, 2 => Just(16_usize), 1 => Just(100_usize), 1 => Just(256_usize)];
    let partitions = vec((range_key(), shards), 1..9);
    let hash = prop_oneof![3 => Just(HashKind::Xxh3), 1 => Just(HashKind::Azos)];
    (
        hash,
        btree_set(range_key(), 0..4),
        vec(partitions, 4),
        any::<bool>(),
    )
        .prop_map(|(hash, breakpoints, mut lists, from_the_lowest_key)| {
            // Most areas begin with a generation that holds from the lowest key on.
            let mut breakpoints: Vec<RangeKey> = breakpoints.into_iter().collect();
            if from_the_lowest_key || breakpoints.is_empty() {
                breakpoints.retain(|&breakpoint| breakpoint != RangeKey::MIN);
                breakpoints.insert(0, RangeKey::MIN);
            }
            breakpoints.truncate(4);
            let mut generations = Vec::new();
            for (g, breakpoint) in breakpoints.into_iter().enumerate() {
                let mut list = std::mem::take(&mut lists[g]);
                list.sort_by_key(|(start, _)| *start);
                list.dedup_by_key(|(start, _)| *start);
                // Only the first generation may leave ids at its beginning without a home.
                if g > 0 && list[0].0 > breakpoint {
                    list[0].0 = breakpoint;
                }
                let partitions = list
                    .into_iter()
                    .enumerate()
                    .map(|(p, (start, count))| (start, databases(&format!("g{g}_p{p}"), count)))
                    .collect();
                generations.push(PlannedGeneration {
                    breakpoint,
                    partitions,
                });
            }
            Plan { hash, generations }
        })
}
