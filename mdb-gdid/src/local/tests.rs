//! Local generators with a clock that the tests set, on tokio's paused time.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// A clock that goes with tokio's time from where it was last set.
#[derive(Clone, Debug)]
struct SetClock(Arc<Mutex<(SystemTime, Instant)>>);

impl SetClock {
    fn at(seconds: u64) -> Self {
        let clock = Self(Arc::new(Mutex::new((
            SystemTime::UNIX_EPOCH,
            Instant::now(),
        ))));
        clock.set(seconds);
        clock
    }

    /// Sets it to so many seconds since 2020-01-01.
    fn set(&self, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + BEGINNING + Duration::from_secs(seconds);
        *self.0.lock().unwrap() = (time, Instant::now());
    }
}

impl WallClock for SetClock {
    fn now(&self) -> SystemTime {
        let (time, at) = *self.0.lock().unwrap();
        time + at.elapsed()
    }
}

fn generator(clock: &SetClock) -> LocalGenerator {
    let key = Key {
        scope: "shop.test".parse().unwrap(),
        name: "order".parse().unwrap(),
        era: 7,
        authority: AuthorityId::new(15).unwrap(),
    };
    LocalGenerator::with_clock(key, Box::new(clock.clone()))
}

fn parts(id: Gdid) -> (u64, u64) {
    (id.counter() >> NUMBER_BITS, id.counter() % NUMBERS)
}

#[tokio::test(start_paused = true)]
async fn an_id_is_a_second_and_a_number() {
    let clock = SetClock::at(1_000);
    let ids = generator(&clock);
    let began = Instant::now();
    assert_eq!(ids.try_next(), None);
    let first = ids.next().await.unwrap();
    assert!(began.elapsed() >= FIRST_WAIT);
    assert_eq!((first.era(), first.authority().get()), (7, 15));
    assert_eq!(first.counter(), 1_001 << 28);
    assert_eq!(ids.try_next().map(parts), Some((1_001, 1)));
    let more = ids.take(1_024).await.unwrap();
    assert_eq!(
        (parts(more[0]), parts(more[1_023])),
        ((1_001, 2), (1_001, 1_025))
    );
    clock.set(1_002);
    assert_eq!(parts(ids.next().await.unwrap()), (1_002, 0));
    assert_eq!(ids.take(0).await.unwrap(), []);
    assert!(matches!(
        ids.take(1_025).await,
        Err(LocalError::TooMany { count: 1_025, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_process_uses_later_seconds() {
    let clock = SetClock::at(1_000);
    let before = generator(&clock);
    let last = before.take(1_024).await.unwrap()[1_023];
    let after = generator(&clock);
    assert!(after.next().await.unwrap().counter() >> 28 > last.counter() >> 28);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_back_does_no_harm() {
    let clock = SetClock::at(1_000);
    let ids = generator(&clock);
    let before = ids.next().await.unwrap();
    clock.set(10);
    assert_eq!(ids.try_next().unwrap().counter(), before.counter() + 1);
    assert_eq!(ids.next().await.unwrap().counter(), before.counter() + 2);
    clock.set(0);
    assert_eq!(ids.next().await.unwrap().counter(), before.counter() + 3);
    // One that jumps back before the first id was dealt, too.
    clock.set(10);
    let others = generator(&clock);
    assert_eq!(others.try_next(), None);
    clock.set(2);
    let error = others.next().await.unwrap_err();
    assert!(
        matches!(error, LocalError::ClockDrift { stamp: 10, .. }),
        "{error}"
    );
    assert!(error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_second_that_is_used_up_is_waited_for_and_not_for_ever() {
    let clock = SetClock::at(1_000);
    let ids = generator(&clock);
    let (stamp, _) = parts(ids.next().await.unwrap());
    let all_but_two = (stamp << 28) | (PER_STAMP - 3);
    ids.inner.last.store(all_but_two, Ordering::Relaxed);
    clock.set(stamp - 3);
    assert_eq!(ids.try_next().map(parts), Some((stamp, PER_STAMP - 2)));
    assert_eq!(ids.try_next().map(parts), Some((stamp, PER_STAMP - 1)));
    assert_eq!(ids.try_next(), None);
    let began = Instant::now();
    assert_eq!(parts(ids.next().await.unwrap()), (stamp + 1, 0));
    assert!(began.elapsed() >= Duration::from_secs(4));

    ids.inner.last.store(all_but_two, Ordering::Relaxed);
    clock.set(stamp - 100);
    assert!(
        matches!(ids.take(3).await, Err(LocalError::ClockDrift { .. })),
        "three don't fit"
    );
    assert_eq!(ids.take(2).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn clocks_that_can_t_be_right_are_refused() {
    for seconds in [0, STAMPS] {
        let ids = generator(&SetClock::at(seconds));
        assert_eq!(ids.try_next(), None);
        let error = ids.next().await.unwrap_err();
        assert!(matches!(error, LocalError::ClockOutOfRange { .. }) && !error.is_transient());
    }
    let ids = generator(&SetClock::at(STAMPS - 5));
    let (stamp, number) = parts(ids.next().await.unwrap());
    assert!(stamp < STAMPS && number == 0);
}

#[test]
fn two_of_one_sequence_share_their_count() {
    let new = |authority| {
        let authority = AuthorityId::new(authority).unwrap();
        LocalGenerator::new(
            "local.tests".parse().unwrap(),
            "shared".parse().unwrap(),
            3,
            authority,
        )
    };
    assert!(Arc::ptr_eq(&new(1).inner, &new(1).inner));
    assert!(!Arc::ptr_eq(&new(1).inner, &new(2).inner));
}

#[test]
fn threads_get_no_id_twice() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ids = runtime.block_on(async {
        let ids = generator(&SetClock::at(1_000));
        ids.next().await.unwrap();
        ids
    });
    // Without the runtime time stands still, far behind; so all of it is under one stamp.
    ids.inner.last.store(5_000 << 28, Ordering::Relaxed);
    let mut seen = HashSet::new();
    let _context = runtime.enter();
    std::thread::scope(|scope| {
        let take = || {
            let _context = runtime.enter();
            (0..10_000)
                .map(|_| ids.try_next().unwrap())
                .collect::<Vec<_>>()
        };
        let threads = [(); 3].map(|()| scope.spawn(take));
        for thread in threads {
            let ids = thread.join().unwrap();
            assert!(ids.is_sorted_by(|a, b| a < b));
            assert!(ids.into_iter().all(|id| seen.insert(id)));
        }
    });
    assert_eq!(seen.len(), 30_000);
}

proptest! {
    /// Whatever the clock does, ids ascend.
    #[test]
    fn ids_ascend(steps in proptest::collection::vec((0..100_u64, 1..=1_024_usize), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let clock = SetClock::at(50);
            let generator = generator(&clock);
            let mut last = generator.next().await.unwrap();
            for (seconds, count) in steps {
                clock.set(seconds);
                for id in generator.take(count).await.unwrap() {
                    assert!(id > last);
                    last = id;
                }
            }
        });
    }
}
