//! What the dispenser does for one thread; `interleaved` has every interleaving of several.

use super::*;
use crate::authority::{AuthorityId, BlockSize, SequenceState};
use crate::gdid::Gdid;
use proptest::prelude::*;

#[cfg(mdb_loom)]
mod interleaved;

impl Taken {
    pub(in crate::generator) fn gdid(&self) -> Gdid {
        Gdid::from_era_and_id(self.era, self.id)
    }
}

fn one<const SLOTS: usize>(dispenser: &Dispenser<SLOTS>) -> Option<Taken> {
    match dispenser.next() {
        Take::Got(taken) => Some(taken),
        Take::Lost(_) => panic!("one thread never sleeps"),
        Take::Empty => None,
    }
}

#[derive(Clone, Debug)]
enum Action {
    Next,
    Run(u64),
    Publish(u16, i64),
    Stop,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => Just(Action::Next),
        3 => (1..20_u64).prop_map(Action::Run),
        2 => (1..12_u16, -3..12_i64).prop_map(|(size, low)| Action::Publish(size, low)),
        1 => Just(Action::Stop),
    ]
}

proptest! {
    /// Against a plain list of ids, from near the end of an authority's counters on.
    #[test]
    fn deals_as_a_list_does(actions in proptest::collection::vec(action(), 1..80), authority in 0..16_u8) {
        let dispenser = Dispenser::<2>::new();
        let authority = AuthorityId::new(authority).unwrap();
        let mut state = SequenceState::new(5, Gdid::MAX_COUNTER - 100).unwrap();
        let (mut list, mut low) = (std::collections::VecDeque::new(), -1);
        for action in actions {
            match action {
                Action::Next => {
                    let taken = one(&dispenser);
                    prop_assert_eq!(taken.map(|taken| taken.gdid()), list.pop_front());
                    let at_mark = taken.map(|taken| taken.at_mark);
                    prop_assert_eq!(at_mark, taken.map(|_| i64::try_from(list.len()).unwrap() == low));
                }
                Action::Run(wanted) => match dispenser.run(|left| wanted.min(left)) {
                    Take::Got(run) => {
                        prop_assert_eq!(run.count, wanted.min(list.len() as u64));
                        let before = i64::try_from(list.len()).unwrap();
                        for n in 0..run.count {
                            prop_assert_eq!(list.pop_front(), Some(Gdid::from_era_and_id(run.era, run.first.wrapping_add(n))));
                        }
                        let after = i64::try_from(list.len()).unwrap();
                        prop_assert_eq!(run.at_mark, (after..before).contains(&low));
                    }
                    Take::Lost(_) => panic!("one thread never sleeps"),
                    Take::Empty => prop_assert!(list.is_empty()),
                },
                Action::Publish(size, mark) => {
                    let (block, after) = state.advance(authority, BlockSize::new(size).unwrap()).unwrap();
                    state = after;
                    low = mark;
                    prop_assert_eq!(dispenser.publish(&block, mark), list.len() as u64);
                    list = block.ids().collect();
                }
                Action::Stop => {
                    prop_assert_eq!(dispenser.stop(), list.len() as u64);
                    list.clear();
                }
            }
            prop_assert_eq!(dispenser.left(), list.len() as u64);
        }
    }
}

#[test]
fn the_last_id_of_all_is_dealt() {
    let dispenser = Dispenser::<64>::new();
    let last = Gdid::new(SequenceState::LAST_ERA, 15, Gdid::MAX_COUNTER).unwrap();
    let block = Block::new(last, BlockSize::new(1).unwrap()).unwrap();
    dispenser.publish(&block, 0);
    assert_eq!(one(&dispenser).unwrap().gdid(), last);
    assert!(one(&dispenser).is_none());
}

#[test]
fn those_who_come_too_late_never_reach_the_serial() {
    let dispenser = Dispenser::<2>::new();
    let first = Gdid::new(0, 0, 1).unwrap();
    dispenser.publish(&Block::new(first, BlockSize::new(1).unwrap()).unwrap(), 0);
    assert!(one(&dispenser).is_some());
    for _ in 0..2 * (FAR_BEYOND - FULL) {
        assert!(one(&dispenser).is_none());
        let ticket = dispenser.ticket.0.load(Relaxed);
        assert!(serial_of(ticket) == 1 && place_of(ticket) <= FAR_BEYOND + 1);
    }
}

#[test]
fn serials_start_over_after_the_last_one() {
    let dispenser = Dispenser::<2>::new();
    dispenser
        .ticket
        .0
        .store(ticket_of(MAX_SERIAL, FULL), Relaxed);
    let first = Gdid::new(0, 0, 1).unwrap();
    dispenser.publish(&Block::new(first, BlockSize::new(1).unwrap()).unwrap(), 0);
    assert_eq!(serial_of(dispenser.ticket.0.load(Relaxed)), 0);
    assert_eq!(one(&dispenser).unwrap().gdid(), first);
}
