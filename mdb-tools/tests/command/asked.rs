//! What the command asks at a terminal before it removes something.

use crate::kit::{INTERRUPT, Store, Terminal, status};

/// A store in which a move that was undone has left something.
fn with_leftovers() -> Store {
    let store = Store::with_briefcases();
    let undone = store.stopped_move();
    store
        .run(["move", "abort", &undone])
        .ends_with(status::DONE);
    store.execute(
        "user_a1",
        &format!("INSERT INTO mdb_mover (move, owner) VALUES ('{undone}', 7)"),
    );
    store
}

fn marks(store: &Store) -> Option<i64> {
    store.count("user_a1", "SELECT count(*) FROM mdb_mover")
}

fn asked(store: &Store) -> Terminal {
    let terminal = Terminal::start(store, "verify user --repair");
    terminal.says("Remove 1 of these? [y/N]");
    terminal
}

#[test]
fn an_interrupt_is_an_answer() {
    let store = with_leftovers();
    let mut terminal = asked(&store);
    terminal.types(INTERRUPT);
    let (ended, said) = terminal.end();
    assert_eq!(ended, Some(status::INTERRUPTED), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(marks(&store), Some(1), "{said}");
}

#[test]
fn yes_is_yes_and_nothing_else_is() {
    let store = with_leftovers();
    for (answer, expected, left) in [
        ("\n", status::FAILED, Some(1)),
        ("yes\n", status::DONE, Some(0)),
    ] {
        let mut terminal = asked(&store);
        terminal.types(answer);
        let (ended, said) = terminal.end();
        assert_eq!((ended, marks(&store)), (Some(expected), left), "{said}");
    }
}
