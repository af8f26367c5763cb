//! Saying that briefcases are in motion: from then on they are this move's, and nobody else's.
//!
//! A plan may be old, and another move may have taken a briefcase elsewhere since, or have brought it here and still be
//! deleting it where it was. So the announcement holds only for briefcases that are on the source at that very moment and
//! whose last move is over; otherwise nothing is announced.

use mdb_gdid::Gdid;

use super::batch::Batch;
use super::error::MoveError;
use super::fail::pass;
use super::journal::{Journal, NAMED_AT_ONCE, numbers, repeated};
use super::record::{MovePhase, MoveRecord};
use crate::catalog::{Epoch, HomeError};
use crate::engine::relocating::{OwnerToken, Relocating};
use crate::engine::{Step, Value};

/// Briefcases that leave a shard, by what says that they are there.
pub(super) struct Leaving {
    /// The area's rule, unless they have been moved before.
    by_rule: Vec<Gdid>,
    /// A move that has brought them.
    by_relocation: Vec<Gdid>,
}

impl<DB: Relocating> Batch<'_, DB> {
    /// Says that the briefcases are in motion, unless they have gone, or are in another move's hands, or this move in
    /// another mover's.
    pub(super) async fn announce(&mut self) -> Result<(), MoveError> {
        self.mark_sides().await?;
        let (rule, source) = (self.rule, self.source);
        let is_by_rule = |id: &Gdid| {
            rule.route(*id)
                .is_ok_and(|route| route.shard_id() == source)
        };
        let (by_rule, by_relocation) = self.ids.iter().partition(|id| is_by_rule(id));
        let leaving = Leaving {
            by_rule,
            by_relocation,
        };
        let announced = self
            .journal()
            .announce(&self.record, self.owner, &leaving)
            .await;
        self.record.announced = self.unmark_unless_kept(announced).await?;
        self.entered(MovePhase::Announced);
        Ok(())
    }
}

impl Journal<'_> {
    /// Says "in motion" in a new epoch, and which one that is.
    async fn announce(
        self,
        record: &MoveRecord,
        owner: OwnerToken,
        leaving: &Leaving,
    ) -> Result<Epoch, MoveError> {
        let mut steps = vec![
            Self::next_epoch(),
            self.phase_step(&record.id, owner, MovePhase::Announced),
            Step::new(
                "UPDATE mdb_move SET announced = (SELECT epoch FROM mdb_catalog WHERE only_row = 1) WHERE move = ?",
                [Value::from(&record.id)],
            ),
        ];
        for ids in leaving.by_rule.chunks(NAMED_AT_ONCE) {
            steps.push(take_from(record, ids, "(home IS NULL OR home = ?)"));
            // One that the former has left out makes this one fail.
            steps.push(insert(record, ids));
        }
        for ids in leaving.by_relocation.chunks(NAMED_AT_ONCE) {
            steps.push(take_from(record, ids, "home = ?").expecting(ids.len() as u64));
        }
        steps.extend(self.tell());
        match pass(self.home().together(&steps)).await {
            Ok(true) => Ok(self.find(record.id()).await?.announced),
            Ok(false) => {
                self.keep(&record.id, owner).await?;
                Err(self.obstacle(record, leaving).await?)
            }
            Err(HomeError::Database(error)) if self.home().pool().is_unique_violation(&error) => {
                Err(self.obstacle(record, leaving).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Which briefcase is in the way of an announcement, and why.
    async fn obstacle(
        self,
        record: &MoveRecord,
        leaving: &Leaving,
    ) -> Result<MoveError, MoveError> {
        let ids: Vec<Gdid> = [&leaving.by_rule[..], &leaving.by_relocation].concat();
        for ids in ids.chunks(NAMED_AT_ONCE) {
            let query = format!(
                "SELECT r.gdid, r.move, r.home, ({}) FROM mdb_relocation r \
                 WHERE r.area = ? AND r.gdid IN ({}) AND r.move <> ? ORDER BY r.gdid",
                unfinished("r"),
                repeated("?", ids.len())
            );
            let mut values = vec![Value::from(record.area.as_str())];
            values.extend(ids.iter().map(|id| Value::from(*id)));
            values.push(Value::from(&record.id));
            for row in self.home().query(&query, &values).await? {
                let (id, by) = (row.id(0)?, row.text(1)?.to_owned());
                if row.integer(3)? > 0 {
                    return Ok(MoveError::InMotion { id, by });
                }
                if let Some(home) = row.optional_text(2)?.filter(|home| *home != record.source) {
                    return Ok(MoveError::Displaced {
                        id,
                        home: home.to_owned(),
                        planned: record.source.clone(),
                    });
                }
            }
        }
        Ok(MoveError::Conflict)
    }
}

/// A query of how many moves that are not over have the relocation `row` last: one, or none. One that is published still
/// has to delete the briefcase where it was.
///
/// Only the last move can be such a one, for it was announced when those before it were over.
fn unfinished(row: &str) -> String {
    format!(
        "SELECT count(*) FROM mdb_move m WHERE m.move = {row}.move AND m.phase NOT IN ({})",
        numbers(MovePhase::OVER)
    )
}

/// Puts briefcases into motion that the catalog knows of; `is_home` is the condition that the source is their home.
///
/// After the epoch, on which all announcements wait for each other: what they ask about then is how the last one left it.
fn take_from(record: &MoveRecord, ids: &[Gdid], is_home: &str) -> Step {
    let update = format!(
        "UPDATE mdb_relocation SET move = ?, state = 1, source = ?, \
         epoch = (SELECT epoch FROM mdb_catalog WHERE only_row = 1) \
         WHERE area = ? AND gdid IN ({}) AND state = 0 AND {is_home} AND ({}) = 0",
        repeated("?", ids.len()),
        unfinished("mdb_relocation")
    );
    let source = Value::from(record.source.as_str());
    let mut values = vec![
        Value::from(&record.id),
        source.clone(),
        Value::from(record.area.as_str()),
    ];
    values.extend(ids.iter().map(|id| Value::from(*id)));
    values.push(source);
    Step::new(update, values)
}

/// Puts briefcases into motion that were never moved; fails if one of them was.
fn insert(record: &MoveRecord, ids: &[Gdid]) -> Step {
    let insert = format!(
        "INSERT INTO mdb_relocation (area, gdid, move, state, home, source, epoch) \
         SELECT ?, b.gdid, ?, 1, NULL, ?, c.epoch FROM mdb_move_briefcase b \
         JOIN mdb_catalog c ON c.only_row = 1 WHERE b.move = ? AND b.gdid IN ({}) \
         AND NOT EXISTS (SELECT 1 FROM mdb_relocation r WHERE r.area = ? AND r.gdid = b.gdid AND r.move = ?)",
        repeated("?", ids.len())
    );
    let (area, id) = (Value::from(record.area.as_str()), Value::from(&record.id));
    let source = Value::from(record.source.as_str());
    let mut values = vec![area.clone(), id.clone(), source, id.clone()];
    values.extend(ids.iter().map(|id| Value::from(*id)));
    values.extend([area, id]);
    Step::new(insert, values)
}
