//! What others notice: point reads and writes of briefcases that stay, while others are moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mdb_core::relocate::MoveOptions;
use mdb_core::{Area, Gdid, Mdb};
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

use crate::data::ROWS;
use crate::place::Place;
use crate::table::{Goal, millis, print, quantile};

/// How many tasks read and write.
const TASKS: usize = 8;

/// How often each of them does so.
const EVERY: Duration = Duration::from_millis(20);

/// How many statements out of ten write.
const WRITES: u32 = 2;

/// For how long the load is watched each time, at the least: moves are watched to the end of their run.
const WINDOW: Duration = Duration::from_secs(6);

/// How often it is watched, at rest and during moves in turn.
const WINDOWS: usize = 4;

/// How fast rows are copied in the throttled variants.
const THROTTLES: [u64; 2] = [10_000, 2_000];

pub(crate) async fn others<DB: TestEngine>(place: &Place<DB>, name: &str) {
    let fast = MoveOptions::new().batch(100);
    let half = place.ids().len() / 2;
    measure(place, &format!("{name} p99, unthrottled"), &fast, half).await;
    for rows in THROTTLES {
        let name = format!("{name} p99, {rows} rows/s");
        // A run takes about two windows.
        let briefcases = usize::try_from(rows * 2 * WINDOW.as_secs()).unwrap() / ROWS;
        let throttled = fast.max_rows_per_second(rows);
        measure(place, &name, &throttled, briefcases.min(half)).await;
    }
}

async fn measure<DB: TestEngine>(
    place: &Place<DB>,
    name: &str,
    options: &MoveOptions,
    briefcases: usize,
) {
    let (moved, stay) = place.ids().split_at(briefcases);
    let stay: Arc<[Gdid]> = stay.into();
    let mdb = place.joined().await;
    let for_a_window = || async { tokio::time::sleep(WINDOW).await };
    // Statement caches and pools fill up.
    load::<DB, _>(&mdb, &stay, for_a_window()).await;
    let (mut rest, mut during) = (Vec::new(), Vec::new());
    let mut at = 0;
    for _ in 0..WINDOWS {
        place.settle().await;
        rest.extend(load::<DB, _>(&mdb, &stay, for_a_window()).await);
        let moves = async {
            let until = Instant::now() + WINDOW;
            while Instant::now() < until {
                at = 1 - at;
                place.move_to(at, moved, options).await;
            }
        };
        during.extend(load::<DB, _>(&mdb, &stay, moves).await);
    }
    if at == 1 {
        place.move_to(0, moved, &MoveOptions::new()).await;
    }
    mdb.leave().await;
    let (rest, during) = (quantile(&mut rest, 990), quantile(&mut during, 990));
    print(
        name,
        &millis(during.as_secs_f64()),
        &millis(rest.as_secs_f64()),
        during.as_secs_f64() / rest.as_secs_f64(),
        Goal::AtMost(1.1),
    );
}

/// How long the statements took that were due until `work` was done.
async fn load<DB: TestEngine, W: Future<Output = ()>>(
    mdb: &Mdb,
    ids: &Arc<[Gdid]>,
    work: W,
) -> Vec<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (area, ids): (Area<DB>, _) = (mdb.area("user").unwrap(), Arc::clone(ids));
        let over = Arc::clone(&over);
        tasks.spawn(async move {
            // They don't begin all at once.
            let mut due = Instant::now() + EVERY * u32::try_from(task).unwrap() / TASKS as u32;
            let mut samples = Vec::new();
            while !over.load(Ordering::Relaxed) {
                // One that comes late, because the last took long, has waited since it was due.
                let begun = if Instant::now() < due {
                    tokio::time::sleep_until(due.into()).await;
                    Instant::now()
                } else {
                    due
                };
                let id = ids[fastrand::usize(..ids.len())];
                let briefcase = area.briefcase(id).unwrap();
                if fastrand::u32(..10) < WRITES {
                    DB::add(&briefcase, id, 1).await.unwrap();
                } else {
                    assert!(DB::get(&briefcase, id).await.unwrap().is_some());
                }
                samples.push(begun.elapsed());
                due += EVERY;
            }
            samples
        });
    }
    work.await;
    over.store(true, Ordering::Relaxed);
    tasks.join_all().await.concat()
}
