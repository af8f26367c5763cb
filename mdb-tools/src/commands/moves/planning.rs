//! `mdb move plan`: what a run would do.

use mdb_core::Mdb;
use mdb_core::relocate::{MovePlan, Warning};
use serde::Serialize;

use super::{bounded, in_portions, selection};
use crate::args::{Arguments, PlanArguments, SelectionArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

/// How many rows a second an estimate takes for granted.
const ESTIMATED_RATE: u64 = 30_000;

/// How many ids a message names.
const NAMED: usize = 10;

#[derive(Serialize)]
struct Planned<'a> {
    area: &'a str,
    source: String,
    target: String,
    briefcases: usize,
    rows: u64,
    batches: usize,
    seconds: u64,
    worst_pause_ms: u64,
    tables: Vec<&'a str>,
    warnings: Vec<Warned<'a>>,
}

#[derive(Serialize)]
struct Warned<'a> {
    place: &'a str,
    reason: &'a str,
}

fn warned(warning: &Warning) -> Warned<'_> {
    Warned {
        place: warning.place(),
        reason: warning.reason(),
    }
}

/// The plan of what was asked for; ids that nobody seems to have are refused, unless they are meant.
pub(super) async fn planned(mdb: &Mdb, asked: &SelectionArguments) -> Result<MovePlan, Failure> {
    let request = selection::request(mdb, asked)?;
    let relocator = mdb.relocator();
    let plan = relocator.plan(&request).await?;
    if !asked.even_empty && selection::names_ids(asked) {
        let empty = relocator.without_rows(&plan).await?;
        if !empty.is_empty() {
            let named = empty.iter().take(NAMED).map(ToString::to_string);
            let named: Vec<String> = named.collect();
            let more = if empty.len() > NAMED { ", …" } else { "" };
            let have = if empty.len() == 1 { "has" } else { "have" };
            return Err(Failure::Input(format!(
                "{} {have} no rows: {}{more}; correct the ids, or give --even-empty to move them all the same",
                output::count(empty.len(), "briefcase"),
                named.join(", ")
            )));
        }
    }
    let there = plan.already_there();
    if there > 0 {
        let are = output::are(there);
        output::note(&format!(
            "{there} of the briefcases {are} on the target already"
        ));
    }
    Ok(plan)
}

pub(super) async fn plan(
    arguments: &Arguments,
    mdb: &Mdb,
    asked: &PlanArguments,
) -> Result<(), Failure> {
    let plan = planned(mdb, &asked.selection).await?;
    let rows = mdb.relocator().count_rows(&plan).await?;
    let options = bounded(in_portions(&asked.portions), &asked.bounds);
    let rate = options
        .rows_a_second()
        .map_or(ESTIMATED_RATE, |limit| limit.min(ESTIMATED_RATE));
    let planned: Vec<Planned<'_>> = plan
        .sources()
        .map(|(source, ids)| {
            let rows = rows.get(&source).copied().unwrap_or(0);
            let batches = ids.len().div_ceil(options.briefcases_in_a_batch());
            let turns = batches.div_ceil(options.batches_at_once());
            Planned {
                area: &asked.selection.area,
                source: store::named(mdb.topology(), source),
                target: store::named(mdb.topology(), plan.target()),
                briefcases: ids.len(),
                rows,
                batches,
                seconds: rows.div_ceil(rate).max(turns as u64),
                worst_pause_ms: u64::try_from(options.longest_pause().as_millis())
                    .unwrap_or(u64::MAX),
                tables: plan.tables(),
                warnings: plan.warnings().iter().map(warned).collect(),
            }
        })
        .collect();
    if planned.is_empty() {
        output::note("there is nothing to move");
    } else if planned.iter().all(|line| line.rows == 0) {
        output::note("the briefcases have no rows");
    }
    match arguments.format() {
        Format::Json => planned.iter().for_each(output::json),
        Format::Table => {
            let mut table = output::table([
                "from",
                "to",
                "briefcases",
                "rows",
                "batches",
                "about",
                "fenced at most",
            ]);
            for line in &planned {
                table.add_row([
                    line.source.clone(),
                    line.target.clone(),
                    line.briefcases.to_string(),
                    line.rows.to_string(),
                    line.batches.to_string(),
                    output::duration(line.seconds * 1000),
                    format!("{} ms", line.worst_pause_ms),
                ]);
            }
            if !planned.is_empty() {
                output::print(&table);
            }
            output::note(&format!(
                "tables, parents first: {}",
                plan.tables().join(", ")
            ));
            for warning in plan.warnings() {
                let (place, reason) = (warning.place(), warning.reason());
                output::note(&format!("warning: {place}: {reason}"));
            }
        }
    }
    Ok(())
}
