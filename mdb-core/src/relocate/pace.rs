//! How fast a batch goes, so that it leaves others enough of the servers.

use std::time::Duration;

use super::error::MoveError;
use super::report::{MoveOptions, MoveProgress};
use crate::engine::Lanes;
use crate::engine::relocating::{Amount, Pace, rest_unless};

/// The pace of one batch: the whole run's, but unhurried only while nobody is fenced.
pub(super) struct BatchPace<'p> {
    progress: &'p MoveProgress,
    limit: Option<u64>,
    rest: Duration,
    hurry: Hurry,
}

/// Whether somebody waits for the work to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hurry {
    Nobody,
    /// They would go on waiting for a while if it stopped here.
    Fenced,
}

impl<'p> BatchPace<'p> {
    /// How long a loaded source is left alone after each chunk.
    const REST: Duration = Duration::from_millis(500);
    /// In how many chunks a second rows flow, when there is a limit to them.
    const CHUNKS: u64 = 50;
    /// What makes up for a transaction.
    const FEWEST_ROWS: u64 = 50;
    /// How much longer than it worked a bounded move rests, where it can't count rows.
    const RESTS: u32 = 3;

    pub(super) fn new(progress: &'p MoveProgress, options: &MoveOptions) -> Self {
        Self {
            progress,
            limit: options.rows_a_second(),
            rest: Self::REST,
            hurry: Hurry::Nobody,
        }
    }

    pub(super) fn hurried(progress: &'p MoveProgress) -> Self {
        Self {
            progress,
            limit: None,
            rest: Duration::ZERO,
            hurry: Hurry::Fenced,
        }
    }
}

impl BatchPace<'_> {
    /// How long to wait after so many rows were deleted, which nobody counts.
    pub(super) fn deleted(&self, rows: u64) -> Duration {
        self.backed_off(self.limit.map_or(Duration::ZERO, |limit| {
            Duration::from_micros(rows.saturating_mul(1_000_000) / limit.max(1))
        }))
    }

    /// How long to wait after something that took so long: reading rows to sum them, say.
    pub(super) fn worked(&self, took: Duration) -> Duration {
        if self.is_bounded() {
            took * Self::RESTS
        } else {
            Duration::ZERO
        }
    }

    /// Waits for so long, but no longer than until the move is asked to stop.
    pub(super) async fn rest(&self, wait: Duration, lanes: Lanes) -> Result<(), MoveError> {
        let rested = rest_unless(wait, lanes, || self.is_stopped()).await;
        rested.map_err(|_| MoveError::Stopped)
    }

    /// Whether others are to be left time between small steps.
    pub(super) fn is_bounded(&self) -> bool {
        self.limit.is_some() || self.progress.is_backing_off()
    }

    fn backed_off(&self, pause: Duration) -> Duration {
        if self.progress.is_backing_off() {
            pause.max(self.rest)
        } else {
            pause
        }
    }
}

impl Pace for BatchPace<'_> {
    fn chunk(&self, most: u64) -> u64 {
        // None has more rows than are to come in a second.
        let slowly = |limit: u64| (limit / Self::CHUNKS).max(Self::FEWEST_ROWS.min(limit));
        self.limit.map_or(most, |limit| slowly(limit).min(most))
    }

    fn taken(&self, chunk: Amount) -> Duration {
        self.backed_off(self.progress.taken(chunk, self.limit))
    }

    fn is_stopped(&self) -> bool {
        !self.is_hurried() && self.progress.is_stopped()
    }

    fn is_hurried(&self) -> bool {
        self.hurry == Hurry::Fenced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting_keeps_to_the_rows_per_second_too() {
        let progress = MoveProgress::new();
        let free = BatchPace::new(&progress, &MoveOptions::new());
        assert_eq!(free.deleted(10_000), Duration::ZERO);
        let options = MoveOptions::new().max_rows_per_second(2_000);
        let bound = BatchPace::new(&progress, &options);
        assert_eq!(bound.deleted(1_000), Duration::from_millis(500));
        assert_eq!(progress.rows(), 0, "what is deleted has been counted");
    }

    #[test]
    fn a_bounded_move_rests_after_work_that_is_not_counted() {
        let took = Duration::from_millis(4);
        let progress = MoveProgress::new();
        let free = BatchPace::new(&progress, &MoveOptions::new());
        assert_eq!(free.worked(took), Duration::ZERO);
        let options = MoveOptions::new().max_rows_per_second(2_000);
        let bound = BatchPace::new(&progress, &options);
        assert_eq!(bound.worked(took), 3 * took);
        progress.back_off(33, 32);
        assert_eq!(free.worked(took), 3 * took);
    }

    #[test]
    fn batches_share_the_rows_of_a_second_however_few_they_are() {
        let progress = MoveProgress::new();
        let options = MoveOptions::new().max_rows_per_second(2);
        let batches = [(); 16].map(|()| BatchPace::new(&progress, &options));
        let chunk = Amount { rows: 2, bytes: 0 };
        let [.., last] = batches.map(|batch| batch.taken(chunk));
        // A little of the sixteen seconds has passed.
        assert!(last > Duration::from_secs(15), "{last:?}");
        assert!(last <= Duration::from_secs(16), "{last:?}");
    }

    #[tokio::test]
    async fn whoever_rests_stops_when_asked_to_but_not_while_somebody_is_fenced() {
        let progress = MoveProgress::new();
        let (free, hurried) = (
            BatchPace::new(&progress, &MoveOptions::new()),
            BatchPace::hurried(&progress),
        );
        progress.stop();
        let rested = free.rest(Duration::from_hours(1), Lanes::One).await;
        assert!(matches!(rested, Err(MoveError::Stopped)), "{rested:?}");
        let rested = hurried.rest(Duration::ZERO, Lanes::One).await;
        rested.expect("it goes on");
    }

    #[test]
    fn few_rows_a_second_flow_in_small_chunks() {
        let progress = MoveProgress::new();
        let chunk = |options: &MoveOptions| BatchPace::new(&progress, options).chunk(2_000);
        let options = MoveOptions::new();
        assert_eq!(chunk(&options), 2_000);
        assert_eq!(chunk(&options.max_rows_per_second(1_000_000)), 2_000);
        assert_eq!(chunk(&options.max_rows_per_second(10_000)), 200);
        assert_eq!(chunk(&options.max_rows_per_second(100)), 50);
        assert_eq!(chunk(&options.max_rows_per_second(10)), 10);
        assert_eq!(chunk(&options.max_rows_per_second(1)), 1);
        assert_eq!(BatchPace::hurried(&progress).chunk(2_000), 2_000);
    }
}
