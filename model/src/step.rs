//! The next states: which actions are open, and what each does.

mod mover;
mod purge;
mod router;
mod takeover;
mod writer;

use crate::action::Action;
use crate::guard::{Guard, Guards};
use crate::scope::Scope;
use crate::state::{
    Catalog, Change, DirectWriter, Fence, FenceState, Journal, Kind, Mover, MoverId, Observer,
    Operation, Progress, Registration, Router, RouterId, Shard, ShardId, Snapshot, Stage, State,
    Step, Writes,
};

use router::lease_runs_out;
use takeover::{abort, plan_back, take_over};
use writer::{commit, direct_commit};

/// The rules of one check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) guards: Guards,
    pub(crate) scope: Scope,
}

const ROUTERS: [RouterId; 2] = [RouterId::Sleepy, RouterId::Live];
const MOVERS: [MoverId; 2] = [MoverId::First, MoverId::Second];

impl Rules {
    fn hold(&self, guard: Guard) -> bool {
        self.guards.hold(guard)
    }

    /// After **plan**: the journal and a row on each shard, with the owner's token.
    pub(crate) fn start(&self) -> State {
        let snapshot = Snapshot {
            epoch: 0,
            home: ShardId::First,
            journey: 0,
            in_motion: false,
        };
        let fence = |state| Fence {
            state,
            journey: 1,
            owner: MoverId::First,
        };
        let shard = |state, row| Shard {
            fence: fence(state),
            triggers: false,
            row,
            change: Change::Empty,
            least_epoch: 0,
        };
        let mover = |next, journey| Mover {
            next,
            journey,
            source: ShardId::First,
            carried: Writes::NONE,
        };
        let router = |index: usize| Router {
            snapshot,
            operation: Operation::IDLE,
            reads_left: self.scope.reads[index],
            writes_left: self.scope.writes[index],
            sessions: [Some(0), Some(0)],
        };
        let registration = Registration {
            exists: true,
            acknowledged: 0,
            lease_live: true,
        };
        State {
            catalog: Catalog {
                published: snapshot,
                journal: Journal {
                    journey: 1,
                    owner: MoverId::First,
                    source: ShardId::First,
                    copied: false,
                    evicted: false,
                    taken_over: false,
                    progress: Progress::Open,
                },
                registrations: [registration; 2],
            },
            shards: [
                shard(FenceState::Planned, Writes::FIRST),
                shard(FenceState::Receiving, Writes::NONE),
            ],
            movers: [mover(Step::Announce, 1), mover(Step::Stopped, 0)],
            routers: [router(0), router(1)],
            direct: if self.scope.direct_writer.yes() {
                DirectWriter::Ready
            } else {
                DirectWriter::Ended
            },
            observer: Observer {
                home: ShardId::First,
                known: Writes::FIRST,
                committed: Writes::FIRST,
                applied_twice: false,
                strayed: false,
                read_missed: false,
                stale_applied: false,
                home_purged: false,
                write_redirected: false,
            },
        }
    }

    /// Everything that might happen; [`next`](Self::next) says what can.
    pub(crate) fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for mover in MOVERS {
            let next = state.movers[mover as usize].next;
            if next != Step::Stopped {
                actions.push(Action::Mover(mover, next));
            }
            if self.scope.abort.yes() && next != Step::Stopped {
                actions.push(Action::Abort(mover));
            }
            if next == Step::AwaitGrace && self.scope.lease_expiry.yes() {
                actions.extend(ROUTERS.map(|router| Action::Evict(mover, router)));
            }
        }
        if self.scope.takeover.yes() {
            actions.push(Action::TakeOver);
        }
        if self.scope.move_back.yes() {
            actions.push(Action::PlanBack);
        }
        for shard in [ShardId::First, ShardId::Second] {
            if state.shard(shard).fence.state == FenceState::Fenced {
                actions.push(Action::DeadlinePasses(shard));
            }
        }
        for router in ROUTERS {
            self.router_actions(state, router, actions);
        }
        match state.direct {
            DirectWriter::Ready => actions.push(Action::DirectBegin),
            DirectWriter::Running { .. } => actions.push(Action::DirectCommit),
            DirectWriter::Ended => {}
        }
    }

    fn router_actions(&self, state: &State, id: RouterId, actions: &mut Vec<Action>) {
        let router = &state.routers[id as usize];
        match router.operation.stage {
            Stage::Idle => {
                if router.reads_left > 0 {
                    actions.push(Action::Begin(id, Kind::Read));
                }
                if router.writes_left > 0 {
                    actions.push(Action::Begin(id, Kind::Write));
                }
            }
            Stage::Decided => actions.push(Action::Send(id)),
            Stage::Running => {
                actions.extend([Action::Commit(id), Action::CommitAnswerLost(id)]);
            }
            Stage::Answered => actions.push(Action::Receive(id)),
        }
        actions.extend([Action::Refresh(id), Action::Acknowledge(id)]);
        if self.scope.can_sleep(id) {
            actions.extend([Action::LeaseRunsOut(id), Action::RenewLease(id)]);
        }
    }

    /// The state after `action`, if it can happen and changes something.
    pub(crate) fn next(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.change(&mut state, action)?;
        (state != *last).then_some(state)
    }

    fn change(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Mover(id, step) => return self.mover(state, id, step),
            Action::Abort(id) => return abort(state, id),
            Action::Evict(id, router) => return self.evict(state, id, router),
            Action::TakeOver => return take_over(state),
            Action::PlanBack => return plan_back(state),
            Action::RenewLease(id) => return self.renew_lease(state, id),
            Action::Acknowledge(id) => return self.acknowledge(state, id),
            Action::Send(id) => return self.send(state, id),
            Action::DeadlinePasses(shard) => {
                state.shard_mut(shard).fence.state = FenceState::Lapsed;
            }
            Action::LeaseRunsOut(id) => lease_runs_out(state, id),
            Action::Refresh(id) => self.refresh(state, id),
            Action::Begin(id, kind) => self.begin(state, id, kind),
            Action::Commit(id) => commit(state, id),
            Action::CommitAnswerLost(id) => self.commit_answer_lost(state, id),
            Action::Receive(id) => self.receive(state, id),
            Action::DirectBegin => self.direct_begin(state),
            Action::DirectCommit => direct_commit(state),
        }
        Some(())
    }
}
