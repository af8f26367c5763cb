//! Whether ids that follow each other, ids with gaps and random ids fall evenly on shards.
//!
//! Pearson's χ² over the shards, against its critical value at a significance of one in a million.
//! Ids and hash are fixed, so the outcome is too: it fails when the placement changes for the
//! worse, never by chance.

use mdb_core::Gdid;
use mdb_core::config::HashKind;
use mdb_core::routing::Router;

use super::plan::{AREA, Plan};

const IDS: u64 = 16_000;

/// The normal quantile of 1 − 10⁻⁶.
const QUANTILE: f64 = 4.753_424;

/// The critical value of χ² with `degrees` degrees of freedom, by Wilson and Hilferty.
fn critical(degrees: f64) -> f64 {
    let ninth = 2.0 / (9.0 * degrees);
    degrees * (1.0 - ninth + QUANTILE * ninth.sqrt()).powi(3)
}

fn chi_squared(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / counts.len() as f64;
    counts
        .iter()
        .map(|&count| (f64::from(count) - expected).powi(2) / expected)
        .sum()
}

/// A fixed random sequence (`SplitMix64`), independent of any crate's version.
fn random(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn assert_even(what: &str, id: impl Fn(u64) -> Gdid) {
    for shards in 1..=64 {
        let router = Router::new(Plan::one_range(HashKind::Xxh3, shards).topology());
        let area = router.area(AREA).unwrap();
        let mut counts = vec![0_u32; shards];
        for place in 1..=IDS {
            let route = area.route(id(place)).unwrap();
            counts[usize::from(route.position().get())] += 1;
        }
        if shards == 1 {
            continue;
        }
        let (found, critical) = (chi_squared(&counts), critical((shards - 1) as f64));
        assert!(
            found < critical,
            "{what} ids over {shards} shards: χ² is {found:.1}, critical is {critical:.1}; {counts:?}"
        );
    }
}

#[test]
fn sequential_ids_spread_evenly() {
    assert_even("sequential", |place| Gdid::new(0, 0, place).unwrap());
    assert_even("late sequential", |place| {
        Gdid::new(7, 15, Gdid::MAX_COUNTER - place).unwrap()
    });
}

#[test]
fn strided_ids_spread_evenly() {
    for stride in [2, 10, 16, 1_000, 4_096, 65_536, 1 << 32] {
        assert_even("strided", |place| Gdid::new(0, 3, place * stride).unwrap());
    }
}

#[test]
fn ids_of_all_authorities_in_turn_spread_evenly() {
    assert_even("interleaved", |place| {
        Gdid::new(1, (place % 16) as u8, place / 16).unwrap()
    });
}

#[test]
fn random_ids_spread_evenly() {
    assert_even("random", |place| {
        Gdid::from_era_and_id(random(place * 2) as u32, random(place * 2 + 1))
    });
}

#[test]
fn the_measure_itself_tells_uneven_from_even() {
    // With an even number of degrees, the probability above a value is a sum.
    for degrees in [10, 30, 62_u32] {
        let half = critical(f64::from(degrees)) / 2.0;
        let (mut term, mut sum) = (1.0, 0.0);
        for place in 0..degrees / 2 {
            sum += term;
            term *= half / f64::from(place + 1);
        }
        let above = sum * (-half).exp();
        assert!(
            (0.5e-6..2e-6).contains(&above),
            "{degrees} degrees: {above}"
        );
    }
    let router = Router::new(Plan::one_range(HashKind::Xxh3, 16).topology());
    let area = router.area(AREA).unwrap();
    let mut counts = [0_u32; 16];
    for place in 1..=IDS {
        // Every fortieth id counts for shard 0, which so holds a third too many.
        let route = area.route(Gdid::new(0, 0, place).unwrap()).unwrap();
        let position = if place % 40 == 0 {
            0
        } else {
            route.position().get()
        };
        counts[usize::from(position)] += 1;
    }
    assert!(chi_squared(&counts) > critical(15.0), "{counts:?}");
}
