//! Printing: tables for people, one JSON object a line for scripts.

use std::io::{ErrorKind, IsTerminal, Write};
use std::time::{Duration, SystemTime};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressFinish, ProgressState, ProgressStyle};
use mdb_core::config::Colour;
use serde::Serialize;

use crate::failure::Failure;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Writes one JSON object on a line of its own.
pub(crate) fn json(value: &impl Serialize) {
    line(&as_json(value));
}

/// An object as JSON, on one line.
pub(crate) fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structures become JSON")
}

/// Writes one line of data; ends the program if that fails.
pub(crate) fn line(text: &str) {
    if let Err(failure) = try_line(text) {
        report(&failure);
        std::process::exit(failure.status().into());
    }
}

/// Writes one line of data, for those who have something to bring to its end if that fails.
pub(crate) fn try_line(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}").map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Failed(format!("can't write the data: {error}")),
    })
}

/// A table with headings: with lines on a terminal, where it is folded to fit; elsewhere columns alone, a line a row.
pub(crate) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    // A terminal that tells of no columns may have any number of them.
    if table.width() != Some(0) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    if is_terminal() {
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    } else {
        table.load_style(presets::NOTHING);
    }
    table.set_header(headings);
    if !is_terminal() {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }
    table
}

/// Prints a table.
pub(crate) fn print(table: &Table) {
    line(&table.trim_fmt());
}

/// Names in a cell of a table: one below the other where people look at it.
pub(crate) fn names(text: &str) -> String {
    if is_terminal() {
        text.replace(", ", ",\n")
    } else {
        text.to_owned()
    }
}

/// Whether people read the data as it comes.
fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// So many of them: `1 move`, `2 moves`.
pub(crate) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        several => format!("{several} {what}s"),
    }
}

/// The verb to so many of them.
pub(crate) fn are(number: usize) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// The same, of what is over.
pub(crate) fn were(number: usize) -> &'static str {
    if number == 1 { "was" } else { "were" }
}

/// A hint for people, which is not data.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Says why the command failed.
pub(crate) fn report(failure: &Failure) {
    match failure {
        Failure::Reported | Failure::ReaderGone => {}
        Failure::Config(error) => {
            let stderr = std::io::stderr();
            let colour = if stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none() {
                Colour::Ansi
            } else {
                Colour::Plain
            };
            let _ = write!(stderr.lock(), "{}", error.render(colour, 100));
        }
        failure => note(&format!("error: {}", shortened(failure.to_string()))),
    }
}

/// A message repeats what was asked for, which can be a whole file pasted by mistake.
fn shortened(mut message: String) -> String {
    const ENOUGH: usize = 4000;
    if message.len() > ENOUGH {
        message.truncate(message.floor_char_boundary(ENOUGH));
        message.push('…');
    }
    message
}

/// A progress bar on standard error; invisible where that is no terminal.
pub(crate) fn progress(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total).with_finish(ProgressFinish::AndClear);
    bar.set_style(style("{msg} {wide_bar} {pos}/{len}  {rate}/s  {eta} left"));
    bar.set_message(what);
    bar
}

/// How a progress bar looks; `{rate}` is in whole numbers.
pub(crate) fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0}", state.per_sec());
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
}

/// A moment as people read it, in UTC.
pub(crate) fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A time in seconds, rounded up.
pub(crate) fn duration(millis: u64) -> String {
    humantime::format_duration(Duration::from_secs(millis.div_ceil(1000))).to_string()
}

/// Bytes as people read them.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
