//! The keys of an index: their kinds, their normal form, and their bytes.

use std::borrow::Cow;

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

use crate::config::{KeyKind, Normalization};
use crate::routing::ShardKey;

/// How long a key can be, in bytes of its normal form: what every engine can index.
pub const MAX_KEY_BYTES: usize = 512;

/// A key as the caller gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexKey<'k> {
    /// Text.
    Text(&'k str),
    /// Bytes.
    Bytes(&'k [u8]),
    /// An integer.
    Integer(i64),
}

impl<'k> From<&'k str> for IndexKey<'k> {
    fn from(text: &'k str) -> Self {
        Self::Text(text)
    }
}

impl<'k> From<&'k String> for IndexKey<'k> {
    fn from(text: &'k String) -> Self {
        Self::Text(text)
    }
}

impl<'k> From<&'k [u8]> for IndexKey<'k> {
    fn from(bytes: &'k [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for IndexKey<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// Why a value can't be a key of an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Text for an index of integers, and the like.
    #[error("the index has {wanted} keys, not {given} ones")]
    Kind {
        /// What the index has.
        wanted: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// Nothing is left of it.
    #[error("the key is empty")]
    Empty,
    /// Too long.
    #[error("the key has {bytes} bytes; at most {MAX_KEY_BYTES} are possible")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Bytes that were stored under another kind of key.
    #[error("the stored key is not {wanted}")]
    Stored {
        /// What the index has.
        wanted: &'static str,
    },
}

/// The bytes of a key's normal form.
///
/// Text is UTF-8; an integer is eight big-endian bytes with the sign bit turned over, so that bytes
/// sort as integers do.
pub(crate) fn normal_form(
    key: IndexKey<'_>,
    kind: KeyKind,
    normalization: Normalization,
) -> Result<Cow<'_, [u8]>, KeyError> {
    let bytes = match (key, kind) {
        (IndexKey::Text(text), KeyKind::String) => match normalize(text, normalization) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        (IndexKey::Bytes(bytes), KeyKind::Bytes) => Cow::Borrowed(bytes),
        (IndexKey::Integer(number), KeyKind::Integer) => {
            Cow::Owned((number.cast_unsigned() ^ (1 << 63)).to_be_bytes().to_vec())
        }
        (key, kind) => {
            let given = match key {
                IndexKey::Text(_) => "string",
                IndexKey::Bytes(_) => "bytes",
                IndexKey::Integer(_) => "integer",
            };
            return Err(KeyError::Kind {
                wanted: kind_name(kind),
                given,
            });
        }
    };
    match bytes.len() {
        0 => Err(KeyError::Empty),
        1..=MAX_KEY_BYTES => Ok(bytes),
        bytes => Err(KeyError::TooLong { bytes }),
    }
}

fn kind_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::String => "string",
        KeyKind::Bytes => "bytes",
        KeyKind::Integer => "integer",
    }
}

/// The shard key of a normal form.
pub(crate) fn shard_key(bytes: &[u8], kind: KeyKind) -> Result<ShardKey<'_>, KeyError> {
    let stored = KeyError::Stored {
        wanted: kind_name(kind),
    };
    match kind {
        KeyKind::String => std::str::from_utf8(bytes)
            .map(ShardKey::Text)
            .map_err(|_| stored),
        KeyKind::Bytes => Ok(ShardKey::Bytes(bytes)),
        KeyKind::Integer => integer(bytes).map(ShardKey::from).ok_or(stored),
    }
}

/// A stored key as people read it.
pub(crate) fn display(bytes: &[u8], kind: KeyKind) -> String {
    match kind {
        KeyKind::String => String::from_utf8_lossy(bytes).into_owned(),
        KeyKind::Integer if bytes.len() == 8 => {
            integer(bytes).map_or_else(String::new, |number| number.to_string())
        }
        KeyKind::Bytes | KeyKind::Integer => {
            use std::fmt::Write as _;
            bytes
                .iter()
                .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                })
        }
    }
}

fn integer(bytes: &[u8]) -> Option<i64> {
    let bytes = <[u8; 8]>::try_from(bytes).ok()?;
    Some((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// Case folding is Unicode's canonical caseless form, composed: NFC(fold(NFD(text))).
fn normalize(text: &str, normalization: Normalization) -> Cow<'_, str> {
    match normalization {
        Normalization::None => Cow::Borrowed(text),
        Normalization::Trim => Cow::Borrowed(text.trim()),
        Normalization::Fold => {
            let text = text.trim();
            if !text.is_ascii() {
                Cow::Owned(text.nfd().default_case_fold().nfc().collect())
            } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                Cow::Owned(text.to_ascii_lowercase())
            } else {
                Cow::Borrowed(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folding() {
        let fold = |text| normalize(text, Normalization::Fold).into_owned();
        assert_eq!(fold("  Ann@Example.ORG\n"), "ann@example.org");
        assert_eq!(fold("STRASSE"), fold("Straße"));
        assert_eq!(
            fold("e\u{301}"),
            fold("É"),
            "a composed and a decomposed letter are one key"
        );
        assert_eq!(normalize(" A ", Normalization::Trim), "A");
        assert_eq!(normalize(" A ", Normalization::None), " A ");
    }

    #[test]
    fn limits() {
        fn form(text: &str) -> Result<Cow<'_, [u8]>, KeyError> {
            normal_form(IndexKey::Text(text), KeyKind::String, Normalization::Trim)
        }
        assert_eq!(form("  "), Err(KeyError::Empty));
        assert_eq!(
            form(&"x".repeat(65_536)),
            Err(KeyError::TooLong { bytes: 65_536 })
        );
        assert!(form(&"x".repeat(MAX_KEY_BYTES)).is_ok());
        assert_eq!(
            normal_form(IndexKey::Integer(1), KeyKind::String, Normalization::None),
            Err(KeyError::Kind {
                wanted: "string",
                given: "integer"
            })
        );
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
            let once = normalize(&text, Normalization::Fold).into_owned();
            prop_assert_eq!(normalize(&once, Normalization::Fold).into_owned(), once);
        }

        #[test]
        fn integers_sort_as_their_bytes_and_come_back(a: i64, b: i64) {
            let form = |n| normal_form(IndexKey::Integer(n), KeyKind::Integer, Normalization::None).unwrap().into_owned();
            prop_assert_eq!(a.cmp(&b), form(a).cmp(&form(b)));
            prop_assert_eq!(display(&form(a), KeyKind::Integer), a.to_string());
            let stored = form(a);
            prop_assert_eq!(shard_key(&stored, KeyKind::Integer), Ok(ShardKey::from(a)));
        }
    }
}
