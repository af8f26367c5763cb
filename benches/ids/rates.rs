//! Ids at a sustained rate from an authority that takes its time.
//!
//! *As fast as it goes*: two tasks on two threads that do nothing but take ids, so the authority's latency
//! and the largest block bound them. *At a rate*: the same two tasks at 0.8 × (ids at the low-water
//! mark of the largest block ÷ latency), which nobody should have to wait for.

use std::time::{Duration, Instant};

use mdb_gdid::{BlockSize, Generator, GeneratorOptions};
use tokio::runtime::Runtime;

use crate::authority::generator;

const TASKS: u32 = 2;
/// How long the rate is kept until it is looked at, and then again.
const PART: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(1);

pub(crate) fn sustained() {
    let runtime = runtime();
    println!(
        "\n{:>7} {:>8} {:>14} {:>14} | {:>12} {:>8} {:>12}",
        "block", "latency", "ids/s, fastest", "block/latency", "ids/s, paced", "waits", "waited"
    );
    for largest in [128, 1_024] {
        for millis in [0, 1, 10] {
            let latency = Duration::from_millis(millis);
            let size = |ids| BlockSize::new(ids).unwrap();
            let options = GeneratorOptions::new(size(8), size(largest)).unwrap();
            let fastest = fastest(&runtime, &generator(latency, options));
            print!("{largest:>7} {millis:>5} ms {fastest:>14.0}");
            if millis == 0 {
                println!();
                continue;
            }
            let most = f64::from(largest) / latency.as_secs_f64();
            let low = f64::from(options.low_water().percent()) / 100.0;
            let rate = 0.8 * low * most;
            let (waits, waited) = paced(&runtime, &generator(latency, options), rate);
            println!(" {most:>14.0} | {rate:>12.0} {waits:>8} {waited:>12.1?}");
        }
    }
}

/// Two threads.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// How many ids a second all tasks take together.
pub(crate) fn fastest(runtime: &Runtime, ids: &Generator) -> f64 {
    let run = || {
        let (before, began) = (ids.metrics().issued(), Instant::now());
        runtime.block_on(async {
            let tasks = [(); TASKS as usize].map(|()| {
                let ids = ids.clone();
                tokio::spawn(async move {
                    while began.elapsed() < PART {
                        for _ in 0..64 {
                            std::hint::black_box(ids.next().await.unwrap());
                        }
                    }
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
        (ids.metrics().issued() - before) as f64 / began.elapsed().as_secs_f64()
    };
    run();
    run()
}

/// How many calls waited, and how long, in the second part of a run at `rate` ids a second.
pub(crate) fn paced(runtime: &Runtime, ids: &Generator, rate: f64) -> (u64, Duration) {
    let run = |part: Duration| {
        runtime.block_on(async {
            let began = Instant::now();
            let tasks = [(); TASKS as usize].map(|()| {
                let ids = ids.clone();
                tokio::spawn(async move {
                    let mut taken = 0.0;
                    while began.elapsed() < part {
                        while taken < began.elapsed().as_secs_f64() * rate / f64::from(TASKS) {
                            std::hint::black_box(ids.next().await.unwrap());
                            taken += 1.0;
                        }
                        tokio::time::sleep(TICK).await;
                    }
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
    };
    run(PART);
    let before = ids.metrics();
    run(PART);
    let after = ids.metrics();
    (
        after.waits() - before.waits(),
        after.waited().saturating_sub(before.waited()),
    )
}
