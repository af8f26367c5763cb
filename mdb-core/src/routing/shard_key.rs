//! Shard keys: the values that CENTRAL (and any hash level) places by.

use std::borrow::Cow;
use std::fmt;

use mdb_gdid::Gdid;

use super::azos;
use super::slots::Slot;

/// A value that CENTRAL shards by.
///
/// # Canonical bytes
///
/// The slot is the top 12 bits of the XXH3-64 of the key's canonical bytes: one tag byte, then
/// the value. The tag keeps the string `"1"` and the integer 1 apart.
///
/// | key | tag | value |
/// |---|---|---|
/// | [`Gdid`](Self::Gdid) | `01` | 12 bytes: era, authority and counter, big-endian |
/// | [`Text`](Self::Text) | `02` | UTF-8 |
/// | [`Bytes`](Self::Bytes) | `03` | as they are |
/// | [`Integer`](Self::Integer) | `04` | 16 bytes, two's complement, big-endian |
/// | [`Timestamp`](Self::Timestamp) | `05` | 8 bytes: milliseconds since 1970 UTC, two's complement, big-endian |
/// | [`Uuid`](Self::Uuid) | `06` | 16 bytes in network order |
/// | [`Atom`](Self::Atom) | `07` | 8 bytes, big-endian |
/// | [`Entity`](Self::Entity) | `08` | system, type and schema as 8 big-endian bytes each, then the address in UTF-8 |
/// | [`RoutedGdid`](Self::RoutedGdid) | `09` | route as 4 big-endian bytes: the id itself does not count |
/// | [`Provided`](Self::Provided) | `0a` | 8 bytes, big-endian |
///
/// With `hash = "azos"` the hash is Azos' own instead, taken modulo the number of shards.
///
/// ```
/// use mdb_core::routing::ShardKey;
///
/// assert_ne!(ShardKey::from("1").canonical_bytes(), ShardKey::from(1_u64).canonical_bytes());
/// assert_eq!(ShardKey::from(1_u32).canonical_bytes(), ShardKey::from(1_i64).canonical_bytes());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShardKey<'a> {
    /// A GDID, authority included.
    Gdid(Gdid),
    /// Text; case counts.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An integer; its width and signedness don't count, only its value.
    Integer(i128),
    /// A moment, in milliseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// A UUID, in network order.
    Uuid([u8; 16]),
    /// A short name packed into 64 bits.
    Atom(Atom),
    /// An entity's address: `type.schema@system::address`.
    Entity(EntityId<'a>),
    /// A GDID that carries its own route: only the route counts.
    RoutedGdid {
        /// What is hashed.
        route: u32,
        /// The id that is routed.
        id: Gdid,
    },
    /// A hash that the key's owner provides.
    Provided(u64),
}

impl ShardKey<'_> {
    /// The bytes whose XXH3-64 decides the slot; see the type for their layout.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        match *self {
            Self::Gdid(id) => {
                bytes.push(1);
                bytes.extend_from_slice(&id.to_bytes());
            }
            Self::Text(text) => {
                bytes.push(2);
                bytes.extend_from_slice(text.as_bytes());
            }
            Self::Bytes(value) => {
                bytes.push(3);
                bytes.extend_from_slice(value);
            }
            Self::Integer(value) => {
                bytes.push(4);
                bytes.extend_from_slice(&value.to_be_bytes());
            }
            Self::Timestamp(milliseconds) => {
                bytes.push(5);
                bytes.extend_from_slice(&milliseconds.to_be_bytes());
            }
            Self::Uuid(value) => {
                bytes.push(6);
                bytes.extend_from_slice(&value);
            }
            Self::Atom(atom) => {
                bytes.push(7);
                bytes.extend_from_slice(&atom.0.to_be_bytes());
            }
            Self::Entity(entity) => {
                bytes.push(8);
                for atom in [entity.system, entity.entity_type, entity.schema] {
                    bytes.extend_from_slice(&atom.0.to_be_bytes());
                }
                bytes.extend_from_slice(entity.address.as_bytes());
            }
            Self::RoutedGdid { route, .. } => {
                bytes.push(9);
                bytes.extend_from_slice(&route.to_be_bytes());
            }
            Self::Provided(hash) => {
                bytes.push(10);
                bytes.extend_from_slice(&hash.to_be_bytes());
            }
        }
        bytes
    }

    /// The slot that the key falls into.
    pub fn slot(&self) -> Slot {
        Slot::of_bytes(&self.canonical_bytes())
    }

    /// Azos' 64-bit hash of the key.
    ///
    /// An integer outside `i64::MIN..=u64::MAX` has no counterpart there; its low 64 bits are taken.
    pub fn azos_hash(&self) -> u64 {
        match *self {
            Self::Gdid(id) => azos::hash_gdid(id),
            Self::Text(text) => azos::hash_text(text),
            Self::Bytes(bytes) => azos::hash_bytes(bytes),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the low 64 bits are meant"
            )]
            Self::Integer(value) => azos::hash_u64(value as u64),
            Self::Timestamp(milliseconds) => azos::hash_u64(milliseconds.cast_unsigned()),
            Self::Uuid(value) => azos::hash_bytes(&value),
            Self::Atom(atom) => azos::hash_u64(atom.0),
            Self::Entity(entity) => entity.azos_hash(),
            Self::RoutedGdid { route, .. } => azos::hash_u64(u64::from(route)),
            Self::Provided(hash) => azos::hash_u64(hash),
        }
    }
}

impl From<Gdid> for ShardKey<'_> {
    fn from(id: Gdid) -> Self {
        Self::Gdid(id)
    }
}

impl<'a> From<&'a str> for ShardKey<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for ShardKey<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for ShardKey<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

macro_rules! integer_keys {
    ($($integer:ty),*) => {$(
        impl From<$integer> for ShardKey<'_> {
            fn from(value: $integer) -> Self {
                Self::Integer(value.into())
            }
        }
    )*};
}
integer_keys!(u32, i32, u64, i64);

/// A short name of up to eight characters `[0-9A-Za-z_-]`, packed into 64 bits, first one lowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom(u64);

/// Why a text is not an [`Atom`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AtomError {
    /// More than eight characters.
    #[error("an atom has at most 8 characters, not {characters}")]
    TooLong {
        /// How many there are.
        characters: usize,
    },
    /// A character outside `[0-9A-Za-z_-]`.
    #[error(
        "{found:?} at character {position} can't be in an atom: digits, letters, `_` and `-` can"
    )]
    Character {
        /// The character.
        found: char,
        /// Its place, from 1.
        position: usize,
    },
}

impl Atom {
    /// Packs `text`; the empty text is the zero atom.
    ///
    /// # Errors
    ///
    /// - [`AtomError::TooLong`]: more than eight characters.
    /// - [`AtomError::Character`]: one that atoms can't hold.
    ///
    /// ```
    /// use mdb_core::routing::Atom;
    ///
    /// assert_eq!(Atom::new("ab")?.get(), 0x6261);
    /// assert!(Atom::new("a b").is_err());
    /// # Ok::<(), mdb_core::routing::AtomError>(())
    /// ```
    pub fn new(text: &str) -> Result<Self, AtomError> {
        let characters = text.chars().count();
        if characters > 8 {
            return Err(AtomError::TooLong { characters });
        }
        let mut packed = [0; 8];
        for (place, found) in text.chars().enumerate() {
            match u8::try_from(found) {
                Ok(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') => {
                    packed[place] = byte;
                }
                _ => {
                    return Err(AtomError::Character {
                        found,
                        position: place + 1,
                    });
                }
            }
        }
        Ok(Self(u64::from_le_bytes(packed)))
    }

    /// The packed value.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.to_le_bytes();
        let length = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        f.write_str(&String::from_utf8_lossy(&bytes[..length]))
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Atom({self})")
    }
}

/// An entity's address: `type.schema@system::address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntityId<'a> {
    system: Atom,
    entity_type: Atom,
    schema: Atom,
    address: &'a str,
}

impl<'a> EntityId<'a> {
    /// Puts an address together.
    pub const fn new(system: Atom, entity_type: Atom, schema: Atom, address: &'a str) -> Self {
        Self {
            system,
            entity_type,
            schema,
            address,
        }
    }

    fn azos_hash(self) -> u64 {
        if self.system.0 == 0 {
            return 0;
        }
        (self.system.0 << 32) ^ self.entity_type.0 ^ self.schema.0 ^ azos::hash_text(self.address)
    }

    /// The address as text.
    pub fn to_text(self) -> Cow<'static, str> {
        format!(
            "{}.{}@{}::{}",
            self.entity_type, self.schema, self.system, self.address
        )
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes_are_frozen() {
        let hex = |key: ShardKey<'_>| {
            key.canonical_bytes()
                .iter()
                .fold(String::new(), |s, b| s + &format!("{b:02x}"))
        };
        let id = Gdid::new(1, 2, 3).unwrap();
        let atom = |text| Atom::new(text).unwrap();
        assert_eq!(hex(ShardKey::Gdid(id)), "01000000012000000000000003");
        assert_eq!(hex("é".into()), "02c3a9");
        assert_eq!(hex(ShardKey::Bytes(&[0, 255])), "0300ff");
        assert_eq!(hex((-1_i64).into()), "04ffffffffffffffffffffffffffffffff");
        assert_eq!(hex(u64::MAX.into()), "040000000000000000ffffffffffffffff");
        assert_eq!(hex(ShardKey::Timestamp(1)), "050000000000000001");
        assert_eq!(
            hex(ShardKey::Uuid([7; 16])),
            "0607070707070707070707070707070707"
        );
        assert_eq!(hex(ShardKey::Atom(atom("ab"))), "070000000000006261");
        let entity = EntityId::new(atom("s"), atom("t"), atom("c"), "x");
        assert_eq!(
            hex(ShardKey::Entity(entity)),
            "0800000000000000730000000000000074000000000000006378"
        );
        assert_eq!(hex(ShardKey::RoutedGdid { route: 9, id }), "0900000009");
        assert_eq!(hex(ShardKey::Provided(5)), "0a0000000000000005");
    }

    #[test]
    fn azos_hashes_by_type() {
        let id = Gdid::new(1, 2, 3).unwrap();
        assert_eq!(ShardKey::from(0_u64).azos_hash(), 0);
        assert_eq!(ShardKey::from(-1_i64).azos_hash(), azos::hash_u64(u64::MAX));
        assert_eq!(
            ShardKey::RoutedGdid { route: 77, id }.azos_hash(),
            azos::hash_u64(77)
        );
        let (system, kind, schema) = (
            Atom::new("sky").unwrap(),
            Atom::new("car").unwrap(),
            Atom::new("vin").unwrap(),
        );
        assert_eq!(
            ShardKey::Entity(EntityId::new(system, kind, schema, "abc")).azos_hash(),
            (system.get() << 32) ^ kind.get() ^ schema.get() ^ azos::hash_text("abc")
        );
        assert_eq!(
            Atom::new("123456789"),
            Err(AtomError::TooLong { characters: 9 })
        );
        assert_eq!(
            Atom::new("aé"),
            Err(AtomError::Character {
                found: 'é',
                position: 2
            })
        );
    }
}
