//! Routers: snapshot, lease, acknowledgement, and where an operation goes.

use super::{
    FenceState, Guard, Kind, Operation, RouterId, Rules, ShardId, Shards, Stage, State, Writes,
};

impl Rules {
    /// One transaction in the catalog: registration, newest snapshot, lease.
    pub(super) fn renew_lease(&self, state: &mut State, id: RouterId) -> Option<()> {
        let registration = &mut state.catalog.registrations[id as usize];
        if registration.lease_live {
            return None;
        }
        registration.exists = true;
        registration.lease_live = true;
        registration.acknowledged = 0;
        if self.hold(Guard::RenewalRefreshes) {
            self.refresh(state, id);
        }
        Some(())
    }

    pub(super) fn refresh(&self, state: &mut State, id: RouterId) {
        learn(state, id);
        self.acknowledge(state, id);
    }

    /// Says how far everything that runs by this router knows. An evicted one has nobody to tell.
    pub(super) fn acknowledge(&self, state: &mut State, id: RouterId) -> Option<()> {
        let router = &mut state.routers[id as usize];
        let registration = &mut state.catalog.registrations[id as usize];
        if !registration.exists {
            return None;
        }
        let snapshot = router.snapshot;
        let entered = router.operation.entered;
        let is_left = (snapshot.in_motion && snapshot.source == entered)
            || (router.left.contains(entered) && self.hold(Guard::MissedMotionCounts));
        if router.runs_something_older() && is_left && self.hold(Guard::AcknowledgeWhenQuiet) {
            return None;
        }
        router.left = Shards::NONE;
        registration.acknowledged = snapshot.epoch;
        Some(())
    }

    pub(super) fn begin(&self, state: &mut State, id: RouterId, kind: Kind) {
        let known = state.observer.known;
        let router = &mut state.routers[id as usize];
        match kind {
            Kind::Read => router.reads_left -= 1,
            Kind::Write => router.writes_left -= 1,
            Kind::Transaction => router.transactions_left -= 1,
        }
        router.operation = Operation {
            kind,
            known,
            ..Operation::IDLE
        };
        self.decide(state, id);
    }

    /// Decides by the snapshot and the lease, as they are now.
    pub(super) fn decide(&self, state: &mut State, id: RouterId) {
        let lease_live = state.catalog.registrations[id as usize].lease_live;
        let router = &mut state.routers[id as usize];
        let (kind, known) = (router.operation.kind, router.operation.known);
        router.operation = Operation {
            stage: Stage::Decided,
            kind,
            known,
            to: router.snapshot.home,
            entered: router.snapshot.home,
            follows: router.snapshot.journey,
            epoch: router.snapshot.epoch,
            guarded: router.snapshot.in_motion || !lease_live,
            lease_held: lease_live,
            redirected: router.operation.redirected,
            ..Operation::IDLE
        };
        self.look(state, id);
    }

    /// Asks the router anew, after a wait on the way: what was followed until then counts no more.
    fn decide_anew(&self, state: &mut State, id: RouterId) {
        let before = state.routers[id as usize].operation;
        self.decide(state, id);
        let operation = &mut state.routers[id as usize].operation;
        operation.guarded |= before.guarded;
        if !self.hold(Guard::FollowedForgotten) && before.to != before.entered {
            operation.to = before.to;
            operation.follows = before.follows;
        }
    }

    /// Sends it on the guarded path to `to`, because move `follows` was seen there.
    pub(super) fn redirect(&self, state: &mut State, id: RouterId, to: ShardId, follows: u8) {
        let operation = &mut state.routers[id as usize].operation;
        operation.stage = Stage::Decided;
        operation.guarded = true;
        operation.to = to;
        operation.follows = follows;
        operation.redirected = true;
        self.look(state, id);
    }

    fn look(&self, state: &mut State, id: RouterId) {
        if !self.hold(Guard::LockBeforeLook) {
            let to = state.routers[id as usize].operation.to;
            let looked = state.shard(to).fence.state;
            state.routers[id as usize].operation.looked = looked;
        }
    }

    /// The statement reaches the shard: the session first, then the fence or the trigger.
    pub(super) fn send(&self, state: &mut State, id: RouterId) -> Option<()> {
        let operation = state.routers[id as usize].operation;
        let shard = *state.shard(operation.to);
        let session = &mut state.routers[id as usize].sessions[operation.to as usize];
        let mut named = *session.get_or_insert(shard.least_epoch);
        if operation.guarded {
            // Whoever finds a fence is told where to go.
            named = if shard.fence.state.tells_where() {
                0
            } else {
                shard.least_epoch
            };
        }
        let epoch = if self.hold(Guard::OperationsOwnEpoch) {
            operation.epoch
        } else {
            state.routers[id as usize].snapshot.epoch
        };
        if epoch < named {
            // "Refresh first".
            learn(state, id);
            self.decide_anew(state, id);
            return Some(());
        }
        match (operation.guarded, operation.kind) {
            (false, Kind::Read) => answer(state, id),
            (false, Kind::Write) => self.send_unguarded_write(state, id),
            (false, Kind::Transaction) => self.open(state, id, false),
            (true, Kind::Read) if !self.hold(Guard::FenceOnReads) => answer(state, id),
            (true, _) => return self.send_guarded(state, id),
        }
        Some(())
    }

    fn send_guarded(&self, state: &mut State, id: RouterId) -> Option<()> {
        let operation = state.routers[id as usize].operation;
        let fence = state.shard(operation.to).fence;
        let seen = if self.hold(Guard::LockBeforeLook) {
            fence.state
        } else {
            operation.looked
        };
        let admits =
            self.hold(Guard::ReceivingAdmitsRedirected) && operation.follows == fence.journey;
        match seen {
            FenceState::Fenced if operation.kind != Kind::Read => {
                // Told to wait. It looks again later.
                self.decide_anew(state, id);
                return (state.routers[id as usize].operation != operation).then_some(());
            }
            FenceState::Moved(to) => self.redirect(state, id, to, fence.journey),
            FenceState::Receiving if !admits => {
                // It comes here by a move that this router does not know of yet.
                learn(state, id);
                self.decide_anew(state, id);
            }
            _ => match operation.kind {
                Kind::Read => answer(state, id),
                Kind::Write => start_write(state, id, true),
                Kind::Transaction => self.open(state, id, true),
            },
        }
        Some(())
    }

    /// A transaction takes its snapshot.
    fn open(&self, state: &mut State, id: RouterId, locked: bool) {
        let to = state.routers[id as usize].operation.to;
        let looked = state.shard(to).fence.state;
        let operation = &mut state.routers[id as usize].operation;
        operation.stage = Stage::Open;
        operation.locked = locked;
        if !self.hold(Guard::SnapshotLooksApart) {
            operation.looked = looked;
        }
    }

    fn send_unguarded_write(&self, state: &mut State, id: RouterId) {
        let to = state.routers[id as usize].operation.to;
        let shard = *state.shard(to);
        let refuses = self.trigger_refuses(shard.fence.state);
        if !shard.triggers {
            start_write(state, id, false);
        } else if refuses {
            let follows = state.routers[id as usize].operation.follows;
            self.redirect(state, id, to, follows);
        } else {
            start_write(state, id, self.hold(Guard::TriggerLocksFence));
        }
    }

    /// An unguarded read's answer counts if the lease has held all the time, or the fence says so.
    pub(super) fn receive(&self, state: &mut State, id: RouterId) {
        let operation = state.routers[id as usize].operation;
        let trusted = if !self.hold(Guard::ReadLeaseCheck) {
            true
        } else if !self.hold(Guard::LeaseHeldThroughout) {
            state.catalog.registrations[id as usize].lease_live
        } else {
            operation.lease_held
        };
        if !operation.guarded && !trusted && !self.is_still_good(state, operation) {
            self.decide(state, id);
            state.routers[id as usize].operation.guarded = true;
            return;
        }
        if !operation.answer.contains(operation.known) {
            state.observer.read_missed = true;
        }
        state.observer.known = state.observer.known.with(operation.answer);
        end(state, id);
    }

    /// What the fence says afterwards, with a view of its own.
    fn is_still_good(&self, state: &State, operation: Operation) -> bool {
        if operation.kind == Kind::Transaction && !self.hold(Guard::SnapshotLooksApart) {
            return operation.looked.lets_in();
        }
        let shard = state.shard(operation.to);
        let knows_enough = operation.epoch >= shard.least_epoch;
        shard.fence.state.lets_in() && (knows_enough || shard.fence.state.tells_where())
    }
}

/// Loads the newest snapshot, and remembers which shards the briefcase has left meanwhile. What was known to be in
/// motion goes by its fence anyway.
fn learn(state: &mut State, id: RouterId) {
    let published = state.catalog.published;
    let router = &mut state.routers[id as usize];
    let before = std::mem::replace(&mut router.snapshot, published);
    let has_missed = before.epoch < published.epoch && !before.in_motion;
    if has_missed && router.runs_something_older() {
        router.left = router.left.with(published.source).with(before.home);
    }
}

/// A router that knows of no move yet takes what a copy says.
pub(super) fn read_copy(state: &mut State, id: RouterId) -> Option<()> {
    let lease_live = state.catalog.registrations[id as usize].lease_live;
    let snapshot = &mut state.routers[id as usize].snapshot;
    if lease_live || snapshot.epoch > 0 {
        return None;
    }
    *snapshot = state.catalog.published;
    Some(())
}

/// The transaction's second read.
pub(super) fn read_again(state: &mut State, id: RouterId) {
    state.routers[id as usize].operation.known = state.observer.known;
    answer(state, id);
}

fn start_write(state: &mut State, id: RouterId, locked: bool) {
    let to = state.routers[id as usize].operation.to;
    let recorded = state.shard(to).triggers;
    let operation = &mut state.routers[id as usize].operation;
    operation.stage = Stage::Running;
    operation.locked = locked;
    operation.recorded = recorded;
    operation.answer = Writes::NONE;
}

pub(super) fn lease_runs_out(state: &mut State, id: RouterId) {
    state.catalog.registrations[id as usize].lease_live = false;
    let operation = &mut state.routers[id as usize].operation;
    if operation.stage != Stage::Idle {
        operation.lease_held = false;
    }
}

fn answer(state: &mut State, id: RouterId) {
    let to = state.routers[id as usize].operation.to;
    let row = state.shard(to).row;
    let operation = &mut state.routers[id as usize].operation;
    operation.stage = Stage::Answered;
    operation.answer = row;
}

pub(super) fn end(state: &mut State, id: RouterId) {
    state.routers[id as usize].operation = Operation::IDLE;
}
