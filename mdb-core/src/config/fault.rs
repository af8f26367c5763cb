//! Faults: what is wrong with a configuration, where, and what would be right.
//!
//! A [`Fault`] owns all it shows: its *snippet* is the few lines around each underlined text, cut
//! to a bearable width, with passwords blanked and control characters replaced.

mod code;
mod collector;
mod mask;
mod snippet;

use std::fmt;

use miette::{Diagnostic, LabeledSpan, SourceCode};

pub use code::FaultCode;
pub(super) use collector::{Collector, Found};
pub(super) use mask::{Masked, mask, secrets, sounds_secret};
use snippet::Snippet;

/// The most faults that are kept and shown of one file.
pub(super) const SHOWN: usize = 50;

/// One thing that is wrong with a configuration.
///
/// Its `Display` is the message alone; as a [`miette::Diagnostic`] it has the code, the labelled
/// source text and the help.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    code: FaultCode,
    message: String,
    help: Option<String>,
    line: usize,
    column: usize,
    underlined: String,
    snippet: Snippet,
}

impl Fault {
    /// What kind of fault it is; stable from release to release.
    pub fn code(&self) -> FaultCode {
        self.code
    }

    /// The line of the underlined text, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The first character of the underlined text in its line, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What would be right, where more can be said than the message does.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The underlined text (of its first line), passwords blanked.
    pub fn underlined(&self) -> &str {
        &self.underlined
    }

    /// The lines around the underlined text, passwords blanked.
    pub fn snippet(&self) -> &str {
        self.snippet.text()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.line, self.column, self.code, self.message
        )
    }
}

impl std::error::Error for Fault {}

impl Diagnostic for Fault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.snippet)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.snippet.labels()))
    }
}

/// Everything that is wrong with one configuration, by position; at least one fault.
///
/// Of a very broken file the first 50 are kept and the others counted.
#[derive(Clone, PartialEq, Eq)]
pub struct Faults {
    name: String,
    shown: Vec<Fault>,
    total: usize,
}

impl Faults {
    /// The faults that are kept, by position in the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.shown.iter()
    }

    /// How many faults there are, with those that were counted only.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many faults were counted only.
    pub fn omitted(&self) -> usize {
        self.total - self.shown.len()
    }

    /// What the file is called in reports.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.total == 1 { "fault" } else { "faults" };
        write!(f, "{} {noun} in {}", self.total, self.name)?;
        match (self.shown.first(), self.total) {
            (None, _) => Ok(()),
            (Some(only), 1) => write!(f, ": line {}: {}", only.line, only.message),
            (Some(first), _) => write!(f, "; the first: line {}: {}", first.line, first.message),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("name", &self.name)
            .field("total", &self.total)
            .field("faults", &self.shown)
            .finish()
    }
}

impl std::error::Error for Faults {}

impl Diagnostic for Faults {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.shown.iter().map(|fault| fault as &dyn Diagnostic),
        ))
    }
}
