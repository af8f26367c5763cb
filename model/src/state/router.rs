//! Routers and the operations that they run.

use super::{FenceState, ShardId, Shards, Snapshot, Writes};

/// One of the two routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouterId {
    /// May lose its lease and come late.
    Sleepy,
    /// Never loses its lease.
    Live,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Idle,
    /// It is decided where to go; not sent yet, or sent and told to wait.
    Decided,
    /// A write that has not committed.
    Running,
    /// A transaction that has taken its snapshot, and will read once more.
    Open,
    /// A read's answer is under way.
    Answered,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads the row.
    Read,
    /// Adds this router's write to the row.
    Write,
    /// Reads in a transaction that sees a snapshot; then, by locking, what is there now.
    Transaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Operation {
    pub(crate) stage: Stage,
    pub(crate) kind: Kind,
    pub(crate) to: ShardId,
    /// Where it counts as running: on the shard that the snapshot named.
    pub(crate) entered: ShardId,
    pub(crate) guarded: bool,
    /// The move whose decision it follows.
    pub(crate) follows: u8,
    /// Of the snapshot that it was decided under.
    pub(crate) epoch: u8,
    pub(crate) lease_held: bool,
    /// What the fence row said when it was decided, or in a transaction's snapshot; only broken variants believe it.
    pub(crate) looked: FenceState,
    pub(crate) locked: bool,
    pub(crate) recorded: bool,
    pub(crate) redirected: bool,
    /// What was known when it began; of a transaction, when it read by locking.
    pub(crate) known: Writes,
    pub(crate) answer: Writes,
}

impl Operation {
    pub(crate) const IDLE: Self = Self {
        stage: Stage::Idle,
        kind: Kind::Read,
        to: ShardId::First,
        entered: ShardId::First,
        guarded: false,
        follows: 0,
        epoch: 0,
        lease_held: false,
        looked: FenceState::Absent,
        locked: false,
        recorded: false,
        redirected: false,
        known: Writes::NONE,
        answer: Writes::NONE,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Router {
    pub(crate) snapshot: Snapshot,
    /// Shards that the briefcase has left, or is leaving, by what was learned since the last acknowledgement.
    pub(crate) left: Shards,
    pub(crate) operation: Operation,
    pub(crate) reads_left: u8,
    pub(crate) writes_left: u8,
    pub(crate) transactions_left: u8,
    /// Per shard: the least epoch that it named when the session was opened.
    pub(crate) sessions: [Option<u8>; 3],
}

impl Router {
    /// Whether an operation runs that was decided under an older snapshot.
    pub(crate) fn runs_something_older(&self) -> bool {
        self.operation.stage != Stage::Idle && self.operation.epoch < self.snapshot.epoch
    }
}
