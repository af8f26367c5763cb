//! `mdb move list`, `status`, `briefcases` and `receipt`: what the journal has.

use std::time::{Duration, UNIX_EPOCH};

use comfy_table::ColumnConstraint;
use mdb_core::Mdb;
use mdb_core::relocate::{MovePhase, MoveRecord, TableReceipt};
use serde::Serialize;

use super::{advice, find, selection};
use crate::args::{Arguments, ListArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

#[derive(Serialize)]
struct Listed<'a> {
    r#move: &'a str,
    area: &'a str,
    source: String,
    target: String,
    phase: &'static str,
    briefcases: usize,
    rows: Option<u64>,
    created_ms: i64,
    changed_ms: i64,
    runs_for_ms: Option<u128>,
}

#[derive(Serialize)]
struct Briefcase<'a> {
    r#move: &'a str,
    gdid: mdb_core::Gdid,
}

pub(super) async fn list(
    arguments: &Arguments,
    mdb: &Mdb,
    asked: &ListArguments,
) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    if let Some(area) = &asked.area {
        store::area(mdb.topology(), area)?;
    }
    let mut records = match (&asked.area, &asked.gdid) {
        (Some(area), Some(id)) => relocator.moves_of(area, store::read_id(id)?).await?,
        _ => relocator.list().await?,
    };
    records.retain(|record| {
        let is_of = |area: &String| record.area().eq_ignore_ascii_case(area);
        asked.area.as_ref().is_none_or(is_of)
            && (asked.phase.is_empty()
                || asked
                    .phase
                    .iter()
                    .any(|phase| phase == record.phase().as_str()))
    });
    if records.is_empty() {
        let is_filtered = asked.area.is_some() || !asked.phase.is_empty();
        output::note(if is_filtered {
            "there is no such move"
        } else {
            "nothing was ever moved"
        });
    }
    print(arguments, mdb, &records).await
}

pub(super) async fn status(
    arguments: &Arguments,
    mdb: &Mdb,
    moves: &[String],
) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let mut records = Vec::new();
    if moves.is_empty() {
        records = relocator.under_way().await?;
        if records.is_empty() {
            output::note("no move is under way");
        }
    }
    for id in moves {
        records.push(find(&relocator, id).await?);
    }
    print(arguments, mdb, &records).await?;
    for record in &records {
        if !record.phase().is_over() && record.runs_for().is_none() {
            output::note(&advice::stopped(record.id(), record.phase()));
        }
    }
    for waiting in relocator.waits_for().await? {
        output::note(&format!("not heard of the present epoch: {waiting}"));
    }
    Ok(())
}

pub(super) async fn briefcases(
    arguments: &Arguments,
    mdb: &Mdb,
    beginning: &str,
) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let record = find(&relocator, beginning).await?;
    for gdid in relocator.briefcases(&record).await? {
        match arguments.format() {
            Format::Json => output::json(&Briefcase {
                r#move: record.id(),
                gdid,
            }),
            Format::Table => output::line(&gdid.to_string()),
        }
    }
    Ok(())
}

pub(super) async fn receipt(
    arguments: &Arguments,
    mdb: &Mdb,
    beginning: &str,
) -> Result<(), Failure> {
    let record = find(&mdb.relocator(), beginning).await?;
    let tables = record.receipt();
    if tables.is_empty() {
        let why = match record.phase() {
            MovePhase::Purging | MovePhase::Done => {
                "it was verified before it was decided, but its mover died right after that, before it had kept the \
                 receipt, and the source's rows could not be read afterwards"
            }
            _ => "a receipt is kept once a move is verified and decided",
        };
        let (id, phase) = (record.id(), record.phase());
        return Err(Failure::Failed(format!("move {id} is {phase}: {why}")));
    }
    match arguments.format() {
        Format::Json => tables.iter().for_each(output::json),
        Format::Table => {
            let mut table = output::table(["table", "rows", "checksum"]);
            for line in &tables {
                table.add_row([line.table(), &line.rows().to_string(), line.checksum()]);
            }
            output::print(&table);
        }
    }
    Ok(())
}

async fn print(arguments: &Arguments, mdb: &Mdb, records: &[MoveRecord]) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let mut table = output::table([
        "move",
        "area",
        "from",
        "to",
        "briefcases",
        "rows",
        "phase",
        "since",
        "mover",
    ]);
    for record in records {
        let briefcases = relocator.briefcases(record).await?.len();
        // A mover that has come to its end does not take its lease back.
        let runs_for = record.runs_for().filter(|_| !record.phase().is_over());
        let receipt = record.receipt();
        let rows = receipt.iter().map(TableReceipt::rows).sum();
        let listed = Listed {
            r#move: record.id(),
            area: record.area(),
            source: selection::journalled(mdb.topology(), record, record.source()),
            target: selection::journalled(mdb.topology(), record, record.target()),
            phase: record.phase().as_str(),
            briefcases,
            rows: (!receipt.is_empty()).then_some(rows),
            created_ms: record.created_ms(),
            changed_ms: record.changed_ms(),
            runs_for_ms: runs_for.map(|time| time.as_millis()),
        };
        let mover = match runs_for {
            _ if record.phase().is_over() => "-".to_owned(),
            Some(left) => format!("alive for {} s", advice::seconds(left)),
            None => "stopped".to_owned(),
        };
        match arguments.format() {
            Format::Json => output::json(&listed),
            Format::Table => {
                let rows = listed.rows.map(|rows| rows.to_string());
                table.add_row([
                    listed.r#move.to_owned(),
                    listed.area.to_owned(),
                    listed.source,
                    listed.target,
                    briefcases.to_string(),
                    rows.unwrap_or_else(|| "-".to_owned()),
                    listed.phase.to_owned(),
                    moment(listed.changed_ms),
                    mover,
                ]);
            }
        }
    }
    if arguments.format() == Format::Table && !records.is_empty() {
        // Ids are there to be copied.
        if let Some(ids) = table.column_mut(0) {
            ids.set_constraint(ColumnConstraint::ContentWidth);
        }
        output::print(&table);
    }
    Ok(())
}

/// A moment of the catalog's clock.
fn moment(millis: i64) -> String {
    output::moment(UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs()))
}
