//! Leaving a host alone for a while after it has failed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The pause after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// Whether a host is left alone just now.
///
/// After a failure it is, for a pause that grows with each further failure. Then one caller tries it
/// again, while the others still go past it.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Until when it is left alone.
    until: Option<Instant>,
}

/// How a host may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// As usual.
    Usual,
    /// As a trial, by this caller alone.
    Trial,
    /// Not now.
    LeftAlone,
}

impl Backoff {
    /// Whether the host may be asked at `now`. A trial that is never reported on ends after `trial`.
    pub(super) fn admit(&self, now: Instant, trial: Duration) -> Admission {
        let mut state = self.state();
        match state.until {
            None => Admission::Usual,
            Some(until) if now < until => Admission::LeftAlone,
            Some(_) => {
                state.until = Some(now + trial);
                Admission::Trial
            }
        }
    }

    /// The host has answered. Tells whether it had been left alone before.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.state();
        let was_left_alone = state.until.is_some();
        *state = State::default();
        was_left_alone
    }

    /// The host has failed. Tells whether this is news.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.state();
        let pause = FIRST
            .saturating_mul(1 << state.failures.min(16))
            .min(LONGEST);
        // The jitter keeps processes that saw the same failure from returning all at once.
        state.until = Some(now + pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        state.failures = state.failures.saturating_add(1);
        state.failures == 1
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: Duration = Duration::from_millis(500);

    #[test]
    fn a_failing_host_is_left_alone_longer_and_longer() {
        let backoff = Backoff::default();
        let mut now = Instant::now();
        assert_eq!(backoff.admit(now, TRIAL), Admission::Usual);
        assert!(backoff.failed(now), "the first failure is news");
        for pause in [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000] {
            let pause = Duration::from_millis(pause);
            let too_early = now + pause * 49 / 100;
            assert_eq!(backoff.admit(too_early, TRIAL), Admission::LeftAlone);
            now += pause;
            assert_eq!(backoff.admit(now, TRIAL), Admission::Trial);
            assert_eq!(
                backoff.admit(now, TRIAL),
                Admission::LeftAlone,
                "one trial at a time"
            );
            assert!(!backoff.failed(now));
        }
        assert!(backoff.succeeded(), "it had been left alone");
        assert!(!backoff.succeeded());
        assert_eq!(backoff.admit(now, TRIAL), Admission::Usual);
    }

    #[test]
    fn a_trial_that_is_abandoned_is_followed_by_another() {
        let backoff = Backoff::default();
        let now = Instant::now();
        backoff.failed(now);
        let later = now + FIRST;
        assert_eq!(backoff.admit(later, TRIAL), Admission::Trial);
        assert_eq!(backoff.admit(later + TRIAL, TRIAL), Admission::Trial);
    }
}
