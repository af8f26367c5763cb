//! Reading ids, with errors that say what is wrong and at which character.

use std::str::FromStr;

use crate::gdid::Gdid;

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, at character {position}")]
pub struct GdidParseError {
    kind: GdidParseErrorKind,
    position: usize,
}

/// What is wrong with a text that should be an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GdidParseErrorKind {
    /// The text is empty or blank.
    #[error(
        "an id is expected, as era:authority:counter or 24 hexadecimal digits, but there is nothing"
    )]
    Blank,
    /// A part between colons is empty.
    #[error("the {field} is missing")]
    Empty {
        /// `era`, `authority` or `counter`.
        field: &'static str,
    },
    /// A character that can't be there.
    #[error("{found:?} is not {expected}")]
    Unexpected {
        /// The character.
        found: char,
        /// What could be there.
        expected: &'static str,
    },
    /// The text ends too early.
    #[error("{expected} is missing")]
    Missing {
        /// What is missing.
        expected: &'static str,
    },
    /// A number that is too large for its part.
    #[error("the {field} is above {limit}")]
    TooLarge {
        /// `era`, `authority` or `counter`.
        field: &'static str,
        /// The highest that is possible.
        limit: u64,
    },
    /// Not 24 hexadecimal digits.
    #[error("24 hexadecimal digits are expected (or era:authority:counter), not {found}")]
    DigitCount {
        /// How many there are.
        found: usize,
    },
}

impl GdidParseError {
    /// What is wrong.
    pub fn kind(&self) -> &GdidParseErrorKind {
        &self.kind
    }

    /// At which character, counted from 1.
    pub fn position(&self) -> usize {
        self.position
    }
}

/// Walks over a text of numbers between colons, keeping its place.
pub(crate) struct Scanner<'t> {
    text: &'t str,
    byte: usize,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, byte: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.byte..]
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.byte += rest.len() - rest.trim_ascii_start().len();
    }

    fn error(&self, kind: GdidParseErrorKind) -> GdidParseError {
        GdidParseError {
            kind,
            position: self.text[..self.byte].chars().count() + 1,
        }
    }

    /// A decimal number up to `limit`, with white space around it.
    pub(crate) fn field(&mut self, field: &'static str, limit: u64) -> Result<u64, GdidParseError> {
        self.skip_space();
        let start = self.byte;
        let mut number: u64 = 0;
        while let Some(digit) = self.rest().bytes().next().filter(u8::is_ascii_digit) {
            number = match number
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(digit - b'0')))
            {
                Some(number) if number <= limit => number,
                _ => {
                    self.byte = start;
                    return Err(self.error(GdidParseErrorKind::TooLarge { field, limit }));
                }
            };
            self.byte += 1;
        }
        if self.byte == start {
            return Err(match self.rest().chars().next() {
                None | Some(':') => self.error(GdidParseErrorKind::Empty { field }),
                Some(found) => self.error(GdidParseErrorKind::Unexpected {
                    found,
                    expected: "a decimal digit",
                }),
            });
        }
        self.skip_space();
        Ok(number)
    }

    pub(crate) fn colon(&mut self) -> Result<(), GdidParseError> {
        match self.rest().chars().next() {
            Some(':') => {
                self.byte += 1;
                Ok(())
            }
            Some(found) => Err(self.error(GdidParseErrorKind::Unexpected {
                found,
                expected: "a digit or `:`",
            })),
            None => Err(self.error(GdidParseErrorKind::Missing {
                expected: "`:` and a counter",
            })),
        }
    }

    pub(crate) fn end(&self) -> Result<(), GdidParseError> {
        match self.rest().chars().next() {
            None => Ok(()),
            Some(found) => Err(self.error(GdidParseErrorKind::Unexpected {
                found,
                expected: "a digit or the end of the id",
            })),
        }
    }
}

/// Reads `era:authority:counter` (white space around the numbers is allowed), or 24 hexadecimal
/// digits of any case with or without `0x`.
impl FromStr for Gdid {
    type Err = GdidParseError;

    fn from_str(text: &str) -> Result<Self, GdidParseError> {
        if text.contains(':') {
            parse_fields(text)
        } else {
            parse_hex(text)
        }
    }
}

fn parse_fields(text: &str) -> Result<Gdid, GdidParseError> {
    let mut fields = Scanner::new(text);
    let era = fields.field("era", u64::from(u32::MAX))?;
    fields.colon()?;
    let authority = fields.field("authority", 15)?;
    fields.colon()?;
    let counter = fields.field("counter", Gdid::MAX_COUNTER)?;
    fields.end()?;
    let era = u32::try_from(era).expect("the field was read with that limit");
    Ok(Gdid::from_era_and_id(era, (authority << 60) | counter))
}

fn parse_hex(text: &str) -> Result<Gdid, GdidParseError> {
    let trimmed = text.trim_ascii_start();
    let mut at = Scanner {
        text,
        byte: text.len() - trimmed.len(),
    };
    let trimmed = trimmed.trim_ascii_end();
    if trimmed.is_empty() {
        return Err(at.error(GdidParseErrorKind::Blank));
    }
    let digits = match trimmed
        .strip_prefix("0x")
        .or_else(|| trimmed.strip_prefix("0X"))
    {
        Some(digits) => {
            at.byte += 2;
            digits
        }
        None => trimmed,
    };
    let start = at.byte;
    let mut bytes = [0; 12];
    for (place, found) in digits.char_indices() {
        let Some(digit) = found.to_digit(16) else {
            at.byte = start + place;
            return Err(at.error(GdidParseErrorKind::Unexpected {
                found,
                expected: "a hexadecimal digit or `:`",
            }));
        };
        if let Some(byte) = bytes.get_mut(place / 2) {
            *byte = (*byte << 4) | u8::try_from(digit).expect("a hexadecimal digit is below 16");
        }
    }
    if digits.len() != 24 {
        at.byte = start + digits.len().min(24);
        return Err(at.error(GdidParseErrorKind::DigitCount {
            found: digits.len(),
        }));
    }
    Ok(Gdid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_say_what_and_where() {
        let error = |text: &str| text.parse::<Gdid>().unwrap_err().to_string();
        assert_eq!(
            error("1:18:3123"),
            "the authority is above 15, at character 3"
        );
        assert_eq!(
            error("-1:2:3"),
            "'-' is not a decimal digit, at character 1"
        );
        assert_eq!(error("1: :3"), "the authority is missing, at character 4");
        assert_eq!(error("1:2"), "`:` and a counter is missing, at character 4");
        assert_eq!(
            error("1:2:3:4"),
            "':' is not a digit or the end of the id, at character 6"
        );
        assert_eq!(
            error("4294967296:0:1"),
            "the era is above 4294967295, at character 1"
        );
        assert_eq!(
            error("1:2:3é"),
            "'é' is not a digit or the end of the id, at character 6"
        );
        assert_eq!(error("é:2:3"), "'é' is not a decimal digit, at character 1");
        assert_eq!(
            error(" FTGE"),
            "'T' is not a hexadecimal digit or `:`, at character 3"
        );
        assert_eq!(
            error("0x0001000000000000"),
            "24 hexadecimal digits are expected (or era:authority:counter), not 16, at character 19"
        );
        assert!(error("  ").starts_with("an id is expected"));
        assert!(
            error(&"f".repeat(1 << 20)).len() < 120,
            "long input is not repeated"
        );
    }

    proptest! {
        #[test]
        fn every_form_comes_back(era: u32, id: u64) {
            let gdid = Gdid::from_era_and_id(era, id);
            for text in [gdid.to_string(), format!("{gdid:x}"), format!("{gdid:#X}").replacen("0x", "0X", 1)] {
                prop_assert_eq!(text.parse::<Gdid>(), Ok(gdid));
            }
            prop_assert_eq!(gdid.range_key().to_string().parse(), Ok(gdid.range_key()));
        }

        #[test]
        fn byte_order_is_id_order(a: (u32, u64), b: (u32, u64)) {
            let (x, y) = (Gdid::from_era_and_id(a.0, a.1), Gdid::from_era_and_id(b.0, b.1));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.to_bytes().cmp(&y.to_bytes()), a.cmp(&b));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}|[0-9: x]{0,40}") {
            let _ = text.parse::<Gdid>();
            let _ = text.parse::<crate::RangeKey>();
        }
    }
}
