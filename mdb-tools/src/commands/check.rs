//! `mdb check`: what is wrong with a store.

mod moves;
mod schema;

use std::collections::BTreeMap;

use mdb_core::topology::{Home, ShardId};
use mdb_core::{AcquireError, Mdb, Table, inspect};
use serde::Serialize;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store::{self, Place};

/// From how far apart on clocks are worth a warning.
const CLOCK_TOLERANCE_MS: u64 = 500;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It may be meant so, or there is nothing that anybody could do about it yet.
    Notice,
    /// It works, but somebody should look at it.
    Warning,
    /// It does not work, or will not.
    Error,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    severity: Severity,
    check: &'static str,
    area: Option<String>,
    server: Option<String>,
    database: Option<String>,
    table: Option<String>,
    message: String,
}

impl Finding {
    fn on(place: &Place, severity: Severity, check: &'static str, message: String) -> Self {
        Self {
            severity,
            check,
            area: Some(place.area.clone()),
            server: Some(place.server.clone()),
            database: Some(place.database.clone()),
            table: None,
            message,
        }
    }

    /// The area, SERVER/DATABASE and the table, as far as it is about one.
    fn place(&self) -> String {
        let shard = match (&self.server, &self.database) {
            (Some(server), Some(database)) => Some(format!("{server}/{database}")),
            _ => None,
        };
        let parts = [self.area.clone(), shard, self.table.clone()];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(", ")
    }

    fn about(self, table: &str) -> Self {
        self.of(Some(table))
    }

    fn of(mut self, table: Option<&str>) -> Self {
        self.table = table.map(str::to_owned);
        self
    }
}

/// What a check found, and whether every server was there to be asked.
#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
    unreachable: Vec<String>,
}

impl Findings {
    fn fail(
        &mut self,
        place: &Place,
        check: &'static str,
        error: &(dyn std::error::Error + 'static),
    ) {
        let message = mdb_core::error::chain(error);
        let finding = Finding::on(place, Severity::Error, check, message);
        self.all.push(finding);
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    // A configuration with faults fails here, with all of them.
    let mdb = store::open(arguments).await?;
    let mut findings = Findings::default();
    let mut tables: BTreeMap<usize, Vec<(Place, Vec<Table>)>> = BTreeMap::new();
    let mut reached = Vec::new();
    let bar = output::progress(mdb.topology().shards().len() as u64, "checking");
    for shard in store::shard_ids(mdb.topology()) {
        let place = Place::of(mdb.topology(), shard);
        if findings.unreachable.contains(&place.server) {
            // Each of its shards would be waited for as long as the first one.
            let message = format!("not checked: server `{}` can't be reached", place.server);
            let finding = Finding::on(&place, Severity::Error, "connection", message);
            findings.all.push(finding);
            bar.inc(1);
            continue;
        }
        match check_shard(&mdb, shard, &place, &mut findings).await {
            Ok(Some(found)) => {
                reached.push(shard);
                match moves::suitability(&mdb, shard, &place).await {
                    Ok(found) => findings.all.extend(found),
                    Err(error) => findings.fail(&place, "catalogue", &error),
                }
                if let Home::Partition { area, .. } = mdb.topology().shard(shard).home() {
                    tables.entry(area.get()).or_default().push((place, found));
                }
            }
            Ok(None) => {}
            Err(error) => findings.fail(&place, "catalogue", &error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (area, shards) in &tables {
        findings
            .all
            .extend(schema::check_area(&mdb.config().areas()[*area], shards));
    }
    check_moves(&mdb, &reached, &mut findings).await;
    print(arguments, &mdb, &findings)
}

/// Looks at moves, if the catalog can be asked.
async fn check_moves(mdb: &Mdb, reached: &[ShardId], findings: &mut Findings) {
    let catalog = mdb.topology().central().shards()[0];
    if !reached.contains(&catalog) {
        return;
    }
    match moves::check(mdb, reached).await {
        Ok(found) => findings.all.extend(found),
        Err(error) => {
            findings.fail(&Place::of(mdb.topology(), catalog), "moves", &error);
        }
    }
}

/// Checks one shard; hands out its tables, if it can be asked for them.
async fn check_shard(
    mdb: &Mdb,
    shard: ShardId,
    place: &Place,
    findings: &mut Findings,
) -> Result<Option<Vec<Table>>, sqlx::Error> {
    if let Err(error) = mdb.servers().probe(shard).await {
        let check = match &error {
            AcquireError::Identity { .. } => "stamp",
            AcquireError::Missing { .. } => "database",
            _ => "connection",
        };
        if error.is_unreachable() {
            findings.unreachable.push(place.server.clone());
        }
        findings.all.push(Finding::on(
            place,
            Severity::Error,
            check,
            mdb_core::error::chain(&error),
        ));
        return Ok(None);
    }
    let clock = inspect::clock(mdb.servers(), shard).await?;
    let uncertain = u64::try_from(clock.round_trip().as_millis()).unwrap_or(u64::MAX);
    if clock.ahead_ms().unsigned_abs() > CLOCK_TOLERANCE_MS.saturating_add(uncertain) {
        let direction = if clock.ahead_ms() > 0 {
            "ahead of"
        } else {
            "behind"
        };
        let message = format!(
            "the server's clock is {} ms {direction} this machine's",
            clock.ahead_ms().unsigned_abs()
        );
        findings
            .all
            .push(Finding::on(place, Severity::Warning, "clock", message));
    }
    inspect::tables(mdb.servers(), shard).await.map(Some)
}

fn print(arguments: &Arguments, mdb: &Mdb, findings: &Findings) -> Result<(), Failure> {
    match arguments.format() {
        Format::Json => findings.all.iter().for_each(output::json),
        Format::Table if findings.all.is_empty() => {
            output::line(&format!(
                "all is well: {} shards checked",
                mdb.topology().shards().len()
            ));
        }
        Format::Table => {
            let mut table = output::table(["severity", "check", "where", "finding"]);
            for finding in &findings.all {
                let severity = match finding.severity {
                    Severity::Notice => "notice",
                    Severity::Warning => "warning",
                    Severity::Error => "error",
                };
                table.add_row([severity, finding.check, &finding.place(), &finding.message]);
            }
            output::print(&table);
        }
    }
    if !findings.unreachable.is_empty() {
        return Err(Failure::Unreachable(format!(
            "can't reach server `{}`",
            findings.unreachable.join("`, `")
        )));
    }
    if findings
        .all
        .iter()
        .any(|finding| finding.severity > Severity::Notice)
    {
        return Err(Failure::Reported);
    }
    Ok(())
}
