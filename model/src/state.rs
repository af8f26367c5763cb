//! The state of the whole world: catalog, shards, movers, routers, and what an
//! omniscient observer has written down.
//!
//! The briefcase is one row, whose value is the set of writes that it contains. Every
//! transaction of a server is one step, except a write, which begins and commits apart,
//! because locks are held in between.

/// One of the two shards. The first is the home at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShardId {
    /// Source of the first move.
    First,
    /// Source of the move back.
    Second,
}

impl ShardId {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// One of the two movers; also what the owner's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoverId {
    /// Starts the first move; a zombie once it was replaced.
    First,
    /// Takes the first move over, and starts the move back.
    Second,
}

/// One of the two routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouterId {
    /// May lose its lease and come late.
    Sleepy,
    /// Never loses its lease.
    Live,
}

/// A set of writes. The value of the row, so the empty set means "no row".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Writes(u8);

impl Writes {
    pub(crate) const NONE: Self = Self(0);
    /// What was there before anything happened.
    pub(crate) const FIRST: Self = Self(1);
    pub(crate) const DIRECT: Self = Self(8);

    pub(crate) fn of(router: RouterId) -> Self {
        match router {
            RouterId::Sleepy => Self(2),
            RouterId::Live => Self(4),
        }
    }

    pub(crate) fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    pub(crate) fn contains(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Debug for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = ["first", "sleepy", "live", "direct"];
        let held = (0..4).filter(|bit| self.0 & (1 << bit) != 0);
        f.debug_set().entries(held.map(|bit| names[bit])).finish()
    }
}

/// What a fence row says. `Absent`: there is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FenceState {
    Absent,
    /// Carries move and owner only, from **plan** on.
    Planned,
    Capturing,
    Fenced,
    /// Still says `fenced`, but the deadline has passed by this server's clock.
    Lapsed,
    /// The tombstone.
    Moved,
    Receiving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) state: FenceState,
    pub(crate) journey: u8,
    pub(crate) owner: MoverId,
}

impl Fence {
    pub(crate) const ABSENT: Self = Self {
        state: FenceState::Absent,
        journey: 0,
        owner: MoverId::First,
    };
}

/// The change records of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    Empty,
    Recorded,
    /// All that is recorded, a mover has read.
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shard {
    pub(crate) fence: Fence,
    pub(crate) triggers: bool,
    pub(crate) row: Writes,
    pub(crate) change: Change,
    pub(crate) least_epoch: u8,
}

/// What routers load: where the briefcase is, and whether it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    pub(crate) epoch: u8,
    pub(crate) home: ShardId,
    /// The move that made it the home; 0 at the start.
    pub(crate) journey: u8,
    pub(crate) in_motion: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Progress {
    Open,
    Aborting,
    Aborted,
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    pub(crate) journey: u8,
    pub(crate) owner: MoverId,
    pub(crate) source: ShardId,
    pub(crate) copied: bool,
    pub(crate) evicted: bool,
    pub(crate) taken_over: bool,
    pub(crate) progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Registration {
    pub(crate) exists: bool,
    pub(crate) acknowledged: u8,
    pub(crate) lease_live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Catalog {
    pub(crate) published: Snapshot,
    pub(crate) journal: Journal,
    pub(crate) registrations: [Registration; 2],
}

/// What a mover does next. Each comment begins with the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Not started, or it has found out that it was replaced, or it has ended.
    Stopped,
    /// Announce: the catalog says "in motion".
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
    /// The row as it was read.
    pub(crate) carried: Writes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Idle,
    /// It is decided where to go; not sent yet, or sent and told to wait.
    Decided,
    /// A write that has not committed.
    Running,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Operation {
    pub(crate) stage: Stage,
    pub(crate) kind: Kind,
    pub(crate) to: ShardId,
    pub(crate) guarded: bool,
    /// The move whose decision it follows.
    pub(crate) follows: u8,
    /// Of the snapshot that it was decided under.
    pub(crate) epoch: u8,
    pub(crate) lease_held: bool,
    /// What the fence row said when it was decided; only the broken variant believes it.
    pub(crate) looked: FenceState,
    pub(crate) locked: bool,
    pub(crate) recorded: bool,
    pub(crate) redirected: bool,
    /// What was known when it began.
    pub(crate) known: Writes,
    pub(crate) answer: Writes,
}

impl Operation {
    pub(crate) const IDLE: Self = Self {
        stage: Stage::Idle,
        kind: Kind::Read,
        to: ShardId::First,
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
    pub(crate) operation: Operation,
    pub(crate) reads_left: u8,
    pub(crate) writes_left: u8,
    /// Per shard: the least epoch that it named when the session was opened.
    pub(crate) sessions: [Option<u8>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DirectWriter {
    Ready,
    Running { locked: bool, recorded: bool },
    Ended,
}

/// What only an observer of everything knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Observer {
    /// Where the flip says that the briefcase is.
    pub(crate) home: ShardId,
    /// Acknowledged, or seen by a read that ended.
    pub(crate) known: Writes,
    pub(crate) committed: Writes,
    pub(crate) applied_twice: bool,
    pub(crate) strayed: bool,
    pub(crate) read_missed: bool,
    pub(crate) stale_applied: bool,
    pub(crate) home_purged: bool,
    pub(crate) write_redirected: bool,
}

/// The whole world, small enough that all of its histories can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) catalog: Catalog,
    pub(crate) shards: [Shard; 2],
    pub(crate) movers: [Mover; 2],
    pub(crate) routers: [Router; 2],
    pub(crate) direct: DirectWriter,
    pub(crate) observer: Observer,
}

impl State {
    pub(crate) fn shard(&self, id: ShardId) -> &Shard {
        &self.shards[id as usize]
    }

    pub(crate) fn shard_mut(&mut self, id: ShardId) -> &mut Shard {
        &mut self.shards[id as usize]
    }

    /// Whether a transaction holds the fence row of `shard` in share mode.
    pub(crate) fn fence_is_held(&self, shard: ShardId) -> bool {
        self.running(shard).any(|locked| locked)
    }

    /// Whether a write on `shard` has not ended: it holds the table.
    pub(crate) fn table_is_held(&self, shard: ShardId) -> bool {
        self.running(shard).next().is_some()
    }

    fn running(&self, shard: ShardId) -> impl Iterator<Item = bool> + '_ {
        let direct = match self.direct {
            DirectWriter::Running { locked, .. } if shard == ShardId::First => Some(locked),
            _ => None,
        };
        let routed = self.routers.iter().map(|router| router.operation);
        routed
            .filter(move |op| op.stage == Stage::Running && op.to == shard)
            .map(|op| op.locked)
            .chain(direct)
    }
}
