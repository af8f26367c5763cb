//! Plans and announcements. Hours may pass between the two, and other moves with them.

use super::{
    Fence, FenceState, Guard, Journal, Mover, MoverId, Progress, Rules, ShardId, State, Step,
    Writes,
};

impl Rules {
    /// A mover that has planned `journey`, and begins it whenever it likes.
    pub(super) fn planned(&self, journey: u8, source: ShardId, target: ShardId) -> Mover {
        Mover {
            next: self.first_step(),
            journey,
            source,
            target,
            carried: Writes::NONE,
        }
    }

    pub(super) fn first_step(&self) -> Step {
        if self.hold(Guard::AloneWhenAnnounced) {
            Step::Announce
        } else {
            Step::AskOthers
        }
    }

    /// The broken variant's question, whose answer may be old when it announces.
    pub(super) fn ask_others(state: &mut State, id: MoverId) -> Step {
        let journey = state.movers[id as usize].journey;
        if state.catalog.others_are_open(journey) {
            refuse(state, id)
        } else {
            Step::Announce
        }
    }

    /// One transaction in the catalog. The marks on both shards are made in the same step: they alone do nothing.
    pub(super) fn announce(&self, state: &mut State, id: MoverId) -> Step {
        let mover = state.movers[id as usize];
        if !self.owns_journal(state, id) {
            return Step::Stopped;
        }
        if state.catalog.journal(mover.journey).progress != Progress::Planned {
            return Step::AwaitAcknowledgements;
        }
        let catalog = &mut state.catalog;
        let displaced = catalog.published.home != mover.source;
        let in_others_hands =
            self.hold(Guard::AloneWhenAnnounced) && catalog.others_are_open(mover.journey);
        if catalog.published.in_motion
            || in_others_hands
            || (displaced && self.hold(Guard::HomeWhenAnnounced))
        {
            return refuse(state, id);
        }
        catalog.published.epoch += 1;
        catalog.published.in_motion = true;
        catalog.published.journey = mover.journey;
        catalog.published.source = mover.source;
        catalog.journal_mut(mover.journey).progress = Progress::Open;
        state.mark(id, mover);
        Step::AwaitAcknowledgements
    }
}

impl State {
    /// Writes move and owner on both shards.
    pub(super) fn mark(&mut self, owner: MoverId, mover: Mover) {
        let fence = |state| Fence {
            state,
            journey: mover.journey,
            owner,
        };
        self.shard_mut(mover.source).fence = fence(FenceState::Planned);
        self.shard_mut(mover.target).fence = fence(FenceState::Receiving);
    }
}

/// Nothing was announced: what the plan has left is taken back.
fn refuse(state: &mut State, id: MoverId) -> Step {
    let mover = state.movers[id as usize];
    state.catalog.journal_mut(mover.journey).progress = Progress::Refused;
    for side in [mover.source, mover.target] {
        let fence = &mut state.shard_mut(side).fence;
        if fence.journey == mover.journey {
            *fence = Fence::ABSENT;
        }
    }
    Step::Stopped
}

impl Rules {
    pub(super) fn plan_back(&self, state: &mut State) -> Option<()> {
        let journal = *state.catalog.journal(1);
        let unplanned = state.catalog.journal(2).progress == Progress::Unplanned;
        let idle = state.movers[MoverId::Second as usize].next == Step::Stopped;
        let target_is_empty = state.shard(journal.source).row.is_empty();
        if journal.progress != Progress::Completed || !unplanned || !idle || !target_is_empty {
            return None;
        }
        let (source, target) = (journal.target, journal.source);
        *state.catalog.journal_mut(2) = Journal::planned(MoverId::Second, source, target);
        state.movers[MoverId::Second as usize] = self.planned(2, source, target);
        Some(())
    }
}
