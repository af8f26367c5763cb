//! Rows as statements that bring them, in chunks that the target takes.

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::mysql::{MySqlConnection, MySqlQueryResult, MySqlRow};
use sqlx::{Either, Row};

use super::values::{Kind, read_list};
use super::{column_list, quoted};
use crate::engine::relocating::{Amount, MovedTable};

/// A chunk ends after as many rows, bytes, or bytes of a statement's text, whichever comes first: a value that is empty
/// is a few bytes there.
pub(super) const CHUNK_ROWS: u64 = 4_000;
const CHUNK_BYTES: u64 = 1 << 20;
const CHUNK_TEXT: usize = 4 << 20;

/// A row that is longer goes by itself, as bound values: as text it may be twice as long, and a
/// statement has to fit a [`Packet`].
const LONG_ROW: usize = 256 << 10;

/// What a bound value takes besides its bytes: its type, and its length.
const VALUE_HEAD: usize = 11;

/// How long a statement may be that a server takes, in bytes: a longer one ends the session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet(usize);

impl Packet {
    /// What [`read`](Self::read) reads, first in its row.
    pub(super) const QUERY: &'static str = "CAST(@@max_allowed_packet AS SIGNED)";

    pub(super) fn read(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let bytes: i64 = row.try_get(0)?;
        Ok(Self(usize::try_from(bytes).unwrap_or(usize::MAX)))
    }

    /// After how many bytes a text ends: the last row, twice as long as text, has to fit too.
    fn text(self) -> usize {
        CHUNK_TEXT.min(self.0 / 4)
    }

    /// From how many bytes on a row goes by itself.
    fn row(self) -> usize {
        LONG_ROW.min(self.0 / 8)
    }

    fn check(self, reading: &Reading, bytes: usize) -> Result<(), sqlx::Error> {
        if bytes < self.0 {
            return Ok(());
        }
        let message = format!(
            "a row of table `{}` has {bytes} bytes, and `max_allowed_packet` of the server that it goes to is {}: raise that there",
            reading.table, self.0
        );
        Err(sqlx::Error::Encode(message.into()))
    }
}

type Steps<'c> = BoxStream<'c, Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>>;

/// Rows that are to be brought.
pub(super) struct Reading {
    /// Whose rows they are, or are about.
    pub(super) table: String,
    /// Reads them at the source, as the kinds are read.
    pub(super) query: String,
    /// `INSERT … VALUES `.
    pub(super) insert: String,
    pub(super) kinds: Vec<Kind>,
}

impl Reading {
    /// Rows `t` of a table; `rows` is `FROM …`.
    pub(super) fn of_table(table: &MovedTable, rows: &str) -> Self {
        Self {
            table: table.name.clone(),
            query: format!("SELECT {} {rows}", read_list(table.columns.iter(), "t")),
            insert: format!(
                "INSERT INTO {} ({}) VALUES ",
                quoted(table),
                column_list(table)
            ),
            kinds: table.columns.iter().map(Kind::of).collect(),
        }
    }
}

/// Statements that bring rows. The first is text, which begins the transaction too.
#[derive(Default)]
pub(super) struct Chunk<'r> {
    pub(super) parts: Vec<Part<'r>>,
    pub(super) amount: Amount,
}

pub(super) enum Part<'r> {
    Text(String),
    Long(&'r Reading, MySqlRow),
}

/// The rows of several tables, one after another.
pub(super) struct Reader<'c, 'r> {
    pub(super) steps: Steps<'c>,
    pub(super) readings: &'r [Reading],
    /// Goes before the statements of each chunk.
    pub(super) begin: &'r str,
    /// How many rows a chunk has at the most.
    pub(super) most: u64,
    /// What the target takes.
    pub(super) packet: Packet,
    /// How many of their queries have ended.
    pub(super) ended: usize,
}

impl<'r> Reader<'_, 'r> {
    /// The next rows; none when all were read.
    pub(super) async fn chunk(&mut self) -> Result<Chunk<'r>, sqlx::Error> {
        let mut chunk = Chunk::default();
        let mut text = self.begin.to_owned();
        // The statement that `text` ends with is one for this table.
        let mut open = None;
        while chunk.amount.rows < self.most
            && chunk.amount.bytes < CHUNK_BYTES
            && text.len() < self.packet.text()
        {
            let row = match self.steps.next().await.transpose()? {
                None => break,
                Some(Either::Left(_)) => {
                    self.ended += 1;
                    continue;
                }
                Some(Either::Right(row)) => row,
            };
            let place = self.ended;
            let reading = &self.readings[place];
            let mut bytes = 0;
            for column in 0..row.len() {
                let value: Option<&[u8]> = row.try_get_unchecked(column)?;
                bytes += value.map_or(0, <[u8]>::len);
            }
            chunk.amount.rows += 1;
            chunk.amount.bytes += bytes as u64;
            if bytes > self.packet.row() {
                self.packet.check(reading, bytes + row.len() * VALUE_HEAD)?;
                if !text.is_empty() {
                    chunk.parts.push(Part::Text(std::mem::take(&mut text)));
                }
                open = None;
                chunk.parts.push(Part::Long(reading, row));
                continue;
            }
            if open == Some(place) {
                text.push_str(",(");
            } else {
                if !text.is_empty() {
                    text.push(';');
                }
                text.push_str(&reading.insert);
                text.push('(');
                open = Some(place);
            }
            for (number, kind) in reading.kinds.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                kind.write(row.try_get_unchecked(number)?, &mut text);
            }
            text.push(')');
        }
        if !text.is_empty() {
            chunk.parts.push(Part::Text(text));
        }
        Ok(chunk)
    }
}

pub(super) async fn write_long(
    target: &mut MySqlConnection,
    reading: &Reading,
    row: &MySqlRow,
) -> Result<(), sqlx::Error> {
    let placeholders: Vec<&str> = reading.kinds.iter().map(|k| k.placeholder()).collect();
    let sql = format!("{}({})", reading.insert, placeholders.join(", "));
    let mut query = sqlx::query(&sql).persistent(false);
    for (place, kind) in reading.kinds.iter().enumerate() {
        let value: Option<&[u8]> = row.try_get_unchecked(place)?;
        query = match kind {
            Kind::Stored | Kind::Bytes | Kind::Json => query.bind(value),
            Kind::Number | Kind::Float | Kind::Notation => {
                let text = value
                    .map(std::str::from_utf8)
                    .transpose()
                    .map_err(|error| sqlx::Error::Decode(error.into()))?;
                if *kind == Kind::Number {
                    let number = text
                        .map(str::parse::<u64>)
                        .transpose()
                        .map_err(|error| sqlx::Error::Decode(error.into()))?;
                    query.bind(number)
                } else {
                    query.bind(text)
                }
            }
        };
    }
    query.execute(target).await.map(drop)
}
