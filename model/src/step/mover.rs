//! The mover, from **announce** to **publish**. Each step is one transaction, which
//! first checks the owner's token on the server that it works on.

use super::{Fence, FenceState, Guard, MoverId, Rules, ShardId, State, Step, Writes};
use crate::state::{Change, Mover};

/// What the token check says.
pub(super) enum Token {
    Ours,
    /// There is no row, so nothing that could be done.
    Gone,
    /// Another move, or another owner: we were replaced.
    Foreign,
}

impl Rules {
    pub(super) fn token(&self, state: &State, id: MoverId, shard: ShardId) -> Token {
        let mover = state.movers[id as usize];
        let fence = state.shard(shard).fence;
        if !self.hold(Guard::OwnerToken) {
            return Token::Ours;
        }
        match fence.state {
            FenceState::Absent => Token::Gone,
            _ if fence.journey == mover.journey && fence.owner == id => Token::Ours,
            _ => Token::Foreign,
        }
    }

    pub(super) fn owns_journal(&self, state: &State, id: MoverId) -> bool {
        let journey = state.movers[id as usize].journey;
        !self.hold(Guard::OwnerToken) || state.catalog.journal(journey).owner == id
    }

    /// Does the mover's next step. A mover that finds itself replaced stops.
    pub(super) fn mover(&self, state: &mut State, id: MoverId, step: Step) -> Option<()> {
        let mover = state.movers[id as usize];
        let target = mover.target;
        let needs = match step {
            Step::Capture
            | Step::CopyRead
            | Step::CatchUpRead
            | Step::CatchUpClear
            | Step::Fence
            | Step::DrainRead
            | Step::DrainClear
            | Step::Flip
            | Step::PurgeRows
            | Step::DropTriggers => Some(mover.source),
            Step::CopyApply | Step::CatchUpApply | Step::DrainApply => Some(target),
            _ => None,
        };
        if step == Step::Capture
            && !self.hold(Guard::TokenFromPlanOn)
            && state.shard(mover.source).fence.state == FenceState::Absent
        {
            let journey = mover.journey;
            state.shard_mut(mover.source).fence = Fence {
                state: FenceState::Planned,
                journey,
                owner: id,
            };
        }
        if let Some(shard) = needs
            && !matches!(self.token(state, id, shard), Token::Ours)
        {
            state.movers[id as usize].next = Step::Stopped;
            return Some(());
        }
        let next = match step {
            Step::Stopped => return None,
            Step::AskOthers => Self::ask_others(state, id),
            Step::Announce => self.announce(state, id),
            Step::AwaitAcknowledgements => self.await_acknowledgements(state)?,
            Step::Capture => capture(state, mover)?,
            Step::CopyRead => {
                state.movers[id as usize].carried = state.shard(mover.source).row;
                Step::CopyApply
            }
            Step::CopyApply => self.copy_apply(state, id),
            Step::CatchUpRead => self.read_changes(state, id, [Step::CatchUpApply, Step::Fence]),
            Step::DrainRead => self.read_changes(state, id, [Step::DrainApply, Step::Flip]),
            Step::CatchUpApply => apply(state, id, Step::CatchUpClear),
            Step::DrainApply => apply(state, id, Step::DrainClear),
            Step::CatchUpClear => clear(state, mover.source, Step::Fence),
            Step::DrainClear => clear(state, mover.source, Step::Flip),
            Step::Fence => fence(state, mover)?,
            Step::Flip => self.flip(state, mover)?,
            Step::Publish => self.publish(state, id),
            Step::Admit => self.admit(state, id),
            Step::AwaitGrace
            | Step::PurgeRows
            | Step::DropTriggers
            | Step::RaiseLeastEpoch
            | Step::EndSessions
            | Step::DropTombstone
            | Step::Close => self.purge(state, id, step)?,
            Step::AbortSource
            | Step::AbortTarget
            | Step::AbortPublish
            | Step::TakeOverSource
            | Step::TakeOverTarget => self.change_course(state, id, step)?,
        };
        state.movers[id as usize].next = next;
        if next == Step::Stopped {
            // What a stopped mover holds in memory says nothing any more.
            state.movers[id as usize].carried = Writes::NONE;
        }
        Some(())
    }

    fn await_acknowledgements(&self, state: &State) -> Option<Step> {
        let epoch = state.catalog.published.epoch;
        let mut live = state
            .catalog
            .registrations
            .iter()
            .filter(|router| router.lease_live);
        let ready = live.all(|router| router.acknowledged >= epoch);
        (ready || !self.hold(Guard::AcknowledgementWait)).then_some(Step::Capture)
    }

    fn copy_apply(&self, state: &mut State, id: MoverId) -> Step {
        let next = apply(state, id, Step::CatchUpRead);
        if self.owns_journal(state, id) {
            let journey = state.movers[id as usize].journey;
            state.catalog.journal_mut(journey).copied = true;
            next
        } else {
            Step::Stopped
        }
    }

    fn read_changes(&self, state: &mut State, id: MoverId, [some, none]: [Step; 2]) -> Step {
        let source = state.movers[id as usize].source;
        let keep = self.hold(Guard::ChangesKeptUntilApplied);
        let shard = state.shard_mut(source);
        if shard.change == Change::Empty {
            return none;
        }
        shard.change = if keep { Change::Read } else { Change::Empty };
        state.movers[id as usize].carried = state.shard(source).row;
        some
    }

    /// Turns `fenced` into `moved`, once nobody holds the fence row.
    fn flip(&self, state: &mut State, mover: Mover) -> Option<Step> {
        if state.fence_is_held(mover.source) {
            return None;
        }
        let deadline_checked = self.hold(Guard::FlipDeadline);
        let shard = state.shard_mut(mover.source);
        match shard.fence.state {
            FenceState::Lapsed if deadline_checked => {
                shard.fence.state = FenceState::Capturing;
                Some(Step::CatchUpRead)
            }
            FenceState::Fenced | FenceState::Lapsed => {
                shard.fence.state = FenceState::Moved(mover.target);
                state.observer.home = mover.target;
                Some(Step::Publish)
            }
            _ => Some(Step::Stopped),
        }
    }

    fn publish(&self, state: &mut State, id: MoverId) -> Step {
        if !self.owns_journal(state, id) {
            return Step::Stopped;
        }
        let mover = state.movers[id as usize];
        let published = &mut state.catalog.published;
        if published.in_motion && published.journey == mover.journey {
            published.epoch += 1;
            published.in_motion = false;
            published.home = mover.target;
        }
        Step::Admit
    }

    fn admit(&self, state: &mut State, id: MoverId) -> Step {
        let target = state.movers[id as usize].target;
        match self.token(state, id, target) {
            Token::Foreign => Step::Stopped,
            Token::Gone => Step::AwaitGrace,
            Token::Ours => {
                state.shard_mut(target).fence = Fence::ABSENT;
                Step::AwaitGrace
            }
        }
    }
}

/// Arming waits for every write that holds the table.
fn capture(state: &mut State, mover: Mover) -> Option<Step> {
    if state.table_is_held(mover.source) {
        return None;
    }
    let shard = state.shard_mut(mover.source);
    shard.triggers = true;
    if shard.fence.state == FenceState::Planned {
        shard.fence.state = FenceState::Capturing;
    }
    Some(Step::CopyRead)
}

/// Writes what is carried at the target.
fn apply(state: &mut State, id: MoverId, next: Step) -> Step {
    let mover = state.movers[id as usize];
    let target = mover.target;
    let lost = !mover.carried.contains(state.shard(target).row);
    if state.observer.home == target && lost {
        state.observer.stale_applied = true;
    }
    state.shard_mut(target).row = mover.carried;
    next
}

fn clear(state: &mut State, source: ShardId, next: Step) -> Step {
    let shard = state.shard_mut(source);
    if shard.change == Change::Read {
        shard.change = Change::Empty;
    }
    next
}

/// Waits for those who hold the row in share mode.
fn fence(state: &mut State, mover: Mover) -> Option<Step> {
    if state.fence_is_held(mover.source) {
        return None;
    }
    let shard = state.shard_mut(mover.source);
    match shard.fence.state {
        FenceState::Capturing | FenceState::Fenced | FenceState::Lapsed => {
            shard.fence.state = FenceState::Fenced;
            Some(Step::DrainRead)
        }
        _ => Some(Step::Stopped),
    }
}
