//! The table that is printed, and the disk's own time beside it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The rows that were asked for, by words of their names; none is all.
pub(crate) struct Wanted(Vec<String>);

impl Wanted {
    pub(crate) fn from_arguments() -> Self {
        let words = std::env::args().skip(1);
        Self(words.filter(|word| !word.starts_with('-')).collect())
    }

    /// Whether a row whose name begins so is wanted, or one below it.
    pub(crate) fn has(&self, name: &str) -> bool {
        let fits = |word: &String| name.contains(word.as_str()) || word.starts_with(name);
        self.0.is_empty() || self.0.iter().any(fits)
    }
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Only shown.
    None,
}

impl Goal {
    fn verdict(self, figure: f64, unit: &str) -> String {
        let (text, is_met) = match self {
            Self::AtLeast(limit) => (format!("≥ {limit}{unit}"), figure >= limit),
            Self::AtMost(limit) => (format!("≤ {limit}{unit}"), figure <= limit),
            Self::None => return String::new(),
        };
        let missed = if is_met { "" } else { "  missed" };
        format!("{text}{missed}")
    }
}

pub(crate) fn heading() {
    println!(
        "{:<44} {:>14} {:>14} {:>8}  goal",
        "name", "ours", "against", "ratio"
    );
}

/// A row of two figures and their ratio.
pub(crate) fn print(name: &str, ours: &str, against: &str, ratio: f64, goal: Goal) {
    println!(
        "{name:<44} {ours:>14} {against:>14} {ratio:>8.3}  {}",
        goal.verdict(ratio, "")
    );
}

/// A row of one figure, in milliseconds.
pub(crate) fn print_millis(name: &str, figure: Duration, goal: Goal) {
    let millis = figure.as_secs_f64() * 1e3;
    println!(
        "{name:<44} {:>14} {:>14} {:>8}  {}",
        self::millis(figure.as_secs_f64()),
        "",
        "",
        goal.verdict(millis, " ms")
    );
}

pub(crate) fn millis(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

pub(crate) fn micros(seconds: f64) -> String {
    format!("{:.1} µs", seconds * 1e6)
}

pub(crate) fn rate(rows: usize, seconds: f64) -> String {
    format!("{:.0} rows/s", rows as f64 / seconds)
}

/// The value that so many of a thousand are not above.
pub(crate) fn quantile(samples: &mut [Duration], per_mille: usize) -> Duration {
    samples.sort_unstable();
    samples[(samples.len() * per_mille / 1000).min(samples.len() - 1)]
}

/// Writes 8 KiB and forces them to the disk, again and again, where the servers have their files.
pub(crate) fn print_disk() {
    let directory = tempfile::tempdir().unwrap();
    let file = File::create(directory.path().join("disk")).unwrap();
    let mut times: Vec<Duration> = (0..400)
        .map(|place| {
            let started = Instant::now();
            file.write_all_at(&[7; 8192], place % 16 * 8192).unwrap();
            file.sync_all().unwrap();
            started.elapsed()
        })
        .collect();
    let median = quantile(&mut times, 500);
    let p99 = quantile(&mut times, 990);
    println!(
        "{:<44} {:>14} {:>14}",
        "8 KiB written and forced: median, p99",
        millis(median.as_secs_f64()),
        millis(p99.as_secs_f64())
    );
}
