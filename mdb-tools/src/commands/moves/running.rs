//! Running moves: a line for each batch that ends, a progress bar, and an orderly end when the operator asks for one.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use indicatif::ProgressBar;
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePlan, MoveProgress, MoveRecord, MoveReport, Relocator,
    TableReceipt,
};
use mdb_core::{Mdb, error::chain};
use serde::Serialize;

use super::advice;
use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::signals::Stop;

/// How often the progress bar moves, and ended batches are looked for.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Runner<'a> {
    arguments: &'a Arguments,
    relocator: Relocator,
    options: MoveOptions,
    progress: MoveProgress,
    /// Why the data can't be written any more.
    unwritten: Mutex<Option<Failure>>,
}

#[derive(Serialize)]
struct Moved<'a> {
    r#move: &'a str,
    briefcases: usize,
    rows: u64,
    pause_ms: f64,
    tables: &'a [TableReceipt],
}

/// Why a run ended early.
enum Halt {
    /// It was asked to, and stopped where it can be resumed.
    Asked,
    /// It was asked to twice, and was dropped where it was.
    AtOnce,
    /// What came of batches could not be written, and it stopped where it can be resumed.
    Unwritten(Failure),
    Failed(MoveError),
}

impl<'a> Runner<'a> {
    pub(super) fn new(arguments: &'a Arguments, mdb: &Mdb, options: MoveOptions) -> Self {
        Self {
            arguments,
            relocator: mdb.relocator(),
            options,
            progress: MoveProgress::new(),
            unwritten: Mutex::new(None),
        }
    }

    pub(super) async fn run(&self, plan: &MovePlan) -> Result<(), Failure> {
        if plan.briefcases() == 0 {
            output::note("there is nothing to move");
            return Ok(());
        }
        let rows = self.relocator.count_rows(plan).await?.values().sum();
        let mut stop = Stop::new()?;
        let running = self.relocator.run(plan, &self.options, &self.progress);
        match Box::pin(self.watched(rows, &mut stop, running)).await {
            Ok(_) => Ok(()),
            Err(halt) => {
                self.tell(&halt).await;
                let left = plan.briefcases() - self.progress.taken_up();
                if left > 0 {
                    output::note(&format!(
                        "{} {} not begun: give the same command again afterwards",
                        output::count(left, "briefcase"),
                        output::were(left)
                    ));
                }
                Err(halt.into())
            }
        }
    }

    pub(super) async fn resume(&self, records: &[MoveRecord]) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        for (record, left) in records.iter().zip((0..records.len()).rev()) {
            let running = self
                .relocator
                .resume(record.id(), &self.options, &self.progress);
            if let Err(halt) = Box::pin(self.watched(0, &mut stop, running)).await {
                self.tell(&halt).await;
                if left > 0 {
                    output::note(&format!(
                        "{} {} not taken up after it: see `mdb move status`",
                        output::count(left, "move"),
                        output::were(left)
                    ));
                }
                return Err(halt.into());
            }
        }
        Ok(())
    }

    /// Lets moves run, with a progress bar, and prints what came of each as soon as it ends. Ctrl-C stops them where
    /// they can be resumed.
    async fn watched<T>(
        &self,
        rows: u64,
        stop: &mut Stop,
        running: impl Future<Output = Result<T, MoveError>>,
    ) -> Result<T, Halt> {
        let bar = bar(rows);
        let watch = async {
            loop {
                bar.set_position(self.progress.rows());
                bar.set_message(self.message());
                self.print(&bar);
                tokio::time::sleep(TICK).await;
            }
        };
        let interrupt = async {
            stop.next().await;
            self.progress.stop();
            output::note("stopping where the move can be resumed; once more stops at once");
            stop.next().await;
        };
        let end = tokio::select! {
            end = running => end.map_err(|error| match error {
                MoveError::Stopped => Halt::Asked,
                error => Halt::Failed(error),
            }),
            () = watch => unreachable!("the watch never ends"),
            () = interrupt => Err(Halt::AtOnce),
        };
        self.print(&bar);
        bar.finish_and_clear();
        match (end, self.unwritten().take()) {
            (Ok(_) | Err(Halt::Asked), Some(failure)) => Err(Halt::Unwritten(failure)),
            (end, failure) => {
                failure.as_ref().inspect(|failure| output::report(failure));
                end
            }
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, Option<Failure>> {
        self.unwritten.lock().expect("no holder of the lock panics")
    }

    fn message(&self) -> String {
        let phase = self.progress.phase();
        let mut message = phase.map_or("planning", |phase| phase.as_str()).to_owned();
        let pause = self.progress.longest_pause();
        if !pause.is_zero() {
            let pause_ms = pause.as_secs_f64() * 1000.0;
            let _ = write!(message, "; fenced {pause_ms:.1} ms at most");
        }
        if self.progress.is_backing_off() {
            message.push_str("; resting, for the source is busy");
        }
        message
    }

    /// Prints what came of the batches that have ended meanwhile. If it can't, the others stop where they can be resumed.
    fn print(&self, bar: &ProgressBar) {
        for report in self.progress.take_reports() {
            let line = match self.arguments.format() {
                Format::Json => output::as_json(&Moved {
                    r#move: report.id(),
                    briefcases: report.briefcases(),
                    rows: report.rows(),
                    pause_ms: (report.pause().as_secs_f64() * 10_000.0).round() / 10.0,
                    tables: report.tables(),
                }),
                Format::Table => in_words(&report),
            };
            bar.suspend(|| {
                let mut unwritten = self.unwritten();
                if unwritten.is_none() {
                    *unwritten = output::try_line(&line).err();
                }
                if unwritten.is_some() {
                    self.progress.stop();
                    output::note(&in_words(&report));
                }
            });
        }
    }

    /// Says which moves have stopped, and what can be done about each.
    async fn tell(&self, halt: &Halt) {
        for id in self.progress.unfinished() {
            let line = match (halt, self.relocator.find(&id).await) {
                (Halt::AtOnce, _) => format!(
                    "move {id} was stopped at once: `mdb move resume {id} --force` goes on with it, \
                     `mdb move abort {id} --force` undoes it; without `--force`, 15 s from now"
                ),
                (_, Ok(record)) if record.runs_for().is_some() => {
                    format!("move {id} is run by another process: see `mdb move status`")
                }
                (_, Ok(record)) => advice::stopped(&id, record.phase()),
                (_, Err(error)) => format!(
                    "move {id} has stopped, and it can't be asked how far it came ({}): see `mdb move status`, then \
                     resume or abort it",
                    chain(&error)
                ),
            };
            output::note(&line);
        }
    }
}

impl From<Halt> for Failure {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Asked | Halt::AtOnce => {
                Self::Interrupted("the batches that were reported are done".to_owned())
            }
            Halt::Unwritten(failure) => failure,
            Halt::Failed(error) => error.into(),
        }
    }
}

fn in_words(report: &MoveReport) -> String {
    let briefcases = output::count(report.briefcases(), "briefcase");
    let mut words = format!("move {} is done: {briefcases}", report.id());
    // Nobody knows them if the mover died before it had kept the receipt.
    if !report.tables().is_empty() {
        let rows = usize::try_from(report.rows()).unwrap_or(usize::MAX);
        let _ = write!(words, ", {}", output::count(rows, "row"));
    }
    if !report.pause().is_zero() {
        let pause_ms = report.pause().as_secs_f64() * 1000.0;
        let _ = write!(words, ", fenced {pause_ms:.1} ms");
    }
    words
}

fn bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    let template = "{wide_bar} {pos}/{len} rows  {rate} rows/s  {eta} left  {msg}";
    bar.set_style(output::style(template));
    bar
}
