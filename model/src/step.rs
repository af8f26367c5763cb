//! The next states: which actions are open, and what each does.

mod announce;
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
    Operation, Progress, Registration, Router, RouterId, Shard, ShardId, Shards, Snapshot, Stage,
    State, Step, Writes,
};

use router::{lease_runs_out, read_again, read_copy};
use takeover::abort;
use writer::{commit, direct_commit};

/// The rules of one check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) guards: Guards,
    pub(crate) scope: Scope,
}

const ROUTERS: [RouterId; 2] = [RouterId::Sleepy, RouterId::Live];
const MOVERS: [MoverId; 3] = [MoverId::First, MoverId::Second, MoverId::Third];

impl Rules {
    fn hold(&self, guard: Guard) -> bool {
        self.guards.hold(guard)
    }

    /// After **plan**: the first move's journal and a row on each shard, with the owner's token.
    pub(crate) fn start(&self) -> State {
        let snapshot = Snapshot {
            epoch: 0,
            home: ShardId::First,
            journey: 0,
            source: ShardId::First,
            in_motion: false,
        };
        let shard = |row| Shard {
            fence: Fence::ABSENT,
            triggers: false,
            row,
            change: Change::Empty,
            least_epoch: 0,
        };
        let router = |index: usize| Router {
            snapshot,
            left: Shards::NONE,
            operation: Operation::IDLE,
            reads_left: self.scope.reads[index],
            writes_left: self.scope.writes[index],
            transactions_left: [self.scope.transactions, 0][index],
            sessions: [Some(0); 3],
        };
        let registration = Registration {
            exists: true,
            acknowledged: 0,
            lease_live: true,
        };
        let (home, target) = (ShardId::First, ShardId::Second);
        let first = self.planned(1, home, target);
        let mut journals = [Journal::UNPLANNED; 3];
        journals[0] = Journal::planned(MoverId::First, home, target);
        let mut movers = [first, Mover::STOPPED, Mover::STOPPED];
        if let Some(target) = self.scope.early_plan {
            journals[2] = Journal::planned(MoverId::Third, home, target);
            movers[2] = self.planned(3, home, target);
        }
        let mut state = State {
            catalog: Catalog {
                published: snapshot,
                journals,
                registrations: [registration; 2],
            },
            shards: [
                shard(Writes::FIRST),
                shard(Writes::NONE),
                shard(Writes::NONE),
            ],
            movers,
            routers: [router(0), router(1)],
            direct: if self.scope.direct_writer.yes() {
                DirectWriter::Ready
            } else {
                DirectWriter::Ended
            },
            observer: Observer {
                home,
                known: Writes::FIRST,
                committed: Writes::FIRST,
                applied_twice: false,
                strayed: false,
                read_missed: false,
                stale_applied: false,
                home_purged: false,
                write_redirected: false,
            },
        };
        state.mark(MoverId::First, first);
        state
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
        for shard in ShardId::ALL {
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
                if router.transactions_left > 0 {
                    actions.push(Action::Begin(id, Kind::Transaction));
                }
            }
            Stage::Decided => actions.push(Action::Send(id)),
            Stage::Running => {
                actions.extend([Action::Commit(id), Action::CommitAnswerLost(id)]);
            }
            Stage::Open => actions.push(Action::ReadAgain(id)),
            Stage::Answered => actions.push(Action::Receive(id)),
        }
        actions.extend([Action::Refresh(id), Action::Acknowledge(id)]);
        if self.scope.can_sleep(id) {
            if !self.hold(Guard::CopiesBeforeFirstLease) {
                actions.push(Action::ReadCopy(id));
            }
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
            Action::TakeOver => return self.take_over(state),
            Action::PlanBack => return self.plan_back(state),
            Action::RenewLease(id) => return self.renew_lease(state, id),
            Action::Acknowledge(id) => return self.acknowledge(state, id),
            Action::Send(id) => return self.send(state, id),
            Action::DeadlinePasses(shard) => {
                state.shard_mut(shard).fence.state = FenceState::Lapsed;
            }
            Action::LeaseRunsOut(id) => lease_runs_out(state, id),
            Action::Refresh(id) => self.refresh(state, id),
            Action::ReadAgain(id) => read_again(state, id),
            Action::ReadCopy(id) => return read_copy(state, id),
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
