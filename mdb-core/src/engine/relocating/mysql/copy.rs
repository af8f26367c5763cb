//! Rows on their way: read as a stream from one snapshot of the source, written to the target in
//! chunks, each in a transaction of its own. While one chunk is written, the next one is read.

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::mysql::{MySqlConnection, MySqlQueryResult, MySqlRow};
use sqlx::{Either, Executor, MySql, Row};

use super::delete::delete_some;
use super::values::{Kind, read_list};
use super::{
    LEAVE, busy, column_list, ids, is_owner, mover_settings, quoted, rollback, rows_of, run,
    select_owner,
};
use crate::engine::Engine;
use crate::engine::relocating::{
    Amount, Manifest, MoveId, MovedTable, OwnerToken, Pace, Pair, StepError, pause,
};

/// A chunk ends after as many rows, bytes, or bytes of a statement's text, whichever comes first: a value that is empty
/// is a few bytes there.
const CHUNK_ROWS: u64 = 4_000;
const CHUNK_BYTES: u64 = 1 << 20;
const CHUNK_TEXT: usize = 4 << 20;

/// A row that is longer goes by itself, as bound values: as text it may be twice as long, and a
/// statement has to fit a packet.
const LONG_ROW: usize = 256 << 10;

/// How many rows are deleted at once.
const DELETED_AT_ONCE: u32 = 5_000;

/// Begins a transaction of the source whose reads all see the same, but for what it changes itself, and which waits for a
/// target that is slower, for as long as it takes.
pub(super) const BEGIN_SNAPSHOT: &str = "SET SESSION net_write_timeout = 3600, SESSION character_set_results = NULL /*M! , SESSION idle_transaction_timeout = 0 */ \
     /*!80000 , SESSION wait_timeout = 28800 */; \
     SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
     START TRANSACTION WITH CONSISTENT SNAPSHOT";

/// How many statements [`begin_sql`] has.
const BEGIN_STATEMENTS: usize = 3;

/// Begins a transaction of the target, and asks whose the move is.
fn begin_sql(id: &MoveId) -> String {
    format!(
        "{}; START TRANSACTION; {} LOCK IN SHARE MODE",
        mover_settings(id),
        select_owner(id)
    )
}

type Steps<'c> = BoxStream<'c, Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>>;

/// Rows that are to be brought.
pub(super) struct Reading {
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
struct Chunk<'r> {
    parts: Vec<Part<'r>>,
    amount: Amount,
}

enum Part<'r> {
    Text(String),
    Long(&'r Reading, MySqlRow),
}

pub(super) async fn copy(
    pair: &mut Pair<MySql>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Amount, StepError> {
    let Pair { source, target, .. } = &mut *pair;
    let (cleared, begun) = tokio::join!(
        clear(target, manifest, id, owner),
        begin_snapshot(source, id, owner)
    );
    if let Err(error) = cleared {
        rollback(source).await?;
        return Err(error);
    }
    begun?;
    let readings: Vec<Reading> = manifest
        .tables()
        .iter()
        .map(|table| Reading::of_table(table, &rows_of(manifest, table, "t", &ids(id))))
        .collect();
    let copied = transfer(pair, &readings, id, owner, pace).await;
    rollback(&mut pair.source).await?;
    copied
}

/// A mover that was replaced would be refused at the target; so late it need not begin.
async fn begin_snapshot(
    source: &mut MySqlConnection,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<(), StepError> {
    let begin = format!("{BEGIN_SNAPSHOT}, READ ONLY; {}", select_owner(id));
    let begun = run(source, &begin).await.map_err(busy);
    let begun = begun.and_then(|rows| is_owner(&rows, owner));
    if begun.is_err() {
        rollback(source).await?;
    }
    begun
}

/// Removes the rows of the move that are at the target.
async fn clear(
    target: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<(), StepError> {
    let tables = manifest.tables().iter();
    let any = tables.map(|table| {
        let rows = rows_of(manifest, table, "t", &ids(id));
        format!("EXISTS (SELECT 1 {rows})")
    });
    let any = any.collect::<Vec<_>>().join(" OR ");
    // Only an earlier attempt has left some.
    if any.is_empty()
        || run(
            target,
            &format!("SELECT 1 FROM (SELECT 1 AS one) o WHERE {any}"),
        )
        .await
        .map_err(busy)?
        .is_empty()
    {
        return Ok(());
    }
    loop {
        begin_at_target(target, id, owner).await?;
        let deleted = delete_some(target, manifest, id, DELETED_AT_ONCE).await;
        let deleted = deleted.map_err(|error| match error {
            StepError::Database(error) => busy(error),
            error => error,
        });
        let deleted = end_at_target(target, deleted).await?;
        if deleted < u64::from(DELETED_AT_ONCE) {
            return Ok(());
        }
    }
}

pub(super) async fn begin_at_target(
    target: &mut MySqlConnection,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<(), StepError> {
    let begun = begin_with(target, &begin_sql(id), owner).await;
    if begun.is_err() {
        rollback(target).await?;
    }
    begun
}

/// Runs statements of which the first are those of [`begin_sql`]. Whatever comes of them, there may be a
/// transaction to end.
async fn begin_with(
    target: &mut MySqlConnection,
    sql: &str,
    owner: OwnerToken,
) -> Result<(), StepError> {
    let mut steps = target.fetch_many(sql);
    let (mut ended, mut checked) = (0, Err(StepError::NotOwner));
    while let Some(step) = steps.next().await {
        match step {
            Ok(Either::Left(_)) => ended += 1,
            Ok(Either::Right(row)) => checked = is_owner(&[row], owner),
            // Who has the move now may have done what is in the way of the statements after the check.
            Err(error) if ended < BEGIN_STATEMENTS || checked.is_ok() => return Err(busy(error)),
            Err(_) => break,
        }
    }
    checked
}

pub(super) async fn end_at_target<T>(
    target: &mut MySqlConnection,
    result: Result<T, StepError>,
) -> Result<T, StepError> {
    match result {
        Ok(value) => {
            run(target, &format!("COMMIT; {LEAVE}"))
                .await
                .map_err(busy)?;
            Ok(value)
        }
        Err(error) => {
            rollback(target).await?;
            Err(error)
        }
    }
}

/// Reads inside the source's transaction and writes at the target.
pub(super) async fn transfer(
    pair: &mut Pair<MySql>,
    readings: &[Reading],
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Amount, StepError> {
    if readings.is_empty() {
        return Ok(Amount::default());
    }
    let queries: Vec<&str> = readings.iter().map(|r| r.query.as_str()).collect();
    let sql = queries.join("; ");
    let Pair { source, target, .. } = pair;
    let begin = begin_sql(id);
    let mut reader = Reader {
        steps: source.fetch_many(sql.as_str()),
        readings,
        begin: &begin,
        most: pace.chunk(CHUNK_ROWS),
        ended: 0,
    };
    let mut total = Amount::default();
    let mut chunk = reader.chunk().await.map_err(busy)?;
    while chunk.amount.rows > 0 {
        let amount = chunk.amount;
        let (written, next) = tokio::join!(write(target, chunk, owner), reader.chunk());
        written?;
        total.rows += amount.rows;
        total.bytes += amount.bytes;
        chunk = next.map_err(busy)?;
        pause(pace, amount, MySql::LANES).await?;
    }
    Ok(total)
}

/// The rows of several tables, one after another.
struct Reader<'c, 'r> {
    steps: Steps<'c>,
    readings: &'r [Reading],
    /// Goes before the statements of each chunk.
    begin: &'r str,
    /// How many rows a chunk has at the most.
    most: u64,
    /// How many of their queries have ended.
    ended: usize,
}

impl<'r> Reader<'_, 'r> {
    /// The next rows; none when all were read.
    async fn chunk(&mut self) -> Result<Chunk<'r>, sqlx::Error> {
        let mut chunk = Chunk::default();
        let mut text = self.begin.to_owned();
        // The statement that `text` ends with is one for this table.
        let mut open = None;
        while chunk.amount.rows < self.most
            && chunk.amount.bytes < CHUNK_BYTES
            && text.len() < CHUNK_TEXT
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
            if bytes > LONG_ROW {
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

async fn write(
    target: &mut MySqlConnection,
    chunk: Chunk<'_>,
    owner: OwnerToken,
) -> Result<(), StepError> {
    let written = async {
        for (number, part) in chunk.parts.iter().enumerate() {
            match part {
                Part::Text(sql) if number == 0 => begin_with(target, sql, owner).await?,
                Part::Text(sql) => target.execute(sql.as_str()).await.map(drop).map_err(busy)?,
                Part::Long(reading, row) => {
                    write_long(target, reading, row).await.map_err(busy)?;
                }
            }
        }
        Ok(())
    };
    let written = written.await;
    end_at_target(target, written).await
}

async fn write_long(
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
