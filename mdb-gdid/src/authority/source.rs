//! The seam to whoever keeps count.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::SequenceState;
use super::{AuthorityError, AuthorityId, Block, BlockLife, BlockSize, Ledger, UnixMillis};
use crate::names::{ScopeName, SequenceName};
use crate::range_key::RangeKey;

/// What [`BlockSource::allocate`] returns.
pub type AllocateFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Block, AuthorityError>> + Send + 'a>>;

/// What [`BlockSource::raise`] and [`BlockSource::status`] return.
pub type StatusFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<AuthorityStatus>, AuthorityError>> + Send + 'a>>;

/// One or several authorities, wherever they keep their count.
///
/// # Durability
///
/// An implementation makes the advanced state durable **before** it returns the block. Nothing
/// that was ever returned is returned again, whatever crashes, and whatever is restored.
pub trait BlockSource: Send + Sync + fmt::Debug {
    /// Hands out a block of `sequence` in `scope`, of at most `size` ids.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`]; then no id was given away, or those that were are lost for good.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, a block may have been given away; its ids are lost, never
    /// issued again.
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a>;

    /// Sees to it that none of the authorities hands out an id of the sequence below `floor` from now
    /// on, and tells how far each one is then. Blocks that were handed out before can still be dealt
    /// from until they lapse. One that is above the floor already stays where it is.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`]: not all of them could be raised. Those that were stay raised; raising
    /// again does no harm.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some may have been raised.
    ///
    /// # Durability
    ///
    /// The raised state is durable when it returns.
    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a>;

    /// How far each of the authorities is with the sequence; changes nothing.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`]: one of them could not be asked.
    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a>;
}

/// How far an authority is with a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityStatus {
    authority: AuthorityId,
    state: SequenceState,
    blocks: u64,
    outstanding: u64,
    lapses_after: Duration,
    notes: Vec<String>,
}

impl AuthorityStatus {
    /// The status that follows from an authority's ledger.
    pub fn of(authority: AuthorityId, ledger: &Ledger, now: UnixMillis, life: BlockLife) -> Self {
        Self::new(
            authority,
            ledger.state(),
            ledger.blocks(),
            ledger.outstanding(now, life),
            ledger.lapses_after(now, life),
        )
    }

    /// The status as another process has told it.
    pub fn new(
        authority: AuthorityId,
        state: SequenceState,
        blocks: u64,
        outstanding: u64,
        lapses_after: Duration,
    ) -> Self {
        Self {
            authority,
            state,
            blocks,
            outstanding,
            lapses_after,
            notes: Vec::new(),
        }
    }

    /// Adds what an operator should know besides, as a sentence.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The authority.
    pub fn authority(&self) -> AuthorityId {
        self.authority
    }

    /// The last counter that it has given away.
    pub fn state(&self) -> SequenceState {
        self.state
    }

    /// How many blocks it has handed out ever.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many of its blocks processes may still deal ids from; never too few.
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// How long until none of them is dealt from any more.
    pub fn lapses_after(&self) -> Duration {
        self.lapses_after
    }

    /// What an operator should know besides, such as a disk that lags.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
