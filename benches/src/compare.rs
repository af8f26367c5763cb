//! Two sides of a comparison, run in turn.

use std::time::{Duration, Instant};

/// The medians of two sides that ran in turn, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    ours: f64,
    against: f64,
}

impl Comparison {
    /// Compares runs that were timed elsewhere, in turn.
    ///
    /// # Panics
    ///
    /// When a side has no run.
    pub fn of(ours: Vec<Duration>, against: Vec<Duration>) -> Self {
        medians(ours, against)
    }

    /// The median of a run of ours, in seconds.
    pub fn ours(self) -> f64 {
        self.ours
    }

    /// The median of a run of the other side, in seconds.
    pub fn against(self) -> f64 {
        self.against
    }

    /// How much longer ours takes: 1 when it takes as long.
    pub fn ratio(self) -> f64 {
        self.ours / self.against
    }

    /// The same for one of `parts` equal parts of each run.
    #[must_use]
    pub fn per(self, parts: u32) -> Self {
        Self {
            ours: self.ours / f64::from(parts),
            against: self.against / f64::from(parts),
        }
    }
}

fn median(mut runs: Vec<Duration>) -> f64 {
    runs.sort_unstable();
    runs[runs.len() / 2].as_secs_f64()
}

fn medians(mut ours: Vec<Duration>, mut against: Vec<Duration>) -> Comparison {
    // The first tenth warms caches, branch predictors and statement caches up.
    let warm = ours.len() / 10;
    Comparison {
        ours: median(ours.split_off(warm)),
        against: median(against.split_off(warm)),
    }
}

/// Runs both sides `rounds` times in turn, which of them first changing from round to round.
pub fn in_turn(rounds: usize, mut ours: impl FnMut(), mut against: impl FnMut()) -> Comparison {
    let (mut first, mut second) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    let time = |side: &mut dyn FnMut(), runs: &mut Vec<Duration>| {
        let started = Instant::now();
        side();
        runs.push(started.elapsed());
    };
    for round in 0..rounds {
        if round % 2 == 0 {
            time(&mut ours, &mut first);
            time(&mut against, &mut second);
        } else {
            time(&mut against, &mut second);
            time(&mut ours, &mut first);
        }
    }
    medians(first, second)
}

/// As [`in_turn`], for asynchronous sides.
///
/// # Cancel safety
///
/// Safe as far as both sides are; the measurement is lost.
pub async fn in_turn_async(
    rounds: usize,
    mut ours: impl AsyncFnMut(),
    mut against: impl AsyncFnMut(),
) -> Comparison {
    let (mut first, mut second) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..rounds {
        for place in 0..2 {
            let started = Instant::now();
            if (round + place) % 2 == 0 {
                ours().await;
                first.push(started.elapsed());
            } else {
                against().await;
                second.push(started.elapsed());
            }
        }
    }
    medians(first, second)
}
