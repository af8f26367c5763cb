//! Abort and takeover.

use super::mover::Token;
use super::{Fence, FenceState, Guard, MoverId, Progress, Rules, State, Step, Writes};
use crate::state::{Change, Mover};

impl Rules {
    pub(super) fn change_course(&self, state: &mut State, id: MoverId, step: Step) -> Option<Step> {
        let mover = state.movers[id as usize];
        let target = mover.target;
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
                    let published = &mut state.catalog.published;
                    if published.in_motion && published.journey == mover.journey {
                        published.epoch += 1;
                        published.in_motion = false;
                    }
                    state.catalog.journal_mut(mover.journey).progress = Progress::Aborted;
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

    /// The record may have been read before somebody else brought the move to its end.
    pub(super) fn take_over(&self, state: &mut State) -> Option<()> {
        let journal = state.catalog.journal_mut(1);
        let open = matches!(
            journal.progress,
            Progress::Planned | Progress::Open | Progress::Aborting
        );
        let undone = journal.progress == Progress::Aborted && !self.hold(Guard::TakeOverAsks);
        if !(open || undone) || journal.owner == MoverId::Second {
            return None;
        }
        journal.owner = MoverId::Second;
        journal.taken_over = true;
        let (source, target) = (journal.source, journal.target);
        let mover = Mover {
            next: Step::TakeOverSource,
            journey: 1,
            source,
            target,
            carried: Writes::NONE,
        };
        state.movers[MoverId::Second as usize] = mover;
        if undone {
            // It has been announced, says the record.
            state.mark(MoverId::Second, mover);
        }
        Some(())
    }

    /// Lifting the fence waits for those who hold it, and is refused after the flip.
    fn abort_source(&self, state: &mut State, id: MoverId) -> Option<Step> {
        let Mover {
            source, journey, ..
        } = state.movers[id as usize];
        match self.token(state, id, source) {
            Token::Foreign => return Some(Step::Stopped),
            Token::Gone => return Some(Step::AbortTarget),
            Token::Ours => {}
        }
        if state.fence_is_held(source) {
            return None;
        }
        let has_moved = matches!(state.shard(source).fence.state, FenceState::Moved(_));
        if self.hold(Guard::OwnerToken) && has_moved {
            state.catalog.journal_mut(journey).progress = Progress::Open;
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
    let journal = state.catalog.journal(mover.journey);
    match journal.progress {
        Progress::Planned => return Step::Announce,
        Progress::Aborting => return Step::AbortSource,
        _ => {}
    }
    match state.shard(mover.source).fence.state {
        FenceState::Moved(_) if state.catalog.published.in_motion => Step::Publish,
        FenceState::Moved(_) => Step::Admit,
        FenceState::Planned => Step::AwaitAcknowledgements,
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
    // The move back is not aborted: that would only be more of the same.
    if !early || mover.journey == 2 {
        return None;
    }
    let journal = state.catalog.journal_mut(mover.journey);
    // Only the owner may, token check or not: this is a decision, not a late step.
    if journal.progress != Progress::Open || journal.owner != id {
        return None;
    }
    journal.progress = Progress::Aborting;
    state.movers[id as usize].next = Step::AbortSource;
    state.movers[id as usize].carried = Writes::NONE;
    Some(())
}
