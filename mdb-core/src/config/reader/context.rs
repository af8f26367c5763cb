//! What all sections share: the text, the environment and the faults found so far.

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Range;
use std::path::Path;

use crate::config::fault::{Collector, Found, secrets};

/// The most that a message repeats of the file, in characters.
const QUOTED: usize = 60;
/// Words longer than this get no suggestion.
const COMPARED: usize = 80;
/// Comparisons for suggestions in one file; a very broken file gets none at its end.
const COMPARISONS: usize = 200_000;

pub(super) struct Context<'a> {
    text: &'a str,
    base: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    faults: RefCell<Collector>,
    /// Ranges of lines that aren't TOML, ascending.
    broken: OnceCell<Vec<Range<usize>>>,
    comparisons: Cell<usize>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        text: &'a str,
        base: &'a Path,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            text,
            base,
            environment,
            faults: RefCell::default(),
            broken: OnceCell::new(),
            comparisons: Cell::new(COMPARISONS),
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn base(&self) -> &'a Path {
        self.base
    }

    pub(super) fn environment(&self) -> &'a dyn Fn(&str) -> Option<String> {
        self.environment
    }

    pub(super) fn into_faults(self) -> Collector {
        self.faults.into_inner()
    }

    /// Says which lines aren't TOML; once, before anything else is reported.
    pub(super) fn set_broken(&self, lines: Vec<Range<usize>>) {
        // A second call would change nothing; there is none.
        let _ = self.broken.set(lines);
    }

    fn broken(&self) -> &[Range<usize>] {
        self.broken.get().map_or(&[], Vec::as_slice)
    }

    /// Reports a syntax error.
    pub(super) fn syntax(&self, found: Found) {
        self.faults.borrow_mut().push(found);
    }

    /// Reports what is wrong with something that is there, unless its line isn't TOML anyway.
    pub(super) fn report(&self, found: Found) {
        let start = found.start();
        let broken = self.broken();
        let line = broken.partition_point(|line| line.end < start);
        if !broken.get(line).is_some_and(|line| line.contains(&start)) {
            self.faults.borrow_mut().push(found);
        }
    }

    /// Reports that something is not there, unless it may stand in a part that isn't TOML.
    pub(super) fn absent(&self, found: Found) {
        if self.broken().is_empty() {
            self.faults.borrow_mut().push(found);
        }
    }

    /// The candidate that `word` is most likely a misspelling of.
    pub(super) fn nearest<'n>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'n str>,
    ) -> Option<&'n str> {
        if word.len() > COMPARED {
            return None;
        }
        let word = word.to_lowercase();
        let allowed = (word.chars().count() / 3).max(1);
        candidates
            .into_iter()
            .take_while(|_| {
                let left = self.comparisons.get();
                self.comparisons.set(left.saturating_sub(1));
                left > 0
            })
            .filter(|candidate| candidate.len() <= COMPARED)
            .map(|candidate| {
                (
                    strsim::osa_distance(&word, &candidate.to_lowercase()),
                    candidate,
                )
            })
            .filter(|(distance, _)| *distance <= allowed)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, candidate)| candidate)
    }

    /// A help that names what exists, the nearest first.
    pub(super) fn known<'n>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'n str> + Clone,
        kind: &str,
    ) -> String {
        let mut help = String::new();
        if let Some(nearest) = self.nearest(word, candidates.clone()) {
            help = format!("did you mean {}? ", quoted(nearest));
        }
        let mut candidates = candidates.into_iter();
        let listed: Vec<_> = candidates.by_ref().take(24).map(quoted).collect();
        let more = if candidates.next().is_some() {
            ", …"
        } else {
            ""
        };
        if listed.is_empty() {
            return format!("{help}there are no {kind}");
        }
        format!("{help}{kind}: {}{more}", listed.join(", "))
    }
}

/// A piece of the file in a message: in backticks, cut, on one line, and nothing that may be a
/// password.
pub(super) fn quoted(text: &str) -> String {
    if !secrets(text).is_empty() {
        return "`…`".to_owned();
    }
    let mut shown: String = text
        .chars()
        .take(QUOTED)
        .map(|c| {
            if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                '?'
            } else {
                c
            }
        })
        .collect();
    if text.chars().nth(QUOTED).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
