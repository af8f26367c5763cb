//! `mdb gdid status`: how far each authority is with each sequence.

use mdb_core::config::DeclaredSequence;
use mdb_gdid::{AuthorityStatus, Gdid, SequenceState};
use serde::Serialize;

use super::authorities::{self, Answer, Authority, millis};
use crate::args::{Arguments, StatusArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

#[derive(Serialize)]
struct Row<'a> {
    sequence: &'a str,
    scope: &'a str,
    authority: u8,
    place: &'a str,
    kind: &'static str,
    #[serde(flatten)]
    count: Count,
    notes: &'a [String],
    alarm: Option<String>,
    error: Option<&'a str>,
}

/// What is known only where the authority answered.
#[derive(Default, Serialize)]
struct Count {
    next: Option<Gdid>,
    remaining: Option<u64>,
    remaining_percent: Option<f64>,
    blocks: Option<u64>,
    outstanding: Option<u64>,
    lapse_in_ms: Option<u64>,
}

impl Count {
    fn of(status: &AuthorityStatus) -> Self {
        Self {
            next: Some(authorities::next_id(status)),
            remaining: Some(status.state().remaining()),
            remaining_percent: Some(percent_remaining(status.state())),
            blocks: Some(status.blocks()),
            outstanding: Some(status.outstanding()),
            lapse_in_ms: Some(millis(status.lapses_after())),
        }
    }
}

impl<'a> Row<'a> {
    fn of(sequence: &'a DeclaredSequence, answer: &'a Answer) -> Self {
        let status = answer.status.as_ref();
        Self {
            sequence: sequence.name().as_str(),
            scope: sequence.scope().as_str(),
            authority: answer.id.get(),
            place: &answer.place,
            kind: answer.kind,
            count: status.map(Count::of).unwrap_or_default(),
            notes: status.map(AuthorityStatus::notes).unwrap_or_default(),
            alarm: status.ok().and_then(authorities::alarm),
            error: status.err().map(|trouble| trouble.message.as_str()),
        }
    }

    fn cells(&self) -> [String; 8] {
        let unknown = || "?".to_owned();
        let number = |number: Option<u64>| number.map_or_else(unknown, |number| number.to_string());
        let left = self.count.remaining.zip(self.count.remaining_percent);
        let outstanding = match (self.count.outstanding, self.count.lapse_in_ms) {
            (Some(blocks @ 1..), Some(millis)) => {
                format!("{blocks} (for {})", output::duration(millis))
            }
            (blocks, _) => number(blocks),
        };
        let notes: Vec<&str> = self
            .error
            .into_iter()
            .chain(self.alarm.as_deref())
            .chain(self.notes.iter().map(String::as_str))
            .collect();
        [
            self.sequence.to_owned(),
            self.authority.to_string(),
            format!("{} ({})", self.place, self.kind),
            self.count.next.map_or_else(unknown, |id| id.to_string()),
            left.map_or_else(unknown, |(left, percent)| {
                format!("{left} ({percent:.2} %)")
            }),
            number(self.count.blocks),
            outstanding,
            notes.join("; "),
        ]
    }
}

/// Rounded down to hundredths: only an era of which nothing is used has 100.
fn percent_remaining(state: SequenceState) -> f64 {
    let hundredths = u128::from(state.remaining()) * 10_000 / u128::from(Gdid::MAX_COUNTER);
    f64::from(u16::try_from(hundredths).expect("at most 10,000")) / 100.0
}

pub(crate) async fn run(arguments: &Arguments, status: &StatusArguments) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    let sequences = match status.sequences.as_slice() {
        [] => mdb.config().sequences().declared().to_vec(),
        named => named
            .iter()
            .map(|name| authorities::declared(&mdb, name))
            .collect::<Result<_, _>>()?,
    };
    let all = Authority::all(&mdb);
    let mut table = output::table([
        "sequence",
        "authority",
        "place",
        "next",
        "left of the era",
        "blocks",
        "outstanding",
        "notes",
    ]);
    let mut answers = Vec::new();
    let bar = output::progress(sequences.len() as u64, "asking");
    for sequence in &sequences {
        let answered = authorities::status(&all, sequence).await;
        for row in answered.iter().map(|answer| Row::of(sequence, answer)) {
            match arguments.format() {
                Format::Json => output::json(&row),
                Format::Table => drop(table.add_row(row.cells())),
            }
        }
        answers.extend(answered);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if arguments.format() == Format::Table {
        if sequences.is_empty() {
            output::line("the configuration declares no [[sequence]]");
        } else {
            output::print(&table);
        }
    }
    verdict(&answers)
}

/// Unreachable authorities weigh most, for what they would say is not known.
fn verdict(answers: &[Answer]) -> Result<(), Failure> {
    let mut unreachable: Vec<&str> = answers
        .iter()
        .filter(|answer| matches!(&answer.status, Err(trouble) if trouble.is_unreachable))
        .map(|answer| answer.place.as_str())
        .collect();
    unreachable.sort_unstable();
    unreachable.dedup();
    if !unreachable.is_empty() {
        return Err(Failure::Unreachable(format!(
            "can't reach authority `{}`",
            unreachable.join("`, `")
        )));
    }
    let is_well = |answer: &Answer| {
        let status = answer.status.as_ref();
        status.is_ok_and(|status| authorities::alarm(status).is_none())
    };
    if answers.iter().all(is_well) {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_rounded_down() {
        let percent = |counter| {
            percent_remaining(SequenceState::new(0, counter).expect("at most the highest counter"))
        };
        let hundred = |left: f64, expected: f64| assert!((left - expected).abs() < 1e-9, "{left}");
        hundred(percent(0), 100.0);
        hundred(percent(1), 99.99);
        hundred(percent(Gdid::MAX_COUNTER / 2), 50.0);
        hundred(percent(Gdid::MAX_COUNTER), 0.0);
    }
}
