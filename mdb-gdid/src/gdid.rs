//! The id itself: its parts, bytes and text.

use std::fmt;

use crate::authority::AuthorityId;
use crate::range_key::RangeKey;

/// A global distributed id of 96 bits; see the [crate](crate) for its layout.
///
/// Ids order by era, then authority, then counter, which is the order of their bytes; ranges order
/// by [`range_key`](Self::range_key) instead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gdid([u8; 12]);

/// Why three numbers are not the parts of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GdidPartsError {
    /// The authority does not fit 4 bits.
    #[error("authority {0} is above 15")]
    Authority(u8),
    /// The counter does not fit 60 bits.
    #[error("counter {0} is above 1152921504606846975")]
    Counter(u64),
}

/// Bytes that are not 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 12 bytes, not {found}")]
pub struct LengthError {
    found: usize,
}

impl LengthError {
    /// How many bytes there were.
    pub fn found(&self) -> usize {
        self.found
    }
}

impl Gdid {
    /// `0:0:0`: "no id". Never issued.
    pub const ZERO: Self = Self([0; 12]);
    /// The highest id.
    pub const MAX: Self = Self([0xff; 12]);
    /// The highest counter, 2⁶⁰ − 1.
    pub const MAX_COUNTER: u64 = (1 << 60) - 1;

    /// Puts an id together.
    ///
    /// # Errors
    ///
    /// - [`GdidPartsError::Authority`]: above 15.
    /// - [`GdidPartsError::Counter`]: above [`MAX_COUNTER`](Self::MAX_COUNTER).
    #[inline]
    pub const fn new(era: u32, authority: u8, counter: u64) -> Result<Self, GdidPartsError> {
        if authority > 15 {
            return Err(GdidPartsError::Authority(authority));
        }
        if counter > Self::MAX_COUNTER {
            return Err(GdidPartsError::Counter(counter));
        }
        Ok(Self::from_era_and_id(
            era,
            ((authority as u64) << 60) | counter,
        ))
    }

    /// Puts an id together from its era and its lower 64 bits (authority, then counter).
    #[inline]
    pub const fn from_era_and_id(era: u32, id: u64) -> Self {
        let [e0, e1, e2, e3] = era.to_be_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7] = id.to_be_bytes();
        Self([e0, e1, e2, e3, b0, b1, b2, b3, b4, b5, b6, b7])
    }

    /// The id of 12 big-endian bytes; any 12 bytes are one.
    #[inline]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The 12 big-endian bytes.
    #[inline]
    pub const fn to_bytes(self) -> [u8; 12] {
        self.0
    }

    /// The 12 big-endian bytes, where they are.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// The era.
    #[inline]
    pub const fn era(self) -> u32 {
        let [e0, e1, e2, e3, ..] = self.0;
        u32::from_be_bytes([e0, e1, e2, e3])
    }

    /// The lower 64 bits: the authority in the highest four, then the counter.
    #[inline]
    pub const fn id(self) -> u64 {
        let [_, _, _, _, b0, b1, b2, b3, b4, b5, b6, b7] = self.0;
        u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7])
    }

    /// The authority.
    #[inline]
    pub const fn authority(self) -> AuthorityId {
        AuthorityId::from_high_bits(self.0[4])
    }

    /// The counter.
    #[inline]
    pub const fn counter(self) -> u64 {
        self.id() & Self::MAX_COUNTER
    }

    /// The id with its authority discarded.
    #[inline]
    pub const fn range_key(self) -> RangeKey {
        RangeKey::from_parts(self.era(), self.counter())
    }

    /// Whether this is [`ZERO`](Self::ZERO).
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.era() == 0 && self.id() == 0
    }
}

impl TryFrom<&[u8]> for Gdid {
    type Error = LengthError;

    fn try_from(bytes: &[u8]) -> Result<Self, LengthError> {
        <[u8; 12]>::try_from(bytes)
            .map(Self)
            .map_err(|_| LengthError { found: bytes.len() })
    }
}

/// `era:authority:counter` in decimal.
impl fmt::Display for Gdid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}:{}:{}", self.era(), self.authority(), self.counter());
        f.pad(&text)
    }
}

impl fmt::Debug for Gdid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gdid({self})")
    }
}

/// 24 hexadecimal digits; `{:#x}` puts `0x` before them.
impl fmt::LowerHex for Gdid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad_integral(true, "0x", &format!("{:08x}{:016x}", self.era(), self.id()))
    }
}

/// As the lower-case form, with upper-case digits.
impl fmt::UpperHex for Gdid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad_integral(true, "0x", &format!("{:08X}{:016X}", self.era(), self.id()))
    }
}

/// An id of era 0 as 64 bits, for stores that will not leave that era.
///
/// Its column is a signed `BIGINT` with the same bits: authorities 8 to 15 become negative numbers,
/// so the database sorts them before authority 0. Eras don't turn before 2⁶⁰ ids of a sequence are
/// issued; but once one does, such a column can't hold its ids.
///
/// ```
/// use mdb_gdid::{EraZeroId, Gdid};
///
/// let id = EraZeroId::try_from(Gdid::new(0, 1, 75)?)?;
/// assert_eq!(id.to_i64(), 0x1000_0000_0000_004b);
/// assert_eq!(Gdid::from(id), Gdid::new(0, 1, 75)?);
/// assert!(EraZeroId::try_from(Gdid::new(1, 1, 75)?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EraZeroId(u64);

/// An id that is not of era 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("id {id} is of era {}, and a 64-bit form holds era 0 only", id.era())]
pub struct EraError {
    id: Gdid,
}

impl EraZeroId {
    /// The column's value.
    pub const fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// The id of a column's value; any value is one.
    pub const fn from_i64(value: i64) -> Self {
        Self(value.cast_unsigned())
    }
}

impl TryFrom<Gdid> for EraZeroId {
    type Error = EraError;

    fn try_from(id: Gdid) -> Result<Self, EraError> {
        if id.era() == 0 {
            Ok(Self(id.id()))
        } else {
            Err(EraError { id })
        }
    }
}

impl From<EraZeroId> for Gdid {
    fn from(id: EraZeroId) -> Self {
        Self::from_era_and_id(0, id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_limits_and_bytes_have_a_length() {
        assert_eq!(Gdid::new(0, 16, 1), Err(GdidPartsError::Authority(16)));
        let counter = Gdid::MAX_COUNTER + 1;
        assert_eq!(
            Gdid::new(0, 1, counter),
            Err(GdidPartsError::Counter(counter))
        );
        assert_eq!(Gdid::new(u32::MAX, 15, Gdid::MAX_COUNTER), Ok(Gdid::MAX));
        for length in [0, 11, 13, 1 << 20] {
            let error = Gdid::try_from(vec![0; length].as_slice()).unwrap_err();
            assert_eq!(error.found(), length);
        }
        assert!(Gdid::ZERO.is_zero() && !Gdid::MAX.is_zero());
        assert!(!Gdid::from_era_and_id(1, 0).is_zero());
    }

    #[test]
    fn text_is_padded_as_numbers_and_words_are() {
        let id = Gdid::new(1, 2, 3).unwrap();
        assert_eq!(
            format!("{id:>8}|{id:<8}|{id:?}"),
            "   1:2:3|1:2:3   |Gdid(1:2:3)"
        );
        assert_eq!(format!("{id:#x}"), "0x000000012000000000000003");
        assert_eq!(format!("{:X}", Gdid::MAX), "F".repeat(24));
    }

    #[test]
    fn a_64_bit_form_names_the_era_that_it_cannot_hold() {
        let id = Gdid::new(1, 2, 3).unwrap();
        assert_eq!(
            EraZeroId::try_from(id).unwrap_err().to_string(),
            "id 1:2:3 is of era 1, and a 64-bit form holds era 0 only"
        );
    }
}
