//! serde: text in human-readable formats, 12 bytes in binary ones.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::gdid::Gdid;
use crate::range_key::RangeKey;

impl Serialize for Gdid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.to_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for Gdid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(GdidVisitor)
        } else {
            deserializer.deserialize_bytes(GdidVisitor)
        }
    }
}

struct GdidVisitor;

impl<'de> Visitor<'de> for GdidVisitor {
    type Value = Gdid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id as era:authority:counter, 24 hexadecimal digits or 12 bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Gdid, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Gdid, E> {
        Gdid::try_from(bytes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Gdid, A::Error> {
        let mut bytes = [0; 12];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = sequence
                .next_element()?
                .ok_or_else(|| A::Error::invalid_length(place, &self))?;
        }
        Ok(Gdid::from_bytes(bytes))
    }
}

impl Serialize for RangeKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RangeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeKeyVisitor;

        impl Visitor<'_> for RangeKeyVisitor {
            type Value = RangeKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a range key as era:counter")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RangeKey, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(RangeKeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_people_and_bytes_for_machines() {
        let id = Gdid::new(2, 3, 57).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"2:3:57\"");
        assert_eq!(
            serde_json::from_str::<Gdid>("\"000000023000000000000039\"").unwrap(),
            id
        );
        let error = serde_json::from_str::<Gdid>("\"2:18:57\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the authority is above 15, at character 3"),
            "{error}"
        );

        let bytes = postcard::to_allocvec(&id).unwrap();
        assert_eq!(&bytes[1..], id.to_bytes(), "a length, then the 12 bytes");
        assert_eq!(postcard::from_bytes::<Gdid>(&bytes).unwrap(), id);

        let key = id.range_key();
        assert_eq!(serde_json::to_string(&key).unwrap(), "\"2:57\"");
        assert_eq!(serde_json::from_str::<RangeKey>("\"2:57\"").unwrap(), key);
    }
    #[test]
    fn what_is_no_id_is_refused_precisely() {
        let json = |text: &str| serde_json::from_str::<Gdid>(text).unwrap_err().to_string();
        assert!(json("12").contains("expected an id as era:authority:counter"));
        assert!(json("[0,0,0,2,48,0,0,0,0,0,0,57]").contains("expected an id"));
        assert!(json("\"\"").starts_with("an id is expected"));

        let short = postcard::to_allocvec(&[1_u8, 2, 3].as_slice()).unwrap();
        assert!(postcard::from_bytes::<Gdid>(&short).is_err());
        let key = RangeKey::new(2, 57).unwrap();
        let bytes = postcard::to_allocvec(&key).unwrap();
        assert_eq!(postcard::from_bytes::<RangeKey>(&bytes).unwrap(), key);
        assert!(serde_json::from_str::<RangeKey>("\"2:0:57\"").is_err());
    }
}
