//! Blocks against the rules of their order, above all where an era turns.

use super::*;
use crate::gdid::Gdid;
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

#[test]
fn the_first_id_is_counter_1_in_each_era() {
    let authority = AuthorityId::new(0).unwrap();
    let one = BlockSize::new(1).unwrap();
    let (block, after) = SequenceState::START.advance(authority, one).unwrap();
    assert_eq!(block.first(), Gdid::new(0, 0, 1).unwrap());
    assert_eq!(after, SequenceState::new(0, 1).unwrap());
    let turned = SequenceState::new(6, Gdid::MAX_COUNTER).unwrap();
    let (block, _) = turned.advance(authority, one).unwrap();
    assert_eq!(block.first(), Gdid::new(7, 0, 1).unwrap());
}

#[test]
fn a_state_beyond_the_last_era_issues_nothing() {
    let authority = AuthorityId::new(0).unwrap();
    let beyond = SequenceState::new(u32::MAX, 5).unwrap();
    assert_eq!(
        beyond.advance(authority, BlockSize::MAX),
        Err(AdvanceError::ErasExhausted { era: u32::MAX })
    );
    assert_eq!(SequenceState::new(0, Gdid::MAX_COUNTER + 1), None);
}

#[test]
fn a_received_block_equals_the_one_handed_out() {
    let authority = AuthorityId::try_from(9).unwrap();
    let state = SequenceState::new(3, 77).unwrap();
    let size = BlockSize::new(20).unwrap();
    let (block, _) = state.advance(authority, size).unwrap();
    assert_eq!(Block::new(block.first(), size), Ok(block));
    assert_eq!(block.get(20), None);

    let zero = Gdid::new(3, 9, 0).unwrap();
    assert_eq!(
        Block::new(zero, size),
        Err(BlockError::ZeroCounter { first: zero })
    );
    let last_fit = Gdid::new(3, 9, Gdid::MAX_COUNTER - 19).unwrap();
    let ids = Block::new(last_fit, size).unwrap().ids();
    assert_eq!(ids.last().map(Gdid::counter), Some(Gdid::MAX_COUNTER));
    let beyond = Gdid::new(3, 9, Gdid::MAX_COUNTER - 18).unwrap();
    assert_eq!(
        Block::new(beyond, size),
        Err(BlockError::BeyondEra {
            first: beyond,
            count: 20
        })
    );
}

#[test]
fn sizes_and_authorities_have_limits() {
    assert_eq!(BlockSize::new(0), None);
    assert_eq!(BlockSize::new(1025), None);
    assert_eq!(BlockSize::new(1024), Some(BlockSize::MAX));
    assert_eq!(BlockSize::clamped(1), BlockSize::new(1));
    assert_eq!(BlockSize::clamped(1025), Some(BlockSize::MAX));
    assert_eq!(BlockSize::clamped(usize::MAX), Some(BlockSize::MAX));
    assert_eq!(AuthorityId::try_from(15).map(AuthorityId::get), Ok(15));
    assert_eq!(
        AuthorityId::try_from(16),
        Err(GdidPartsError::Authority(16))
    );
}
