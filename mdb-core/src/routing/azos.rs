//! Hashing as Azos does it, for areas that say `hash = "azos"`.
//!
//! An installation that was routed by Azos MDB keeps its placement: FNV-1a-64 over eight
//! little-endian bytes (zero stays zero), strings folded from UTF-16 units to bytes, and the hash
//! modulo the number of shards. New areas should not choose it: modulo re-homes most keys when a
//! shard is added.

use mdb_gdid::Gdid;

const OFFSET: u64 = 14_695_981_039_346_656_037;
const PRIME: u64 = 1_099_511_628_211;

#[inline]
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

/// The hash of an unsigned integer: zero for zero, else FNV-1a over its little-endian bytes.
#[inline]
pub fn hash_u64(value: u64) -> u64 {
    if value == 0 {
        0
    } else {
        fnv1a(value.to_le_bytes().into_iter())
    }
}

/// The hash of bytes: zero when there are none, else FNV-1a.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        0
    } else {
        fnv1a(bytes.iter().copied())
    }
}

/// The hash of text: zero when empty, else FNV-1a over its UTF-16 units, each folded to one byte.
///
/// Case counts. A unit's byte is its high byte XOR its low byte.
pub fn hash_text(text: &str) -> u64 {
    if text.is_empty() {
        return 0;
    }
    fnv1a(text.encode_utf16().map(|unit| {
        let [high, low] = unit.to_be_bytes();
        high ^ low
    }))
}

/// The hash of a GDID, authority included: [`hash_u64`] of (era << 32) XOR id.
///
/// ```
/// use mdb_core::routing::azos::hash_gdid;
/// use mdb_gdid::Gdid;
///
/// // Era 1 and id 2³² cancel each other out: a known weakness that compatibility keeps.
/// assert_eq!(hash_gdid(Gdid::new(1, 0, 1 << 32)?), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn hash_gdid(id: Gdid) -> u64 {
    hash_u64((u64::from(id.era()) << 32) ^ id.id())
}

/// The position of the shard for `hash` among `shards` shards.
///
/// # Panics
///
/// When `shards` is 0; topologies with empty shard lists are refused when they are built.
#[inline]
pub fn shard_position(hash: u64, shards: usize) -> usize {
    usize::try_from(hash % shards as u64).expect("a remainder below a usize fits it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> u64 {
        u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
    }

    /// Values that Azos' own tests state.
    #[test]
    fn vectors() {
        for (text, hash) in [
            ("", "0x0000000000000000"),
            ("a", "0xaf63dc4c8601ec8c"),
            ("ab", "0x089c4407b545986a"),
            ("ab ", "0xe71fe3190541c5be"),
            (" ab", "0xc2d3aa17cdf6a148"),
            ("Capital", "0xd8bff0beeb476aab"),
            ("capital", "0xb33b26031858e24b"),
            (
                "very very long string which is much longer than other strings IN this set",
                "0x181ff1a88c7c1e81",
            ),
            ("久有归天愿", "0x37458a3018a18365"),
        ] {
            assert_eq!(hash_text(text), hex(hash), "{text:?}");
        }
        assert_eq!(hash_bytes(b""), 0);
        assert_eq!(hash_bytes(b"a"), hex("0xaf63dc4c8601ec8c"));
        assert_eq!(hash_bytes(b"ab"), hex("0x089c4407b545986a"));
        assert_eq!(hash_u64(0), 0);
        assert_eq!(hash_u64(0x3736_3534_3332_3130), hex("0x593c2a4dd0080bfd"));
        assert_eq!(hash_u64(0x3031_3233_3435_3637), hex("0xb2a5d3eebe6504b5"));
    }
}
