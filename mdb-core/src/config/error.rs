//! What reading a configuration can end with, and how it is shown.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use super::fault::Faults;

/// Whether a report is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// With ANSI colours.
    Ansi,
    /// Plain text.
    Plain,
}

/// Why there is no configuration.
///
/// `Display` is one line; [`render`](Self::render) shows all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{name} has {size} bytes; a configuration has at most {limit}")]
    TooLarge {
        /// What the file is called.
        name: String,
        /// Its size in bytes, or what was read of it.
        size: u64,
        /// The most it may have.
        limit: u64,
    },
    /// The file is not UTF-8 text.
    #[error(
        "{name} is not a text file: line {line} holds a byte at offset {offset} that is not UTF-8 text"
    )]
    NotText {
        /// What the file is called.
        name: String,
        /// Where the first such byte is, from 0.
        offset: usize,
        /// The line that it is in, from 1.
        line: usize,
    },
    /// The text is wrong in at least one way.
    #[error("{0}")]
    Faults(Faults),
}

impl ConfigError {
    /// Shows the error: every fault with its file, line, the text underlined and a help.
    ///
    /// Lines of prose are wrapped at `width` columns (40 at least). Ends with a line feed.
    pub fn render(&self, colour: Colour, width: usize) -> String {
        let theme = match colour {
            Colour::Ansi => GraphicalTheme::unicode(),
            Colour::Plain => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width.max(40))
            .with_links(false)
            .with_urls(false);
        let mut report = String::new();
        // Writing to a string doesn't fail.
        let _ = match self {
            Self::Faults(faults) => Self::render_faults(faults, &handler, &mut report),
            Self::Read { .. } | Self::TooLarge { .. } | Self::NotText { .. } => {
                handler.render_report(&mut report, self)
            }
        };
        report
    }

    fn render_faults(
        faults: &Faults,
        handler: &GraphicalReportHandler,
        report: &mut String,
    ) -> std::fmt::Result {
        for fault in faults.iter() {
            if handler.render_report(report, fault).is_err() {
                writeln!(report, "line {}: {fault}", fault.line())?;
            }
            writeln!(report)?;
        }
        let noun = if faults.total() == 1 {
            "fault"
        } else {
            "faults"
        };
        write!(report, "{} {noun} in {}", faults.total(), faults.name())?;
        if faults.omitted() > 0 {
            write!(report, "; {} more are not shown", faults.omitted())?;
        }
        writeln!(report)
    }
}

impl Diagnostic for ConfigError {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(match self {
            Self::Read { .. } => "mdb::config::read",
            Self::TooLarge { .. } => "mdb::config::too_large",
            Self::NotText { .. } => "mdb::config::not_text",
            Self::Faults(_) => return None,
        }))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(match self {
            Self::Read { .. } => "check the path and the permission to read it",
            Self::TooLarge { .. } | Self::NotText { .. } => {
                "is this the configuration file? It is TOML text in UTF-8"
            }
            Self::Faults(_) => return None,
        }))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self {
            Self::Faults(faults) => faults.related(),
            Self::Read { .. } | Self::TooLarge { .. } | Self::NotText { .. } => None,
        }
    }
}
