//! For how long briefcases are fenced while they are written to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mdb_core::relocate::{MoveOptions, MoveReport};
use mdb_core::{Area, Gdid, Mdb};
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

use crate::place::Place;
use crate::table::{Goal, print_millis, quantile};

/// How long a writer rests after each transaction.
const REST: Duration = Duration::from_millis(5);

/// How many writers there are.
const WRITERS: usize = 4;

/// One briefcase in each batch, to which all writers write.
pub(crate) async fn one<DB: TestEngine>(place: &Place<DB>, name: &str) {
    let few = &place.ids()[..place.ids().len().min(150)];
    let batches: Vec<&[Gdid]> = few.chunks(1).collect();
    let limit = Goal::AtMost(25.0);
    measure(place, name, &batches, limit).await;
}

/// A hundred in each batch.
pub(crate) async fn hundred<DB: TestEngine>(place: &Place<DB>, name: &str) {
    let all = place.ids().chunks(100);
    // The same ones several times, as often as a p99 needs.
    let batches: Vec<&[Gdid]> = all.cycle().take(60).collect();
    let limit = Goal::AtMost(100.0);
    measure(place, name, &batches, limit).await;
}

async fn measure<DB: TestEngine>(place: &Place<DB>, name: &str, batches: &[&[Gdid]], limit: Goal) {
    let writers = Writers::<DB>::start(place.joined().await);
    let mut reports: Vec<MoveReport> = Vec::new();
    // Everything that moves there comes back.
    let mut there: Vec<Gdid> = Vec::new();
    for batch in batches.iter().chain(batches) {
        writers.aim(batch);
        let options = MoveOptions::new().batch(100);
        let is_there = there.contains(&batch[0]);
        if is_there {
            there.retain(|id| !batch.contains(id));
        } else {
            there.extend_from_slice(batch);
        }
        let to = usize::from(!is_there);
        reports.extend(place.move_to(to, batch, &options).await.1);
    }
    let mut waits = writers.stop().await;
    let mut pauses: Vec<Duration> = reports.iter().map(MoveReport::pause).collect();
    print_millis(&format!("{name}: p99"), quantile(&mut pauses, 990), limit);
    print_millis("… median", quantile(&mut pauses, 500), Goal::None);
    print_millis(
        "… longest transaction of a writer",
        quantile(&mut waits, 1000),
        Goal::None,
    );
}

/// Tasks that write to the briefcases that are being moved.
struct Writers<DB: TestEngine> {
    mdb: Mdb,
    aim: Arc<Mutex<Vec<Gdid>>>,
    over: Arc<AtomicBool>,
    tasks: JoinSet<Vec<Duration>>,
    engine: std::marker::PhantomData<fn() -> DB>,
}

impl<DB: TestEngine> Writers<DB> {
    fn start(mdb: Mdb) -> Self {
        let (aim, over) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let mut tasks = JoinSet::new();
        for _ in 0..WRITERS {
            let area: Area<DB> = mdb.area("user").unwrap();
            tasks.spawn(write(area, Arc::clone(&aim), Arc::clone(&over)));
        }
        Self {
            mdb,
            aim,
            over,
            tasks,
            engine: std::marker::PhantomData,
        }
    }

    fn aim(&self, ids: &[Gdid]) {
        *self.aim.lock().unwrap() = ids.to_vec();
    }

    /// How long the transactions took.
    async fn stop(self) -> Vec<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let waits = self.tasks.join_all().await.concat();
        self.mdb.leave().await;
        waits
    }
}

async fn write<DB: TestEngine>(
    area: Area<DB>,
    aim: Arc<Mutex<Vec<Gdid>>>,
    over: Arc<AtomicBool>,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let id = {
            let ids = aim.lock().unwrap();
            ids.get(fastrand::usize(..ids.len().max(1))).copied()
        };
        if let Some(id) = id {
            let key = mdb_tests::bank::literal::<DB>(id);
            let n = fastrand::u32(..40);
            let update =
                format!("UPDATE event SET level = level + 1 WHERE g_user = {key} AND n = {n}");
            let started = Instant::now();
            let briefcase = area.briefcase(id).unwrap();
            let done = briefcase.transact(async |tx| {
                DB::add(&tx, id, 1).await?;
                DB::run(&tx, &update).await?;
                Ok(())
            });
            done.await
                .unwrap_or_else(|error| panic!("{}", mdb_core::error::chain(&error)));
            waits.push(started.elapsed());
        }
        tokio::time::sleep(REST).await;
    }
    waits
}
