//! Ids from memory: from a shared generator and from a handle, against floors and other kinds of ids.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferroid::generator::AtomicSnowflakeGenerator;
use ferroid::id::{SnowflakeMastodonId, SnowflakeTwitterId};
use ferroid::time::{MASTODON_EPOCH, MonotonicClock, TWITTER_EPOCH};
use mdb_benches::compare::Comparison;
use mdb_gdid::{BlockSize, Generator, GeneratorOptions, LowWater};
use tokio::runtime::Runtime;

use crate::authority::generator;
use crate::floors::{BareBlock, next_of_thread};
use crate::{print, print_faster};

/// How many ids one run takes: fewer than are in memory after [`Stocked::fill`], and so many that most
/// runs go on from one block to the next.
const IDS: u32 = 896;
const ROUNDS: usize = 20_001;

/// A generator whose filler works between the runs, on a runtime of the same thread.
struct Stocked {
    generator: Generator,
    runtime: Runtime,
}

impl Stocked {
    fn new() -> Self {
        let options = GeneratorOptions::new(BlockSize::MAX, BlockSize::MAX).unwrap();
        let options = options.with_low_water(LowWater::new(90).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let generator = generator(Duration::ZERO, options);
        runtime.block_on(generator.next()).unwrap();
        Self { generator, runtime }
    }

    /// Lets the filler work until a run can be made from memory.
    fn fill(&self) {
        self.runtime.block_on(async {
            while self.generator.metrics().remaining() < u64::from(IDS) {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// Runs both sides in turn; `prepare` comes before each run and is not timed.
fn prepared(
    mut prepare: impl FnMut(),
    mut ours: impl FnMut(),
    mut against: impl FnMut(),
) -> Comparison {
    let (mut first, mut second) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for round in 0..2 * ROUNDS {
        prepare();
        let started = Instant::now();
        if round % 4 == 0 || round % 4 == 3 {
            ours();
            first.push(started.elapsed());
        } else {
            against();
            second.push(started.elapsed());
        }
    }
    Comparison::of(first, second).per(IDS)
}

fn take(generator: &Generator) {
    for _ in 0..IDS {
        black_box(generator.try_next().unwrap());
    }
}

pub(crate) fn shared() {
    let (ours, bare) = (Stocked::new(), BareBlock::new());
    let comparison = prepared(
        || ours.fill(),
        || take(&ours.generator),
        || {
            for _ in 0..IDS {
                black_box(bare.next());
            }
        },
    );
    print("shared, one thread / bare shared block", comparison, 1.3);
    print(
        "shared, two threads / bare shared block",
        two_threads(&bare),
        1.3,
    );
}

/// How many ids each of two threads takes in one run: many blocks, for all that belongs to it is to count,
/// the filler too, which works at the same time on a third thread.
const MANY: u32 = 50_000;

fn two_threads(bare: &BareBlock) -> Comparison {
    let options = GeneratorOptions::new(BlockSize::MAX, BlockSize::MAX).unwrap();
    let ours = generator(Duration::ZERO, options);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(ours.next()).unwrap();
    let rounds = 401;
    let arrived = AtomicUsize::new(0);
    let run = |round: usize| {
        // Spinning, for a thread that has to be woken would come late.
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
            std::hint::spin_loop();
        }
        let started = Instant::now();
        for _ in 0..MANY {
            if round.is_multiple_of(2) {
                while black_box(ours.try_next()).is_none() {
                    std::thread::yield_now();
                }
            } else {
                black_box(bare.next());
            }
        }
        started.elapsed()
    };
    let run_all = || (0..2 * rounds).map(run).collect::<Vec<_>>();
    let (mine, other) = std::thread::scope(|scope| {
        let other = scope.spawn(run_all);
        (run_all(), other.join().unwrap())
    });
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (round, (mine, other)) in mine.into_iter().zip(other).enumerate() {
        let side = if round.is_multiple_of(2) {
            &mut first
        } else {
            &mut second
        };
        side.push(mine + other);
    }
    Comparison::of(first, second).per(2 * MANY)
}

pub(crate) fn handle() {
    let ours = Stocked::new();
    let mut handle = ours.generator.handle();
    let comparison = prepared(
        || ours.fill(),
        || {
            for _ in 0..IDS {
                black_box(handle.try_next().unwrap());
            }
        },
        || {
            for _ in 0..IDS {
                black_box(next_of_thread());
            }
        },
    );
    print("handle / thread_local block", comparison, 1.5);
}

/// The shared generator on one thread, against another kind of id.
fn against<T>(name: &str, at_least: Option<f64>, mut other: impl FnMut() -> T) {
    let ours = Stocked::new();
    let comparison = prepared(
        || ours.fill(),
        || take(&ours.generator),
        || {
            for _ in 0..IDS {
                black_box(other());
            }
        },
    );
    print_faster(name, comparison, at_least);
}

pub(crate) fn others() {
    against(
        "others: uuid v7, fast-rng / shared",
        Some(20.0),
        uuid::Uuid::now_v7,
    );
    against("others: ulid / shared", Some(8.0), ulid::Ulid::generate);
    let clock = MonotonicClock::<1>::with_epoch(TWITTER_EPOCH);
    let twitter = AtomicSnowflakeGenerator::<SnowflakeTwitterId, _>::new(0, clock);
    against(
        "others: ferroid, 4,096 ids a ms / shared",
        Some(3.0),
        || twitter.next_id(|_| std::hint::spin_loop()),
    );
    let clock = MonotonicClock::<1>::with_epoch(MASTODON_EPOCH);
    let mastodon = AtomicSnowflakeGenerator::<SnowflakeMastodonId, _>::new(0, clock);
    against("others: ferroid, 65,536 ids a ms / shared", None, || {
        mastodon.next_id(|_| std::hint::spin_loop())
    });
    let mut monotonic = ulid::Generator::new();
    against("others: ulid, monotonic / shared", None, || {
        monotonic.generate().unwrap()
    });
}
