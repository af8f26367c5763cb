//! Sums of rows that servers send, for the mover to hash.

use mdb_gdid::Gdid;

use super::{Manifest, Span};

/// Up to this length servers send a text or bytes as they are, to be hashed; of a longer value they send a hash, so that
/// large documents travel once, when they are copied.
pub(crate) const INLINE_BYTES: usize = 16 << 10;

/// Whether a type's values are never longer than that, whatever their character set: `varchar(80)`.
pub(crate) fn is_short(data_type: &str) -> bool {
    const BYTES_OF_A_CHARACTER: usize = 4;
    let length = data_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(length, _)| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| length <= INLINE_BYTES / BYTES_OF_A_CHARACTER)
}

/// Count and checksum of the rows of a move in one table of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableSum {
    pub(crate) rows: u64,
    /// The sum of the 128-bit hashes of all rows in canonical form, so that their order does not
    /// matter.
    pub(crate) sum: u128,
}

impl TableSum {
    pub(crate) const NOTHING: Self = Self { rows: 0, sum: 0 };
}

/// The sums of the tables in each span, under way.
pub(crate) struct SpanSums<'s> {
    spans: &'s [Span],
    /// The span of the last row: rows of a briefcase come together.
    last: usize,
    sums: Vec<Vec<TableSum>>,
}

impl<'s> SpanSums<'s> {
    pub(crate) fn new(manifest: &Manifest, spans: &'s [Span]) -> Self {
        Self {
            spans,
            last: 0,
            sums: vec![vec![TableSum::NOTHING; manifest.tables().len()]; spans.len()],
        }
    }

    /// The span that has a briefcase.
    pub(crate) fn place_of(&mut self, id: Gdid) -> Result<usize, sqlx::Error> {
        if !self.spans.get(self.last).is_some_and(|s| s.contains(id)) {
            let found = self.spans.iter().position(|span| span.contains(id));
            self.last = found.ok_or(sqlx::Error::RowNotFound)?;
        }
        Ok(self.last)
    }

    /// Adds a row of a table.
    pub(crate) fn add(&mut self, span: usize, table: usize, hash: u128) -> Result<(), sqlx::Error> {
        let total = self.sums.get_mut(span).and_then(|sums| sums.get_mut(table));
        let total = total.ok_or(sqlx::Error::RowNotFound)?;
        total.rows += 1;
        total.sum = total.sum.wrapping_add(hash);
        Ok(())
    }

    pub(crate) fn end(self) -> Vec<Vec<TableSum>> {
        self.sums
    }
}
