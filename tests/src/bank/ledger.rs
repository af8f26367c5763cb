//! What a process knows of its transfers, written down as soon as it knows it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use mdb_core::Gdid;

/// What somebody who asked for a transfer knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Known {
    /// It is committed.
    Acknowledged,
    /// It is not committed, and never will be.
    Refused,
    /// The connection was lost during the commit.
    Unknown,
}

impl Known {
    const ALL: [Self; 3] = [Self::Acknowledged, Self::Refused, Self::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// Writes a ledger, line by line; and hands out ids of transfers that no other ledger of the bank has.
#[derive(Debug)]
pub struct LedgerWriter {
    file: File,
    number: u32,
    next: u64,
}

impl LedgerWriter {
    /// A new file. Every process, or part of one, has a number of its own, above 1.
    ///
    /// # Errors
    ///
    /// The file can't be created.
    pub fn create(path: &Path, number: u32) -> io::Result<Self> {
        Ok(Self {
            file: OpenOptions::new()
                .append(true)
                .create_new(true)
                .open(path)?,
            number,
            next: 1,
        })
    }

    /// A fresh id of a transfer.
    ///
    /// # Panics
    ///
    /// When there were too many.
    pub fn transfer(&mut self) -> Gdid {
        let counter = self.next;
        self.next += 1;
        Gdid::new(self.number, 0, counter).expect("a small counter")
    }

    /// Writes down what is known of a transfer.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn note(&mut self, known: Known, user: Gdid, transfer: Gdid) -> io::Result<()> {
        let line = format!("{} {user} {transfer}\n", known.as_str());
        self.file.write_all(line.as_bytes())
    }
}

/// Transfers, each with what is known of it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    lines: Vec<(Known, Gdid, Gdid)>,
}

impl Ledger {
    /// Reads what was written; nothing where there is no file.
    ///
    /// # Panics
    ///
    /// When the file can't be read, or is no ledger.
    pub fn read(path: &Path) -> Self {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.expect("the ledger can be read"),
        };
        let lines = text.lines().map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().expect("three words");
            let known = word();
            let known = Known::ALL.into_iter().find(|k| k.as_str() == known);
            let mut id = || word().parse().expect("an id");
            (known.expect("a known word"), id(), id())
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// Adds a line.
    pub fn note(&mut self, known: Known, user: Gdid, transfer: Gdid) {
        self.lines.push((known, user, transfer));
    }

    /// Takes over the lines of another.
    pub fn append(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    /// The customers and ids of the transfers of which that is known.
    pub fn of(&self, known: Known) -> impl Iterator<Item = (Gdid, Gdid)> + '_ {
        let lines = self.lines.iter().filter(move |line| line.0 == known);
        lines.map(|(_, user, transfer)| (*user, *transfer))
    }

    /// How many of them there are.
    pub fn count(&self, known: Known) -> usize {
        self.of(known).count()
    }
}
