//! Running moves: a progress bar, and an orderly end when the operator asks for one.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mdb_core::relocate::{
    MoveError, MoveOptions, MoveProgress, MoveRecord, MoveReport, MoveRequest, TableReceipt,
    TakeOver,
};
use mdb_core::{Mdb, relocate::Relocator};
use serde::Serialize;

use crate::args::{Arguments, Pacing};
use crate::failure::Failure;
use crate::output::{self, Format};

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Runner<'a> {
    arguments: &'a Arguments,
    relocator: Relocator,
    options: MoveOptions,
    progress: MoveProgress,
}

#[derive(Serialize)]
struct Moved<'a> {
    r#move: &'a str,
    briefcases: usize,
    rows: u64,
    pause_ms: f64,
    tables: &'a [TableReceipt],
}

impl<'a> Runner<'a> {
    pub(super) fn new(arguments: &'a Arguments, mdb: &Mdb, pacing: &Pacing) -> Self {
        let mut options = MoveOptions::new()
            .batch(usize::from(pacing.batch))
            .parallel(usize::from(pacing.parallel))
            .max_load(pacing.max_load)
            .pause_target(Duration::from_millis(pacing.pause_target))
            .patience(Duration::from_secs(pacing.patience));
        if let Some(rows) = pacing.max_rows_per_second {
            options = options.max_rows_per_second(rows);
        }
        Self {
            arguments,
            relocator: mdb.relocator(),
            options,
            progress: MoveProgress::new(),
        }
    }

    pub(super) fn taking_over(mut self, from: TakeOver) -> Self {
        self.options = self.options.take_over(from);
        self
    }

    pub(super) async fn run(&self, request: &MoveRequest) -> Result<(), Failure> {
        let plan = self.relocator.plan(request).await?;
        if plan.briefcases() == 0 {
            output::note("there is nothing to move");
            return Ok(());
        }
        let rows = self.relocator.count_rows(&plan).await?.values().sum();
        let running = self.relocator.run(&plan, &self.options, &self.progress);
        let reports = Box::pin(self.watched(rows, running)).await?;
        self.print(&reports);
        Ok(())
    }

    pub(super) async fn resume(&self, records: &[MoveRecord]) -> Result<(), Failure> {
        if records.is_empty() {
            output::note("no move has stopped");
        }
        for record in records {
            let running = self
                .relocator
                .resume(record.id(), &self.options, &self.progress);
            let report = Box::pin(self.watched(0, running)).await?;
            self.print(&[report]);
        }
        Ok(())
    }

    /// Lets the move run, with a progress bar; Ctrl-C stops it where it can be resumed.
    async fn watched<T>(
        &self,
        rows: u64,
        running: impl Future<Output = Result<T, MoveError>>,
    ) -> Result<T, Failure> {
        let bar = bar(rows);
        let watch = async {
            loop {
                bar.set_position(self.progress.rows());
                let pause = self.progress.longest_pause().as_secs_f64() * 1000.0;
                let phase = self
                    .progress
                    .phase()
                    .map_or("planning", |phase| phase.as_str());
                let rests = if self.progress.is_backing_off() {
                    "; resting, for the source is busy"
                } else {
                    ""
                };
                bar.set_message(format!("{phase}; fenced {pause:.1} ms at most{rests}"));
                tokio::time::sleep(TICK).await;
            }
        };
        let interrupt = async {
            if tokio::signal::ctrl_c().await.is_ok() {
                self.progress.stop();
                output::note("stopping where the move can be resumed; once more stops at once");
                let _ = tokio::signal::ctrl_c().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let end = tokio::select! {
            end = running => end,
            () = watch => unreachable_forever(),
            () = interrupt => return Err(Failure::Interrupted),
        };
        bar.finish_and_clear();
        match end {
            Ok(value) => Ok(value),
            Err(MoveError::Stopped) => {
                output::note("stopped; `mdb move resume` goes on, `mdb move abort` undoes it");
                Err(Failure::Interrupted)
            }
            Err(error) => {
                let is_untouched = matches!(
                    error,
                    MoveError::Unknown { .. }
                        | MoveError::NotOwner
                        | MoveError::WrongPhase { .. }
                        | MoveError::Plan(_)
                );
                if !is_untouched {
                    output::note(
                        "the move has stopped; see `mdb move status`, then resume or abort it",
                    );
                }
                Err(error.into())
            }
        }
    }

    fn print(&self, reports: &[MoveReport]) {
        let mut table = output::table(["move", "briefcases", "rows", "fenced"]);
        for report in reports {
            let pause_ms = report.pause().as_secs_f64() * 1000.0;
            match self.arguments.format() {
                Format::Json => output::json(&Moved {
                    r#move: report.id(),
                    briefcases: report.briefcases(),
                    rows: report.rows(),
                    pause_ms: (pause_ms * 10.0).round() / 10.0,
                    tables: report.tables(),
                }),
                Format::Table => {
                    table.add_row([
                        report.id().to_owned(),
                        report.briefcases().to_string(),
                        report.rows().to_string(),
                        format!("{pause_ms:.1} ms"),
                    ]);
                }
            }
        }
        if self.arguments.format() == Format::Table {
            output::line(&table.to_string());
        }
    }
}

fn unreachable_forever() -> ! {
    unreachable!("the watch never ends")
}

fn bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    let style =
        ProgressStyle::with_template("{wide_bar} {pos}/{len} rows  {per_sec}  {eta} left  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar
}
