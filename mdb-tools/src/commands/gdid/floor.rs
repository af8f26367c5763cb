//! `mdb gdid floor`: raising a sequence on all of its authorities.

use std::time::{Duration, SystemTime};

use mdb_core::config::DeclaredSequence;
use mdb_gdid::{AuthorityStatus, Gdid, RangeKey, SequenceState};
use serde::Serialize;
use tokio::time::Instant;

use super::authorities::{self, Answer, Authority, millis};
use crate::args::{Arguments, FloorArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Raised,
    /// It was at the floor or above already.
    Unchanged,
    Failed,
}

#[derive(Serialize)]
struct Row<'a> {
    sequence: &'a str,
    floor: Gdid,
    authority: u8,
    place: &'a str,
    kind: &'static str,
    outcome: Outcome,
    before: Option<Gdid>,
    after: Option<Gdid>,
    outstanding: Option<u64>,
    lapse_in_ms: Option<u64>,
    error: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(
        sequence: &'a DeclaredSequence,
        floor: RangeKey,
        before: &[Answer],
        answer: &'a Answer,
    ) -> Self {
        let before = before
            .iter()
            .filter(|before| (&before.place, before.id) == (&answer.place, answer.id))
            .find_map(|before| before.status.as_ref().ok());
        let after = answer.status.as_ref().ok();
        let outcome = match (before, after) {
            (_, None) => Outcome::Failed,
            // What was handed out in between is not the floor's doing.
            (Some(before), _) if before.state() >= SequenceState::before(floor) => {
                Outcome::Unchanged
            }
            _ => Outcome::Raised,
        };
        Self {
            sequence: sequence.name().as_str(),
            floor: floor.lowest_id(),
            authority: answer.id.get(),
            place: &answer.place,
            kind: answer.kind,
            outcome,
            before: before.map(authorities::next_id),
            after: after.map(authorities::next_id),
            outstanding: after.map(AuthorityStatus::outstanding),
            lapse_in_ms: after.map(|status| millis(status.lapses_after())),
            error: answer
                .status
                .as_ref()
                .err()
                .map(|trouble| trouble.message.as_str()),
        }
    }

    fn cells(&self) -> [String; 6] {
        let id = |id: Option<Gdid>| id.map_or_else(|| "?".to_owned(), |id| id.to_string());
        [
            self.authority.to_string(),
            format!("{} ({})", self.place, self.kind),
            id(self.before),
            id(self.after),
            self.outstanding
                .map_or_else(|| "?".to_owned(), |blocks| blocks.to_string()),
            match self.outcome {
                Outcome::Raised => "raised".to_owned(),
                Outcome::Unchanged => "unchanged: at the floor or above already".to_owned(),
                Outcome::Failed => format!("failed: {}", self.error.unwrap_or_default()),
            },
        ]
    }
}

pub(crate) async fn run(arguments: &Arguments, asked: &FloorArguments) -> Result<(), Failure> {
    let floor = store::read_floor(&asked.floor)?;
    if floor.era() > SequenceState::LAST_ERA {
        return Err(Failure::Input(format!(
            "no ids are issued from {} on: the last era is {}",
            floor.lowest_id(),
            SequenceState::LAST_ERA
        )));
    }
    let mdb = store::open(arguments).await?;
    let sequence = authorities::declared(&mdb, &asked.sequence)?;
    let all = Authority::all(&mdb);
    let before = authorities::status(&all, &sequence).await;
    if !asked.yes {
        leaves_no_era_out(&before, floor)?;
    }
    let after = authorities::raise(&all, &sequence, floor).await;
    print(arguments, &sequence, floor, &before, &after);
    verdict(&sequence, &after)?;

    let lapse = after
        .iter()
        .filter_map(|answer| answer.status.as_ref().ok());
    let lapse = lapse
        .map(AuthorityStatus::lapses_after)
        .max()
        .unwrap_or_default();
    let done = format!(
        "no id of sequence `{}` below {} is issued any more",
        sequence.name(),
        floor.lowest_id()
    );
    if lapse.is_zero() {
        output::note(&done);
        return Ok(());
    }
    output::note(&format!(
        "ids below {} can still come out of blocks that were handed out before, until {} ({} from now)",
        floor.lowest_id(),
        output::moment(SystemTime::now() + lapse),
        output::duration(millis(lapse)),
    ));
    if asked.wait {
        wait(lapse).await;
        output::note(&done);
    }
    Ok(())
}

/// Refuses a floor that is further than the next era for any of the authorities.
fn leaves_no_era_out(before: &[Answer], floor: RangeKey) -> Result<(), Failure> {
    for answer in before {
        let Ok(status) = &answer.status else { continue };
        let era = status.state().era();
        if floor.era() > era.saturating_add(1) {
            return Err(Failure::Input(format!(
                "the floor {} is in era {}, but authority {} at `{}` is in era {era}: {} would never be \
                 used; nothing was raised; say --yes if it is meant",
                floor.lowest_id(),
                floor.era(),
                answer.id,
                answer.place,
                match floor.era() - era - 1 {
                    1 => "1 whole era".to_owned(),
                    eras => format!("{eras} whole eras"),
                },
            )));
        }
    }
    Ok(())
}

fn print(
    arguments: &Arguments,
    sequence: &DeclaredSequence,
    floor: RangeKey,
    before: &[Answer],
    after: &[Answer],
) {
    let rows = after
        .iter()
        .map(|answer| Row::of(sequence, floor, before, answer));
    match arguments.format() {
        Format::Json => rows.for_each(|row| output::json(&row)),
        Format::Table => {
            let mut table = output::table([
                "authority",
                "place",
                "before",
                "after",
                "outstanding blocks",
                "outcome",
            ]);
            for row in rows {
                table.add_row(row.cells());
            }
            output::print(&table);
        }
    }
}

/// Fails when one authority is not known to be above the floor.
fn verdict(sequence: &DeclaredSequence, after: &[Answer]) -> Result<(), Failure> {
    let (raised, failed): (Vec<&Answer>, Vec<&Answer>) =
        after.iter().partition(|answer| answer.status.is_ok());
    let troubles = || {
        failed
            .iter()
            .filter_map(|answer| answer.status.as_ref().err())
    };
    let Some(first) = troubles().next() else {
        return Ok(());
    };
    let raised = match raised.as_slice() {
        [] => "on none of its authorities".to_owned(),
        raised => format!(
            "on {} only, not on {}",
            authorities::named(raised.iter().copied()),
            authorities::named(failed.iter().copied())
        ),
    };
    let message = format!(
        "sequence `{}` was raised {raised}, so ids below the floor may still be issued; once the cause is mended, \
         raise it again, which is harmless: {}",
        sequence.name(),
        first.message
    );
    if troubles().any(|trouble| trouble.is_unreachable) {
        Err(Failure::Unreachable(message))
    } else {
        Err(Failure::Failed(message))
    }
}

async fn wait(lapse: Duration) {
    let begun = Instant::now();
    let bar = output::progress(lapse.as_secs(), "waiting for blocks to lapse");
    while let Some(left) = lapse.checked_sub(begun.elapsed()) {
        bar.set_position(begun.elapsed().as_secs());
        tokio::time::sleep(left.min(TICK)).await;
    }
    bar.finish_and_clear();
}
