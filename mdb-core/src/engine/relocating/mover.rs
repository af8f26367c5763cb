//! Moves and who runs them, in random numbers.

use crate::engine::Value;

/// The id of a move: 32 hexadecimal digits, made at random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MoveId(String);

impl MoveId {
    pub(crate) fn random() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)))
    }

    /// An id as it was stored.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&MoveId> for Value {
    fn from(id: &MoveId) -> Self {
        Self::Text(id.0.clone())
    }
}

/// Who runs a move just now: a random number, written on both shards. Whoever takes a move over
/// writes another one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerToken(i64);

impl OwnerToken {
    pub(crate) fn random() -> Self {
        Self(fastrand::i64(1..))
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }
}
