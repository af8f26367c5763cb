//! Guards: the rules that keep a relocation true, each of which can be taken away.

/// A rule of the protocol.
///
/// A model [without](crate::Relocation::without) one of them must break a property;
/// otherwise the rule protects nothing, or the model can't see what it protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guard {
    /// The mover waits after **announce** until every live router has acknowledged.
    AcknowledgementWait,
    /// A router acknowledges only when no operation of an older snapshot is left.
    AcknowledgeWhenQuiet,
    /// A guarded read looks at the fence row, like a guarded write.
    FenceOnReads,
    /// **Purge** waits for the routers at all.
    PurgeGrace,
    /// **Purge** waits also for registered routers whose lease is over.
    PurgeDistrustsExpiredLease,
    /// Every transaction of a mover checks the fence row's move and owner.
    OwnerToken,
    /// **Flip** is refused when the fence's deadline has passed.
    FlipDeadline,
    /// The source's least epoch is raised at all.
    LeastEpoch,
    /// It is raised before sessions are ended and triggers dropped, not just before the
    /// tombstone is.
    LeastEpochBeforeSessionsEnd,
    /// Not only the sessions of those whom this move has evicted are ended, but of
    /// everyone who is not registered.
    UnregisteredSessionsEnd,
    /// Where sessions can't be ended, fence and triggers outlive the move.
    TriggersOutliveSessions,
    /// An unguarded read's answer is thrown away if the lease ran out meanwhile, unless the
    /// fence says that the briefcase has not gone.
    ReadLeaseCheck,
    /// A lease that ran out and was renewed meanwhile counts as run out.
    LeaseHeldThroughout,
    /// A lease that ran out is given again only together with the newest snapshot.
    RenewalRefreshes,
    /// A trigger holds the fence row in share mode until its transaction ends.
    TriggerLocksFence,
    /// A trigger refuses under `receiving`, too, not only under `fenced` and `moved`.
    TriggerRefusesReceiving,
    /// A session is refused by the epoch of the operation that wants it, not by the
    /// newest one that the router has loaded since.
    OperationsOwnEpoch,
    /// Rows with the owner's token exist from **plan** or **announce** on; no later phase makes one.
    TokenFromPlanOn,
    /// The fence row is read after its lock was granted, not before.
    LockBeforeLook,
    /// A change record is deleted after the change was applied at the target.
    ChangesKeptUntilApplied,
    /// A `receiving` row lets those through whom the source has redirected.
    ReceivingAdmitsRedirected,
    /// A move is announced only if the briefcase's home is, in that same transaction, the source.
    HomeWhenAnnounced,
    /// And only if, in that same transaction, no other move of the briefcase is under way, even one that has been
    /// published and is about to purge.
    AloneWhenAnnounced,
    /// Whoever takes a move over asks in the same step whether it is over: its record may have been read before.
    TakeOverAsks,
    /// A router that has missed a motion does not acknowledge either what was published while an older operation runs
    /// where the briefcase has been.
    MissedMotionCounts,
    /// Only a process that has never had a lease begins with a copy of the relocations: what it learned so, it would not
    /// know to have missed.
    CopiesBeforeFirstLease,
    /// Who waits on the guarded path and asks the router anew forgets to where it had followed the briefcase.
    FollowedForgotten,
    /// A transaction that reads a snapshot looks at the fence apart, not in that snapshot.
    SnapshotLooksApart,
    /// A write whose answer was lost is reported, not run again.
    RerunOnlyRefused,
}

/// Which guards hold: all, or all but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guards {
    missing: Option<Guard>,
}

impl Guards {
    pub(crate) const ALL: Self = Self { missing: None };

    pub(crate) fn without(guard: Guard) -> Self {
        Self {
            missing: Some(guard),
        }
    }

    pub(crate) fn hold(self, guard: Guard) -> bool {
        self.missing != Some(guard)
    }
}
