//! What can be done about what is left.

use std::collections::{BTreeSet, HashMap};

use mdb_gdid::Gdid;

use super::survey::Survey;
use super::{Kind, Leftover, LeftoverState, Remains};
use crate::engine::Value;
use crate::engine::relocating::{FenceState, Installed, TriggerState};
use crate::relocate::error::MoveError;
use crate::relocate::record::{MovePhase, MoveRecord};
use crate::relocate::relocator::Relocator;
use crate::relocate::whereabouts::Places;

/// What is known of moves, briefcases and processes.
pub(super) struct Judge<'c> {
    relocator: &'c Relocator,
    /// The moves that are not over, and those that have left something.
    journal: HashMap<String, MoveRecord>,
    places: Places,
    /// Whether all processes, also those that have not been heard of, know the places.
    all_know: bool,
}

impl<'c> Judge<'c> {
    pub(super) async fn now(
        relocator: &'c Relocator,
        surveys: &[Survey],
    ) -> Result<Self, MoveError> {
        let left: BTreeSet<&str> = surveys.iter().flat_map(Survey::moves).collect();
        let mut records = relocator.under_way().await?;
        records.extend(relocator.journal().named(left).await?);
        let journal = records.into_iter();
        let journal = journal.map(|record| (record.id().to_owned(), record));
        let journal = journal.collect();
        let places = Places::now(relocator).await?;
        let epoch = relocator.home().epoch().await?;
        let all_know = relocator.home().behind(epoch).await?.is_empty();
        Ok(Self {
            relocator,
            journal,
            places,
            all_know,
        })
    }

    fn phase(&self, by: &str) -> Option<MovePhase> {
        self.journal.get(by).map(MoveRecord::phase)
    }

    pub(super) async fn judge(&self, survey: Survey) -> Result<Vec<Remains>, MoveError> {
        let shard = survey.shard;
        let mut found = Vec::new();
        let mut add = |what: String, state, kind| {
            let leftover = Leftover { shard, what, state };
            found.push(Remains {
                area: survey.area,
                leftover,
                kind,
            });
        };
        for (by, state) in &survey.fences {
            let phase = self.phase(by);
            let is_over = phase.is_none_or(MovePhase::is_over);
            let agrees = !is_over || self.agrees(&survey, by, *state).await?;
            let fate = fate(*state, phase, agrees, self.all_know);
            let by = by.clone();
            match state {
                // These two are one: a fence lapses.
                FenceState::Fenced
                    if survey.fences.contains(&(by.clone(), FenceState::Capturing)) => {}
                FenceState::Capturing | FenceState::Fenced => {
                    let states = "1, 2";
                    add(
                        format!("fences of move {by}"),
                        fate,
                        Kind::Fences { by, states },
                    );
                }
                FenceState::Moved => {
                    let states = "3";
                    let what = format!("signs that briefcases have gone by move {by}");
                    add(what, fate, Kind::Fences { by, states });
                }
                FenceState::Receiving => {
                    add(
                        format!("half a copy of move {by}"),
                        fate,
                        Kind::HalfCopy { by },
                    );
                }
            }
        }
        for by in survey.marks {
            let is_over = self.phase(&by).is_none_or(MovePhase::is_over);
            let state = if is_over {
                LeftoverState::Removable
            } else {
                LeftoverState::Needed
            };
            add(
                format!("the mover's mark of move {by}"),
                state,
                Kind::Mark { by },
            );
        }
        let kept = found.iter().map(|remains| remains.leftover.state);
        let kept = kept.filter(|state| *state != LeftoverState::Removable);
        let mut moves = self.journal.values();
        let is_in_use = moves.any(|record| self.relocator.concerns(record, survey.area, shard));
        let needed = is_in_use.then_some(LeftoverState::Needed);
        let state = needed.into_iter().chain(kept).next();
        let Installed {
            names,
            state: fires,
        } = survey.installed;
        if !names.is_empty() {
            let names = names.join(", ");
            let (what, kind) = match fires {
                TriggerState::Enabled => ("triggers and change tables", Kind::Installed),
                TriggerState::Disabled => ("disabled triggers and change tables", Kind::Disabled),
            };
            found.push(Remains {
                area: survey.area,
                leftover: Leftover {
                    shard,
                    what: format!("{what}: {names}"),
                    state: state.unwrap_or(LeftoverState::Removable),
                },
                kind,
            });
        }
        Ok(found)
    }

    /// Whether the catalog has the briefcases of these fences elsewhere, and the move did with them
    /// what such fences say.
    ///
    /// The fences are read after the catalog, and the move was over before: they have been there all the
    /// time between.
    async fn agrees(
        &self,
        survey: &Survey,
        by: &str,
        state: FenceState,
    ) -> Result<bool, MoveError> {
        if state == FenceState::Receiving {
            let topology = self.relocator.servers.topology();
            let came_here = self.journal.get(by).is_some_and(|record| {
                topology.area_index(record.area()) == Some(survey.area)
                    && record.target() == topology.shard_name(survey.shard)
            });
            let mut fences = survey.fences.iter();
            let others = fences.any(|(id, other)| id == by && *other != state);
            if !came_here || others {
                return Ok(false);
            }
        }
        let pool = self.relocator.servers.pool(survey.shard);
        let query = "SELECT gdid FROM mdb_fence WHERE move = ? AND state = ?";
        let values = [Value::from(by), Value::Integer(state as i64)];
        for row in pool.query(query, &values).await? {
            let id: Gdid = row.id(0)?;
            let place = self.places.of(survey.area, id);
            if !place.is_ok_and(|place| place.shard() != survey.shard) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What can be done about fences in that state of a move in that phase; a move without one is in no
/// journal.
fn fate(
    state: FenceState,
    phase: Option<MovePhase>,
    agrees: bool,
    all_know: bool,
) -> LeftoverState {
    if phase.is_some_and(|phase| !phase.is_over()) {
        return LeftoverState::Needed;
    }
    match (state, phase) {
        // They hold nobody up; and who runs a move finds out that it is over.
        (FenceState::Capturing | FenceState::Fenced, _) => LeftoverState::Removable,
        (FenceState::Receiving, Some(MovePhase::Aborted)) if agrees => LeftoverState::Removable,
        (FenceState::Moved, None | Some(MovePhase::Done)) if agrees && all_know => {
            LeftoverState::Removable
        }
        (FenceState::Moved, None | Some(MovePhase::Done)) if agrees => LeftoverState::Awaited,
        (FenceState::Receiving | FenceState::Moved, _) => LeftoverState::Doubtful,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_move_that_is_not_over_is_touched() {
        for state in [
            FenceState::Capturing,
            FenceState::Fenced,
            FenceState::Moved,
            FenceState::Receiving,
        ] {
            for phase in [
                MovePhase::Planned,
                MovePhase::Flipping,
                MovePhase::Purging,
                MovePhase::Aborting,
            ] {
                assert_eq!(fate(state, Some(phase), true, true), LeftoverState::Needed);
            }
        }
    }

    #[test]
    fn copies_are_removed_only_of_moves_that_were_undone() {
        let of = |phase, agrees| fate(FenceState::Receiving, phase, agrees, true);
        assert_eq!(of(Some(MovePhase::Aborted), true), LeftoverState::Removable);
        assert_eq!(of(Some(MovePhase::Aborted), false), LeftoverState::Doubtful);
        assert_eq!(of(Some(MovePhase::Done), true), LeftoverState::Doubtful);
        assert_eq!(of(None, true), LeftoverState::Doubtful);
    }

    #[test]
    fn signs_stay_until_everybody_knows_and_while_the_catalog_says_otherwise() {
        let of = |phase, agrees, all_know| fate(FenceState::Moved, phase, agrees, all_know);
        for phase in [None, Some(MovePhase::Done)] {
            assert_eq!(of(phase, true, true), LeftoverState::Removable);
            assert_eq!(of(phase, true, false), LeftoverState::Awaited);
            assert_eq!(of(phase, false, true), LeftoverState::Doubtful);
        }
        let undone = of(Some(MovePhase::Aborted), true, true);
        assert_eq!(undone, LeftoverState::Doubtful);
    }

    #[test]
    fn fences_of_nobody_are_removed() {
        for phase in [None, Some(MovePhase::Done), Some(MovePhase::Aborted)] {
            let state = fate(FenceState::Fenced, phase, false, false);
            assert_eq!(state, LeftoverState::Removable);
        }
    }
}
