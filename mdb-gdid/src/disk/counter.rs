//! The count of one sequence at one authority: in memory, and its copies at all locations.
//!
//! The count is read once, when it is first used, and then goes on from memory. Each block is
//! written to all locations before it is returned; a **copy** is what one location holds.

use std::sync::Arc;
use std::time::Instant;

use super::error::LocationError;
use super::location::Location;
use super::quorum::{Quorum, highest};
use super::record::CounterKey;
use crate::authority::{
    AuthorityError, AuthorityStatus, Block, BlockLife, BlockSize, Cause, Ledger, Place,
    SequenceState, UnixMillis,
};
use crate::range_key::RangeKey;
use copy::{Copy, Written};
use gather::{PATIENCE, gather};

mod copy;
mod gather;

/// The locations, and what their counts have in common.
#[derive(Debug)]
pub(super) struct LocationSet {
    pub(super) place: Place,
    pub(super) life: BlockLife,
    pub(super) quorum: Quorum,
    pub(super) locations: Vec<Arc<Location>>,
}

/// Too few locations have told their count.
#[derive(Debug, thiserror::Error)]
#[error(
    "{answers} of {locations} locations have told their count, so the highest may be missing; \
     make the others available, or replace them"
)]
struct TooFewAnswers {
    answers: usize,
    locations: usize,
    source: LocationError,
}

/// Too few locations have stored a count.
#[derive(Debug, thiserror::Error)]
#[error("{written} of {locations} locations have stored the count, but {needed} have to")]
struct TooFewWritten {
    written: usize,
    needed: usize,
    locations: usize,
    source: LocationError,
}

/// What was begun was not brought to its end: a panic.
#[derive(Debug, thiserror::Error)]
#[error("a write was interrupted")]
struct Interrupted;

/// The count of one sequence at one authority.
#[derive(Debug)]
pub(super) struct Counter {
    key: CounterKey,
    /// The highest count that may have been used; `None` until it is read.
    ledger: Option<Ledger>,
    /// Why it may not go on.
    closed: Option<Cause>,
    copies: Vec<Arc<Copy>>,
}

impl Counter {
    pub(super) fn new(key: CounterKey, locations: usize) -> Self {
        Self {
            key,
            ledger: None,
            closed: None,
            copies: (0..locations).map(|_| Arc::default()).collect(),
        }
    }

    /// The next block, durable.
    pub(super) fn allocate(
        &mut self,
        set: &LocationSet,
        size: BlockSize,
        now: UnixMillis,
    ) -> Result<Block, AuthorityError> {
        let ledger = self.open(set)?;
        let (block, after) = ledger
            .issue(self.key.authority, size, now, set.life)
            .map_err(|source| AuthorityError::Exhausted {
                place: set.place.clone(),
                sequence: self.key.sequence.clone(),
                source,
            })?;
        self.store(set, ledger, after, set.quorum.to_write())?;
        if after.state().is_near_the_end() {
            tracing::warn!(
                place = %set.place, sequence = %self.key.sequence, era = after.state().era(),
                "the eras of the sequence are nearly used up"
            );
        }
        Ok(block)
    }

    /// Makes sure, durably, that nothing below `floor` comes any more.
    pub(super) fn raise(
        &mut self,
        set: &LocationSet,
        floor: RangeKey,
    ) -> Result<(), AuthorityError> {
        let ledger = self.open(set)?;
        let raised = ledger.raised(SequenceState::before(floor));
        // What was found highest may stand at fewer than a majority of the locations.
        let holds = |copy: &&Arc<Copy>| {
            let known = copy.known();
            known
                .holds
                .is_some_and(|held| held.state() >= raised.state())
        };
        let settled = self.copies.iter().filter(holds).count() >= set.quorum.to_write();
        if raised == ledger && (settled || raised == Ledger::START) {
            return Ok(());
        }
        self.store(set, ledger, raised, set.quorum.to_write())
    }

    /// Writes what is known to all locations, all of which have to store it.
    pub(super) fn settle(&mut self, set: &LocationSet) -> Result<(), AuthorityError> {
        let ledger = self.open(set)?;
        self.store(set, ledger, ledger, set.quorum.locations())
    }

    /// How far it is. Looks at all locations, and writes nothing.
    pub(super) fn status(
        &mut self,
        set: &LocationSet,
        now: UnixMillis,
    ) -> Result<AuthorityStatus, AuthorityError> {
        let ledger = match self.ledger {
            Some(ledger) => {
                let answers = self.ask(set, |_| true);
                self.take_note(set, &answers, &ledger);
                ledger
            }
            None => self.open(set)?,
        };
        let mut status = AuthorityStatus::of(self.key.authority, &ledger, now, set.life);
        if self.closed.is_some() {
            status = status.with_note("closed since a write failed; open it again");
        }
        let notes = |copy: &Arc<Copy>| copy.known().notes();
        Ok(self
            .copies
            .iter()
            .flat_map(notes)
            .fold(status, AuthorityStatus::with_note))
    }

    /// The count to go on from.
    fn open(&mut self, set: &LocationSet) -> Result<Ledger, AuthorityError> {
        if let Some(source) = &self.closed {
            return Err(AuthorityError::Closed {
                place: set.place.clone(),
                sequence: self.key.sequence.clone(),
                source: source.clone(),
            });
        }
        if let Some(ledger) = self.ledger {
            return Ok(ledger);
        }
        let quorum = set.quorum;
        let answers = self.ask(set, |answers| {
            let away = answers.iter().filter(|answer| answer.is_none()).count();
            suffices(quorum, answers.iter().flatten(), away)
        });
        let valid = answers.iter().filter_map(|answer| answer.as_ref().ok());
        let ledger = highest(valid.clone().copied().flatten());
        self.take_note(set, &answers, &ledger);
        if !suffices(quorum, answers.iter(), 0) {
            let count = valid.count();
            return Err(self.too_few_answers(set, count, answers));
        }
        self.ledger = Some(ledger);
        Ok(ledger)
    }

    fn too_few_answers(
        &self,
        set: &LocationSet,
        count: usize,
        answers: Vec<Answer>,
    ) -> AuthorityError {
        let mut errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        let damaged = errors.iter().position(is_damaged);
        let (place, sequence) = (set.place.clone(), self.key.sequence.clone());
        let source = Cause::from(TooFewAnswers {
            answers: count,
            locations: set.locations.len(),
            source: errors.swap_remove(damaged.unwrap_or(0)),
        });
        match damaged {
            Some(_) => AuthorityError::Corrupt {
                place,
                sequence,
                source,
            },
            None => AuthorityError::Unavailable {
                place,
                sequence,
                source,
            },
        }
    }

    /// What the locations hold.
    fn ask(&self, set: &LocationSet, enough: impl Fn(&[Option<Answer>]) -> bool) -> Vec<Answer> {
        let job = |(location, copy): (&Arc<Location>, &Arc<Copy>)| {
            let (location, copy) = (Arc::clone(location), Arc::clone(copy));
            let key = self.key.clone();
            move || {
                if copy.known().busy {
                    return Err(busy(&location));
                }
                location.read(&key)
            }
        };
        let jobs = set.locations.iter().zip(&self.copies).map(job).collect();
        let not_started = |place: usize, source| Err(no_thread(&set.locations[place], source));
        let answers = gather(jobs, not_started, enough);
        let answer = |(answer, location): (Option<Answer>, &Arc<Location>)| {
            answer.unwrap_or_else(|| Err(busy(location)))
        };
        answers
            .into_iter()
            .zip(&set.locations)
            .map(answer)
            .collect()
    }

    fn take_note(&self, set: &LocationSet, answers: &[Answer], highest: &Ledger) {
        for ((answer, copy), location) in answers.iter().zip(&self.copies).zip(&set.locations) {
            let found = answer.as_ref().map(|found| *found);
            copy.known().found(location, &self.key, found, highest);
        }
    }

    /// Makes `after` the count, once `needed` locations hold it: a majority or all.
    fn store(
        &mut self,
        set: &LocationSet,
        before: Ledger,
        after: Ledger,
        needed: usize,
    ) -> Result<(), AuthorityError> {
        self.closed = Some(Cause::from(Interrupted));
        let started = Instant::now();
        let done = |written: &Option<Written>| matches!(written, Some(Written::Done));
        let answers = self.write(set, &before, &after, |answers| {
            answers.iter().filter(|written| done(written)).count() >= needed
        });
        let took = started.elapsed();
        if took > PATIENCE {
            tracing::warn!(
                place = %set.place, sequence = %self.key.sequence, milliseconds = took.as_millis(),
                "storing a count took long"
            );
        }
        let written = answers.iter().filter(|written| done(written)).count();
        let (mut begun, mut intruder, mut failure) = (written > 0, false, None);
        let mut beyond = before.state();
        for (answer, (location, copy)) in answers
            .into_iter()
            .zip(set.locations.iter().zip(&self.copies))
        {
            let error = match answer {
                Some(Written::Done) => continue,
                // No block of it was ever returned, for a majority is known not to have held it. It
                // is skipped all the same, so that no location ever goes back.
                Some(Written::Ahead(found)) => {
                    beyond = beyond.max(found.state());
                    LocationError::Ahead {
                        path: location.path().to_owned(),
                        found: found.state().next(),
                        written: before.state().next(),
                    }
                }
                Some(Written::NotBegun(error)) => {
                    intruder |= matches!(error, LocationError::Ahead { .. });
                    error
                }
                Some(Written::Failed(error)) => {
                    begun = true;
                    error
                }
                None => {
                    begun = true;
                    let error = busy(location);
                    copy.known().is_in_trouble(error.to_string());
                    error
                }
            };
            failure = failure.or(Some(error));
        }
        let Some(source) = failure.filter(|_| intruder || written < needed) else {
            self.ledger = Some(after.raised(beyond));
            self.closed = None;
            return Ok(());
        };
        let (place, sequence) = (set.place.clone(), self.key.sequence.clone());
        let source = Cause::from(TooFewWritten {
            written,
            needed,
            locations: set.locations.len(),
            source,
        });
        if !begun && !intruder {
            self.ledger = Some(before.raised(beyond));
            self.closed = None;
            return Err(AuthorityError::Unavailable {
                place,
                sequence,
                source,
            });
        }
        tracing::error!(%place, %sequence, "too few locations have stored a count; no ids until it is opened again");
        self.closed = Some(source.clone());
        Err(AuthorityError::Closed {
            place,
            sequence,
            source,
        })
    }

    fn write(
        &self,
        set: &LocationSet,
        before: &Ledger,
        after: &Ledger,
        enough: impl Fn(&[Option<Written>]) -> bool,
    ) -> Vec<Option<Written>> {
        let job = |(location, copy): (&Arc<Location>, &Arc<Copy>)| {
            let (location, copy) = (Arc::clone(location), Arc::clone(copy));
            let (key, before, after) = (self.key.clone(), *before, *after);
            let is_free = !std::mem::replace(&mut copy.known().busy, true);
            move || {
                if is_free {
                    copy.write(&location, &key, &before, &after)
                } else {
                    Written::NotBegun(busy(&location))
                }
            }
        };
        let jobs = set.locations.iter().zip(&self.copies).map(job).collect();
        let not_started = |place: usize, source| {
            self.copies[place].known().busy = false;
            Written::NotBegun(no_thread(&set.locations[place], source))
        };
        gather(jobs, not_started, enough)
    }
}

/// What a location holds, or why it doesn't tell.
type Answer = Result<Option<Ledger>, LocationError>;

fn suffices<'a>(quorum: Quorum, answers: impl Iterator<Item = &'a Answer>, away: usize) -> bool {
    let (mut away, mut damaged) = (away, 0);
    for error in answers.filter_map(|answer| answer.as_ref().err()) {
        if is_damaged(error) {
            damaged += 1;
        } else {
            away += 1;
        }
    }
    quorum.knows_the_highest(away, damaged)
}

fn is_damaged(error: &LocationError) -> bool {
    matches!(error, LocationError::Damaged { .. })
}

fn busy(location: &Location) -> LocationError {
    LocationError::Busy {
        path: location.path().to_owned(),
    }
}

fn no_thread(location: &Location, source: std::io::Error) -> LocationError {
    LocationError::Thread {
        path: location.path().to_owned(),
        source,
    }
}
