//! Moves that have stopped, and what moves have left.

use std::collections::BTreeMap;

use mdb_core::Mdb;
use mdb_core::relocate::{LeftoverState, MoveError, PlanError};
use mdb_core::topology::ShardId;

use super::{Finding, Severity};
use crate::commands::moves::advice;
use crate::store::Place;

/// What moves of the rows of a shard's tables would be refused for, or do besides.
pub(super) async fn suitability(
    mdb: &Mdb,
    shard: ShardId,
    place: &Place,
) -> Result<Vec<Finding>, PlanError> {
    let found = mdb.relocator().suitability(shard).await?;
    let refusals = found.refusals().iter();
    let refusals = refusals.map(|refusal| {
        let message = format!("{}: {}", refusal.place(), refusal.reason());
        Finding::on(place, Severity::Error, "suitability", message).of(refusal.table())
    });
    let warnings = found.warnings().iter();
    let warnings = warnings.map(|warning| {
        let message = format!("{}: {}", warning.place(), warning.reason());
        Finding::on(place, Severity::Notice, "suitability", message).of(warning.table())
    });
    Ok(refusals.chain(warnings).collect())
}

/// All findings about moves; only `shards` can be asked.
pub(super) async fn check(mdb: &Mdb, shards: &[ShardId]) -> Result<Vec<Finding>, MoveError> {
    let mut findings = Vec::new();
    let relocator = mdb.relocator();
    for ahead in relocator.ahead(shards).await? {
        let place = Place::of(mdb.topology(), ahead.shard());
        let message = format!(
            "services are turned away: briefcases have left it up to epoch {}, but the catalog is at epoch {}, for it \
             was restored from a backup or begun anew; `mdb move raise-epoch --help` says what to do",
            ahead.least(),
            ahead.catalog()
        );
        findings.push(Finding::on(&place, Severity::Error, "epoch", message));
    }
    for record in relocator.under_way().await? {
        if record.runs_for().is_some() {
            continue;
        }
        let message = advice::stopped(record.id(), record.phase());
        findings.push(Finding {
            severity: Severity::Warning,
            check: "move",
            area: Some(record.area().to_owned()),
            server: None,
            database: None,
            table: None,
            message,
        });
    }
    // One line for all triggers of a shard, and what can be done about them.
    let mut left: BTreeMap<(ShardId, Severity, &str), Vec<String>> = BTreeMap::new();
    for leftover in relocator.leftovers(shards).await? {
        let (severity, advice) = match leftover.state() {
            LeftoverState::Removable => (Severity::Warning, "`mdb move clean` removes it"),
            LeftoverState::Awaited => (
                Severity::Notice,
                "needed until processes are gone that have not been heard of (`mdb move processes`); then `mdb move clean` removes it",
            ),
            LeftoverState::Doubtful => (
                Severity::Warning,
                "it does not agree with the catalog; `mdb verify` says whose rows are there",
            ),
            _ => continue,
        };
        let of_shard = left
            .entry((leftover.shard(), severity, advice))
            .or_default();
        of_shard.push(leftover.what().to_owned());
    }
    for ((shard, severity, advice), what) in left {
        let place = Place::of(mdb.topology(), shard);
        let message = format!("left by moves: {}; {advice}", what.join("; "));
        findings.push(Finding::on(&place, severity, "leftover", message));
    }
    for shard in relocator.unprepared(shards).await? {
        let place = Place::of(mdb.topology(), shard);
        let message = "triggers that stay are missing; `mdb move prepare` installs them".to_owned();
        findings.push(Finding::on(&place, Severity::Warning, "prepared", message));
    }
    Ok(findings)
}
