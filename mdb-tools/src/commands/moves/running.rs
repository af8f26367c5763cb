//! Running moves: a line for each batch that ends, a progress bar, and an orderly end when the operator asks for one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePlan, MoveProgress, MoveRecord, MoveReport, Relocator, TableReceipt,
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

/// After what time it is said whom a move waits for.
const LONG_WAIT: Duration = Duration::from_secs(2);

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

/// Whom a move waits for, until that has been told.
#[derive(Default)]
struct Waits {
    since: Option<Instant>,
    told: BTreeSet<String>,
}

impl Waits {
    /// What to say of processes that have been waited for long, once of each.
    fn tell(&mut self, processes: Vec<String>) -> Option<String> {
        if processes.is_empty() {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < LONG_WAIT {
            return None;
        }
        let mut new = processes;
        new.retain(|process| self.told.insert(process.clone()));
        (!new.is_empty()).then(|| {
            format!(
                "waiting until it is known there that briefcases move: {} (one that has died is waited for until its \
                 lease has run out, ten seconds)",
                new.join("; ")
            )
        })
    }
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
        match Box::pin(self.watched(Some(rows), &mut stop, running)).await {
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
            // How far the move is already, only its copy at the target says.
            if let Err(halt) = Box::pin(self.watched(None, &mut stop, running)).await {
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
        rows: Option<u64>,
        stop: &mut Stop,
        running: impl Future<Output = Result<T, MoveError>>,
    ) -> Result<T, Halt> {
        let (bar, before) = (bar(rows), self.progress.rows());
        let watch = async {
            let mut waits = Waits::default();
            loop {
                if let Some(whom) = waits.tell(self.progress.waits_for()) {
                    bar.suspend(|| output::note(&whom));
                }
                bar.set_position(self.progress.rows() - before);
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
        let waits_for = self.progress.waits_for().len();
        if waits_for > 0 {
            let plural = if waits_for == 1 { "" } else { "es" };
            let _ = write!(message, "; waits for {waits_for} process{plural}");
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
    // Nobody knows them if the mover died before it had kept the receipt, and the source could not be read afterwards.
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

/// A bar of so many rows; where nobody knows how many there are, it only says that the work goes on.
fn bar(rows: Option<u64>) -> ProgressBar {
    let (bar, template) = match rows {
        Some(rows) => (
            ProgressBar::new(rows),
            "{wide_bar} {pos}/{len} rows  {rate} rows/s  {eta} left  {msg}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {pos} rows  {rate} rows/s  {elapsed}  {msg}",
        ),
    };
    bar.set_style(output::style(template));
    bar
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that keeps all that was ever drawn.
    #[derive(Clone, Debug, Default)]
    struct Drawn(Arc<Mutex<String>>);

    impl TermLike for Drawn {
        fn width(&self) -> u16 {
            100
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("nobody panics").push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the bar looks like when that many rows have come.
    fn drawn(bar: &ProgressBar, rows: u64) -> String {
        let terminal = Drawn::default();
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bar.set_position(rows);
        bar.tick();
        terminal.0.lock().expect("nobody panics").clone()
    }

    #[test]
    fn a_bar_says_how_much_is_left_only_where_that_is_known() {
        let known = drawn(&bar(Some(1_000)), 250);
        assert!(known.contains("250/1000 rows"), "{known}");
        assert!(known.contains(" left"), "{known}");
        let unknown = drawn(&bar(None), 250);
        assert!(unknown.contains(" 250 rows "), "{unknown}");
        assert!(!unknown.contains(" left"), "{unknown}");
    }
}
