//! How far each authority is known to be, by what it has answered to this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::authority::{AuthorityId, SequenceState};
use crate::names::{ScopeName, SequenceName};

/// How far the authorities of one sequence were at a moment; by authority, whichever host answers
/// in its name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known([Option<SequenceState>; 16]);

impl Known {
    /// The state that an authority has passed, when `state` is behind it.
    pub(super) fn passed(
        &self,
        authority: AuthorityId,
        state: SequenceState,
    ) -> Option<SequenceState> {
        self.0[usize::from(authority.get())].filter(|known| state < *known)
    }
}

/// The same for all sequences that were asked about.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<(ScopeName, SequenceName), Known>>);

impl Seen {
    /// What is known just now. To be asked *before* a request is sent: blocks of requests that are
    /// under way at the same time may arrive in any order.
    pub(super) fn known(&self, scope: &ScopeName, sequence: &SequenceName) -> Known {
        self.sequences()
            .get(&(scope.clone(), sequence.clone()))
            .copied()
            .unwrap_or_default()
    }

    /// An authority has come to `state`.
    pub(super) fn advance(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        authority: AuthorityId,
        state: SequenceState,
    ) {
        let mut sequences = self.sequences();
        let known = sequences
            .entry((scope.clone(), sequence.clone()))
            .or_default();
        let known = &mut known.0[usize::from(authority.get())];
        *known = Some(known.map_or(state, |known| known.max(state)));
    }

    fn sequences(&self) -> std::sync::MutexGuard<'_, HashMap<(ScopeName, SequenceName), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
