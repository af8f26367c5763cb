//! Blocks against the rules of their order, above all where an era turns.

use super::*;
use proptest::prelude::*;

fn state() -> impl Strategy<Value = SequenceState> {
    let near_end = Gdid::MAX_COUNTER - 4_000..=Gdid::MAX_COUNTER;
    (
        prop_oneof![
            0..3_u32,
            SequenceState::LAST_ERA - 1..=SequenceState::LAST_ERA
        ],
        prop_oneof![0..5_000_u64, near_end],
    )
        .prop_map(|(era, counter)| SequenceState::new(era, counter).unwrap())
}

proptest! {
    #[test]
    fn blocks_ascend_and_never_overlap(mut state in state(), sizes in proptest::collection::vec(1..=1024_u16, 1..20)) {
        let authority = AuthorityId::new(15).unwrap();
        let mut last = Gdid::new(state.era(), 15, state.counter()).unwrap();
        for size in sizes {
            let Ok((block, after)) = state.advance(authority, BlockSize::new(size).unwrap()) else {
                prop_assert_eq!(state.era(), SequenceState::LAST_ERA);
                break;
            };
            prop_assert!(after > state);
            prop_assert_eq!(block.ids().len(), usize::from(size));
            for id in block.ids() {
                prop_assert!(id > last && !id.is_zero());
                last = id;
            }
            prop_assert_eq!((last.era(), last.counter()), (after.era(), after.counter()));
            state = after;
        }
    }
}

#[test]
fn the_era_turns_before_the_counter_ends() {
    let authority = AuthorityId::new(0).unwrap();
    let ten = BlockSize::new(10).unwrap();
    let near = SequenceState::new(0, Gdid::MAX_COUNTER - 11).unwrap();
    assert_eq!(
        near.advance(authority, ten).unwrap().0.first(),
        Gdid::new(1, 0, 1).unwrap()
    );
    let just_before = SequenceState::new(0, Gdid::MAX_COUNTER - 12).unwrap();
    assert_eq!(just_before.advance(authority, ten).unwrap().1.era(), 0);
    let end = SequenceState::new(SequenceState::LAST_ERA, Gdid::MAX_COUNTER).unwrap();
    assert_eq!(
        end.advance(authority, ten),
        Err(AdvanceError::ErasExhausted {
            era: SequenceState::LAST_ERA
        })
    );
}
