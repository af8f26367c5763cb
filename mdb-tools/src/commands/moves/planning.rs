//! `mdb move plan`: what a run would do.

use mdb_core::Mdb;
use mdb_core::config::EngineKind;
use mdb_core::relocate::{MoveOptions, MovePlan, Warning};
use serde::Serialize;

use super::{bounded, in_portions, selection};
use crate::args::{Arguments, PlanArguments, SelectionArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

/// How long an estimate takes a batch to need besides its rows: announced, fenced, flipped, published.
const MILLIS_A_BATCH: u64 = 50;

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

/// How long that many rows may take, in that many batches one after another.
fn estimated_seconds(engine: EngineKind, rows: u64, batches: usize, options: &MoveOptions) -> u64 {
    // About half of what small machines were measured at: the network and others' work take their part.
    let rate = match engine {
        EngineKind::Sqlite => 100_000,
        EngineKind::Postgres => 60_000,
        EngineKind::MySql => 25_000,
    };
    let rate = options.rows_a_second().map_or(rate, |most| rate.min(most));
    let for_rows = rows.saturating_mul(1_000) / rate;
    let for_batches = (batches as u64).saturating_mul(MILLIS_A_BATCH);
    let millis = for_rows.saturating_add(for_batches);
    (millis.saturating_add(500) / 1_000).max(1)
}

pub(super) async fn plan(
    arguments: &Arguments,
    mdb: &Mdb,
    asked: &PlanArguments,
) -> Result<(), Failure> {
    let plan = planned(mdb, &asked.selection).await?;
    let rows = mdb.relocator().count_rows(&plan).await?;
    let options = bounded(in_portions(&asked.portions), &asked.bounds);
    let area = store::area(mdb.topology(), &asked.selection.area)?;
    let engine = mdb.topology().area(area).engine();
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
                seconds: estimated_seconds(engine, rows, turns, &options),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_goes_by_the_engine_the_batches_and_the_limit() {
        let free = MoveOptions::new();
        let estimate = |engine, rows, batches| estimated_seconds(engine, rows, batches, &free);
        assert_eq!(estimate(EngineKind::Sqlite, 10_000_000, 0), 100);
        assert_eq!(estimate(EngineKind::Postgres, 6_000_000, 0), 100);
        assert_eq!(estimate(EngineKind::MySql, 2_500_000, 0), 100);
        assert_eq!(estimate(EngineKind::MySql, 2_500_000, 1_000), 150);
        assert_eq!(estimate(EngineKind::Sqlite, 0, 1), 1);
        let slowly = free.max_rows_per_second(10);
        assert_eq!(estimated_seconds(EngineKind::Sqlite, 600, 1, &slowly), 60);
        let hardly = free.max_rows_per_second(1_000_000);
        assert_eq!(
            estimated_seconds(EngineKind::MySql, 2_500_000, 0, &hardly),
            100
        );
    }
}
