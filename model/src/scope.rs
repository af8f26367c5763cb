//! What may happen in one check. Each scope looks at one danger exhaustively; all
//! dangers at once would be too many states.

use crate::state::{RouterId, ShardId};

/// Whether something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Never,
    Yes,
}

impl Allowed {
    pub(crate) fn yes(self) -> bool {
        self == Self::Yes
    }
}

/// Whether an eviction can end a router's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// A database server.
    CanBeEnded,
    /// A file: SQLite.
    CannotBeEnded,
}

/// Which parties do what, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    pub(crate) reads: [u8; 2],
    pub(crate) writes: [u8; 2],
    /// Of the sleepy router.
    pub(crate) transactions: u8,
    pub(crate) direct_writer: Allowed,
    pub(crate) lease_expiry: Allowed,
    pub(crate) takeover: Allowed,
    pub(crate) abort: Allowed,
    pub(crate) move_back: Allowed,
    /// Where the third mover has planned to move the briefcase, from the first shard.
    pub(crate) early_plan: Option<ShardId>,
    pub(crate) sessions: Sessions,
}

impl Scope {
    const NOTHING: Self = Self {
        reads: [0, 0],
        writes: [0, 0],
        transactions: 0,
        direct_writer: Allowed::Never,
        lease_expiry: Allowed::Never,
        takeover: Allowed::Never,
        abort: Allowed::Never,
        move_back: Allowed::Never,
        early_plan: None,
        sessions: Sessions::CanBeEnded,
    };

    /// Both routers write, the sleepy one late, too; a client writes without MDB.
    #[must_use]
    pub fn writes() -> Self {
        Self {
            writes: [1, 1],
            direct_writer: Allowed::Yes,
            lease_expiry: Allowed::Yes,
            ..Self::NOTHING
        }
    }

    /// The sleepy router reads, the live one writes.
    #[must_use]
    pub fn reads() -> Self {
        Self {
            reads: [1, 0],
            writes: [0, 1],
            lease_expiry: Allowed::Yes,
            ..Self::NOTHING
        }
    }

    /// As [`reads`](Self::reads), on SQLite.
    #[must_use]
    pub fn reads_on_sqlite() -> Self {
        Self {
            sessions: Sessions::CannotBeEnded,
            ..Self::reads()
        }
    }

    /// The sleepy router writes on SQLite, where nobody can end its session.
    #[must_use]
    pub fn writes_on_sqlite() -> Self {
        Self {
            writes: [1, 1],
            lease_expiry: Allowed::Yes,
            sessions: Sessions::CannotBeEnded,
            ..Self::NOTHING
        }
    }

    /// Takeover at any step, aborts, and a move back home; both routers stay awake.
    #[must_use]
    pub fn zombie_movers() -> Self {
        Self {
            writes: [0, 1],
            takeover: Allowed::Yes,
            abort: Allowed::Yes,
            move_back: Allowed::Yes,
            ..Self::NOTHING
        }
    }

    /// A late writer while the briefcase moves away and back.
    #[must_use]
    pub fn there_and_back() -> Self {
        Self {
            writes: [1, 0],
            lease_expiry: Allowed::Yes,
            move_back: Allowed::Yes,
            ..Self::NOTHING
        }
    }

    /// As [`there_and_back`](Self::there_and_back), on SQLite.
    #[must_use]
    pub fn there_and_back_on_sqlite() -> Self {
        Self {
            sessions: Sessions::CannotBeEnded,
            ..Self::there_and_back()
        }
    }

    /// The sleepy router reads twice in a transaction, the live one writes.
    #[must_use]
    pub fn transactions() -> Self {
        Self {
            writes: [0, 1],
            transactions: 1,
            lease_expiry: Allowed::Yes,
            ..Self::NOTHING
        }
    }

    /// Two moves are planned from the first shard, to different ones; either may be late, either may be aborted.
    #[must_use]
    pub fn stale_plans() -> Self {
        Self {
            writes: [0, 1],
            abort: Allowed::Yes,
            early_plan: Some(ShardId::Third),
            ..Self::NOTHING
        }
    }

    /// A plan that may be begun before the briefcase moves away, meanwhile, or when it is back; with a late writer.
    #[must_use]
    pub fn old_plan_there_and_back() -> Self {
        Self {
            writes: [1, 0],
            lease_expiry: Allowed::Yes,
            abort: Allowed::Yes,
            move_back: Allowed::Yes,
            early_plan: Some(ShardId::Second),
            ..Self::NOTHING
        }
    }

    /// As [`reads`](Self::reads), with takeover and abort. Takes long.
    #[must_use]
    pub fn large_reads() -> Self {
        Self {
            takeover: Allowed::Yes,
            abort: Allowed::Yes,
            ..Self::reads()
        }
    }

    /// A late writer while the briefcase moves away and back, and is taken over. Long.
    #[must_use]
    pub fn large_there_and_back() -> Self {
        Self {
            takeover: Allowed::Yes,
            ..Self::there_and_back()
        }
    }

    /// A late writer and one without MDB, with takeover and abort. Takes long.
    #[must_use]
    pub fn large_writes() -> Self {
        Self {
            writes: [1, 0],
            direct_writer: Allowed::Yes,
            lease_expiry: Allowed::Yes,
            takeover: Allowed::Yes,
            abort: Allowed::Yes,
            ..Self::NOTHING
        }
    }

    /// As [`transactions`](Self::transactions), while the briefcase moves away and back. Takes long.
    #[must_use]
    pub fn large_transactions() -> Self {
        Self {
            move_back: Allowed::Yes,
            ..Self::transactions()
        }
    }

    /// As [`zombie_movers`](Self::zombie_movers), with an old plan that leads to a third shard. Takes long.
    #[must_use]
    pub fn large_old_plan() -> Self {
        Self {
            early_plan: Some(ShardId::Third),
            ..Self::zombie_movers()
        }
    }

    pub(crate) fn can_sleep(self, router: RouterId) -> bool {
        self.lease_expiry.yes() && router == RouterId::Sleepy
    }
}
