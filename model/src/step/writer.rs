//! Commits, and the client that writes without MDB.

use super::router::end;
use super::{DirectWriter, FenceState, Guard, RouterId, Rules, ShardId, State, Writes};
use crate::state::Change;

impl Rules {
    /// Its user learns that it is not known whether the write happened.
    pub(super) fn commit_answer_lost(&self, state: &mut State, id: RouterId) {
        commit_routed(state, id);
        if self.hold(Guard::RerunOnlyRefused) {
            end(state, id);
        } else {
            self.decide(state, id);
        }
    }

    pub(super) fn trigger_refuses(&self, fence: FenceState) -> bool {
        match fence {
            FenceState::Fenced | FenceState::Moved(_) => true,
            FenceState::Receiving => self.hold(Guard::TriggerRefusesReceiving),
            FenceState::Absent
            | FenceState::Planned
            | FenceState::Capturing
            | FenceState::Lapsed => false,
        }
    }

    /// An update of the row that it knows: where no row is, it changes nothing.
    pub(super) fn direct_begin(&self, state: &mut State) {
        let shard = *state.shard(ShardId::First);
        let refuses = shard.triggers && self.trigger_refuses(shard.fence.state);
        state.direct = if shard.row.is_empty() || refuses {
            DirectWriter::Ended
        } else {
            DirectWriter::Running {
                locked: shard.triggers && self.hold(Guard::TriggerLocksFence),
                recorded: shard.triggers,
            }
        };
    }
}

fn write_row(state: &mut State, to: ShardId, write: Writes, recorded: bool) {
    let shard = state.shard_mut(to);
    shard.row = shard.row.with(write);
    if recorded {
        shard.change = Change::Recorded;
    }
    let observer = &mut state.observer;
    observer.applied_twice |= observer.committed.contains(write);
    observer.strayed |= observer.home != to;
    observer.committed = observer.committed.with(write);
}

pub(super) fn commit(state: &mut State, id: RouterId) {
    commit_routed(state, id);
    state.observer.known = state.observer.known.with(Writes::of(id));
    end(state, id);
}

fn commit_routed(state: &mut State, id: RouterId) {
    let operation = state.routers[id as usize].operation;
    state.observer.write_redirected |= operation.redirected;
    write_row(state, operation.to, Writes::of(id), operation.recorded);
}

pub(super) fn direct_commit(state: &mut State) {
    if let DirectWriter::Running { recorded, .. } = state.direct {
        write_row(state, ShardId::First, Writes::DIRECT, recorded);
        state.observer.known = state.observer.known.with(Writes::DIRECT);
    }
    state.direct = DirectWriter::Ended;
}
