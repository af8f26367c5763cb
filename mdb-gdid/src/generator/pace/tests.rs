//! Block sizes and low-water marks against simulated callers and authorities.

use super::*;
use crate::generator::LowWater;
use proptest::prelude::*;

fn options(smallest: u16, largest: u16, percent: u8) -> GeneratorOptions {
    let size = |ids| BlockSize::new(ids).unwrap();
    GeneratorOptions::new(size(smallest), size(largest))
        .unwrap()
        .with_low_water(LowWater::new(percent).unwrap())
}

/// Ids that are taken at an even rate for a while, from an authority with one latency. Returns how
/// many seconds callers had to wait after the first `warm_up` blocks.
fn stalls(pace: &mut Pace, rate: f64, latency: f64, blocks: usize, warm_up: usize) -> f64 {
    let (mut now, mut taken, mut left, mut stalled) = (0.0, 0.0, 0.0_f64, 0.0);
    #[expect(clippy::cast_precision_loss, reason = "a simulation of thousands")]
    let low = |pace: &Pace| pace.low_water() as f64;
    for block in 0..blocks {
        // Nothing happens until the low-water mark is reached.
        let until_low = (left - low(pace)).max(0.0);
        now += until_low / rate;
        taken += until_low;
        left -= until_low;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive"
        )]
        pace.fetch_begins(Duration::from_secs_f64(now), taken as u64);
        let size = f64::from(pace.size().get());
        let meanwhile = left.min(rate * latency);
        if block >= warm_up {
            stalled += latency - meanwhile / rate;
        }
        now += latency;
        taken += meanwhile;
        left = left - meanwhile + size;
        pace.block_came(Duration::from_secs_f64(latency));
    }
    stalled
}

proptest! {
    /// Up to 0.8 of what one fetch at a time can bring at all, nobody waits once the rate is known.
    #[test]
    fn an_even_rate_never_stalls(share in 0.001..0.8_f64, latency_ms in 0.05..200.0_f64, percent in 1..=90_u8, smallest in 1..64_u16) {
        let latency = latency_ms / 1000.0;
        let mut pace = Pace::new(options(smallest, 1024, percent));
        let rate = share * 1024.0 / latency;
        let stalled = stalls(&mut pace, rate, latency, 60, 12);
        prop_assert!(stalled <= 1e-6, "{stalled} s at {rate} ids/s, low water {}", pace.low_water());
    }

    #[test]
    fn sizes_and_marks_keep_their_limits(
        limits in (1..=1024_u16, 1..=1024_u16), percent in 1..=90_u8,
        fetches in proptest::collection::vec((0..100_000_u64, 0..10_000_000_u64, 0..60_000_000_u64), 0..20)
    ) {
        let (smallest, largest) = (limits.0.min(limits.1), limits.0.max(limits.1));
        let mut pace = Pace::new(options(smallest, largest, percent));
        let (mut at, mut taken) = (Duration::ZERO, 0);
        for (ids, micros, latency) in fetches {
            at += Duration::from_micros(micros);
            taken += ids;
            pace.fetch_begins(at, taken);
            let size = u64::from(pace.size().get());
            prop_assert!((u64::from(smallest)..=u64::from(largest)).contains(&size));
            prop_assert!(pace.low_water() >= size * u64::from(percent) / 100);
            prop_assert!(pace.low_water() <= size * MOST_BLOCKS);
            pace.block_came(Duration::from_micros(latency));
        }
    }
}

#[test]
fn a_block_holds_sixteen_seconds_worth_of_ids() {
    let mut pace = Pace::new(options(1, 1024, 25));
    assert_eq!(pace.size().get(), 2, "nothing is known yet");
    let mut at = Duration::ZERO;
    for (taken, size) in [(0, 2), (10, 18), (20, 18), (30, 18), (130, 66)] {
        pace.fetch_begins(at, taken);
        at += Duration::from_secs(10);
        assert_eq!(pace.size().get(), size, "after {taken} ids");
    }
    assert_eq!(pace.low_water(), 16, "a quarter, as fetches take no time");
    pace.block_came(Duration::from_secs(6));
    assert_eq!(pace.low_water(), 49, "twice what is taken in 6.001 seconds");
}
