//! The mover's **purge**, and the eviction of routers that stay silent.

use super::mover::Token;
use super::{Guard, MoverId, Progress, ROUTERS, RouterId, Rules, Stage, State, Step, Writes};
use crate::scope::Sessions;
use crate::state::{Change, Fence, Mover, Operation};

impl Rules {
    pub(super) fn purge(&self, state: &mut State, id: MoverId, step: Step) -> Option<Step> {
        let source = state.movers[id as usize].source;
        let late_raise = !self.hold(Guard::LeastEpochBeforeSessionsEnd);
        Some(match step {
            Step::AwaitGrace => self.await_grace(state, late_raise)?,
            Step::RaiseLeastEpoch => {
                self.raise(state, id);
                if late_raise {
                    Step::DropTombstone
                } else {
                    Step::EndSessions
                }
            }
            Step::EndSessions => {
                self.end_sessions(state, id);
                Step::PurgeRows
            }
            Step::PurgeRows => {
                state.observer.home_purged |= state.observer.home == source;
                state.shard_mut(source).row = Writes::NONE;
                let stays = self.scope.sessions == Sessions::CannotBeEnded
                    && self.hold(Guard::TriggersOutliveSessions);
                if stays {
                    Step::Close
                } else {
                    Step::DropTriggers
                }
            }
            Step::DropTriggers => {
                let shard = state.shard_mut(source);
                shard.triggers = false;
                shard.change = Change::Empty;
                if late_raise {
                    Step::RaiseLeastEpoch
                } else {
                    Step::DropTombstone
                }
            }
            Step::DropTombstone => match self.token(state, id, source) {
                Token::Foreign => Step::Stopped,
                Token::Gone => Step::Close,
                Token::Ours => {
                    state.shard_mut(source).fence = Fence::ABSENT;
                    Step::Close
                }
            },
            _ => {
                if self.owns_journal(state, id) {
                    let journey = state.movers[id as usize].journey;
                    state.catalog.journal_mut(journey).progress = Progress::Completed;
                }
                Step::Stopped
            }
        })
    }

    fn await_grace(&self, state: &State, late_raise: bool) -> Option<Step> {
        let next = if late_raise {
            Step::EndSessions
        } else {
            Step::RaiseLeastEpoch
        };
        let ready = ROUTERS.into_iter().all(|router| {
            self.can_send_nothing_older(state, router)
                || !state.catalog.registrations[router as usize].exists
        });
        (ready || !self.hold(Guard::PurgeGrace)).then_some(next)
    }

    /// Whether `router` has acknowledged, so that nothing older can come from it.
    fn can_send_nothing_older(&self, state: &State, router: RouterId) -> bool {
        let registration = state.catalog.registrations[router as usize];
        let trusted = !self.hold(Guard::PurgeDistrustsExpiredLease) && !registration.lease_live;
        let acknowledged = registration.acknowledged >= state.catalog.published.epoch;
        registration.exists && (acknowledged || trusted)
    }

    fn raise(&self, state: &mut State, id: MoverId) {
        let source = state.movers[id as usize].source;
        if matches!(self.token(state, id, source), Token::Ours) && self.hold(Guard::LeastEpoch) {
            state.shard_mut(source).least_epoch = state.catalog.published.epoch;
        }
    }

    /// Ends the sessions of every router that has not acknowledged, known or not. One
    /// step, though it reads the catalog and then works on the shard: who is found to
    /// have acknowledged stays so. A write whose session ends is rolled back, and
    /// reported as not known to have happened.
    fn end_sessions(&self, state: &mut State, mover: MoverId) {
        if self.scope.sessions == Sessions::CannotBeEnded || !self.hold(Guard::PurgeGrace) {
            return;
        }
        let Mover {
            source: shard,
            journey,
            ..
        } = state.movers[mover as usize];
        for id in ROUTERS {
            let evicted = state.catalog.journal(journey).evicted && id == RouterId::Sleepy;
            let spared = self.can_send_nothing_older(state, id)
                || (!self.hold(Guard::UnregisteredSessionsEnd) && !evicted);
            if spared {
                continue;
            }
            let router = &mut state.routers[id as usize];
            router.sessions[shard as usize] = None;
            if router.operation.to == shard {
                match router.operation.stage {
                    Stage::Running => router.operation = Operation::IDLE,
                    Stage::Open | Stage::Answered => {
                        router.operation.stage = Stage::Decided;
                        router.operation.locked = false;
                    }
                    Stage::Idle | Stage::Decided => {}
                }
            }
        }
    }

    /// Deletes the registration of a router whose lease is over.
    pub(super) fn evict(&self, state: &mut State, id: MoverId, router: RouterId) -> Option<()> {
        let epoch = state.catalog.published.epoch;
        let owner = self.owns_journal(state, id);
        let registration = &mut state.catalog.registrations[router as usize];
        let silent =
            registration.exists && !registration.lease_live && registration.acknowledged < epoch;
        if !silent || !owner {
            return None;
        }
        registration.exists = false;
        registration.acknowledged = 0;
        let journey = state.movers[id as usize].journey;
        state.catalog.journal_mut(journey).evicted = true;
        Some(())
    }
}
