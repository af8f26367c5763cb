//! How a move is to be run, how it goes, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::MoveError;
use super::journal::TakeOver;
use super::record::MovePhase;
use crate::engine::relocating::Amount;

/// How moves are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveOptions {
    batch: usize,
    parallel: usize,
    max_rows_per_second: Option<u64>,
    max_load: u32,
    pause_target: Duration,
    patience: Duration,
    take_over: TakeOver,
}

impl MoveOptions {
    /// Up to 100 briefcases in a batch, one batch copied after another, as many rows a second as the servers
    /// take, slower while more than 32 sessions are at work on the source, briefcases fenced for 1 s
    /// at the most, and 60 s of patience.
    #[expect(
        clippy::new_without_default,
        reason = "options are spelled out, not defaulted"
    )]
    pub const fn new() -> Self {
        Self {
            batch: 100,
            parallel: 1,
            max_rows_per_second: None,
            max_load: 32,
            pause_target: Duration::from_secs(1),
            patience: Duration::from_mins(1),
            take_over: TakeOver::FromDead,
        }
    }

    /// Sets how many briefcases are moved together, 1 to 1,000: more are faster, and fenced for
    /// longer.
    #[must_use]
    pub fn batch(mut self, briefcases: usize) -> Self {
        self.batch = briefcases.clamp(1, 1000);
        self
    }

    /// Sets how many batches are copied at the same time, 1 to 16. Up to as many again, and four more, are announced, verified,
    /// flipped, or deleted at the source meanwhile.
    #[must_use]
    pub fn parallel(mut self, batches: usize) -> Self {
        self.parallel = batches.clamp(1, 16);
        self
    }

    /// Sets how many rows a second are copied at the most. They are then copied, verified and deleted in small steps with
    /// rests between them, so that what others do takes little longer.
    #[must_use]
    pub fn max_rows_per_second(mut self, rows: u64) -> Self {
        self.max_rows_per_second = Some(rows.max(1));
        self
    }

    /// Sets how many sessions may be at work on the source's server, looked at once a second, before
    /// the move backs off: then it rests after every chunk of rows. A file has no sessions.
    #[must_use]
    pub fn max_load(mut self, sessions: u32) -> Self {
        self.max_load = sessions.max(1);
        self
    }

    /// Sets for how long a briefcase may be fenced, 50 ms to 10 s. When the last changes take longer,
    /// the fence lapses, and is tried again later.
    #[must_use]
    pub fn pause_target(mut self, pause: Duration) -> Self {
        self.pause_target = pause.clamp(Duration::from_millis(50), Duration::from_secs(10));
        self
    }

    /// Sets how long locks and acknowledgements are waited for, before the move stops; it can be
    /// resumed then.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets from whom a move may be taken when it is resumed or aborted.
    #[must_use]
    pub fn take_over(mut self, from: TakeOver) -> Self {
        self.take_over = from;
        self
    }

    pub(super) fn takes_over(&self) -> TakeOver {
        self.take_over
    }

    /// How many briefcases are moved together.
    pub fn briefcases_in_a_batch(&self) -> usize {
        self.batch
    }

    /// For how long a briefcase may be fenced.
    pub fn longest_pause(&self) -> Duration {
        self.pause_target
    }

    /// How many batches are copied at the same time.
    pub fn batches_at_once(&self) -> usize {
        self.parallel
    }

    /// How many rows a second are copied at the most.
    pub fn rows_a_second(&self) -> Option<u64> {
        self.max_rows_per_second
    }

    pub(super) fn load_limit(&self) -> u32 {
        self.max_load
    }

    pub(super) fn waits(&self) -> Duration {
        self.patience
    }
}

/// How far a run is, to be looked at while it goes on, and how to stop it.
///
/// It also has what came of a run that ends with an error, or whose future is dropped.
#[derive(Debug, Default)]
pub struct MoveProgress {
    batches: Mutex<Batches>,
    rows: AtomicU64,
    bytes: AtomicU64,
    briefcases: AtomicU64,
    longest_pause: AtomicU64,
    phase: Mutex<Option<MovePhase>>,
    stop: AtomicBool,
    backs_off: AtomicBool,
    /// By the moves that wait.
    waits_for: Mutex<BTreeMap<String, Vec<String>>>,
    rate: Mutex<Option<(Instant, f64)>>,
}

/// Whom one move waits for.
pub(super) struct Waits<'p> {
    progress: &'p MoveProgress,
    id: &'p str,
}

impl Waits<'_> {
    pub(super) fn are_for(&self, processes: &[String]) {
        self.all().insert(self.id.to_owned(), processes.to_vec());
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        let waits = self.progress.waits_for.lock();
        waits.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.all().remove(self.id);
    }
}

/// What became of the batches of a run.
#[derive(Debug, Default)]
struct Batches {
    /// How many briefcases have been taken up, but for those of moves that were refused.
    briefcases: usize,
    /// With how many briefcases each has.
    unfinished: Vec<(String, usize)>,
    /// Those that nobody has taken yet.
    reports: Vec<MoveReport>,
}

impl MoveProgress {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows that were copied or applied.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes of them, where the engine counts them.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Briefcases that have arrived.
    pub fn briefcases(&self) -> u64 {
        self.briefcases.load(Ordering::Relaxed)
    }

    /// Takes the reports of the batches that have ended well since they were taken last: a caller may ask while the run
    /// goes on, and gets them also when another batch fails.
    pub fn take_reports(&self) -> Vec<MoveReport> {
        std::mem::take(&mut self.batches().reports)
    }

    /// The ids of the moves that were taken up and have not come to their end: they are under way, or have stopped.
    pub fn unfinished(&self) -> Vec<String> {
        let batches = self.batches();
        let ids = batches.unfinished.iter();
        ids.map(|(id, _)| id.clone()).collect()
    }

    /// How many briefcases were taken up: of each there is a move that is done, under way, or has stopped. Those of
    /// the plan that are left are as they were.
    pub fn taken_up(&self) -> usize {
        self.batches().briefcases
    }

    fn batches(&self) -> MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begins(&self, id: &str, briefcases: usize) {
        let mut batches = self.batches();
        batches.briefcases += briefcases;
        batches.unfinished.push((id.to_owned(), briefcases));
    }

    /// A move was refused, or stopped before it copied anything, and nothing is left of it.
    pub(super) fn undone(&self, id: &str) {
        let mut batches = self.batches();
        if let Some(place) = batches.unfinished.iter().position(|(own, _)| own == id) {
            let (_, briefcases) = batches.unfinished.swap_remove(place);
            batches.briefcases -= briefcases;
        }
    }

    pub(super) fn ended(&self, report: &MoveReport) {
        let mut batches = self.batches();
        batches.unfinished.retain(|(id, _)| *id != report.id);
        batches.reports.push(report.clone());
    }

    /// The longest time that briefcases were fenced until now; zero before any was.
    pub fn longest_pause(&self) -> Duration {
        Duration::from_micros(self.longest_pause.load(Ordering::Relaxed))
    }

    /// Refuses to go on once somebody has asked to stop.
    pub(super) fn keep_going(&self) -> Result<(), MoveError> {
        if self.is_stopped() {
            return Err(MoveError::Stopped);
        }
        Ok(())
    }

    /// The phase of the present batch.
    pub fn phase(&self) -> Option<MovePhase> {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the source is at work more than the move is allowed to add to.
    pub fn is_backing_off(&self) -> bool {
        self.backs_off.load(Ordering::Relaxed)
    }

    pub(super) fn back_off(&self, sessions: u32, limit: u32) {
        let backs_off = sessions > limit;
        if self.backs_off.swap(backs_off, Ordering::Relaxed) != backs_off {
            tracing::info!(sessions, limit, backs_off, "the source's load has changed");
        }
    }

    /// The processes that moves wait for just now, since they have not acknowledged yet where briefcases are; each with
    /// what holds it up.
    pub fn waits_for(&self) -> Vec<String> {
        let waits = self
            .waits_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let processes: BTreeSet<&String> = waits.values().flatten().collect();
        processes.into_iter().cloned().collect()
    }

    /// Of one move, until what is handed out is dropped.
    pub(super) fn waits<'p>(&'p self, id: &'p str) -> Waits<'p> {
        Waits { progress: self, id }
    }

    /// Asks the run to stop at the next place where the move can be resumed.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn set_phase(&self, phase: MovePhase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(phase);
    }

    pub(super) fn arrived(&self, briefcases: usize, pause: Duration) {
        self.briefcases
            .fetch_add(briefcases as u64, Ordering::Relaxed);
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        self.longest_pause.fetch_max(micros, Ordering::Relaxed);
    }

    /// Counts rows, and says how long to wait so that there aren't too many of them in a second.
    pub(super) fn taken(&self, chunk: Amount, limit: Option<u64>) -> Duration {
        self.rows.fetch_add(chunk.rows, Ordering::Relaxed);
        self.bytes.fetch_add(chunk.bytes, Ordering::Relaxed);
        let Some(limit) = limit else {
            return Duration::ZERO;
        };
        #[expect(clippy::cast_precision_loss, reason = "a pace needs no precision")]
        let cost = chunk.rows as f64 / limit as f64;
        let now = Instant::now();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, owed) = rate.unwrap_or((now, 0.0));
        let owed = (owed - now.duration_since(since).as_secs_f64()).max(0.0) + cost;
        *rate = Some((now, owed));
        Duration::from_secs_f64(owed)
    }
}

/// What was counted and summed on both sides of one table before the flip.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableReceipt {
    pub(super) table: String,
    pub(super) rows: u64,
    pub(super) checksum: String,
}

impl TableReceipt {
    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// How many rows of the batch it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The sum of the rows' 128-bit hashes, in hexadecimal.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }
}

/// What came of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveReport {
    pub(super) id: String,
    pub(super) briefcases: usize,
    pub(super) rows: u64,
    pub(super) pause: Duration,
    pub(super) tables: Vec<TableReceipt>,
}

impl MoveReport {
    /// The move's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many briefcases were moved.
    pub fn briefcases(&self) -> usize {
        self.briefcases
    }

    /// How many rows they have.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// For how long they were fenced; zero when the run began after the flip.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// What was verified.
    pub fn tables(&self) -> &[TableReceipt] {
        &self.tables
    }
}
