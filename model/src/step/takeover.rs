//! Abort, takeover and the move back.

use super::mover::Token;
use super::{Fence, FenceState, Guard, MoverId, Progress, Rules, State, Step, Writes};
use crate::state::{Change, Journal, Mover};

impl Rules {
    pub(super) fn change_course(&self, state: &mut State, id: MoverId, step: Step) -> Option<Step> {
        let mover = state.movers[id as usize];
        let target = mover.source.other();
        Some(match step {
            Step::AbortSource => self.abort_source(state, id)?,
            Step::AbortTarget => match self.token(state, id, target) {
                Token::Foreign => Step::Stopped,
                Token::Gone => Step::AbortPublish,
                Token::Ours => {
                    let shard = state.shard_mut(target);
                    shard.fence = Fence::ABSENT;
                    shard.row = Writes::NONE;
                    Step::AbortPublish
                }
            },
            Step::AbortPublish => {
                if self.owns_journal(state, id) {
                    if state.catalog.published.in_motion {
                        state.catalog.published.epoch += 1;
                        state.catalog.published.in_motion = false;
                    }
                    state.catalog.journal.progress = Progress::Aborted;
                }
                Step::Stopped
            }
            Step::TakeOverSource => {
                let fence = &mut state.shard_mut(mover.source).fence;
                if fence.state != FenceState::Absent && fence.journey == mover.journey {
                    fence.owner = id;
                }
                Step::TakeOverTarget
            }
            _ => {
                let fence = &mut state.shard_mut(target).fence;
                if fence.state != FenceState::Absent && fence.journey == mover.journey {
                    fence.owner = id;
                }
                resume_at(state, mover)
            }
        })
    }

    /// Lifting the fence waits for those who hold it, and is refused after the flip.
    fn abort_source(&self, state: &mut State, id: MoverId) -> Option<Step> {
        let source = state.movers[id as usize].source;
        match self.token(state, id, source) {
            Token::Foreign => return Some(Step::Stopped),
            Token::Gone => return Some(Step::AbortTarget),
            Token::Ours => {}
        }
        if state.fence_is_held(source) {
            return None;
        }
        if self.hold(Guard::OwnerToken) && state.shard(source).fence.state == FenceState::Moved {
            state.catalog.journal.progress = Progress::Open;
            return Some(Step::Publish);
        }
        let shard = state.shard_mut(source);
        shard.fence = Fence::ABSENT;
        shard.triggers = false;
        shard.change = Change::Empty;
        Some(Step::AbortTarget)
    }
}

/// Where a mover goes on that has just taken over: the source's fence row decides.
fn resume_at(state: &State, mover: Mover) -> Step {
    let journal = state.catalog.journal;
    if journal.progress == Progress::Aborting {
        return Step::AbortSource;
    }
    match state.shard(mover.source).fence.state {
        FenceState::Moved if state.catalog.published.in_motion => Step::Publish,
        FenceState::Moved => Step::Admit,
        FenceState::Planned if state.catalog.published.in_motion => Step::AwaitAcknowledgements,
        FenceState::Planned => Step::Announce,
        FenceState::Absent | FenceState::Receiving => Step::Close,
        FenceState::Capturing | FenceState::Fenced | FenceState::Lapsed if journal.copied => {
            Step::CatchUpRead
        }
        FenceState::Capturing | FenceState::Fenced | FenceState::Lapsed => Step::CopyRead,
    }
}

/// The journal says "aborting" before anything is undone.
pub(super) fn abort(state: &mut State, id: MoverId) -> Option<()> {
    let mover = state.movers[id as usize];
    let early = matches!(
        mover.next,
        Step::AwaitAcknowledgements | Step::CopyApply | Step::CatchUpRead | Step::Flip
    );
    let journal = state.catalog.journal;
    // Only the owner may, token check or not: this is a decision, not a late step.
    if !early
        || journal.progress != Progress::Open
        || journal.owner != id
        || journal.journey != mover.journey
        || mover.journey != 1
    {
        return None;
    }
    state.catalog.journal.progress = Progress::Aborting;
    state.movers[id as usize].next = Step::AbortSource;
    state.movers[id as usize].carried = Writes::NONE;
    Some(())
}

pub(super) fn take_over(state: &mut State) -> Option<()> {
    let journal = state.catalog.journal;
    let open = matches!(journal.progress, Progress::Open | Progress::Aborting);
    if !open || journal.owner == MoverId::Second {
        return None;
    }
    state.catalog.journal.owner = MoverId::Second;
    state.catalog.journal.taken_over = true;
    state.movers[MoverId::Second as usize] = Mover {
        next: Step::TakeOverSource,
        journey: journal.journey,
        source: journal.source,
        carried: Writes::NONE,
    };
    Some(())
}

pub(super) fn plan_back(state: &mut State) -> Option<()> {
    let journal = state.catalog.journal;
    let completed = journal.progress == Progress::Completed && journal.journey == 1;
    let idle = state.movers[MoverId::Second as usize].next == Step::Stopped;
    let source = journal.source.other();
    let target_is_empty = state.shard(journal.source).row.is_empty();
    if !completed || !idle || !target_is_empty {
        return None;
    }
    let fence = |state| Fence {
        state,
        journey: 2,
        owner: MoverId::Second,
    };
    state.shard_mut(source).fence = fence(FenceState::Planned);
    state.shard_mut(source.other()).fence = fence(FenceState::Receiving);
    state.catalog.journal = Journal {
        journey: 2,
        owner: MoverId::Second,
        source,
        copied: false,
        evicted: false,
        progress: Progress::Open,
        ..journal
    };
    state.movers[MoverId::Second as usize] = Mover {
        next: Step::Announce,
        journey: 2,
        source,
        carried: Writes::NONE,
    };
    Some(())
}
