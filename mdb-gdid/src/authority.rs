//! Authorities: who may issue which ids, and the seam to whoever keeps count.
//!
//! An authority remembers one [`Ledger`] per sequence: its [`SequenceState`], which is the last
//! counter that it has given away, and how many blocks it has handed out. It hands out [`Block`]s:
//! it advances the ledger, makes it durable, and only then returns the block. Whoever asks deals
//! single ids out of it, for as long as a [`BlockLife`]. What this module holds is pure; the keeping
//! is done behind [`BlockSource`].
//!
//! A **floor** is a range key below which no authority of a sequence hands out ids any more.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::gdid::GdidPartsError;

pub use block::{Block, BlockError, BlockIds, BlockSize};
pub use error::{AuthorityError, Cause, Place};
pub use ledger::{BlockLife, Ledger, UnixMillis};
pub use source::{AllocateFuture, AuthorityStatus, BlockSource, StatusFuture};
pub use state::{AdvanceError, SequenceState};

mod block;
mod error;
mod ledger;
mod source;
mod state;

/// The number of an authority, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityId(u8);

impl AuthorityId {
    /// An authority's number, or `None` when it is above 15.
    pub const fn new(number: u8) -> Option<Self> {
        if number > 15 {
            None
        } else {
            Some(Self(number))
        }
    }

    #[inline]
    pub(crate) const fn from_high_bits(byte: u8) -> Self {
        Self(byte >> 4)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for AuthorityId {
    type Error = GdidPartsError;

    fn try_from(number: u8) -> Result<Self, GdidPartsError> {
        Self::new(number).ok_or(GdidPartsError::Authority(number))
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The numbers of the authorities that count at one place; at least one, none twice.
///
/// Where there are several, they take turns: each hands out ids for an hour, so that all of them
/// are exercised, and a place that has fewer counters left in one era has them in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityIds(Vec<AuthorityId>);

impl AuthorityIds {
    /// Authorities in the order of their turns, or `None` when there are none or one is there twice.
    pub fn new(ids: Vec<AuthorityId>) -> Option<Self> {
        let distinct = ids
            .iter()
            .enumerate()
            .all(|(place, id)| !ids[..place].contains(id));
        (distinct && !ids.is_empty()).then_some(Self(ids))
    }

    /// All of them.
    pub fn as_slice(&self) -> &[AuthorityId] {
        &self.0
    }

    /// Whose turn it is: the turn changes with every full hour of UTC.
    ///
    /// ```
    /// use mdb_gdid::{AuthorityId, AuthorityIds};
    /// use std::time::{Duration, SystemTime};
    ///
    /// let [three, seven] = [3, 7].map(|number| AuthorityId::new(number).expect("below 16"));
    /// let ids = AuthorityIds::new(vec![three, seven]).expect("two different ones");
    /// let hour = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n * 3600);
    /// assert_eq!([ids.at(hour(0)), ids.at(hour(1)), ids.at(hour(2))], [three, seven, three]);
    /// ```
    pub fn at(&self, time: SystemTime) -> AuthorityId {
        let since_epoch = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let turn = since_epoch.as_secs() / 3600 % self.0.len() as u64;
        self.0[usize::try_from(turn).expect("less than the number of authorities")]
    }
}

#[cfg(test)]
mod tests;
