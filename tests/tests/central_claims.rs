//! Claims of keys: taken but not found, confirmed, released, abandoned and settled.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::central::{BriefcaseFound, Claim, Settled, Unfinished, UnfinishedKind};
use mdb_core::failpoint::{Failure, Outcome, fail_at};
use mdb_core::{Gdid, Index, IndexError};
use mdb_tests::central_store::{CentralStore, CentralTimes, settle_all};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use tokio::task::JoinSet;

on_all_engines!(
    a_claimed_key_is_taken_but_not_found,
    a_released_claim_is_lost,
    unfinished_claims_are_listed_with_their_age,
    abandoned_claims_are_settled,
    a_claim_is_settled_as_told_at_any_age,
    one_of_many_gets_the_claim,
    a_confirmation_and_a_settlement_never_both_succeed,
    broken_connections_leave_what_can_be_repeated_or_settled,
);

/// How long anything may take that happens at once on an idle machine.
const LIMIT: Duration = Duration::from_secs(10);

const KEY: &str = "ann@example.org";

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

/// The index of a store in two processes.
async fn start<DB: TestEngine>(times: CentralTimes) -> (CentralStore, Index, Index) {
    let store = CentralStore::start::<DB>(times).await;
    let (here, there) = (store.emails(), store.emails());
    (store, here, there)
}

async fn assert_not_found(indexes: [&Index; 2]) {
    for index in indexes {
        assert_eq!(index.get(KEY).await.unwrap(), None);
        assert_eq!(index.get_uncached(KEY).await.unwrap(), None);
        assert_eq!(index.get_many([KEY]).await.unwrap(), [None]);
    }
}

fn is_lost(result: &Result<(), IndexError>) -> bool {
    matches!(result, Err(IndexError::ClaimLost { .. }))
}

async fn a_claimed_key_is_taken_but_not_found<DB: TestEngine>() {
    let (_store, here, there) = start::<DB>(CentralTimes::LONG).await;
    assert_eq!(here.get(KEY).await.unwrap(), None, "and the cache knows");
    let claim = here.claim("Ann@Example.ORG", id(1)).await.unwrap();
    assert_eq!(claim.id(), id(1));
    // Not `there`, whose cache would remember for an hour that it did not find the key.
    assert_not_found([&here, &here]).await;
    for error in [
        there.insert(KEY, id(2)).await.unwrap_err(),
        there.insert(KEY, id(1)).await.unwrap_err(),
        there.claim(KEY, id(2)).await.unwrap_err(),
        there.remove(KEY).await.unwrap_err(),
    ] {
        let IndexError::Claimed { holder, age, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*holder, id(1));
        assert!(*age < LIMIT, "{age:?}");
        assert!(error.to_string().contains("mdb central claims"), "{error}");
    }
    here.confirm(&claim).await.unwrap();
    assert_eq!(here.get(KEY).await.unwrap(), Some(id(1)), "seen at once");
    assert_eq!(there.get(KEY).await.unwrap(), Some(id(1)));
    here.confirm(&claim)
        .await
        .expect("repeating it changes nothing");
    there.confirm(&claim).await.expect("from elsewhere, too");
    assert!(
        !here.release(&claim).await.unwrap(),
        "it is no claim any more"
    );
    assert_eq!(here.get_uncached(KEY).await.unwrap(), Some(id(1)));
    let taken = there.claim(KEY, id(2)).await.unwrap_err();
    assert!(
        matches!(taken, IndexError::Taken { holder, .. } if holder == id(1)),
        "{taken:?}"
    );
    let zero = here.claim("bob@example.org", Gdid::ZERO).await.unwrap_err();
    assert!(matches!(zero, IndexError::ZeroId { .. }), "{zero:?}");
    assert!(here.unfinished(Duration::ZERO).await.unwrap().is_empty());
}

async fn a_released_claim_is_lost<DB: TestEngine>() {
    let (_store, here, there) = start::<DB>(CentralTimes::LONG).await;
    let first = here.claim(KEY, id(1)).await.unwrap();
    assert!(there.release(&first).await.unwrap());
    assert!(!here.release(&first).await.unwrap(), "it is gone already");
    assert_not_found([&here, &there]).await;
    assert!(is_lost(&here.confirm(&first).await));

    // Somebody else's claim, also for the same id, is not touched by the lost one.
    let second = there.claim(KEY, id(1)).await.unwrap();
    assert!(is_lost(&here.confirm(&first).await));
    assert!(!here.release(&first).await.unwrap());
    assert_eq!(here.get_uncached(KEY).await.unwrap(), None);
    there.confirm(&second).await.unwrap();
    assert_eq!(here.get_uncached(KEY).await.unwrap(), Some(id(1)));
    assert_eq!(there.remove(KEY).await.unwrap(), Some(id(1)));
    assert!(
        is_lost(&there.confirm(&second).await),
        "removed after it was confirmed"
    );
}

async fn unfinished_claims_are_listed_with_their_age<DB: TestEngine>() {
    let (store, here, there) = start::<DB>(CentralTimes::LONG).await;
    let mut claims: Vec<(String, Claim)> = Vec::new();
    for n in 1..=30 {
        let key = format!("user{n}@example.org");
        let claim = here.claim(&key, id(n)).await.unwrap();
        claims.push((key, claim));
    }
    here.insert(KEY, id(99)).await.unwrap();
    let mut listed: Vec<_> = there.unfinished(Duration::ZERO).await.unwrap();
    assert!(
        listed
            .iter()
            .all(|left| left.kind() == UnfinishedKind::Claim && left.age() < LIMIT)
    );
    listed.sort_by_key(Unfinished::id);
    let listed: Vec<_> = listed.iter().map(|left| (left.key(), left.id())).collect();
    let made: Vec<_> = claims
        .iter()
        .map(|(key, claim)| (key.as_str(), claim.id()))
        .collect();
    assert_eq!(listed, made);

    assert!(
        there
            .unfinished(Duration::from_mins(5))
            .await
            .unwrap()
            .is_empty()
    );
    let age = Duration::from_millis(100);
    wait_for("the claims to age", LIMIT, async || {
        there.unfinished(age).await.unwrap().len() == 30
    })
    .await;
    assert!(
        there
            .unfinished(age)
            .await
            .unwrap()
            .iter()
            .all(|left| left.age() >= age)
    );
    for (n, (_, claim)) in claims.iter().enumerate() {
        if n % 2 == 0 {
            here.confirm(claim).await.unwrap();
        } else {
            here.release(claim).await.unwrap();
        }
        let left = there.unfinished(Duration::ZERO).await.unwrap().len();
        assert_eq!(left, 29 - n, "neither is listed any more");
    }

    // As people read them, whatever the kind of key.
    let central = store.open().central().clone();
    let _integer = central.index("number").claim(-7, id(1)).await.unwrap();
    let _bytes = central
        .index("digest")
        .claim([0_u8, 0xab].as_slice(), id(1))
        .await
        .unwrap();
    for (index, text) in [("number", "-7"), ("digest", "00ab")] {
        let listed = central
            .index(index)
            .unfinished(Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(
            listed.iter().map(Unfinished::key).collect::<Vec<_>>(),
            [text]
        );
    }
}

async fn abandoned_claims_are_settled<DB: TestEngine>() {
    let (_store, here, there) = start::<DB>(CentralTimes::IMPATIENT).await;
    let mut settled = Vec::new();
    for briefcase in [BriefcaseFound::Yes, BriefcaseFound::No] {
        assert_eq!(there.get(KEY).await.unwrap(), None);
        let claim = here.claim(KEY, id(1)).await.unwrap();
        let mut left = Vec::new();
        wait_for("the claim to count as abandoned", LIMIT, async || {
            left = there.unfinished(there.claim_ttl().unwrap()).await.unwrap();
            left.len() == 1
        })
        .await;
        settled.push(there.settle(&left[0], briefcase).await.unwrap());
        let again = there.settle(&left[0], briefcase).await.unwrap();
        assert_eq!(again, Settled::Left, "somebody has settled it meanwhile");
        let found = (briefcase == BriefcaseFound::Yes).then_some(id(1));
        assert_eq!(there.get(KEY).await.unwrap(), found, "seen at once");
        let confirmed = here.confirm(&claim).await;
        assert_eq!(confirmed.is_ok(), found.is_some(), "{confirmed:?}");
        assert_eq!(here.get_uncached(KEY).await.unwrap(), found);
        there.remove(KEY).await.unwrap();
    }
    assert_eq!(settled, [Settled::Completed, Settled::Undone]);
    assert!(there.unfinished(Duration::ZERO).await.unwrap().is_empty());
}

async fn a_claim_is_settled_as_told_at_any_age<DB: TestEngine>() {
    let (_store, here, there) = start::<DB>(CentralTimes::LONG).await;
    for (briefcase, settled) in [
        (BriefcaseFound::No, Settled::Undone),
        (BriefcaseFound::Yes, Settled::Completed),
    ] {
        let claim = here.claim(KEY, id(1)).await.unwrap();
        let left = there.unfinished(Duration::ZERO).await.unwrap();
        assert_eq!(there.settle(&left[0], briefcase).await.unwrap(), settled);
        // Whoever claimed it is told.
        let confirmed = here.confirm(&claim).await;
        assert_eq!(
            is_lost(&confirmed),
            settled == Settled::Undone,
            "{confirmed:?}"
        );
    }
    assert_eq!(here.get(KEY).await.unwrap(), Some(id(1)));
}

async fn one_of_many_gets_the_claim<DB: TestEngine>() {
    let (_store, here, there) = start::<DB>(CentralTimes::LONG).await;
    for round in 0..10 {
        let key = format!("wanted{round}@example.org");
        let mut tasks = JoinSet::new();
        for n in 1..=8 {
            let index = if n % 2 == 0 {
                here.clone()
            } else {
                there.clone()
            };
            let key = key.clone();
            tasks.spawn(async move { index.claim(&key, id(n)).await });
        }
        let (won, lost): (Vec<_>, Vec<_>) =
            tasks.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 7));
        let winner = won[0].as_ref().unwrap();
        for error in lost {
            let error = error.unwrap_err();
            assert!(
                matches!(error, IndexError::Claimed { holder, .. } if holder == winner.id()),
                "{error:?}"
            );
        }
        here.confirm(winner).await.unwrap();
        assert_eq!(there.get(&key).await.unwrap(), Some(winner.id()));
    }
}

async fn a_confirmation_and_a_settlement_never_both_succeed<DB: TestEngine>() {
    let (_store, here, there) = start::<DB>(CentralTimes::IMPATIENT).await;
    let mut confirmed = 0;
    for n in 1..=40 {
        let claim = here.claim(KEY, id(n)).await.unwrap();
        let mut left = Vec::new();
        wait_for("the claim to count as abandoned", LIMIT, async || {
            left = there.unfinished(there.claim_ttl().unwrap()).await.unwrap();
            left.len() == 1
        })
        .await;
        let (confirmation, settlement) = tokio::join!(
            here.confirm(&claim),
            there.settle(&left[0], BriefcaseFound::No)
        );
        let found = here.get(KEY).await.unwrap();
        match (confirmation, settlement.unwrap()) {
            (Ok(()), Settled::Left) => {
                confirmed += 1;
                assert_eq!(found, Some(id(n)));
            }
            (Err(IndexError::ClaimLost { .. }), Settled::Undone) => assert_eq!(found, None),
            other => panic!("{other:?}"),
        }
        here.remove(KEY).await.unwrap();
    }
    println!("{confirmed} of 40 confirmations came first");
}

async fn broken_connections_leave_what_can_be_repeated_or_settled<DB: TestEngine>() {
    let (_store, here, there) = start::<DB>(CentralTimes::IMPATIENT).await;
    let claims = async || there.unfinished(Duration::ZERO).await.unwrap().len();
    for failure in Failure::ALL {
        let outcome = fail_at(failure, 1, here.claim(KEY, id(1))).await;
        match outcome {
            Outcome::Failed(result) => assert!(result.unwrap_err().is_transient(), "{failure:?}"),
            Outcome::Died => assert_eq!(failure, Failure::Death),
            Outcome::NotReached(_) => panic!("a claim is a statement"),
        }
        assert_eq!(
            claims().await,
            usize::from(failure != Failure::Outage),
            "{failure:?}"
        );
        settle_all(&there).await;

        let claim = here.claim(KEY, id(2)).await.unwrap();
        fail_at(failure, 1, here.confirm(&claim)).await;
        let found = (failure != Failure::Outage).then_some(id(2));
        assert_eq!(
            here.get(KEY).await.unwrap(),
            found,
            "{failure:?}: as it is in CENTRAL"
        );
        here.confirm(&claim).await.expect("repeated");
        assert_eq!(here.get(KEY).await.unwrap(), Some(id(2)), "{failure:?}");
        here.remove(KEY).await.unwrap();

        let claim = here.claim(KEY, id(3)).await.unwrap();
        fail_at(failure, 1, here.release(&claim)).await;
        assert_eq!(
            claims().await,
            usize::from(failure == Failure::Outage),
            "{failure:?}"
        );
        let was_there = here.release(&claim).await.expect("repeated");
        assert_eq!(was_there, failure == Failure::Outage);
        here.insert(KEY, id(4)).await.expect("the key is free");
        assert_eq!(here.remove(KEY).await.unwrap(), Some(id(4)));
    }
}

/// Does not compile if a future can't be sent to another thread, as `tokio::spawn` does.
#[tokio::test]
async fn every_operation_can_be_spawned() {
    fn spawnable<T>(_: &(impl Future<Output = T> + Send)) {}
    let (_store, index, _) = start::<sqlx::Sqlite>(CentralTimes::LONG).await;
    let claim = index.claim(KEY, id(1)).await.unwrap();
    let left = index.unfinished(Duration::ZERO).await.unwrap().remove(0);
    spawnable(&index.get(KEY));
    spawnable(&index.get_uncached(KEY));
    spawnable(&index.get_many([KEY]));
    spawnable(&index.insert(KEY, id(1)));
    spawnable(&index.remove(KEY));
    spawnable(&index.rename(KEY, KEY));
    spawnable(&index.claim(KEY, id(1)));
    spawnable(&index.confirm(&claim));
    spawnable(&index.release(&claim));
    spawnable(&index.unfinished(Duration::ZERO));
    spawnable(&index.settle(&left, BriefcaseFound::No));
}
