//! Who is let in.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use ring::digest::{Digest, SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

use super::options::{ServeOptions, ServeOptionsError};

/// The tokens that are let in: only their hashes, which have one length.
#[derive(Clone)]
pub(super) struct Tokens(Vec<Digest>);

impl Tokens {
    pub(super) fn new(tokens: Vec<SecretString>) -> Result<Self, ServeOptionsError> {
        if tokens.is_empty() {
            return Err(ServeOptionsError::NoTokens);
        }
        let mut hashes = Vec::new();
        for (token, place) in tokens.into_iter().zip(1..) {
            let token = token.expose_secret();
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(ServeOptionsError::TokenCharacters { place });
            }
            if token.len() < ServeOptions::MIN_TOKEN_CHARACTERS {
                return Err(ServeOptionsError::ShortToken {
                    place,
                    characters: token.len(),
                });
            }
            hashes.push(digest(&SHA256, token.as_bytes()));
        }
        Ok(Self(hashes))
    }

    /// Whether the request has one of them. The time it takes tells nothing of how near it came.
    pub(super) fn let_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return false;
        }
        let offered = digest(&SHA256, token);
        let equal = self.0.iter().fold(Choice::from(0), |equal, hash| {
            equal | hash.as_ref().ct_eq(offered.as_ref())
        });
        equal.into()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const OLD: &str = "the-old-token-of-this-test";
    const NEW: &str = "the-new-token-of-this-test";

    fn let_in(values: &[&str]) -> bool {
        let tokens = Tokens::new(vec![OLD.into(), NEW.into()]).unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        tokens.let_in(&headers)
    }

    #[test]
    fn each_of_several_tokens_is_let_in_and_nothing_else() {
        assert!(let_in(&[&format!("Bearer {OLD}")]));
        assert!(let_in(&[&format!("bearer {NEW}")]));
        for other in [
            "",
            "Bearer",
            "Bearer ",
            NEW,
            &format!("Basic {NEW}"),
            &format!("Bearer  {NEW}"),
            &format!("Bearer {NEW} "),
            &format!("Bearer {NEW}x"),
            &format!("Bearer {}", &NEW[1..]),
        ] {
            assert!(!let_in(&[other]), "{other:?}");
        }
        assert!(!let_in(&[]));
        let right = format!("Bearer {NEW}");
        assert!(!let_in(&[&right, &right]), "which one counts is not clear");
    }

    #[test]
    fn tokens_have_to_be_long_and_visible() {
        let refused = |tokens: &[&str]| {
            let tokens = tokens.iter().map(|token| (*token).into()).collect();
            Tokens::new(tokens).unwrap_err()
        };
        assert_eq!(refused(&[]), ServeOptionsError::NoTokens);
        let characters = 15;
        assert_eq!(
            refused(&[NEW, &"x".repeat(characters)]),
            ServeOptionsError::ShortToken {
                place: 2,
                characters
            }
        );
        for token in [
            "a token with a space",
            "ein-grünes-Geheimnis",
            "a-token-with-a\nbreak",
        ] {
            assert_eq!(
                refused(&[token]),
                ServeOptionsError::TokenCharacters { place: 1 }
            );
        }
        let tokens = Tokens::new(vec![NEW.into()]).unwrap();
        assert_eq!(format!("{tokens:?}"), "Tokens(1)");
    }
}
