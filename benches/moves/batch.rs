//! All briefcases at once, in batches of a hundred.

use std::time::Duration;

use mdb_benches::compare::Comparison;
use mdb_core::relocate::MoveOptions;
use mdb_tests::store::TestEngine;

use crate::data::ROWS;
use crate::faster;
use crate::place::Place;
use crate::table::{Goal, print, rate};

/// How often each side runs; half of the moves go there and half come back.
const ROUNDS: usize = 6;

/// MDB's batches, one after another, against something else that copies the same rows from the shard
/// of the given number to the other server.
///
/// MDB announces, records changes, copies, counts and sums both sides, flips, publishes, and deletes at
/// the source. The other side copies.
pub(crate) async fn against<DB: TestEngine>(
    place: &Place<DB>,
    name: &str,
    goal: f64,
    other: impl AsyncFn(usize) -> Duration,
) {
    let options = MoveOptions::new().batch(100).parallel(1);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let from = round % 2;
        if round % 4 < 2 {
            place.settle().await;
            theirs.push(other(from).await);
        }
        place.settle().await;
        ours.push(place.move_to(1 - from, place.ids(), &options).await.0);
        if round % 4 >= 2 {
            place.settle().await;
            theirs.push(other(1 - from).await);
        }
    }
    show(
        place,
        name,
        Comparison::of(ours, theirs),
        Goal::AtLeast(goal),
    );
}

/// Four batches at a time against one.
pub(crate) async fn four<DB: TestEngine>(place: &Place<DB>, name: &str, goal: f64) {
    // Also a quick run has eight batches.
    let options = MoveOptions::new().batch((place.ids().len() / 8).clamp(1, 100));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // Twice as many: of each two, one goes there and one comes back.
    for round in 0..2 * ROUNDS {
        place.settle().await;
        let four = [true, false, false, true][round % 4];
        let options = options.parallel(if four { 4 } else { 1 });
        let (took, _) = place.move_to(1 - round % 2, place.ids(), &options).await;
        if four { &mut ours } else { &mut theirs }.push(took);
    }
    show(
        place,
        name,
        Comparison::of(ours, theirs),
        Goal::AtLeast(goal),
    );
}

/// While a process has the store open, which has to be heard of twice in each batch, against nobody.
pub(crate) async fn heard<DB: TestEngine>(place: &Place<DB>, name: &str) {
    let options = MoveOptions::new().batch(100);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..2 * ROUNDS {
        place.settle().await;
        let service = if [true, false, false, true][round % 4] {
            Some(place.joined().await)
        } else {
            None
        };
        let (took, _) = place.move_to(1 - round % 2, place.ids(), &options).await;
        let Some(service) = service else {
            theirs.push(took);
            continue;
        };
        ours.push(took);
        service.leave().await;
    }
    show(place, name, Comparison::of(ours, theirs), Goal::None);
}

fn show<DB: TestEngine>(place: &Place<DB>, name: &str, comparison: Comparison, goal: Goal) {
    let rows = place.ids().len() * ROWS;
    print(
        name,
        &rate(rows, comparison.ours()),
        &rate(rows, comparison.against()),
        faster(comparison),
        goal,
    );
}
