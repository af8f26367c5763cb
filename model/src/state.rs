//! The state of the whole world: catalog, shards, movers, routers, and what an
//! omniscient observer has written down.
//!
//! The briefcase is one row, whose value is the set of writes that it contains. Every
//! transaction of a server is one step, except a write, which begins and commits apart,
//! because locks are held in between, and a transaction that reads twice.

mod mover;
mod router;

pub(crate) use mover::{Journal, Mover, Progress};
pub use mover::{MoverId, Step};
pub use router::{Kind, RouterId};
pub(crate) use router::{Operation, Router, Stage};

/// One of the three shards. The first is the home at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShardId {
    /// Source of the first move.
    First,
    /// Its target, and source of the move back.
    Second,
    /// Nothing goes there but by a plan that has waited.
    Third,
}

impl ShardId {
    pub(crate) const ALL: [Self; 3] = [Self::First, Self::Second, Self::Third];
}

/// A set of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shards(u8);

impl Shards {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn with(self, shard: ShardId) -> Self {
        Self(self.0 | 1 << shard as u8)
    }

    pub(crate) fn contains(self, shard: ShardId) -> bool {
        self.0 & 1 << shard as u8 != 0
    }
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
    /// The tombstone: it has gone there.
    Moved(ShardId),
    Receiving,
}

impl FenceState {
    /// Whether the briefcase can be used on this shard, as far as there is a row.
    pub(crate) fn lets_in(self) -> bool {
        match self {
            Self::Absent | Self::Planned | Self::Capturing | Self::Lapsed => true,
            Self::Fenced | Self::Moved(_) | Self::Receiving => false,
        }
    }

    /// Whether it says that the briefcase is, or was, or will be here. A mover's mark alone does not.
    pub(crate) fn tells_where(self) -> bool {
        !matches!(self, Self::Absent | Self::Planned)
    }
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
    /// The last move that was announced; 0 at the start.
    pub(crate) journey: u8,
    /// Where that has begun.
    pub(crate) source: ShardId,
    pub(crate) in_motion: bool,
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
    /// One for each move.
    pub(crate) journals: [Journal; 3],
    pub(crate) registrations: [Registration; 2],
}

impl Catalog {
    pub(crate) fn journal(&self, journey: u8) -> &Journal {
        &self.journals[usize::from(journey) - 1]
    }

    pub(crate) fn journal_mut(&mut self, journey: u8) -> &mut Journal {
        &mut self.journals[usize::from(journey) - 1]
    }

    /// Whether another move has been announced and has not ended.
    pub(crate) fn others_are_open(&self, journey: u8) -> bool {
        let others = (1..)
            .zip(&self.journals)
            .filter(|(other, _)| *other != journey);
        others
            .map(|(_, journal)| journal.progress)
            .any(|progress| matches!(progress, Progress::Open | Progress::Aborting))
    }
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
    pub(crate) shards: [Shard; 3],
    pub(crate) movers: [Mover; 3],
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
        let mut routed = self.routers.iter().map(|router| router.operation);
        routed.any(|op| op.locked && op.to == shard)
            || (shard == ShardId::First
                && matches!(self.direct, DirectWriter::Running { locked: true, .. }))
    }

    /// Whether a write on `shard` has not ended: it holds the table.
    pub(crate) fn table_is_held(&self, shard: ShardId) -> bool {
        let mut routed = self.routers.iter().map(|router| router.operation);
        routed.any(|op| op.stage == Stage::Running && op.to == shard)
            || (shard == ShardId::First && matches!(self.direct, DirectWriter::Running { .. }))
    }
}
