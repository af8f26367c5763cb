//! `mdb move clean --unknown`: moves that a restored CENTRAL doesn't know.

use crate::kit::{Store, golden, masked, status};

const LOSE: &str =
    "DELETE FROM mdb_move_briefcase; DELETE FROM mdb_move; DELETE FROM mdb_relocation";

/// Whether a client that knows nothing of MDB can write `0:0:4` where it was.
fn can_write(store: &Store) -> bool {
    let write =
        "UPDATE account SET name = 'Bo' WHERE g_user = x'000000000000000000000004' RETURNING 1";
    store.count("user_a0", write) == Some(1)
}

#[test]
fn a_move_that_nobody_knows_is_ended_when_a_person_says_so() {
    let store = Store::with_briefcases();
    let id = store.decided_move();
    let clean = ["move", "clean", "--unknown"];
    let known = store.run(clean.into_iter().chain([&id[..8], "--yes"]));
    let resume = format!("`mdb move resume {id}`");
    known.refuses(status::FAILED, &["the journal knows move", &resume]);

    store.execute("central", LOSE);
    assert!(!can_write(&store));
    let ran = store.run(["verify", "user"]).ends_with(status::FAILED);
    let advice = format!("mdb move clean --unknown {id}");
    assert!(ran.out().contains(&advice), "{ran:?}");
    let mistyped = store.run(clean.into_iter().chain(["nobody", "--yes"]));
    mistyped.refuses(status::BAD_INPUT, &["nobody", "mdb verify"]);
    // Nobody is there to be asked.
    let asked = store.run(clean.into_iter().chain([&id[..8]]));
    asked
        .ends_with(status::FAILED)
        .says(&["nothing was removed", "--yes"]);
    assert!(!can_write(&store));

    let ran = store.run(clean.into_iter().chain([&id[..8], "--yes"]));
    let ran = ran.ends_with(status::DONE).says(&["mdb verify"]);
    golden("move_clean_unknown", &masked(ran.out(), &[&id]));
    assert!(can_write(&store));
    assert_eq!(
        (store.accounts("user_a0"), store.accounts("user_a1")),
        (2, 2),
        "no row is touched"
    );
    let ran = store.run(["verify", "user"]).ends_with(status::FAILED);
    assert!(ran.out().contains("split"), "{ran:?}");
    assert!(!ran.out().contains("unknown_move"), "{ran:?}");
}
