//! What must always hold, and what must happen sometimes so that it means something.

use stateright::Property;

use crate::Relocation;
use crate::state::{FenceState, Journal, Progress, Router, ShardId, State, Step};

/// A write commits only at the home, and never do two shards let writes run at once.
pub const ONE_WRITABLE_HOME: &str = "at most one home is writable";
/// What was acknowledged, or seen by anybody, is in the home.
pub const NO_WRITE_LOST: &str = "no acknowledged write is missing from the home";
/// A read returns everything that was known before it began.
pub const NO_READ_MISSES: &str = "no read misses a write acknowledged before it began";
/// No write is there twice.
pub const APPLIED_ONCE: &str = "no write is applied twice";
/// Under a fence that holds, when all changes are applied, source and target are equal.
pub const VERIFIED_EQUAL: &str = "verification finds no difference";
/// No mover writes something older than what is there at the home.
pub const NO_STALE_CHANGE: &str = "no stale change is applied at the home";
/// No mover purges the home.
pub const NO_HOME_PURGED: &str = "no home is purged";
/// An aborted move leaves source, target and catalog as they were.
pub const ABORT_RESTORES: &str = "an aborted move leaves nothing behind";

pub(crate) fn all() -> Vec<Property<Relocation>> {
    vec![
        Property::always(ONE_WRITABLE_HOME, |_, state: &State| {
            let held = ShardId::ALL
                .into_iter()
                .filter(|id| state.table_is_held(*id));
            held.count() < 2 && !state.observer.strayed
        }),
        Property::always(NO_WRITE_LOST, |_, state: &State| {
            let observer = &state.observer;
            state.shard(observer.home).row.contains(observer.known)
        }),
        Property::always(NO_READ_MISSES, |_, state: &State| {
            !state.observer.read_missed
        }),
        Property::always(APPLIED_ONCE, |_, state: &State| {
            !state.observer.applied_twice
        }),
        Property::always(VERIFIED_EQUAL, |_, state: &State| verified_equal(state)),
        Property::always(NO_STALE_CHANGE, |_, state: &State| {
            !state.observer.stale_applied
        }),
        Property::always(NO_HOME_PURGED, |_, state: &State| {
            !state.observer.home_purged
        }),
        Property::always(ABORT_RESTORES, |_, state: &State| abort_restores(state)),
        Property::sometimes("a move completes", |_, state: &State| {
            any_journal(state, |journal| journal.progress == Progress::Completed)
        }),
        Property::sometimes("a fence's deadline passes", |_, state: &State| {
            state
                .shards
                .iter()
                .any(|shard| shard.fence.state == FenceState::Lapsed)
        }),
        Property::sometimes("rows are purged", |_, state: &State| {
            state.shard(ShardId::First).row.is_empty()
                && !state.catalog.published.in_motion
                && state.observer.home == ShardId::Second
        }),
        Property::sometimes("a redirected write succeeds", |model, state: &State| {
            let scope = model.scope();
            state.observer.write_redirected || scope.writes == [0, 0]
        }),
        Property::sometimes("a router is evicted", |model, state: &State| {
            any_journal(state, |journal| journal.evicted) || !model.scope().lease_expiry.yes()
        }),
        Property::sometimes("an abort completes", |model, state: &State| {
            any_journal(state, |journal| journal.progress == Progress::Aborted)
                || !model.scope().abort.yes()
        }),
        Property::sometimes(
            "a move that was taken over completes",
            |model, state: &State| {
                let completed = |journal: &Journal| {
                    journal.taken_over && journal.progress == Progress::Completed
                };
                any_journal(state, completed) || !model.scope().takeover.yes()
            },
        ),
        Property::sometimes("the briefcase comes home", |model, state: &State| {
            state.catalog.journal(2).progress == Progress::Completed
                || !model.scope().move_back.yes()
        }),
        Property::sometimes("a plan is refused as stale", |model, state: &State| {
            state.catalog.journal(3).progress == Progress::Refused
                || model.scope().early_plan.is_none()
        }),
        Property::sometimes(
            "a plan that has waited is carried out",
            |model, state: &State| {
                state.catalog.journal(3).progress == Progress::Completed
                    || model.scope().early_plan.is_none()
            },
        ),
        Property::sometimes(
            "a missed motion holds up an acknowledgement",
            |model, state: &State| {
                let missed = |router: &Router| {
                    !router.snapshot.in_motion
                        && router.left.contains(router.operation.entered)
                        && router.runs_something_older()
                };
                state.routers.iter().any(missed) || !model.scope().lease_expiry.yes()
            },
        ),
    ]
}

fn any_journal(state: &State, is_so: impl Fn(&Journal) -> bool) -> bool {
    state.catalog.journals.iter().any(is_so)
}

/// Judged by the owner that is about to flip; a lapsed fence is not flipped.
fn verified_equal(state: &State) -> bool {
    (1..)
        .zip(&state.catalog.journals)
        .all(|(journey, journal)| {
            let mover = state.movers[journal.owner as usize];
            let fence = state.shard(mover.source).fence;
            let verifies = mover.next == Step::Flip
                && mover.journey == journey
                && fence.state == FenceState::Fenced
                && fence.journey == journey
                && fence.owner == journal.owner;
            !verifies || state.shard(mover.source).row == state.shard(mover.target).row
        })
}

/// Judged while no other move has begun anything.
fn abort_restores(state: &State) -> bool {
    let mut ended = state.catalog.journals.iter().filter(|journal| {
        !matches!(
            journal.progress,
            Progress::Unplanned | Progress::Planned | Progress::Refused
        )
    });
    let (Some(journal), None) = (ended.next(), ended.next()) else {
        return true;
    };
    let absent = |id| state.shard(id).fence.state == FenceState::Absent;
    journal.progress != Progress::Aborted
        || (state.observer.home == journal.source
            && !state.catalog.published.in_motion
            && !state.shard(journal.source).triggers
            && absent(journal.source)
            && absent(journal.target)
            && state.shard(journal.target).row.is_empty())
}
