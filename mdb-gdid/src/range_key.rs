//! Range keys: ids with their authority discarded.

use std::fmt;
use std::str::FromStr;

use crate::gdid::{Gdid, GdidPartsError};
use crate::parse::{GdidParseError, Scanner};

/// An id with its authority discarded: (era, counter). Ranges compare by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeKey {
    era: u32,
    counter: u64,
}

/// Why a text is not the start of a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is no id.
    #[error(transparent)]
    Parse(#[from] GdidParseError),
    /// It has an authority, which does not count for ranges.
    #[error("a start has authority 0, not {found}, because ranges discard the authority: write {}:0:{}", start.era, start.counter)]
    Authority {
        /// The authority that it has.
        found: crate::AuthorityId,
        /// The range key without it.
        start: RangeKey,
    },
}

impl RangeKey {
    /// The lowest range key.
    pub const MIN: Self = Self { era: 0, counter: 0 };
    /// The highest range key.
    pub const MAX: Self = Self {
        era: u32::MAX,
        counter: Gdid::MAX_COUNTER,
    };

    /// Puts a range key together.
    ///
    /// # Errors
    ///
    /// [`GdidPartsError::Counter`]: the counter is above [`Gdid::MAX_COUNTER`].
    pub const fn new(era: u32, counter: u64) -> Result<Self, GdidPartsError> {
        if counter > Gdid::MAX_COUNTER {
            Err(GdidPartsError::Counter(counter))
        } else {
            Ok(Self { era, counter })
        }
    }

    #[inline]
    pub(crate) const fn from_parts(era: u32, counter: u64) -> Self {
        Self { era, counter }
    }

    /// Reads the start of a range as configurations write it: any text form of an id, with authority 0.
    ///
    /// # Errors
    ///
    /// - [`StartError::Parse`]: the text is no id.
    /// - [`StartError::Authority`]: it has an authority.
    ///
    /// ```
    /// use mdb_gdid::RangeKey;
    ///
    /// assert_eq!(RangeKey::from_start("0:0:250000")?, RangeKey::new(0, 250_000)?);
    /// let error = RangeKey::from_start("0:3:250000").unwrap_err();
    /// assert!(error.to_string().ends_with("write 0:0:250000"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_start(text: &str) -> Result<Self, StartError> {
        let id: Gdid = text.parse()?;
        let (start, found) = (id.range_key(), id.authority());
        if found.get() == 0 {
            Ok(start)
        } else {
            Err(StartError::Authority { found, start })
        }
    }

    /// The era.
    #[inline]
    pub const fn era(self) -> u32 {
        self.era
    }

    /// The counter.
    #[inline]
    pub const fn counter(self) -> u64 {
        self.counter
    }

    /// The lowest id with this range key: the one of authority 0.
    pub const fn lowest_id(self) -> Gdid {
        Gdid::from_era_and_id(self.era, self.counter)
    }
}

/// `era:counter` in decimal.
impl fmt::Display for RangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.era, self.counter))
    }
}

/// Reads `era:counter`.
impl FromStr for RangeKey {
    type Err = GdidParseError;

    fn from_str(text: &str) -> Result<Self, GdidParseError> {
        let mut fields = Scanner::new(text);
        let era = fields.field("era", u64::from(u32::MAX))?;
        fields.colon()?;
        let counter = fields.field("counter", Gdid::MAX_COUNTER)?;
        fields.end()?;
        let era = u32::try_from(era).expect("the field was read with that limit");
        Ok(Self { era, counter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::GdidParseErrorKind;

    #[test]
    fn a_start_is_an_id_of_authority_0_in_any_form() {
        let start = RangeKey::new(2, 57).unwrap();
        for text in ["2:0:57", " 2 : 0 : 57 ", "0x000000020000000000000039"] {
            assert_eq!(RangeKey::from_start(text), Ok(start), "{text}");
        }
        assert_eq!(start.lowest_id(), Gdid::new(2, 0, 57).unwrap());

        let error = RangeKey::from_start("000000023000000000000039").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a start has authority 0, not 3, because ranges discard the authority: write 2:0:57"
        );
        let Err(StartError::Parse(error)) = RangeKey::from_start("2:0:") else {
            panic!("no id, so no start");
        };
        assert_eq!(error.position(), 5);
        assert_eq!(
            error.kind(),
            &GdidParseErrorKind::Empty { field: "counter" }
        );
    }

    #[test]
    fn text_has_two_fields() {
        let error = |text: &str| text.parse::<RangeKey>().unwrap_err().to_string();
        assert_eq!("2:57".parse(), Ok(RangeKey::from_parts(2, 57)));
        assert_eq!(error("7"), "`:` and a counter is missing, at character 2");
        assert_eq!(
            error("0:0:7"),
            "':' is not a digit or the end of the id, at character 4"
        );
        assert_eq!(
            error("0:1152921504606846976"),
            "the counter is above 1152921504606846975, at character 3"
        );
        assert_eq!(
            RangeKey::new(0, Gdid::MAX_COUNTER + 1),
            Err(GdidPartsError::Counter(Gdid::MAX_COUNTER + 1))
        );
    }

    #[test]
    fn the_era_goes_before_the_counter() {
        assert!(RangeKey::new(0, Gdid::MAX_COUNTER).unwrap() < RangeKey::new(1, 0).unwrap());
        assert_eq!(Gdid::MAX.range_key(), RangeKey::MAX);
        assert_eq!(Gdid::ZERO.range_key(), RangeKey::MIN);
    }
}
