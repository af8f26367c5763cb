//! What is known of one location's copy of a count.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::error::LocationError;
use super::super::location::Location;
use super::super::record::CounterKey;
use crate::authority::{Ledger, SequenceState};

/// One location's copy of a count. It is shared with whoever writes it just now, who may still be
/// at it when the others are done.
#[derive(Debug, Default)]
pub(super) struct Copy(Mutex<Known>);

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Somebody writes it just now.
    pub(super) busy: bool,
    /// It has been read or written by this process.
    pub(super) answered: bool,
    /// What it holds, or something before it.
    pub(super) holds: Option<Ledger>,
    /// The directories of its file are durable.
    anchored: bool,
    /// What is wrong with it now.
    trouble: Option<String>,
    /// The last thing that was wrong with its content.
    history: Option<String>,
}

/// What became of writing a copy.
#[derive(Debug)]
pub(super) enum Written {
    /// It is durable.
    Done,
    /// It was not touched: it holds a later count, from a write that this process knows nothing of.
    Ahead(Ledger),
    /// It was not touched.
    NotBegun(LocationError),
    /// It may have been written or not.
    Failed(LocationError),
}

/// How a count is told to people: the range key that comes next.
pub(super) fn next(ledger: Option<&Ledger>) -> String {
    ledger.map_or_else(
        || "no count".to_owned(),
        |ledger| ledger.state().next().to_string(),
    )
}

fn state(ledger: Option<&Ledger>) -> Option<SequenceState> {
    ledger.map(Ledger::state)
}

impl Known {
    /// Takes note of what was found. `highest` is the highest count known, `where` is the file's.
    pub(super) fn found(
        &mut self,
        location: &Location,
        key: &CounterKey,
        found: Result<Option<Ledger>, &LocationError>,
        highest: &Ledger,
    ) {
        let path = location.path().display();
        match found {
            Ok(found) => {
                if self.answered && state(found.as_ref()) < state(self.holds.as_ref()) {
                    let note = format!(
                        "{path} has gone back: it holds {}, but held {}",
                        next(found.as_ref()),
                        next(self.holds.as_ref())
                    );
                    tracing::error!(sequence = %key.sequence, authority = key.authority.get(), "{note}");
                    self.history = Some(note);
                }
                self.trouble = None;
                if state(found.as_ref()) < Some(highest.state()) && *highest != Ledger::START {
                    let note = format!(
                        "{path} lags: it holds {}, the highest is {}; it follows with the next block",
                        next(found.as_ref()),
                        next(Some(highest))
                    );
                    tracing::warn!(sequence = %key.sequence, authority = key.authority.get(), "{note}");
                    self.trouble = Some(note);
                }
                self.answered = true;
                self.holds = found;
            }
            Err(error) => {
                let note = error.in_full();
                tracing::warn!(sequence = %key.sequence, authority = key.authority.get(), "{note}");
                if matches!(error, LocationError::Damaged { .. }) {
                    self.answered = true;
                    self.holds = None;
                    self.history = Some(note.clone());
                }
                self.trouble = Some(note);
            }
        }
    }

    /// What an operator should know.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> + use<> {
        let past = self
            .history
            .clone()
            .filter(|note| Some(note) != self.trouble.as_ref());
        let past = past.map(|note| format!("since this process started: {note}"));
        self.trouble.clone().into_iter().chain(past)
    }

    pub(super) fn is_in_trouble(&mut self, note: String) {
        self.trouble = Some(note);
    }
}

impl Copy {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `after` in the place of `before`, once it is sure that nobody else has written, and
    /// takes note of the outcome.
    pub(super) fn write(
        &self,
        location: &Location,
        key: &CounterKey,
        before: &Ledger,
        after: &Ledger,
    ) -> Written {
        let written = self.try_write(location, key, before, after);
        let mut known = self.known();
        known.busy = false;
        match &written {
            Written::Done => {
                known.answered = true;
                known.anchored = true;
                known.holds = Some(*after);
                known.trouble = None;
            }
            Written::Ahead(_) => {}
            Written::NotBegun(error) | Written::Failed(error) => {
                let note = error.in_full();
                tracing::warn!(sequence = %key.sequence, authority = key.authority.get(), "{note}");
                known.trouble = Some(note);
            }
        }
        written
    }

    fn try_write(
        &self,
        location: &Location,
        key: &CounterKey,
        before: &Ledger,
        after: &Ledger,
    ) -> Written {
        let found = match location.read(key) {
            Ok(found) => Ok(found),
            Err(error @ LocationError::Damaged { .. }) => Err(error),
            Err(error) => return Written::NotBegun(error),
        };
        let anchored = {
            let mut known = self.known();
            if let Ok(Some(found)) = &found
                && found.state() > before.state()
            {
                if known.answered {
                    return Written::NotBegun(LocationError::Ahead {
                        path: location.path().to_owned(),
                        found: found.state().next(),
                        written: before.state().next(),
                    });
                }
                known.answered = true;
                known.holds = Some(*found);
                return Written::Ahead(*found);
            }
            // One that lags has been reported, and is about to be written.
            let highest = known.holds.unwrap_or(Ledger::START);
            match &found {
                Ok(found) => known.found(location, key, Ok(*found), &highest),
                Err(error) => known.found(location, key, Err(error), &highest),
            }
            // A directory that somebody has removed is made again.
            known.anchored && matches!(found, Ok(Some(_)))
        };
        match location.write(key, after, anchored) {
            Ok(()) => Written::Done,
            Err(error) => Written::Failed(error),
        }
    }
}
