//! What could not be verified, for moves that are not over.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use mdb_core::relocate::{MovePhase, MoveRecord};
use mdb_core::topology::ShardId;
use mdb_core::{Gdid, Mdb};

use super::Line;
use crate::args::Arguments;
use crate::commands::moves::advice;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

/// What could not be verified.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    /// Briefcases that were on their way.
    pub(super) in_motion: BTreeSet<Gdid>,
    /// Tables with rows whose parents were arriving.
    pub(super) undecided: Vec<(ShardId, String)>,
}

/// Why something was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Moves were under way: verifying again, later, is enough.
    UnderWay,
    /// A move has stopped: somebody has to see to it first.
    Stopped,
}

impl Skipped {
    pub(super) fn is_empty(&self) -> bool {
        self.in_motion.is_empty() && self.undecided.is_empty()
    }

    /// Says what was skipped, and why.
    pub(super) async fn tell(
        &self,
        arguments: &Arguments,
        mdb: &Mdb,
        area: &str,
    ) -> Result<Why, Failure> {
        if self.is_empty() {
            return Ok(Why::UnderWay);
        }
        self.note(mdb);
        let moves = Moves::of(mdb, area).await?;
        let of_briefcase = |id: &Gdid| moves.of_briefcase(*id);
        let to_shard = |(shard, _): &(ShardId, String)| moves.to_shard(mdb, *shard);
        if arguments.format() == Format::Json {
            for id in &self.in_motion {
                let by = of_briefcase(id);
                output::json(&Line {
                    gdid: Some(*id),
                    r#move: by.map(MoveRecord::id),
                    ..Line::new("in_motion", area, what_to_do(by))
                });
            }
            for place in &self.undecided {
                let by = to_shard(place);
                let line = Line::new("undecided", area, what_to_do(by));
                output::json(&Line {
                    r#move: by.map(MoveRecord::id),
                    ..line.on(mdb, place.0, &place.1)
                });
            }
        }
        let kept = self.in_motion.iter().filter_map(of_briefcase);
        let kept = kept.chain(self.undecided.iter().filter_map(to_shard));
        let stopped: BTreeMap<&str, &MoveRecord> = kept
            .filter(|record| record.runs_for().is_none())
            .map(|record| (record.id(), record))
            .collect();
        for (id, record) in &stopped {
            output::note(&advice::stopped(id, record.phase()));
        }
        Ok(if stopped.is_empty() {
            Why::UnderWay
        } else {
            Why::Stopped
        })
    }

    fn note(&self, mdb: &Mdb) {
        let number = self.in_motion.len();
        if number > 0 {
            output::note(&format!(
                "{} {} moving, and {} not looked at",
                output::count(number, "briefcase"),
                output::are(number),
                output::were(number)
            ));
        }
        for (shard, table) in &self.undecided {
            output::note(&format!(
                "{}/{table} has rows without parents, but briefcases are arriving there: verify again when no move is \
                 under way",
                store::named(mdb.topology(), *shard)
            ));
        }
    }
}

/// The moves of an area that are not over, with their briefcases.
struct Moves(Vec<(MoveRecord, Vec<Gdid>)>);

impl Moves {
    async fn of(mdb: &Mdb, area: &str) -> Result<Self, Failure> {
        let relocator = mdb.relocator();
        let mut moves = Vec::new();
        for record in relocator.under_way().await? {
            if record.area().eq_ignore_ascii_case(area) {
                let briefcases = relocator.briefcases(&record).await?;
                moves.push((record, briefcases));
            }
        }
        Ok(Self(moves))
    }

    /// The move that has a briefcase on its way; none if it has come to its end meanwhile.
    fn of_briefcase(&self, id: Gdid) -> Option<&MoveRecord> {
        let begun = |record: &MoveRecord| record.phase() != MovePhase::Planned;
        let mut moves = self.0.iter().filter(|(record, _)| begun(record));
        let found = moves.find(|(_, briefcases)| briefcases.binary_search(&id).is_ok());
        found.map(|(record, _)| record)
    }

    /// A move that brings briefcases to a shard, one that has stopped before others.
    fn to_shard(&self, mdb: &Mdb, shard: ShardId) -> Option<&MoveRecord> {
        let name = mdb.topology().shard_name(shard);
        let moves = self.0.iter().map(|(record, _)| record);
        moves
            .filter(|record| record.target() == name)
            .min_by_key(|record| record.runs_for().is_some())
    }
}

fn what_to_do(by: Option<&MoveRecord>) -> Cow<'static, str> {
    match by {
        Some(record) if record.runs_for().is_none() => {
            advice::stopped(record.id(), record.phase()).into()
        }
        Some(record) => format!(
            "move {} is under way: verify again when it is over",
            record.id()
        )
        .into(),
        None => "its move has come to its end meanwhile: verify again".into(),
    }
}
