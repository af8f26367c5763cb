//! Rows on their way: read as a stream from one snapshot of the source, written to the target in
//! [chunks](super::chunks), each in a transaction of its own. While one chunk is written, the next one is read.

use futures_util::StreamExt;
use sqlx::mysql::MySqlConnection;
use sqlx::{Either, Executor, MySql, Row};

use super::chunks::{CHUNK_ROWS, Chunk, Packet, Part, Reader, Reading, write_long};
use super::delete::delete_some;
use super::{LEAVE, busy, ids, is_owner, mover_settings, rollback, rows_of, run, select_owner};
use crate::engine::Engine;
use crate::engine::relocating::{
    Amount, Manifest, MoveId, OwnerToken, Pace, Pair, Side, StepError, pause,
};

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
    let packet = match cleared {
        Ok(packet) => packet,
        Err(error) => {
            rollback(source).await?;
            return Err(error.at(Side::Target));
        }
    };
    begun.map_err(|error| error.at(Side::Source))?;
    let readings: Vec<Reading> = manifest
        .tables()
        .iter()
        .map(|table| Reading::of_table(table, &rows_of(manifest, table, "t", &ids(id))))
        .collect();
    let copied = transfer(pair, &readings, packet, id, owner, pace).await;
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

/// Removes the rows of the move that are at the target. Says which statements it takes.
async fn clear(
    target: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<Packet, StepError> {
    let tables = manifest.tables().iter();
    let any = tables.map(|table| {
        let rows = rows_of(manifest, table, "t", &ids(id));
        format!("EXISTS (SELECT 1 {rows})")
    });
    let any = any.collect::<Vec<_>>().join(" OR ");
    let any = if any.is_empty() { "FALSE" } else { &any };
    let query = format!("SELECT {}, CAST({any} AS SIGNED)", Packet::QUERY);
    let rows = run(target, &query).await.map_err(busy)?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let packet = Packet::read(row)?;
    // Only an earlier attempt has left some.
    if row.try_get::<i64, _>(1)? == 0 {
        return Ok(packet);
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
            return Ok(packet);
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
    begun.map_err(|error| error.at(Side::Target))
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
                .map_err(|error| busy(error).at(Side::Target))?;
            Ok(value)
        }
        Err(error) => {
            rollback(target).await?;
            Err(error.at(Side::Target))
        }
    }
}

/// A row that is too long for the target is its failure.
fn unread(error: sqlx::Error) -> StepError {
    let side = match error {
        sqlx::Error::Encode(_) => Side::Target,
        _ => Side::Source,
    };
    busy(error).at(side)
}

/// Reads inside the source's transaction and writes at the target, which takes statements of that size.
pub(super) async fn transfer(
    pair: &mut Pair<MySql>,
    readings: &[Reading],
    packet: Packet,
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
        packet,
        ended: 0,
    };
    let mut total = Amount::default();
    let mut chunk = reader.chunk().await.map_err(unread)?;
    while chunk.amount.rows > 0 {
        let amount = chunk.amount;
        let (written, next) = tokio::join!(write(target, chunk, owner), reader.chunk());
        written?;
        total.rows += amount.rows;
        total.bytes += amount.bytes;
        chunk = next.map_err(unread)?;
        pause(pace, amount, MySql::LANES).await?;
    }
    Ok(total)
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
