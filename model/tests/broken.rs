//! Each guard is taken away, and the model must show what it protected from.

use mdb_model::{
    ABORT_RESTORES, APPLIED_ONCE, Graph, Guard, NO_HOME_PURGED, NO_READ_MISSES, NO_STALE_CHANGE,
    NO_WRITE_LOST, ONE_WRITABLE_HOME, Relocation, Scope, VERIFIED_EQUAL,
};
use stateright::{Checker, HasDiscoveries, Model};

/// Asserts that without `guard` each property of `broken` has a counterexample.
fn assert_caught<const N: usize>(guard: Guard, scope: Scope, broken: [&'static str; N]) {
    let model = Relocation::new(scope).without(guard);
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AllOf(broken.into()))
        .spawn_bfs()
        .join();
    for property in broken {
        let Some(path) = checker.discovery(property) else {
            panic!("without {guard:?}, nothing breaks `{property}`");
        };
        eprintln!("without {guard:?}, `{property}` breaks:");
        for action in path.into_actions() {
            eprintln!("  {action:?}");
        }
    }
}

#[test]
fn acknowledgement_wait() {
    assert_caught(Guard::AcknowledgementWait, Scope::reads(), [NO_READ_MISSES]);
}

#[test]
fn acknowledge_when_quiet() {
    let broken = [NO_WRITE_LOST, ONE_WRITABLE_HOME];
    assert_caught(Guard::AcknowledgeWhenQuiet, Scope::writes(), broken);
    assert_caught(
        Guard::AcknowledgeWhenQuiet,
        Scope::reads(),
        [NO_READ_MISSES],
    );
}

#[test]
fn fence_on_reads() {
    assert_caught(Guard::FenceOnReads, Scope::reads(), [NO_READ_MISSES]);
}

#[test]
fn purge_grace() {
    assert_caught(
        Guard::PurgeGrace,
        Scope::writes(),
        [NO_WRITE_LOST, ONE_WRITABLE_HOME],
    );
}

#[test]
fn purge_distrusts_expired_lease() {
    let broken = [NO_WRITE_LOST, ONE_WRITABLE_HOME];
    assert_caught(Guard::PurgeDistrustsExpiredLease, Scope::writes(), broken);
}

#[test]
fn owner_token() {
    let broken = [NO_WRITE_LOST, NO_STALE_CHANGE, NO_HOME_PURGED];
    assert_caught(Guard::OwnerToken, Scope::zombie_movers(), broken);
}

#[test]
fn flip_deadline() {
    assert_caught(Guard::FlipDeadline, Scope::writes(), [NO_WRITE_LOST]);
}

#[test]
fn least_epoch() {
    assert_caught(
        Guard::LeastEpoch,
        Scope::writes(),
        [NO_WRITE_LOST, ONE_WRITABLE_HOME],
    );
    assert_caught(Guard::LeastEpoch, Scope::reads(), [NO_READ_MISSES]);
}

#[test]
fn least_epoch_before_sessions_end() {
    let broken = [NO_WRITE_LOST, ONE_WRITABLE_HOME];
    assert_caught(Guard::LeastEpochBeforeSessionsEnd, Scope::writes(), broken);
}

#[test]
fn unregistered_sessions_end() {
    let broken = [NO_WRITE_LOST, ONE_WRITABLE_HOME];
    assert_caught(
        Guard::UnregisteredSessionsEnd,
        Scope::large_there_and_back(),
        broken,
    );
}

#[test]
fn triggers_outlive_sessions() {
    let broken = [NO_WRITE_LOST, ONE_WRITABLE_HOME];
    assert_caught(
        Guard::TriggersOutliveSessions,
        Scope::writes_on_sqlite(),
        broken,
    );
}

#[test]
fn read_lease_check() {
    assert_caught(
        Guard::ReadLeaseCheck,
        Scope::reads_on_sqlite(),
        [NO_READ_MISSES],
    );
}

#[test]
fn lease_held_throughout() {
    assert_caught(
        Guard::LeaseHeldThroughout,
        Scope::reads_on_sqlite(),
        [NO_READ_MISSES],
    );
}

#[test]
fn renewal_refreshes() {
    assert_caught(Guard::RenewalRefreshes, Scope::reads(), [NO_READ_MISSES]);
}

#[test]
fn trigger_locks_fence() {
    assert_caught(Guard::TriggerLocksFence, Scope::writes(), [NO_WRITE_LOST]);
}

#[test]
fn trigger_refuses_receiving() {
    let scope = Scope::there_and_back_on_sqlite();
    assert_caught(
        Guard::TriggerRefusesReceiving,
        scope,
        [ONE_WRITABLE_HOME, NO_WRITE_LOST],
    );
}

#[test]
fn operations_own_epoch() {
    let broken = [NO_WRITE_LOST, ONE_WRITABLE_HOME];
    assert_caught(Guard::OperationsOwnEpoch, Scope::writes(), broken);
}

#[test]
fn token_from_plan_on() {
    assert_caught(
        Guard::TokenFromPlanOn,
        Scope::zombie_movers(),
        [ABORT_RESTORES],
    );
}

#[test]
fn lock_before_look() {
    assert_caught(
        Guard::LockBeforeLook,
        Scope::writes(),
        [NO_WRITE_LOST, ONE_WRITABLE_HOME],
    );
}

#[test]
fn changes_kept_until_applied() {
    assert_caught(
        Guard::ChangesKeptUntilApplied,
        Scope::zombie_movers(),
        [VERIFIED_EQUAL],
    );
}

#[test]
fn rerun_only_refused() {
    assert_caught(Guard::RerunOnlyRefused, Scope::writes(), [APPLIED_ONCE]);
}

#[test]
fn home_when_announced() {
    assert_caught(
        Guard::HomeWhenAnnounced,
        Scope::stale_plans(),
        [NO_WRITE_LOST],
    );
}

#[test]
fn alone_when_announced() {
    assert_caught(
        Guard::AloneWhenAnnounced,
        Scope::old_plan_there_and_back(),
        [NO_WRITE_LOST, ONE_WRITABLE_HOME],
    );
}

#[test]
fn take_over_asks() {
    assert_caught(
        Guard::TakeOverAsks,
        Scope::zombie_movers(),
        [NO_WRITE_LOST, ONE_WRITABLE_HOME],
    );
}

#[test]
fn missed_motion_counts() {
    let broken = [NO_WRITE_LOST, ONE_WRITABLE_HOME];
    assert_caught(Guard::MissedMotionCounts, Scope::writes(), broken);
}

#[test]
fn copies_before_first_lease() {
    assert_caught(
        Guard::CopiesBeforeFirstLease,
        Scope::writes(),
        [NO_WRITE_LOST, ONE_WRITABLE_HOME],
    );
}

#[test]
fn followed_forgotten() {
    assert_caught(
        Guard::FollowedForgotten,
        Scope::there_and_back(),
        [NO_WRITE_LOST, ONE_WRITABLE_HOME],
    );
}

#[test]
fn snapshot_looks_apart() {
    assert_caught(
        Guard::SnapshotLooksApart,
        Scope::transactions(),
        [NO_READ_MISSES],
    );
}

/// A mover that dies between flip and publish leaves everyone going round in a circle.
#[test]
fn receiving_admits_redirected() {
    let model = Relocation::new(Scope::reads()).without(Guard::ReceivingAdmitsRedirected);
    assert!(Graph::explore(&model).waits_for_a_mover().is_some());
}
