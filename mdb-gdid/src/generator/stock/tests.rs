//! The stock with a clock that the test moves.

use super::*;
use crate::authority::{AuthorityId, BlockLife, SequenceState};
use crate::generator::dispenser::Take;

/// How long ids of a block are dealt.
const LIFE: Duration = Duration::from_secs(75);

struct Case {
    stock: Stock,
    dispenser: Dispenser,
    state: SequenceState,
    now: Instant,
}

impl Case {
    fn new() -> Self {
        let size = BlockSize::new(8).unwrap();
        let options = GeneratorOptions::new(size, BlockSize::new(1000).unwrap())
            .unwrap()
            .with_block_life(BlockLife::new(LIFE + Duration::from_secs(5)).unwrap());
        Self {
            stock: Stock::new(options),
            dispenser: Dispenser::new(),
            state: SequenceState::START,
            now: Instant::now(),
        }
    }

    fn block(&mut self, size: u16) -> Block {
        let size = BlockSize::new(size).unwrap();
        let (block, after) = self
            .state
            .advance(AuthorityId::new(2).unwrap(), size)
            .unwrap();
        self.state = after;
        block
    }

    fn receive(&mut self, block: Block) -> Result<(), AuthorityError> {
        let name = "user".parse().unwrap();
        let (stock, now) = (&mut self.stock, self.now);
        stock.block_came(&self.dispenser, &name, block, now, now)
    }

    /// Receives a block of `size` ids.
    fn fill(&mut self, size: u16) {
        let block = self.block(size);
        self.receive(block).unwrap();
    }

    fn take(&mut self) -> Option<u64> {
        loop {
            match self.dispenser.next() {
                Take::Got(taken) => return Some(taken.gdid().counter()),
                Take::Lost(_) => panic!("one thread never sleeps"),
                Take::Empty if self.stock.go_on(&self.dispenser) => {}
                Take::Empty => return None,
            }
        }
    }

    fn pass(&mut self, time: Duration) -> bool {
        self.now += time;
        self.stock.drop_lapsed(&self.dispenser, self.now)
    }

    fn step(&mut self, retry_at: Option<Instant>) -> Step {
        self.stock.step(&self.dispenser, self.now, retry_at)
    }
}

#[test]
fn what_lapses_is_dropped_and_nothing_else() {
    let mut case = Case::new();
    case.fill(8);
    assert_eq!(case.take(), Some(1));
    assert!(!case.pass(LIFE / 2));
    case.fill(4);
    assert!(!case.pass(LIFE / 4));
    assert_eq!(case.take(), Some(2));
    assert!(case.pass(LIFE / 4), "the first block's life is over");
    assert_eq!(case.take(), Some(9));
    assert!(case.pass(LIFE / 2));
    assert_eq!(case.take(), None);
    assert_eq!(case.stock.taken(&case.dispenser), 3);
    assert_eq!(case.stock.next_lapse(), None);
}

#[test]
fn a_block_in_reserve_lapses_there() {
    let mut case = Case::new();
    case.fill(8);
    case.fill(8);
    assert!(case.pass(LIFE));
    assert_eq!((case.take(), case.stock.left(&case.dispenser)), (None, 0));
}

#[test]
fn a_steady_stream_has_few_lapses_and_none_is_late() {
    let mut case = Case::new();
    let mut blocks = VecDeque::new();
    for _ in 0..1_000 {
        case.fill(1);
        blocks.push_back(case.now + LIFE);
        case.pass(LIFE / 100);
        assert!(case.stock.lapses.len() <= 9, "{}", case.stock.lapses.len());
        while blocks.front().is_some_and(|end| *end <= case.now) {
            blocks.pop_front();
        }
        let left = usize::try_from(case.stock.left(&case.dispenser)).unwrap();
        assert!((blocks.len() * 7 / 8..=blocks.len() + 1).contains(&(left + 1)));
    }
}

#[test]
fn a_generator_that_nobody_uses_fetches_no_more() {
    let mut case = Case::new();
    assert_eq!(case.step(None), Step::Fetch(BlockSize::new(8).unwrap()));
    case.fill(8);
    assert_eq!(case.step(None), Step::Rest(None));
    assert!(case.pass(LIFE));
    assert_eq!(
        case.step(None),
        Step::Rest(None),
        "nobody took of the last block"
    );
    assert_eq!(case.take(), None);
    assert!(
        matches!(case.step(None), Step::Fetch(_)),
        "somebody needs one"
    );
    case.fill(8);
    assert_eq!(case.take(), Some(9));
    assert!(case.pass(LIFE));
    assert!(matches!(case.step(None), Step::Fetch(_)), "it is in use");
}

#[test]
fn a_failed_fetch_is_repeated_after_its_pause_or_when_somebody_waits() {
    let mut case = Case::new();
    let retry_at = Some(case.now + Duration::from_secs(3));
    assert_eq!(case.step(retry_at), Step::Rest(retry_at));
    case.stock.want(20);
    assert_eq!(
        case.step(retry_at),
        Step::Fetch(BlockSize::new(20).unwrap())
    );
    case.stock.want(5_000);
    assert_eq!(
        case.step(retry_at),
        Step::Fetch(BlockSize::new(1_000).unwrap())
    );
    case.fill(8);
    assert_eq!(case.step(retry_at), Step::Rest(None), "it is served");
    case.pass(Duration::from_secs(3));
    case.stock.filler = Filler::Dismissed;
    assert_eq!(case.step(None), Step::End);
}

#[test]
fn the_next_block_is_asked_for_at_the_low_water_mark() {
    let mut case = Case::new();
    case.fill(8);
    for left in (3..8).rev() {
        assert!(case.take().is_some());
        assert_eq!(case.step(None), Step::Rest(None), "{left} are left");
    }
    let Take::Got(taken) = case.dispenser.next() else {
        panic!("two are left after it");
    };
    assert!(taken.at_mark, "a quarter is left");
    assert!(matches!(case.step(None), Step::Fetch(_)));
}

#[test]
fn a_block_that_is_not_above_the_last_is_refused() {
    let mut case = Case::new();
    case.fill(8);
    let first = case.block(8);
    case.receive(first).unwrap();
    let again = case.receive(first).unwrap_err();
    let AuthorityError::WentBack { found, seen, .. } = again else {
        panic!("{again}");
    };
    assert_eq!((found.counter(), seen.counter()), (9, 17));
    assert_eq!(case.stock.left(&case.dispenser), 16, "none of it is held");

    let overlapping = Block::new(
        crate::Gdid::new(0, 2, 16).unwrap(),
        BlockSize::new(8).unwrap(),
    );
    assert!(case.receive(overlapping.unwrap()).is_err());
    let other_authority = Block::new(
        crate::Gdid::new(0, 3, 1).unwrap(),
        BlockSize::new(8).unwrap(),
    );
    assert!(case.receive(other_authority.unwrap()).is_ok());
    let next_era = Block::new(
        crate::Gdid::new(1, 2, 1).unwrap(),
        BlockSize::new(8).unwrap(),
    );
    assert!(case.receive(next_era.unwrap()).is_ok());
    assert!(case.receive(overlapping.unwrap()).is_err(), "an era before");
}

#[test]
fn little_is_dropped_for_ids_in_one_piece() {
    let mut case = Case::new();
    case.fill(8);
    case.fill(8);
    for _ in 0..5 {
        case.take();
    }
    case.stock.make_room(&case.dispenser, 5);
    assert_eq!(case.take(), Some(6), "three of five are left");
    case.stock.make_room(&case.dispenser, 5);
    assert_eq!(case.take(), Some(9), "the next block has enough");
    case.stock.make_room(&case.dispenser, 13);
    assert_eq!(case.take(), Some(10), "there are seven of thirteen");
    case.stock.make_room(&case.dispenser, 13);
    assert_eq!(case.take(), None, "six are dropped");
    assert_eq!(case.stock.taken(&case.dispenser), 8);
}

#[test]
fn the_end_of_the_eras_is_told_in_time() {
    let mut case = Case::new();
    case.state =
        SequenceState::new(SequenceState::LAST_ERA - 16, crate::Gdid::MAX_COUNTER - 30).unwrap();
    case.fill(8);
    assert!(!case.stock.near_the_end);
    case.fill(21);
    assert!(case.stock.near_the_end, "{:?}", case.state);
}
