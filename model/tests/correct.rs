//! The protocol with all its guards: every property holds, everything that should happen
//! does, nobody waits for a mover, and every move comes to its end.

use mdb_model::{Graph, Relocation, Scope};
use stateright::{Checker, Model};

fn check(scope: Scope) {
    let model = Relocation::new(scope);
    let checker = model.checker().threads(2).spawn_bfs().join();
    eprintln!("{} states", checker.unique_state_count());
    checker.assert_properties();

    let graph = Graph::explore(&model);
    assert_eq!(graph.len(), checker.unique_state_count());
    if let Some(state) = graph.waits_for_a_mover() {
        panic!("an operation waits for a mover: {state:#?}");
    }
    if let Some(state) = graph.never_ends(&model) {
        panic!("the move can't be ended: {state:#?}");
    }
}

/// Whether the long checks were asked for.
fn long() -> bool {
    std::env::var_os("MDB_TEST_LONG").is_some_and(|value| value == "1")
}

#[test]
fn writes() {
    check(Scope::writes());
}

#[test]
fn reads() {
    check(Scope::reads());
}

#[test]
fn reads_on_sqlite() {
    check(Scope::reads_on_sqlite());
}

#[test]
fn writes_on_sqlite() {
    check(Scope::writes_on_sqlite());
}

#[test]
fn zombie_movers() {
    check(Scope::zombie_movers());
}

#[test]
fn there_and_back() {
    check(Scope::there_and_back());
}

#[test]
fn there_and_back_on_sqlite() {
    check(Scope::there_and_back_on_sqlite());
}

#[test]
fn transactions() {
    check(Scope::transactions());
}

#[test]
fn stale_plans() {
    check(Scope::stale_plans());
}

#[test]
fn old_plan_there_and_back() {
    check(Scope::old_plan_there_and_back());
}

#[test]
fn large_reads() {
    if long() {
        check(Scope::large_reads());
    }
}

#[test]
fn large_writes() {
    if long() {
        check(Scope::large_writes());
    }
}

#[test]
fn large_there_and_back() {
    if long() {
        check(Scope::large_there_and_back());
    }
}

#[test]
fn large_transactions() {
    if long() {
        check(Scope::large_transactions());
    }
}

#[test]
fn large_old_plan() {
    if long() {
        check(Scope::large_old_plan());
    }
}
