//! A model of relocation: routers, movers, three shards and the catalog, checked exhaustively.
//!
//! One briefcase moves while it is read and written, may move back, and may move by a plan that
//! was made before all that. `stateright`
//! walks through every order in which the parties can take their steps, and tests every
//! property in every state. [`Graph`] then asks of every state whether it can still reach
//! an end.
//!
//! ```
//! use mdb_model::{Guard, NO_WRITE_LOST, Relocation, Scope};
//! use stateright::{Checker, HasDiscoveries, Model};
//!
//! let broken = Relocation::new(Scope::zombie_movers()).without(Guard::OwnerToken);
//! let wanted = HasDiscoveries::AllOf([NO_WRITE_LOST].into());
//! let checker = broken.checker().finish_when(wanted).spawn_bfs().join();
//! let path = checker.discovery(NO_WRITE_LOST).expect("the token protects from this");
//! for action in path.into_actions() {
//!     println!("{action:?}");
//! }
//! ```
//!
//! # What is modelled
//!
//! - **Shards**: fence row with move and owner, triggers, the rows, change records, least
//!   epoch. Every transaction is one step, but a write begins and commits apart: what it
//!   has locked, others wait for.
//! - **Routers**: snapshot, lease, registration, what has been left since the last
//!   acknowledgement, sessions, one operation at a time: a statement, or a transaction that
//!   reads a snapshot. Between deciding where an operation goes, sending it, and looking at
//!   its answer, anything can happen, whole moves among it. The sleepy router may lose its
//!   lease and be evicted.
//! - **Movers**: each [`Step`] is one transaction. The second may take over between any
//!   two steps of the first, which then goes on as a zombie. The third has planned its move
//!   at the start and begins it at any time; a stale plan that is resumed is the same.
//! - **Catalog**: the published snapshot, journals and registrations.
//! - **A direct writer**, which knows nothing of all this and updates the row.
//!
//! A crash, a pause, a late or lost message is a step that is never taken, or taken late.
//! Clocks are actions: a deadline or a lease may run out in any state.
//!
//! # Phases and steps
//!
//! | phase | steps |
//! |---|---|
//! | plan | the start, of the first and the third mover; [`Action::PlanBack`] for the move back |
//! | announce | [`Step::Announce`], [`Step::AwaitAcknowledgements`] |
//! | capture | [`Step::Capture`] |
//! | copy | [`Step::CopyRead`], [`Step::CopyApply`] |
//! | catch up | [`Step::CatchUpRead`], [`Step::CatchUpApply`], [`Step::CatchUpClear`] |
//! | fence | [`Step::Fence`] |
//! | drain and verify | [`Step::DrainRead`], [`Step::DrainApply`], [`Step::DrainClear`]; [`VERIFIED_EQUAL`] |
//! | flip | [`Step::Flip`] |
//! | publish | [`Step::Publish`], [`Step::Admit`] |
//! | purge | [`Step::AwaitGrace`] with [`Action::Evict`], [`Step::RaiseLeastEpoch`], [`Step::EndSessions`], [`Step::PurgeRows`], [`Step::DropTriggers`], [`Step::DropTombstone`], [`Step::Close`] |
//!
//! # What is left out
//!
//! The briefcase is one row, whose value is the set of writes in it; chunks, key order,
//! several tables and spans are not there. The marks of an announced move are made in the
//! same step as the announcement. Verification is a property, not a step that would repair,
//! and nobody looks for rows in the way at the target: the protocol must be right without.
//! A router's own view of its lease and the mover's are one, as both measure on the safe
//! side. Replicas and the work over all shards are left out. A mover that has died without
//! being taken over is one that does nothing more; one that starts again is the second
//! mover. A direct writer updates rows; one that inserts after the purge makes a stray,
//! which no protocol can prevent and `mdb verify` finds.
//!
//! # How to read a counterexample
//!
//! It is the list of [`Action`]s from the start; the last one breaks the property. Read
//! who does it, then what is *missing* between: `Begin(Sleepy, Write)` long before
//! `Send(Sleepy)` is a statement that came late; a `Mover(First, …)` after `TakeOver` is
//! a zombie. `tests/broken.rs` shows one for each [`Guard`] with `--nocapture`.
//!
//! # What the model taught us
//!
//! Each of these is a [`Guard`], and a test shows what happens without it.
//!
//! - [`Guard::LeastEpochBeforeSessionsEnd`]: raising the least epoch just before the
//!   tombstone is dropped is too late. A router whose session was ended opens another,
//!   and sends what it decided long ago, while no trigger is left. So: raise, end the
//!   sessions, and only then purge and drop the triggers.
//! - [`Guard::OperationsOwnEpoch`]: the new session must be judged by the epoch that the
//!   operation was decided under. The router may have refreshed meanwhile.
//! - [`Guard::UnregisteredSessionsEnd`]: a router evicted by an earlier run is in nobody's
//!   list, but may have a session. End all but those of routers that have acknowledged.
//! - [`Guard::RenewalRefreshes`]: the mover has stopped waiting for a router whose lease
//!   was over. If it gets a lease again, it must load the newest snapshot in the same
//!   transaction, or it goes unguarded by an old one.
//! - [`Guard::LeaseHeldThroughout`]: "is the lease good?" is the wrong question when an
//!   answer is there; "was it good all the time?" is the right one.
//! - [`Guard::TriggerLocksFence`]: a trigger that only reads the fence row lets a write
//!   through that commits after the drain. It must hold it in share mode to the end.
//! - [`Guard::LockBeforeLook`]: first the lock, then, with a newer view, the row. Where
//!   one statement or one repeatable-read snapshot does both, it sees what was before.
//!   Likewise the flip compares the deadline with the clock as it is *after* the lock.
//! - [`Guard::ReceivingAdmitsRedirected`]: until the mover drops the target's `receiving`
//!   row, only it knows that the flip was. Who was redirected by the same move is let in,
//!   or a mover that dies there sends everybody round in circles.
//! - [`Guard::TriggerRefusesReceiving`]: where triggers stay installed, a late write can
//!   meet the briefcase on its way back.
//! - [`Guard::TokenFromPlanOn`]: "check the token" says nothing where there is no row yet.
//!   If capture made it, a zombie could arm what has long been undone.
//! - [`Guard::ChangesKeptUntilApplied`]: delete a change record after the change is in
//!   the target, and only if it has not been written again since.
//! - [`Guard::HomeWhenAnnounced`]: a plan is a guess. If another move has passed since, an
//!   empty source is copied without a difference, and the briefcase is routed to the copy.
//! - [`Guard::AloneWhenAnnounced`]: "is another move of it under way?" must be asked in the
//!   announcing transaction. Asked just before, the briefcase may go away and come back
//!   meanwhile, and the move that has brought it back still waits with its tombstone where
//!   the new one wants to go.
//! - [`Guard::TakeOverAsks`]: the same holds for a move that is resumed. One that was undone
//!   since its record was read goes on past the catalog, where nobody hears of it.
//! - [`Guard::MissedMotionCounts`]: nothing is in motion any more when a router that has
//!   slept through a move looks; what it began before goes on where the briefcase was.
//! - [`Guard::CopiesBeforeFirstLease`]: the same, where such a router has read of the move in
//!   a copy of the relocations: it finds nothing new in the catalog then.
//! - [`Guard::FollowedForgotten`]: the newest epoch vouches only for where the newest snapshot
//!   says. Who goes on by it where an older move had led is let in, and is alone there.
//! - [`Guard::SnapshotLooksApart`]: a transaction's own view of the fence is as old as its
//!   snapshot, but what it reads by locking is not.
//! - Where sessions can't be ended, triggers *and* tombstone stay for good: it is not
//!   enough to ask whether this move has evicted somebody.

#![expect(
    clippy::struct_excessive_bools,
    reason = "a state is a record of facts"
)]

mod action;
mod graph;
mod guard;
mod property;
mod scope;
mod state;
mod step;

use stateright::{Model, Property};

pub use action::Action;
pub use graph::Graph;
pub use guard::Guard;
pub use property::{
    ABORT_RESTORES, APPLIED_ONCE, NO_HOME_PURGED, NO_READ_MISSES, NO_STALE_CHANGE, NO_WRITE_LOST,
    ONE_WRITABLE_HOME, VERIFIED_EQUAL,
};
pub use scope::Scope;
pub use state::{Kind, MoverId, RouterId, ShardId, State, Step, Writes};

use guard::Guards;
use step::Rules;

/// The model: a scope, and the guards that hold.
#[derive(Clone, Copy, Debug)]
pub struct Relocation {
    rules: Rules,
}

impl Relocation {
    /// The protocol with all its guards.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            rules: Rules {
                guards: Guards::ALL,
                scope,
            },
        }
    }

    /// The protocol with all guards but `guard`.
    #[must_use]
    pub fn without(self, guard: Guard) -> Self {
        Self {
            rules: Rules {
                guards: Guards::without(guard),
                ..self.rules
            },
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        self.rules.scope
    }
}

impl Model for Relocation {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.rules.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.rules.actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        self.rules.next(last, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all()
    }
}
