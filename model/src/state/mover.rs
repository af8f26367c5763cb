//! Movers and the journals of their moves.

use super::{ShardId, Writes};

/// One of the three movers; also what the owner's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoverId {
    /// Starts the first move; a zombie once it was replaced.
    First,
    /// Takes the first move over, and starts the move back.
    Second,
    /// Has planned a move at the start, and begins it at any time.
    Third,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Progress {
    /// Nobody has planned it.
    Unplanned,
    /// Planned, not announced.
    Planned,
    /// The announcement was refused; nothing had been done.
    Refused,
    Open,
    Aborting,
    Aborted,
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    pub(crate) owner: MoverId,
    pub(crate) source: ShardId,
    pub(crate) target: ShardId,
    pub(crate) copied: bool,
    pub(crate) evicted: bool,
    pub(crate) taken_over: bool,
    pub(crate) progress: Progress,
}

impl Journal {
    pub(crate) const UNPLANNED: Self = Self {
        owner: MoverId::First,
        source: ShardId::First,
        target: ShardId::First,
        copied: false,
        evicted: false,
        taken_over: false,
        progress: Progress::Unplanned,
    };

    pub(crate) fn planned(owner: MoverId, source: ShardId, target: ShardId) -> Self {
        Self {
            owner,
            source,
            target,
            progress: Progress::Planned,
            ..Self::UNPLANNED
        }
    }
}

/// What a mover does next. Each comment begins with the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Not started, or it has found out that it was replaced, or it has ended.
    Stopped,
    /// Announce: ask whether another move is under way; only the broken variant asks beforehand.
    AskOthers,
    /// Announce: the catalog says "in motion", unless the plan holds no more.
    Announce,
    /// Announce: wait for the live routers.
    AwaitAcknowledgements,
    /// Capture: arm the triggers.
    Capture,
    /// Copy: read a chunk at the source.
    CopyRead,
    /// Copy: write it at the target.
    CopyApply,
    /// Catch up: read the changed rows.
    CatchUpRead,
    /// Catch up: upsert them at the target.
    CatchUpApply,
    /// Catch up: delete the change records that were read.
    CatchUpClear,
    /// Fence.
    Fence,
    /// Drain: as catching up, under the fence.
    DrainRead,
    /// Drain: upsert at the target.
    DrainApply,
    /// Drain: delete the change records.
    DrainClear,
    /// Flip, the commit point. Verification has just been done.
    Flip,
    /// Publish: relocation and epoch in the catalog.
    Publish,
    /// Publish: the target's `receiving` row is dropped.
    Admit,
    /// Purge: wait for every registered router; evict the silent ones.
    AwaitGrace,
    /// Purge: raise the source's least epoch.
    RaiseLeastEpoch,
    /// Purge: end the sessions of everyone who has not acknowledged.
    EndSessions,
    /// Purge: delete the rows at the source.
    PurgeRows,
    /// Purge: drop the triggers.
    DropTriggers,
    /// Purge: drop the tombstone.
    DropTombstone,
    /// Purge: close the journal.
    Close,
    /// Abort: lift the source's fence, drop its triggers.
    AbortSource,
    /// Abort: delete the copy.
    AbortTarget,
    /// Abort: publish that nothing moves.
    AbortPublish,
    /// Takeover: write the token on the source.
    TakeOverSource,
    /// Takeover: write the token on the target; go on where the journal says.
    TakeOverTarget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mover {
    pub(crate) next: Step,
    pub(crate) journey: u8,
    pub(crate) source: ShardId,
    pub(crate) target: ShardId,
    /// The row as it was read.
    pub(crate) carried: Writes,
}

impl Mover {
    pub(crate) const STOPPED: Self = Self {
        next: Step::Stopped,
        journey: 0,
        source: ShardId::First,
        target: ShardId::First,
        carried: Writes::NONE,
    };
}
