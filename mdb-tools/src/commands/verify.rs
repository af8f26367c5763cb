//! `mdb verify`: rows that are not where they belong.

mod skipped;

use std::borrow::Cow;
use std::sync::Mutex;

use comfy_table::Table;
use indicatif::ProgressBar;
use mdb_core::relocate::{Fault, Leftover, LeftoverState, Misplaced, VerifyEvent, VerifyScope};
use mdb_core::topology::{AreaIndex, ShardId};
use mdb_core::{Gdid, Mdb};
use serde::Serialize;

use super::leftovers;
use crate::args::{Arguments, VerifyArguments};
use crate::asking;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;
use skipped::{Skipped, Why};

/// How many findings a table has; the others are counted.
const LISTED: usize = 500;

pub(crate) async fn run(arguments: &Arguments, asked: &VerifyArguments) -> Result<(), Failure> {
    let scope = scope(asked)?;
    let mdb = store::open(arguments).await?;
    let area = store::area(mdb.topology(), &asked.area)?;
    let is_tidy = if asked.repair {
        repair(arguments, &mdb, asked).await?
    } else if scope == VerifyScope::Area {
        tidy(arguments, &mdb, area).await?
    } else {
        true
    };
    let verified = verify(arguments, &mdb, asked, area, &scope).await?;
    if verified.found > 0 || !is_tidy || verified.why == Why::Stopped {
        return Err(Failure::Reported);
    }
    if arguments.format() == Format::Table {
        let well = if verified.skipped.is_empty() {
            "all is well"
        } else {
            "nothing was found, but not everything was looked at"
        };
        output::line(&format!(
            "{well}: {} keys on {} shards",
            verified.keys,
            mdb.topology().area(area).shards().count()
        ));
    }
    Ok(())
}

/// Prints what moves that are over have left on the area's shards, but for what is still needed; whether there is
/// nothing.
async fn tidy(arguments: &Arguments, mdb: &Mdb, area: AreaIndex) -> Result<bool, Failure> {
    let shards: Vec<ShardId> = mdb.topology().area(area).shards().collect();
    let mut found = mdb.relocator().leftovers(&shards).await?;
    found.retain(is_untidy);
    if found.is_empty() {
        return Ok(true);
    }
    leftovers::print(arguments, mdb, &found);
    output::note("`--repair` removes what is removable");
    Ok(false)
}

/// Whether a person has to do something about it.
fn is_untidy(leftover: &Leftover) -> bool {
    matches!(
        leftover.state(),
        LeftoverState::Removable | LeftoverState::Doubtful
    )
}

fn scope(asked: &VerifyArguments) -> Result<VerifyScope, Failure> {
    if asked.ids.is_empty() {
        return Ok(VerifyScope::Area);
    }
    let texts = store::texts_or_stdin(&asked.ids)?;
    let ids: Vec<Gdid> = texts
        .iter()
        .map(|text| store::read_id(text))
        .collect::<Result<_, _>>()?;
    Ok(VerifyScope::Briefcases(ids))
}

#[derive(Serialize)]
struct Line<'a> {
    fault: &'static str,
    area: &'a str,
    table: Option<&'a str>,
    gdid: Option<Gdid>,
    rows: Option<u64>,
    shard: Option<String>,
    shard_name: Option<String>,
    server: Option<&'a str>,
    database: Option<&'a str>,
    home: Option<String>,
    r#move: Option<&'a str>,
    advice: Cow<'static, str>,
}

impl<'a> Line<'a> {
    /// What is told of every finding.
    fn new(fault: &'static str, area: &'a str, advice: impl Into<Cow<'static, str>>) -> Self {
        Self {
            fault,
            area,
            table: None,
            gdid: None,
            rows: None,
            shard: None,
            shard_name: None,
            server: None,
            database: None,
            home: None,
            r#move: None,
            advice: advice.into(),
        }
    }

    /// With where it is.
    fn on(self, mdb: &'a Mdb, shard: ShardId, table: &'a str) -> Self {
        let topology = mdb.topology();
        let named = topology.shard(shard);
        Self {
            table: Some(table),
            shard: Some(topology.shard_name(shard)),
            shard_name: Some(store::named(topology, shard)),
            server: Some(named.server().as_str()),
            database: Some(named.database().as_str()),
            ..self
        }
    }
}

/// What was seen of an area.
struct Verified {
    keys: u64,
    found: usize,
    table: Table,
    skipped: Skipped,
    why: Why,
}

async fn verify(
    arguments: &Arguments,
    mdb: &Mdb,
    asked: &VerifyArguments,
    area: AreaIndex,
    scope: &VerifyScope,
) -> Result<Verified, Failure> {
    let shards = mdb.topology().area(area).shards().count();
    let bar = bar(shards as u64);
    let verified = Mutex::new(Verified {
        keys: 0,
        found: 0,
        table: output::table(["fault", "gdid", "where", "rows", "home", "what to do"]),
        skipped: Skipped::default(),
        why: Why::UnderWay,
    });
    let tell = |event| {
        let mut verified = verified.lock().expect("no holder of the lock panics");
        heard(arguments, mdb, asked, &mut verified, &bar, event);
    };
    let end = mdb.relocator().verify(&asked.area, scope, &tell).await;
    bar.finish_and_clear();
    let mut verified = verified.into_inner().expect("no holder of the lock panics");
    if arguments.format() == Format::Table && verified.found > 0 {
        output::print(&verified.table);
    }
    if verified.found > LISTED && arguments.format() == Format::Table {
        output::note(&format!(
            "and {} more; --json names all",
            verified.found - LISTED
        ));
    }
    let told = verified.skipped.tell(arguments, mdb, &asked.area).await;
    end?;
    verified.why = told?;
    Ok(verified)
}

/// How many keys there are is not known before they have been read.
fn bar(shards: u64) -> ProgressBar {
    let bar = output::progress(shards, "verifying");
    bar.set_style(output::style(
        "{wide_bar} {pos}/{len} shards  {msg}  {elapsed}",
    ));
    bar
}

fn heard(
    arguments: &Arguments,
    mdb: &Mdb,
    asked: &VerifyArguments,
    verified: &mut Verified,
    bar: &ProgressBar,
    event: VerifyEvent,
) {
    match event {
        VerifyEvent::Looked(keys) => {
            verified.keys += keys;
            bar.set_message(format!("{} keys", verified.keys));
        }
        VerifyEvent::ShardDone(_) => bar.inc(1),
        VerifyEvent::InMotion(id) => {
            verified.skipped.in_motion.insert(id);
        }
        VerifyEvent::Undecided { shard, table } => {
            verified.skipped.undecided.push((shard, table));
        }
        VerifyEvent::Found(misplaced) => {
            verified.found += 1;
            let line = line(mdb, &asked.area, &misplaced);
            match arguments.format() {
                Format::Json => output::json(&line),
                Format::Table if verified.found <= LISTED => {
                    verified.table.add_row([
                        line.fault.to_owned(),
                        line.gdid.map(|id| id.to_string()).unwrap_or_default(),
                        format!(
                            "{}/{}",
                            store::named(mdb.topology(), misplaced.shard()),
                            misplaced.table()
                        ),
                        misplaced.rows().to_string(),
                        line.home.unwrap_or_default(),
                        line.advice.into_owned(),
                    ]);
                }
                Format::Table => {}
            }
        }
        _ => {}
    }
}

fn line<'a>(mdb: &'a Mdb, area: &'a str, misplaced: &'a Misplaced) -> Line<'a> {
    let fault = misplaced.fault();
    let line = Line::new(fault.as_str(), area, advice(fault));
    Line {
        gdid: misplaced.id(),
        rows: Some(misplaced.rows()),
        home: fault.home().map(|home| store::named(mdb.topology(), home)),
        r#move: match fault {
            Fault::Leftover { by, .. } | Fault::UnknownMove { by } => Some(by),
            _ => None,
        },
        ..line.on(mdb, misplaced.shard(), misplaced.table())
    }
}

/// What a person can do. Rows that MDB's own journal doesn't account for are nobody's to delete: they
/// may be all that is left of something.
fn advice(fault: &Fault) -> Cow<'static, str> {
    let advice = match fault {
        Fault::Stray { .. } => {
            "no move that the catalog knows brought them here: if they are good, insert them through MDB, which puts \
             them at home, and delete them here; where services are turned away (`mdb check`), bring them home by hand \
             before `mdb move raise-epoch`"
        }
        Fault::Split { .. } => {
            "compare them with those at home, keep there what is right, and delete them here"
        }
        Fault::Leftover { .. } => {
            "see `mdb move list`; if the move was undone, `mdb verify --repair` removes them, otherwise \
             compare them with those at home"
        }
        Fault::Homeless => "no partition or shard of the configuration has the id: update it",
        Fault::Orphans { .. } => "insert their parents, or delete them",
        Fault::UnknownMove { by } => {
            return format!(
                "the journal doesn't know the move: was the catalog restored from a backup? `mdb move clean` removes \
                 what is safe to remove; `mdb move clean --unknown {by}` ends the move, see its --help"
            )
            .into();
        }
        Fault::NoIds => "ids are kept as 12 bytes: correct these keys",
        _ => "",
    };
    advice.into()
}

/// Removes what moves that are over have left, if the operator says so; whether nothing is left that
/// somebody has to see to.
async fn repair(
    arguments: &Arguments,
    mdb: &Mdb,
    asked: &VerifyArguments,
) -> Result<bool, Failure> {
    let relocator = mdb.relocator();
    let shards: Vec<ShardId> = store::shard_ids(mdb.topology()).collect();
    let mut found = relocator.leftovers(&shards).await?;
    let removable = found.iter().map(Leftover::state);
    let removable = removable
        .filter(|state| *state == LeftoverState::Removable)
        .count();
    if removable > 0 {
        if !asked.yes {
            leftovers::print(arguments, mdb, &found);
        }
        let question = format!("Remove {removable} of these?");
        if asked.yes || asking::confirmed(&question).await {
            found = relocator.clean().await?;
        } else {
            output::note("nothing was removed; `--repair --yes` removes what is removable");
            return Ok(false);
        }
    }
    leftovers::print(arguments, mdb, &found);
    Ok(!found.iter().any(is_untidy))
}
