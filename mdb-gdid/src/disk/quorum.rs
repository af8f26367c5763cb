//! How many locations have to answer: pure arithmetic.
//!
//! A block is returned once a **majority** of the locations holds the count after it. A count that
//! is read must come from at least one location of that majority that still holds it. Of those, the
//! **unavailable** don't answer, the **damaged** answer with what is no count, or are new and have
//! none yet, and one more may have been put back to an earlier copy without showing it. The last is [`Restored`].

use crate::authority::Ledger;

/// How many locations may have been put back to an earlier copy since they were last written,
/// without showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restored {
    /// At most one; the usual assumption. A sequence can then be first used while all of 2 or 3
    /// locations answer, or all but one of 4 or 5, or all but two of 6 or 7.
    AtMostOne,
    /// None: an operator says so, who knows. A sequence can then be first used while one of 2 or 3
    /// locations is away, or two of 4 or 5. If it is wrong, ids can repeat.
    None,
}

/// The number of locations, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quorum {
    locations: usize,
    restored: Restored,
}

impl Quorum {
    pub(super) fn new(locations: usize, restored: Restored) -> Self {
        Self {
            locations,
            restored,
        }
    }

    pub(super) fn locations(self) -> usize {
        self.locations
    }

    /// How many have to hold a count before it is used: a majority.
    pub(super) fn to_write(self) -> usize {
        self.locations / 2 + 1
    }

    /// Whether the highest count of those that answered is at or above every count that was used.
    ///
    /// A location that is damaged counts as the one that may have gone back: both in the time between
    /// two uses are two faults. A single location has nothing to be compared with.
    pub(super) fn knows_the_highest(self, unavailable: usize, damaged: usize) -> bool {
        let gone_back = match self.restored {
            Restored::AtMostOne if self.locations > 1 => 1,
            Restored::AtMostOne | Restored::None => 0,
        };
        unavailable + damaged.max(gone_back) < self.to_write()
    }
}

/// What is known when locations answer differently: the highest count, and the latest blocks.
///
/// The two can come from different locations after writes that failed half-way; each is taken so
/// that neither an id is handed out twice nor a block forgotten.
pub(super) fn highest(ledgers: impl Iterator<Item = Ledger> + Clone) -> Ledger {
    let state = ledgers.clone().map(|ledger| ledger.state()).max();
    let latest = ledgers.max_by_key(|ledger| (ledger.blocks(), ledger.last_at()));
    match (latest, state) {
        (Some(latest), Some(state)) => latest.raised(state),
        _ => Ledger::START,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majorities() {
        let majority = |locations| Quorum::new(locations, Restored::AtMostOne).to_write();
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(majority), [1, 2, 2, 3, 3, 4, 4]);
    }

    /// Every majority that may hold the last count, every set of unavailable and damaged locations,
    /// and every single one that may have gone back.
    #[test]
    fn what_is_believed_is_never_behind() {
        for (restored, budget) in [(Restored::AtMostOne, 1), (Restored::None, 0)] {
            for locations in 2..=6_u32 {
                let quorum = Quorum::new(locations as usize, restored);
                let all = 0..1_u32 << locations;
                for (written, unavailable) in
                    all.clone().flat_map(|w| all.clone().map(move |u| (w, u)))
                {
                    if (written.count_ones() as usize) < quorum.to_write() {
                        continue;
                    }
                    for damaged in (0..1 << locations).filter(|damaged| damaged & unavailable == 0)
                    {
                        let counts = [unavailable, damaged].map(|set| set.count_ones() as usize);
                        let [unanswered, faults] = counts;
                        if !quorum.knows_the_highest(unanswered, faults) {
                            continue;
                        }
                        let honest = written & !unavailable & !damaged;
                        let gone_back = if faults == 0 { budget } else { 0 };
                        assert!(
                            honest.count_ones() > gone_back,
                            "{locations} locations, {written:b} {unavailable:b} {damaged:b}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn how_many_may_be_away_at_the_first_use() {
        let away = |restored| {
            [1, 2, 3, 4, 5, 6, 7].map(|locations| {
                let quorum = Quorum::new(locations, restored);
                (0..locations).rfind(|away| quorum.knows_the_highest(*away, 0))
            })
        };
        assert_eq!(away(Restored::AtMostOne), [0, 0, 0, 1, 1, 2, 2].map(Some));
        assert_eq!(away(Restored::None), [0, 1, 1, 2, 2, 3, 3].map(Some));
    }

    #[test]
    fn damage_uses_up_the_one_that_may_have_gone_back() {
        let quorum = |locations| Quorum::new(locations, Restored::AtMostOne);
        assert!(!quorum(1).knows_the_highest(0, 1));
        assert!(quorum(2).knows_the_highest(0, 1));
        assert!(quorum(3).knows_the_highest(0, 1));
        assert!(!quorum(3).knows_the_highest(0, 2));
        assert!(!quorum(3).knows_the_highest(1, 1));
        assert!(quorum(5).knows_the_highest(1, 1));
    }
}
