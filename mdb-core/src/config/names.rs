//! Names that a configuration gives to things, each of its own type.
//!
//! A *name* (store, server, area, index, briefcase type) is 1 to 80 characters: an ASCII letter or
//! digit first, then letters, digits, `_`, `.` or `-`. A *database name* is 1 to 63 characters of
//! letters, digits, `_` and `-`, and doesn't begin with `-`; so it needs no quoting in a URL and is
//! a plain file name. Names are compared by case as written; where two that differ in case only
//! would be confusing (areas), the reader refuses the second.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no character at all.
    #[error("it is empty")]
    Empty,
    /// There are too many characters.
    #[error("it has {length} characters, but {limit} is the most")]
    TooLong {
        /// How many characters there are.
        length: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The first character may stand inside a name, but not begin one.
    #[error("it begins with {found:?}")]
    First {
        /// The character.
        found: char,
    },
    /// A character that no name holds.
    #[error("it has {found:?} as character {position}")]
    Character {
        /// The character.
        found: char,
        /// Where it stands, counted from 1.
        position: usize,
    },
}

/// What one kind of name may hold.
pub(super) struct NameRule {
    limit: usize,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
    /// The rule in words, for a help text.
    pub(super) words: &'static str,
}

/// The rule of everything but databases, tables and columns.
pub(super) const PLAIN: NameRule = NameRule {
    limit: 80,
    first: |c| c.is_ascii_alphanumeric(),
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'),
    words: "a name is 1 to 80 characters: an ASCII letter or digit, then letters, digits, `_`, `.` or `-`",
};

/// The rule of database names.
pub(super) const DATABASE: NameRule = NameRule {
    limit: 63,
    first: |c| c.is_ascii_alphanumeric() || c == '_',
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'),
    words: "a database name is 1 to 63 characters: ASCII letters, digits, `_` or `-`, and no `-` first",
};

/// The rule of table and column names, which belong to the user's schema.
pub(super) const SQL: NameRule = NameRule {
    limit: 63,
    first: |c| !c.is_control(),
    rest: |c| !c.is_control(),
    words: "a table or column name is 1 to 63 characters without control characters",
};

impl NameRule {
    pub(super) fn check(&self, text: &str) -> Result<(), NameError> {
        for (index, found) in text.chars().enumerate().take(self.limit) {
            if index == 0 && !(self.first)(found) && (self.rest)(found) {
                return Err(NameError::First { found });
            }
            if !(self.rest)(found) {
                return Err(NameError::Character {
                    found,
                    position: index + 1,
                });
            }
        }
        match text.chars().count() {
            0 => Err(NameError::Empty),
            length if length > self.limit => Err(NameError::TooLong {
                length,
                limit: self.limit,
            }),
            _ => Ok(()),
        }
    }
}

/// A name type of this module, so that the reader can read any of them.
pub(super) trait Name: FromStr<Err = NameError> {
    const RULE: &'static NameRule;
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $rule:expr) => {
        $(#[$meta])*
        ///
        /// Cheap to clone.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Name for $name {
            const RULE: &'static NameRule = &$rule;
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::RULE.check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// Name of a store: everything that one configuration describes.
    StoreName, PLAIN
);
name!(
    /// Name of a server.
    ServerName, PLAIN
);
name!(
    /// Name of an area other than CENTRAL.
    AreaName, PLAIN
);
name!(
    /// Name of an index in CENTRAL.
    IndexName, PLAIN
);
name!(
    /// Name of a briefcase type, unique in its area.
    BriefcaseName, PLAIN
);
name!(
    /// Name of a database on a server.
    DatabaseName, DATABASE
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_rule() {
        for good in ["a", "0", "user_a0", "Shop.EU-1", &"x".repeat(80)] {
            assert_eq!(good.parse::<AreaName>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<AreaName>(), Err(NameError::Empty));
        assert_eq!(
            "-a".parse::<AreaName>(),
            Err(NameError::First { found: '-' })
        );
        assert_eq!(
            "..".parse::<AreaName>(),
            Err(NameError::First { found: '.' })
        );
        assert_eq!(
            "a;drop".parse::<AreaName>(),
            Err(NameError::Character {
                found: ';',
                position: 2
            })
        );
        assert_eq!(
            "x".repeat(81).parse::<AreaName>(),
            Err(NameError::TooLong {
                length: 81,
                limit: 80
            })
        );
    }

    #[test]
    fn database_names_are_plain_file_names() {
        assert!("_a-1".parse::<DatabaseName>().is_ok());
        assert_eq!(
            "-a".parse::<DatabaseName>(),
            Err(NameError::First { found: '-' })
        );
        for bad in ["..", "a/b", "a.b", "a'b", "ü", &"x".repeat(64)] {
            assert!(bad.parse::<DatabaseName>().is_err(), "{bad}");
        }
    }
}
