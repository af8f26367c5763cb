//! Several places with authorities, nearest first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::authority::{
    AllocateFuture, AuthorityError, AuthorityStatus, BlockSize, BlockSource, StatusFuture,
};
use crate::names::{ScopeName, SequenceName};
use crate::range_key::RangeKey;

/// For how long a place that has just failed is asked after the others.
const REST: Duration = Duration::from_secs(2);

/// Several places with authorities, of which the nearest that answers hands out the blocks.
///
/// Ids ascend within an authority, not from one to the next. A place that has just failed is asked
/// last for a short while, so that it does not cost its time-out for every block.
#[derive(Debug)]
pub struct Authorities {
    places: Vec<Place>,
    passed_over: fn(&AuthorityError),
    origin: Instant,
}

#[derive(Debug)]
struct Place {
    source: Arc<dyn BlockSource>,
    /// Until when it rests, in milliseconds after the origin.
    rests_until: AtomicU64,
}

impl Authorities {
    /// Places in the order in which they are asked; `None` without any.
    ///
    /// `passed_over` is told why a place handed out no block, to log it: if the next one does, nobody
    /// else hears of it.
    pub fn new(
        sources: Vec<Arc<dyn BlockSource>>,
        passed_over: fn(&AuthorityError),
    ) -> Option<Self> {
        let places: Vec<Place> = sources
            .into_iter()
            .map(|source| Place {
                source,
                rests_until: AtomicU64::new(0),
            })
            .collect();
        (!places.is_empty()).then(|| Self {
            places,
            passed_over,
            origin: Instant::now(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Those that rest come after the others; else in their own order.
    fn in_turn(&self) -> Vec<&Place> {
        let now = self.now();
        let mut places: Vec<&Place> = self.places.iter().collect();
        places.sort_by_key(|place| place.rests_until.load(Ordering::Relaxed) > now);
        places
    }

    /// Asks every place for the same, and hands out everything or the first failure.
    async fn all<'a>(
        &'a self,
        ask: impl Fn(&'a dyn BlockSource) -> StatusFuture<'a>,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        let (mut all, mut failure) = (Vec::new(), None);
        for place in &self.places {
            match ask(&*place.source).await {
                Ok(statuses) => all.extend(statuses),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(all), Err)
    }
}

impl BlockSource for Authorities {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for place in self.in_turn() {
                match place.source.allocate(scope, sequence, size).await {
                    Ok(block) => {
                        place.rests_until.store(0, Ordering::Relaxed);
                        return Ok(block);
                    }
                    Err(error) => {
                        let until = self.now() + u64::try_from(REST.as_millis()).unwrap_or(0);
                        place.rests_until.store(until, Ordering::Relaxed);
                        (self.passed_over)(&error);
                        failures.push(error);
                    }
                }
            }
            match <[AuthorityError; 1]>::try_from(failures) {
                Ok([only]) => Err(only),
                Err(failures) => Err(AuthorityError::AllFailed {
                    sequence: sequence.clone(),
                    source: Box::new(failures[0].clone()),
                    failures: failures.into(),
                }),
            }
        })
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        Box::pin(self.all(move |source| source.raise(scope, sequence, floor)))
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(self.all(move |source| source.status(scope, sequence)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{AuthorityId, Block, BlockLife, Cause, Ledger, UnixMillis};
    use std::cell::Cell;
    use std::future::Future;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Poll, Waker};

    /// Counts in memory, and fails when it is told to.
    #[derive(Debug)]
    struct InMemory {
        authority: AuthorityId,
        ledger: Mutex<Ledger>,
        fails: AtomicBool,
        asked: AtomicU64,
    }

    impl InMemory {
        fn new(number: u8) -> Arc<Self> {
            Arc::new(Self {
                authority: AuthorityId::new(number).unwrap(),
                ledger: Mutex::new(Ledger::START),
                fails: AtomicBool::new(false),
                asked: AtomicU64::new(0),
            })
        }

        fn answer<T>(&self, sequence: &SequenceName, value: T) -> Result<T, AuthorityError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.fails.load(Ordering::Relaxed) {
                return Err(AuthorityError::Unavailable {
                    place: crate::Place::new(format!("place {}", self.authority)),
                    sequence: sequence.clone(),
                    source: Cause::from("nobody is there"),
                });
            }
            Ok(value)
        }

        fn statuses(&self) -> Vec<AuthorityStatus> {
            let ledger = self.ledger.lock().unwrap();
            let (now, life) = (UnixMillis::EPOCH, BlockLife::USUAL);
            vec![AuthorityStatus::of(self.authority, &ledger, now, life)]
        }
    }

    impl BlockSource for InMemory {
        fn allocate<'a>(
            &'a self,
            _: &'a ScopeName,
            sequence: &'a SequenceName,
            size: BlockSize,
        ) -> AllocateFuture<'a> {
            Box::pin(async move {
                self.answer(sequence, ())?;
                let mut ledger = self.ledger.lock().unwrap();
                let issued =
                    ledger.issue(self.authority, size, UnixMillis::EPOCH, BlockLife::USUAL);
                let (block, after) = issued.unwrap();
                *ledger = after;
                Ok(block)
            })
        }

        fn raise<'a>(
            &'a self,
            _: &'a ScopeName,
            sequence: &'a SequenceName,
            floor: RangeKey,
        ) -> StatusFuture<'a> {
            Box::pin(async move {
                self.answer(sequence, ())?;
                let mut ledger = self.ledger.lock().unwrap();
                *ledger = ledger.raised(crate::SequenceState::before(floor));
                drop(ledger);
                Ok(self.statuses())
            })
        }

        fn status<'a>(&'a self, _: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
            Box::pin(async move { self.answer(sequence, self.statuses()) })
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut context = Context::from_waker(Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    thread_local! {
        static PASSED_OVER: Cell<usize> = const { Cell::new(0) };
    }

    fn passed_over(_: &AuthorityError) {
        PASSED_OVER.set(PASSED_OVER.get() + 1);
    }

    fn two() -> ([Arc<InMemory>; 2], Authorities) {
        let places = [InMemory::new(3), InMemory::new(7)];
        let sources = places.iter().map(|p| Arc::clone(p) as Arc<dyn BlockSource>);
        let authorities = Authorities::new(sources.collect(), passed_over).unwrap();
        (places, authorities)
    }

    fn allocate(authorities: &Authorities) -> Result<Block, AuthorityError> {
        let (scope, sequence) = ("shop.main".parse().unwrap(), "user".parse().unwrap());
        now(authorities.allocate(&scope, &sequence, BlockSize::new(10).unwrap()))
    }

    #[test]
    fn the_nearest_that_answers_hands_out_and_one_that_failed_rests() {
        let ([near, far], authorities) = two();
        assert_eq!(allocate(&authorities).unwrap().first().authority().get(), 3);
        near.fails.store(true, Ordering::Relaxed);
        assert_eq!(allocate(&authorities).unwrap().first().authority().get(), 7);
        assert_eq!(
            PASSED_OVER.get(),
            1,
            "whoever asked gets an id, so it is told elsewhere"
        );
        let asked = near.asked.load(Ordering::Relaxed);
        assert_eq!(allocate(&authorities).unwrap().first().authority().get(), 7);
        assert_eq!(near.asked.load(Ordering::Relaxed), asked, "it rests");
        far.fails.store(true, Ordering::Relaxed);
        let error = allocate(&authorities).unwrap_err();
        assert_eq!(
            error.to_string(),
            "none of 2 places handed out ids of sequence `user`"
        );
        assert!(error.is_transient());
        near.fails.store(false, Ordering::Relaxed);
        assert_eq!(
            allocate(&authorities).unwrap().first().authority().get(),
            3,
            "when all others fail, one that rests is asked too"
        );
    }

    #[test]
    fn all_are_raised_or_it_has_failed() {
        let ([near, far], authorities) = two();
        let (scope, sequence) = ("shop.main".parse().unwrap(), "user".parse().unwrap());
        let floor = RangeKey::new(0, 1000).unwrap();
        near.fails.store(true, Ordering::Relaxed);
        let error = now(authorities.raise(&scope, &sequence, floor)).unwrap_err();
        assert!(error.to_string().starts_with("place 3"), "{error}");
        assert_eq!(
            far.ledger.lock().unwrap().state().counter(),
            999,
            "the others are raised"
        );
        near.fails.store(false, Ordering::Relaxed);
        let raised = now(authorities.raise(&scope, &sequence, floor)).unwrap();
        let numbers: Vec<u8> = raised
            .iter()
            .map(|status| status.authority().get())
            .collect();
        assert_eq!(numbers, [3, 7]);
        assert_eq!(allocate(&authorities).unwrap().first().counter(), 1000);
        assert!(Authorities::new(Vec::new(), passed_over).is_none());
    }
}
