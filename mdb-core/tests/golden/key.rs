//! Keys as they are written in `routes.tsv`.

use mdb_core::Gdid;
use mdb_core::routing::{Atom, EntityId, ShardKey};

/// All types of keys that CENTRAL takes.
pub(crate) const KINDS: [&str; 10] = [
    "gdid",
    "text",
    "bytes",
    "integer",
    "timestamp",
    "uuid",
    "atom",
    "entity",
    "routed-gdid",
    "provided",
];

/// A key with its own text.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Gdid(Gdid),
    Text(String),
    Bytes(Vec<u8>),
    Integer(i128),
    Timestamp(i64),
    Uuid([u8; 16]),
    Atom(Atom),
    Entity([Atom; 3], String),
    RoutedGdid(u32, Gdid),
    Provided(u64),
}

impl Key {
    pub(crate) fn parse(kind: &str, text: &str) -> Self {
        match kind {
            "gdid" => Self::Gdid(text.parse().unwrap()),
            "text" => Self::Text(text.to_owned()),
            "bytes" => Self::Bytes(bytes(text)),
            "integer" => Self::Integer(text.parse().unwrap()),
            "timestamp" => Self::Timestamp(text.parse().unwrap()),
            "uuid" => Self::Uuid(bytes(text).try_into().unwrap()),
            "atom" => Self::Atom(Atom::new(text).unwrap()),
            "entity" => {
                let (atoms, address) = text.split_once("::").unwrap();
                let (names, system) = atoms.split_once('@').unwrap();
                let (kind, schema) = names.split_once('.').unwrap();
                let atoms = [system, kind, schema].map(|atom| Atom::new(atom).unwrap());
                Self::Entity(atoms, address.to_owned())
            }
            "routed-gdid" => {
                let (route, id) = text.split_once('/').unwrap();
                Self::RoutedGdid(route.parse().unwrap(), id.parse().unwrap())
            }
            "provided" => Self::Provided(text.parse().unwrap()),
            other => panic!("no key is of type {other}"),
        }
    }

    pub(crate) fn gdid(&self) -> Gdid {
        match self {
            Self::Gdid(id) => *id,
            other => panic!("areas route ids, not {other:?}"),
        }
    }

    pub(crate) fn with_shard_key<T>(&self, use_it: impl FnOnce(ShardKey<'_>) -> T) -> T {
        use_it(match self {
            Self::Gdid(id) => ShardKey::Gdid(*id),
            Self::Text(text) => ShardKey::Text(text),
            Self::Bytes(bytes) => ShardKey::Bytes(bytes),
            Self::Integer(value) => ShardKey::Integer(*value),
            Self::Timestamp(value) => ShardKey::Timestamp(*value),
            Self::Uuid(value) => ShardKey::Uuid(*value),
            Self::Atom(atom) => ShardKey::Atom(*atom),
            Self::Entity([system, kind, schema], address) => {
                ShardKey::Entity(EntityId::new(*system, *kind, *schema, address))
            }
            Self::RoutedGdid(route, id) => ShardKey::RoutedGdid {
                route: *route,
                id: *id,
            },
            Self::Provided(hash) => ShardKey::Provided(*hash),
        })
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
