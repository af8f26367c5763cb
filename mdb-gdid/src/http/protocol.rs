//! The messages of the protocol, as both sides write and read them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::authority::{AuthorityStatus, SequenceState};
use crate::gdid::Gdid;
use crate::range_key::RangeKey;

/// Where the requests go.
pub(crate) mod path {
    pub(crate) const BLOCK: &str = "/gdid/v1/block";
    pub(crate) const FLOOR: &str = "/gdid/v1/floor";
    pub(crate) const STATUS: &str = "/gdid/v1/status";
}

/// Asks for a block.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockRequest {
    pub(crate) scope: String,
    pub(crate) sequence: String,
    pub(crate) size: u32,
    /// Comes back in the answer; of the other requests too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<String>,
}

/// A block.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlockAnswer {
    pub(crate) first: Gdid,
    pub(crate) count: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<String>,
}

/// Asks to raise a sequence.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FloorRequest {
    pub(crate) scope: String,
    pub(crate) sequence: String,
    /// An id with authority 0.
    pub(crate) floor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<String>,
}

/// Asks how far a sequence is.
#[cfg(feature = "serve")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusQuery {
    pub(crate) scope: String,
    pub(crate) sequence: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<String>,
}

/// How far the authorities are.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AuthoritiesAnswer {
    pub(crate) authorities: Vec<AuthorityAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<String>,
}

/// How far one authority is.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AuthorityAnswer {
    pub(crate) last: Gdid,
    pub(crate) blocks: u64,
    pub(crate) outstanding: u64,
    pub(crate) lapses_after_ms: u64,
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

impl From<&AuthorityStatus> for AuthorityAnswer {
    fn from(status: &AuthorityStatus) -> Self {
        let (authority, state) = (u64::from(status.authority().get()), status.state());
        let lapses_after = status.lapses_after();
        Self {
            last: Gdid::from_era_and_id(state.era(), (authority << 60) | state.counter()),
            blocks: status.blocks(),
            outstanding: status.outstanding(),
            // Rounded up: ids must not seem to be out of use before they are.
            lapses_after_ms: u64::try_from(lapses_after.as_nanos().div_ceil(1_000_000))
                .unwrap_or(u64::MAX),
            notes: status.notes().to_vec(),
        }
    }
}

impl From<AuthorityAnswer> for AuthorityStatus {
    fn from(answer: AuthorityAnswer) -> Self {
        let last = answer.last;
        let state = SequenceState::new(last.era(), last.counter());
        let status = Self::new(
            last.authority(),
            state.expect("an id's counter is one that a state can have"),
            answer.blocks,
            answer.outstanding,
            Duration::from_millis(answer.lapses_after_ms),
        );
        answer.notes.into_iter().fold(status, Self::with_note)
    }
}

/// What an error is, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    BadRequest,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    Exhausted,
    WentBack,
    Corrupt,
    Closed,
    Refused,
    Unavailable,
    TimedOut,
    /// One that this side does not know.
    #[serde(other)]
    Unknown,
}

/// An error.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ErrorAnswer {
    /// What it is, for people.
    pub(crate) error: String,
    pub(crate) code: Code,
    /// Of `exhausted`: the last era.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) era: Option<u32>,
    /// Of `went_back`: the authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<u8>,
    /// Of `went_back`: what would come next now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<RangeKey>,
    /// Of `went_back`: what was to come next before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<RangeKey>,
}

#[cfg(test)]
mod tests;
