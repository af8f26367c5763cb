//! Gathering faults in any order, and showing them by position.

use std::ops::Range;

use super::snippet::Text;
use super::{Fault, FaultCode, Faults, Masked, SHOWN};

/// How many faults are gathered before those furthest down are counted only.
const GATHERED: usize = 4096;

/// A fault as it is found: byte ranges in the file's text, nothing rendered yet.
pub(in crate::config) struct Found {
    code: FaultCode,
    at: Range<usize>,
    message: String,
    label: String,
    others: Vec<(Range<usize>, String)>,
    help: Option<String>,
}

impl Found {
    pub(in crate::config) fn new(
        code: FaultCode,
        at: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            at,
            message: message.into(),
            label: "here".to_owned(),
            others: Vec::new(),
            help: None,
        }
    }

    /// Words under the underlined text.
    pub(in crate::config) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Underlines a second place.
    pub(in crate::config) fn other(mut self, at: Range<usize>, label: impl Into<String>) -> Self {
        self.others.push((at, label.into()));
        self
    }

    /// Says what would be right.
    pub(in crate::config) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Where the underlined text begins.
    pub(in crate::config) fn start(&self) -> usize {
        self.at.start
    }

    fn position(&self) -> (usize, usize) {
        (self.at.start, self.at.end)
    }
}

/// Gathers faults; memory and time stay bounded however many there are.
#[derive(Default)]
pub(in crate::config) struct Collector {
    found: Vec<Found>,
    total: usize,
}

impl Collector {
    pub(in crate::config) fn push(&mut self, found: Found) {
        self.total += 1;
        self.found.push(found);
        if self.found.len() >= GATHERED {
            self.keep_first();
        }
    }

    pub(in crate::config) fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn keep_first(&mut self) {
        self.found.sort_by_key(Found::position);
        self.found.truncate(SHOWN);
    }

    /// The faults by position, each with its own piece of the blanked text.
    pub(in crate::config) fn finish(mut self, name: &str, masked: &Masked) -> Faults {
        self.keep_first();
        let text = Text::new(name, masked);
        let faults = self.found.into_iter().map(|found| {
            let at = text.position(found.at.start);
            let underlined = text.first_line(&found.at).to_owned();
            let labels = std::iter::once((found.at, found.label)).chain(found.others);
            Fault {
                code: found.code,
                message: found.message,
                help: found.help,
                line: at.line + 1,
                column: at.column + 1,
                underlined,
                snippet: text.snippet(labels.collect()),
            }
        });
        Faults {
            name: name.to_owned(),
            shown: faults.collect(),
            total: self.total,
        }
    }
}
