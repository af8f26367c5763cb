//! Names of scopes and sequences.

use std::fmt;
use std::str::FromStr;

/// Why a text is no name of a scope or sequence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("a name is expected, but there is nothing")]
    Empty,
    /// It is too long.
    #[error("a name has at most 80 characters, not {characters}")]
    TooLong {
        /// How many there are.
        characters: usize,
    },
    /// A character that can't be in a name.
    #[error(
        "{found:?} at character {position} can't be in a name: letters, digits, and `_`, `.`, `-` between them can"
    )]
    Character {
        /// The character.
        found: char,
        /// Its place, from 1.
        position: usize,
    },
    /// A separator at the beginning or the end.
    #[error("{found:?} can't begin or end a name")]
    Edge {
        /// The separator.
        found: char,
    },
}

fn check(text: &str) -> Result<(), NameError> {
    let characters = text.chars().count();
    if characters == 0 {
        return Err(NameError::Empty);
    }
    if characters > 80 {
        return Err(NameError::TooLong { characters });
    }
    for (found, position) in text.chars().zip(1..) {
        let separator = matches!(found, '_' | '.' | '-');
        if !separator && !found.is_ascii_alphanumeric() {
            return Err(NameError::Character { found, position });
        }
        if separator && (position == 1 || position == characters) {
            return Err(NameError::Edge { found });
        }
    }
    Ok(())
}

macro_rules! name {
    ($(#[$about:meta])* $name:ident, $fold:ident) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.$fold()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }
    };
}

name!(
    /// The name of a scope, inside which sequences are named; kept in upper case.
    ScopeName,
    to_ascii_uppercase
);
name!(
    /// The name of a sequence; kept in lower case.
    SequenceName,
    to_ascii_lowercase
);

impl ScopeName {
    /// The scope of a schema's bank: `<schema>.<bank>`.
    ///
    /// # Errors
    ///
    /// [`NameError`]: the two don't make a name.
    ///
    /// ```
    /// use mdb_gdid::ScopeName;
    ///
    /// assert_eq!(ScopeName::from_schema_and_bank("shop", "main")?.as_str(), "SHOP.MAIN");
    /// # Ok::<(), mdb_gdid::NameError>(())
    /// ```
    pub fn from_schema_and_bank(schema: &str, bank: &str) -> Result<Self, NameError> {
        check(schema)?;
        check(bank)?;
        format!("{schema}.{bank}").parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let name = |text: &str| text.parse::<SequenceName>();
        assert_eq!(name("User.v-2_x").unwrap().as_str(), "user.v-2_x");
        assert_eq!(name(""), Err(NameError::Empty));
        assert_eq!(
            name(&"x".repeat(81)),
            Err(NameError::TooLong { characters: 81 })
        );
        assert!(name(&"x".repeat(80)).is_ok());
        assert_eq!(
            name("a/b"),
            Err(NameError::Character {
                found: '/',
                position: 2
            })
        );
        assert_eq!(name(".a"), Err(NameError::Edge { found: '.' }));
        assert_eq!(name("a-"), Err(NameError::Edge { found: '-' }));
        assert_eq!("a".parse::<ScopeName>().unwrap().as_str(), "A");
    }
}
