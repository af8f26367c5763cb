//! What fences say.

/// What holds for a briefcase on a shard; the number in `mdb_fence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FenceState {
    /// Its changes are recorded.
    Capturing = 1,
    /// Nobody may use it here until the deadline; afterwards it counts as capturing.
    Fenced = 2,
    /// It has gone; the row says where.
    Moved = 3,
    /// It is being copied to here, and is not to be used yet.
    Receiving = 4,
}

impl FenceState {
    pub(crate) fn stored(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Capturing),
            2 => Some(Self::Fenced),
            3 => Some(Self::Moved),
            4 => Some(Self::Receiving),
            _ => None,
        }
    }
}
