//! What must always hold, and what must happen sometimes so that it means something.

use stateright::Property;

use crate::Relocation;
use crate::state::{FenceState, Progress, ShardId, State, Step};

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
            let held = [ShardId::First, ShardId::Second].map(|id| state.table_is_held(id));
            held != [true, true] && !state.observer.strayed
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
            state.catalog.journal.progress == Progress::Completed
        }),
        Property::sometimes("a fence's deadline passes", |_, state: &State| {
            state
                .shards
                .iter()
                .any(|shard| shard.fence.state == FenceState::Lapsed)
        }),
        Property::sometimes("rows are purged", |_, state: &State| {
            state.shard(state.observer.home.other()).row.is_empty()
                && !state.catalog.published.in_motion
                && state.observer.home == ShardId::Second
        }),
        Property::sometimes("a redirected write succeeds", |model, state: &State| {
            let scope = model.scope();
            state.observer.write_redirected || scope.writes == [0, 0]
        }),
        Property::sometimes("a router is evicted", |model, state: &State| {
            state.catalog.journal.evicted || !model.scope().lease_expiry.yes()
        }),
        Property::sometimes("an abort completes", |model, state: &State| {
            state.catalog.journal.progress == Progress::Aborted || !model.scope().abort.yes()
        }),
        Property::sometimes(
            "a move that was taken over completes",
            |model, state: &State| {
                let journal = state.catalog.journal;
                (journal.taken_over && journal.progress == Progress::Completed)
                    || !model.scope().takeover.yes()
            },
        ),
        Property::sometimes("the briefcase comes home", |model, state: &State| {
            let journal = state.catalog.journal;
            (journal.journey == 2 && journal.progress == Progress::Completed)
                || !model.scope().move_back.yes()
        }),
    ]
}

/// Judged by the owner that is about to flip; a lapsed fence is not flipped.
fn verified_equal(state: &State) -> bool {
    let journal = state.catalog.journal;
    let mover = state.movers[journal.owner as usize];
    let fence = state.shard(mover.source).fence;
    let verifies = mover.next == Step::Flip
        && mover.journey == journal.journey
        && fence.state == FenceState::Fenced
        && fence.journey == mover.journey
        && fence.owner == journal.owner;
    !verifies || state.shard(mover.source).row == state.shard(mover.source.other()).row
}

fn abort_restores(state: &State) -> bool {
    let absent = |state: &State, id| state.shard(id).fence.state == FenceState::Absent;
    let target = state.catalog.journal.source.other();
    state.catalog.journal.progress != Progress::Aborted
        || (state.observer.home == target.other()
            && !state.catalog.published.in_motion
            && !state.shard(target.other()).triggers
            && absent(state, target)
            && absent(state, target.other())
            && state.shard(target).row.is_empty())
}
