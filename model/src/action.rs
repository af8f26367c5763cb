//! What can happen next. A message that is lost or late, and a party that has crashed or
//! sleeps, is an action that is not taken; so no action says "crash".

use crate::state::{Kind, MoverId, RouterId, ShardId, Step};

/// One step of one party. Read a counterexample as the list of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The mover does its next step, one transaction.
    Mover(MoverId, Step),
    /// The mover writes "aborting" into the journal.
    Abort(MoverId),
    /// The mover deletes the registration of a router whose lease is over.
    Evict(MoverId, RouterId),
    /// The second mover writes its token into the journal, whatever the first does.
    TakeOver,
    /// The second mover plans the move back.
    PlanBack,
    /// The deadline of the fence passes, by this shard's clock.
    DeadlinePasses(ShardId),
    /// The router's lease runs out.
    LeaseRunsOut(RouterId),
    /// The router gets a lease again, registering if it has to.
    RenewLease(RouterId),
    /// The router loads the newest snapshot.
    Refresh(RouterId),
    /// The router, having no lease, takes a copy of the relocations for its snapshot; only the broken variant does.
    ReadCopy(RouterId),
    /// The router acknowledges, having no older operation any more where the briefcase has left.
    Acknowledge(RouterId),
    /// The router decides where an operation goes.
    Begin(RouterId, Kind),
    /// The operation's statement reaches the shard, perhaps late.
    Send(RouterId),
    /// The transaction reads once more, by locking.
    ReadAgain(RouterId),
    /// The write commits and is acknowledged.
    Commit(RouterId),
    /// The write commits; its answer is lost.
    CommitAnswerLost(RouterId),
    /// The read's answer is there.
    Receive(RouterId),
    /// A client without MDB writes at the first shard.
    DirectBegin,
    /// Its write commits.
    DirectCommit,
}

impl Action {
    /// Whether a router, a direct writer or a clock does it, no mover.
    #[must_use]
    pub fn needs_no_mover(self) -> bool {
        !matches!(
            self,
            Self::Mover(..) | Self::Abort(_) | Self::Evict(..) | Self::TakeOver | Self::PlanBack
        )
    }

    /// Whether a router asks the catalog something.
    #[must_use]
    pub fn is_of_catalog(self) -> bool {
        matches!(
            self,
            Self::RenewLease(_) | Self::Refresh(_) | Self::Acknowledge(_)
        )
    }

    /// Whether the first mover does it.
    #[must_use]
    pub fn is_of_first_mover(self) -> bool {
        matches!(
            self,
            Self::Mover(MoverId::First, _)
                | Self::Abort(MoverId::First)
                | Self::Evict(MoverId::First, _)
        )
    }
}
