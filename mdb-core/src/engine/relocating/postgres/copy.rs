//! Copying rows from server to server.

use std::fmt::Write;

use futures_util::TryStreamExt;
use sqlx::Postgres;
use sqlx::postgres::PgConnection;
use tokio::sync::mpsc;

use super::{
    Briefcases, LOCK_LIMIT, busy, columns, is_owner, joined, quoted, run, select_owner, settings,
    writer_settings,
};
use crate::engine::Engine;
use crate::engine::relocating::{
    Amount, Manifest, MoveId, MovedReach, MovedTable, OwnerToken, Pace, Pair, Relocating, Side,
    StepError, pause,
};

/// How many bytes go to the target at once, or a row more.
const CHUNK: usize = 128 * 1024;
/// How many rows, at most.
const CHUNK_ROWS: u64 = 2_000;
/// How many chunks are between the two servers.
const IN_FLIGHT: usize = 2;

/// Rows may refer to others that come, or go, with a later statement, where their keys allow that.
pub(super) const DEFER: &str = "SET CONSTRAINTS ALL DEFERRED; ";

/// Rows that one server selects and the other takes in.
pub(super) struct Transfer {
    /// A query.
    pub(super) select: String,
    /// A table and its columns.
    pub(super) into: String,
}

pub(super) async fn copy(
    pair: &mut Pair<Postgres>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    pace: &dyn Pace,
) -> Result<Amount, StepError> {
    let briefcases = Briefcases::of(&mut pair.source, id).await.map_err(busy)?;
    // Locks come before the snapshot, so that it sees what a TRUNCATE has left.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}{}{}",
        settings(LOCK_LIMIT),
        briefcases.settings,
        lock_tables(manifest),
    );
    let copied = async {
        let (begun, cleared) = tokio::join!(
            run(&mut pair.source, &begin),
            clear(&mut pair.target, manifest, &briefcases, id, owner)
        );
        begun.map_err(|error| busy(error).at(Side::Source))?;
        cleared.map_err(|error| error.at(Side::Target))?;
        transfer(pair, &all_rows(manifest, &briefcases), pace).await
    };
    let result = copied.await;
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let (ended, closed) = tokio::join!(
        run(&mut pair.target, end),
        run(&mut pair.source, "ROLLBACK")
    );
    if let Err(StepError::DatabaseAt(Side::Target, error)) = &result
        && Postgres::is_taken(error)
    {
        let cleared = clear(&mut pair.target, manifest, &briefcases, id, owner).await;
        let kept = refuse_kept(&mut pair.target, manifest, id).await;
        run(&mut pair.target, "ROLLBACK").await?;
        cleared.and(kept)?;
    }
    let amount = result?;
    ended.map_err(|error| busy(error).at(Side::Target))?;
    closed?;
    Ok(amount)
}

/// Keeps the tables from being truncated or altered while they are read. Also, a COPY that waits for a
/// lock in vain would leave sqlx's connection unusable.
pub(super) fn lock_tables(manifest: &Manifest) -> String {
    let names: Vec<String> = manifest.tables().iter().map(quoted).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("LOCK TABLE {} IN ACCESS SHARE MODE; ", names.join(", "))
}

/// Begins a transaction of the mover on the target, in which no row of the move is left.
pub(super) async fn clear(
    target: &mut PgConnection,
    manifest: &Manifest,
    briefcases: &Briefcases,
    id: &MoveId,
    owner: OwnerToken,
) -> Result<(), StepError> {
    let mut sql = format!(
        "BEGIN; {DEFER}{}{}{}",
        writer_settings(id, LOCK_LIMIT),
        briefcases.settings,
        select_owner(id)
    );
    for table in manifest.tables().iter().rev() {
        let condition = condition(manifest, table, briefcases);
        let _ = write!(
            sql,
            "DELETE FROM {} AS t WHERE {condition}; ",
            quoted(table)
        );
    }
    // For somebody else the transaction is rolled back, whatever it did.
    is_owner(&run(target, &sql).await.map_err(busy)?, owner)
}

/// Rows that a trigger keeps from being [cleared](clear) have the keys of those that are to come, as others' rows may.
pub(super) async fn refuse_kept(
    target: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<(), StepError> {
    let kept = manifest.first_with_rows::<Postgres>(target, id).await?;
    kept.map_or(Ok(()), |table| Err(StepError::Kept(table.name.clone())))
}

/// All rows of the move, table by table.
pub(super) fn all_rows(manifest: &Manifest, briefcases: &Briefcases) -> Vec<Transfer> {
    let tables = manifest.tables().iter();
    tables
        .map(|table| Transfer {
            select: format!(
                "SELECT {} FROM {} AS t WHERE {}",
                columns(table, "t"),
                quoted(table),
                condition(manifest, table, briefcases)
            ),
            into: format!("{} ({})", quoted(table), columns(table, "")),
        })
        .collect()
}

/// A condition that the row `t` of `table` belongs to one of the briefcases.
pub(super) fn condition(
    manifest: &Manifest,
    table: &MovedTable,
    briefcases: &Briefcases,
) -> String {
    belongs(manifest, table, "t", &briefcases.comparison)
}

/// A condition that the key of the row `alias` of `table` compares so: the planner may begin with the briefcases and
/// come down from their rows. It can't when the look for a parent is a query of its own.
pub(super) fn belongs(
    manifest: &Manifest,
    table: &MovedTable,
    alias: &str,
    comparison: &str,
) -> String {
    belongs_by(manifest, table, alias, comparison, |parent, above, on| {
        format!("{parent} AS {above} WHERE {on} AND")
    })
}

/// The same for a row that was found otherwise: its parents are looked up from it, one by one. The planner can't
/// begin with the briefcases, each of which may have more rows than it believes.
pub(super) fn belongs_upwards(
    manifest: &Manifest,
    table: &MovedTable,
    alias: &str,
    comparison: &str,
) -> String {
    belongs_by(manifest, table, alias, comparison, |parent, above, on| {
        format!("(SELECT * FROM {parent} AS {above} WHERE {on} OFFSET 0) AS {above} WHERE")
    })
}

/// `look_up` writes where a parent is found, with its table, its alias, and what joins it.
fn belongs_by(
    manifest: &Manifest,
    table: &MovedTable,
    alias: &str,
    comparison: &str,
    look_up: impl Fn(&str, &str, &str) -> String + Copy,
) -> String {
    match &table.reach {
        MovedReach::Key { column } => {
            format!("{alias}.{} {comparison}", Postgres::quote(column))
        }
        MovedReach::Parent { parent, on } => {
            let parent = &manifest.tables()[*parent];
            let above = format!("p{}", parent.number);
            let on = joined::<Postgres>(on, alias, &above);
            format!(
                "EXISTS (SELECT FROM {} {})",
                look_up(&quoted(parent), &above, &on),
                belongs_by(manifest, parent, &above, comparison, look_up)
            )
        }
    }
}

/// A part of a table's rows, in COPY's binary form; or its end.
enum Piece {
    Rows(Vec<u8>),
    End,
}

/// Streams rows from the source to the target, inside transactions that have begun on both. While
/// the target takes in one chunk, the source is asked for the next.
pub(super) async fn transfer(
    pair: &mut Pair<Postgres>,
    transfers: &[Transfer],
    pace: &dyn Pace,
) -> Result<Amount, StepError> {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    // Both to their end, also when one fails: sqlx does not recover from a COPY that is left halfway.
    let (read, written) = tokio::join!(
        read_all(&mut pair.source, transfers, sender, pace),
        write_all(&mut pair.target, transfers, receiver)
    );
    let bytes = read.map_err(|error| error.at(Side::Source))?;
    let rows = written.map_err(|error| busy(error).at(Side::Target))?;
    Ok(Amount { rows, bytes })
}

async fn read_all(
    source: &mut PgConnection,
    transfers: &[Transfer],
    sender: mpsc::Sender<Piece>,
    pace: &dyn Pace,
) -> Result<u64, StepError> {
    let mut bytes = 0;
    for transfer in transfers {
        let copy = format!("COPY ({}) TO STDOUT (FORMAT binary)", transfer.select);
        let mut stream = source.copy_out_raw(&copy).await.map_err(busy)?;
        let mut going = Ok(());
        let mut chunk = Vec::new();
        let most = pace.chunk(CHUNK_ROWS);
        let mut rows = 0;
        let mut seen = false;
        while let Some(message) = stream.try_next().await.map_err(busy)? {
            if sender.is_closed() || going.is_err() {
                continue;
            }
            if row_in(&message).is_some() {
                rows += 1;
                seen = true;
            }
            chunk.extend_from_slice(&message);
            if chunk.len() >= CHUNK || rows >= most {
                bytes += chunk.len() as u64;
                let amount = Amount {
                    rows,
                    bytes: chunk.len() as u64,
                };
                let _closed = sender.send(Piece::Rows(std::mem::take(&mut chunk))).await;
                rows = 0;
                going = pause(pace, amount, Postgres::LANES).await;
            }
        }
        drop(stream);
        going?;
        if sender.is_closed() {
            return Ok(bytes);
        }
        // A table without rows is not worth a round trip.
        if seen {
            bytes += chunk.len() as u64;
            let amount = Amount {
                rows,
                bytes: chunk.len() as u64,
            };
            let _closed = sender.send(Piece::Rows(chunk)).await;
            pause(pace, amount, Postgres::LANES).await?;
        }
        let _closed = sender.send(Piece::End).await;
    }
    Ok(bytes)
}

/// The row in a message of a binary COPY: each has one but the trailer. The first one begins with the header.
pub(super) fn row_in(message: &[u8]) -> Option<&[u8]> {
    const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
    const HEADER: usize = SIGNATURE.len() + 8;
    const TRAILER: &[u8] = &[0xff, 0xff];
    let row = if message.starts_with(SIGNATURE) {
        message.get(HEADER..).unwrap_or_default()
    } else {
        message
    };
    (!row.is_empty() && row != TRAILER).then_some(row)
}

async fn write_all(
    target: &mut PgConnection,
    transfers: &[Transfer],
    mut receiver: mpsc::Receiver<Piece>,
) -> Result<u64, sqlx::Error> {
    let mut rows = 0;
    for transfer in transfers {
        let first = match receiver.recv().await {
            Some(Piece::Rows(chunk)) => chunk,
            Some(Piece::End) => continue,
            // The source has failed; its error is the one that counts.
            None => return Ok(rows),
        };
        let copy = format!("COPY {} FROM STDIN (FORMAT binary)", transfer.into);
        let mut sink = target.copy_in_raw(&copy).await?;
        sink.send(first).await?;
        loop {
            match receiver.recv().await {
                Some(Piece::Rows(chunk)) => {
                    sink.send(chunk).await?;
                }
                Some(Piece::End) => break,
                None => {
                    sink.abort("the source has failed").await?;
                    return Ok(rows);
                }
            }
        }
        rows += sink.finish().await?;
    }
    Ok(rows)
}
