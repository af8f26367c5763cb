//! Routers: snapshot, lease, acknowledgement, and where an operation goes.

use super::{FenceState, Guard, Kind, Operation, RouterId, Rules, ShardId, Stage, State, Writes};

impl Rules {
    /// One transaction in the catalog: registration, newest snapshot, lease.
    pub(super) fn renew_lease(&self, state: &mut State, id: RouterId) -> Option<()> {
        let registration = &mut state.catalog.registrations[id as usize];
        if registration.lease_live {
            return None;
        }
        registration.exists = true;
        registration.lease_live = true;
        if self.hold(Guard::RenewalRefreshes) {
            self.refresh(state, id);
        }
        Some(())
    }

    pub(super) fn refresh(&self, state: &mut State, id: RouterId) {
        state.routers[id as usize].snapshot = state.catalog.published;
        self.acknowledge(state, id);
    }

    /// Says which snapshot is the oldest in use. An evicted router has nobody to tell.
    pub(super) fn acknowledge(&self, state: &mut State, id: RouterId) -> Option<()> {
        let router = &state.routers[id as usize];
        let registration = &mut state.catalog.registrations[id as usize];
        if !registration.exists {
            return None;
        }
        let busy = router.operation.stage != Stage::Idle;
        registration.acknowledged = if busy && self.hold(Guard::AcknowledgeWhenQuiet) {
            router.operation.epoch
        } else {
            router.snapshot.epoch
        };
        Some(())
    }

    pub(super) fn begin(&self, state: &mut State, id: RouterId, kind: Kind) {
        let known = state.observer.known;
        let router = &mut state.routers[id as usize];
        match kind {
            Kind::Read => router.reads_left -= 1,
            Kind::Write => router.writes_left -= 1,
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
            follows: router.snapshot.journey,
            epoch: router.snapshot.epoch,
            guarded: router.snapshot.in_motion || !lease_live,
            lease_held: lease_live,
            redirected: router.operation.redirected,
            ..Operation::IDLE
        };
        self.look(state, id);
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
        let least_epoch = state.shard(operation.to).least_epoch;
        let session = &mut state.routers[id as usize].sessions[operation.to as usize];
        let mut named = *session.get_or_insert(least_epoch);
        if operation.guarded {
            named = least_epoch;
        }
        let epoch = if self.hold(Guard::OperationsOwnEpoch) {
            operation.epoch
        } else {
            state.routers[id as usize].snapshot.epoch
        };
        if epoch < named {
            // "Refresh first".
            state.routers[id as usize].snapshot = state.catalog.published;
            self.decide(state, id);
            return Some(());
        }
        match (operation.guarded, operation.kind) {
            (false, Kind::Read) => answer(state, id),
            (false, Kind::Write) => self.send_unguarded_write(state, id),
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
            FenceState::Fenced if operation.kind == Kind::Write => {
                // Told to wait. It looks again later.
                let before = operation.looked;
                self.look(state, id);
                return (state.routers[id as usize].operation.looked != before).then_some(());
            }
            FenceState::Moved => {
                self.redirect(state, id, operation.to.other(), fence.journey);
            }
            FenceState::Receiving if !admits => {
                self.redirect(state, id, operation.to.other(), operation.follows);
            }
            _ => match operation.kind {
                Kind::Read => answer(state, id),
                Kind::Write => start_write(state, id, true),
            },
        }
        Some(())
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

    /// An unguarded read's answer counts only if the lease has held all the time.
    pub(super) fn receive(&self, state: &mut State, id: RouterId) {
        let operation = state.routers[id as usize].operation;
        let trusted = if !self.hold(Guard::ReadLeaseCheck) {
            true
        } else if !self.hold(Guard::LeaseHeldThroughout) {
            state.catalog.registrations[id as usize].lease_live
        } else {
            operation.lease_held
        };
        if !operation.guarded && !trusted {
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
