//! How a server serves.

use std::time::Duration;

use secrecy::SecretString;

use super::tls::ServeTls;
use super::tokens::Tokens;

/// What protects the tokens and ids on their way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServeTransport {
    /// TLS.
    Tls(ServeTls),
    /// Nothing; only to this machine.
    PlainOnLoopback,
    /// Nothing. The network has to keep strangers out, or something before the server speaks TLS.
    PlainAnywhere,
}

/// How a server serves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub(super) tokens: Tokens,
    pub(super) transport: ServeTransport,
    pub(super) max_connections: usize,
    pub(super) head_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) grace: Duration,
}

/// Why a server can't serve in the way that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeOptionsError {
    /// Nobody could be let in.
    #[error("there is no token, so nobody could ask for ids; give at least one")]
    NoTokens,
    /// A token that could be guessed.
    #[error(
        "token {place} has {characters} characters; give at least {}, chosen at random",
        ServeOptions::MIN_TOKEN_CHARACTERS
    )]
    ShortToken {
        /// Which one, from 1.
        place: usize,
        /// How many characters it has.
        characters: usize,
    },
    /// A token that no HTTP header can have.
    #[error("token {place} has characters other than visible ASCII")]
    TokenCharacters {
        /// Which one, from 1.
        place: usize,
    },
}

impl ServeOptions {
    /// How long a token is at least.
    pub const MIN_TOKEN_CHARACTERS: usize = 16;
    /// How many connections are served at once, usually.
    pub const USUAL_MAX_CONNECTIONS: usize = 512;
    /// How long a client has for a TLS handshake or a request's head, usually; idle connections are
    /// closed after it too.
    pub const USUAL_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a request has, usually, its body included.
    pub const USUAL_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long requests under way have once the server is told to stop, usually.
    pub const USUAL_GRACE: Duration = Duration::from_secs(10);

    /// Lets in whoever has one of the tokens.
    ///
    /// # Errors
    ///
    /// [`ServeOptionsError`]: there is no token, or one is too short or no visible ASCII.
    pub fn new(
        tokens: Vec<SecretString>,
        transport: ServeTransport,
    ) -> Result<Self, ServeOptionsError> {
        Ok(Self {
            tokens: Tokens::new(tokens)?,
            transport,
            max_connections: Self::USUAL_MAX_CONNECTIONS,
            head_timeout: Self::USUAL_HEAD_TIMEOUT,
            request_timeout: Self::USUAL_REQUEST_TIMEOUT,
            grace: Self::USUAL_GRACE,
        })
    }

    /// Serves at most so many connections at once, at least 1.
    #[must_use]
    pub fn with_max_connections(self, max_connections: usize) -> Self {
        Self {
            max_connections: max_connections.clamp(1, tokio::sync::Semaphore::MAX_PERMITS),
            ..self
        }
    }

    /// How long a client has for a TLS handshake or a request's head.
    #[must_use]
    pub fn with_head_timeout(self, head_timeout: Duration) -> Self {
        Self {
            head_timeout,
            ..self
        }
    }

    /// How long a request has, its body included.
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self {
            request_timeout,
            ..self
        }
    }

    /// How long requests under way have once the server is told to stop.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }
}
