//! Renaming keys, on one shard and between shards: done, refused, and broken off at every statement.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::central::{BriefcaseFound, Settled, UnfinishedKind};
use mdb_core::failpoint::{Failure, Outcome, fail_at};
use mdb_core::{Gdid, Index, IndexError, Mdb};
use mdb_tests::central_store::{CentralStore, CentralTimes, settle_all};
use mdb_tests::kit::wait_for;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    the_holder_gets_another_key,
    a_rename_that_breaks_off_leaves_one_key,
    a_settlement_that_breaks_off_is_settled_again,
    a_young_rename_is_left_alone,
);

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shards {
    One,
    Two,
}

/// Two keys on one shard, or on two.
fn pair(mdb: &Mdb, number: u64, shards: Shards) -> (String, String) {
    let shard = |key: &str| mdb.central().route(key).shard_id();
    let from = format!("from{number}@example.org");
    let to = (0..1000)
        .map(|attempt| format!("to{number}.{attempt}@example.org"))
        .find(|to| (shard(to) == shard(&from)) == (shards == Shards::One))
        .unwrap();
    (from, to)
}

/// Which of two keys is found; both or neither fails the test.
async fn found_key<'k>(
    index: &Index,
    [from, to]: [&'k str; 2],
    holder: Gdid,
    context: &str,
) -> &'k str {
    let found = [
        index.get_uncached(from).await.unwrap(),
        index.get_uncached(to).await.unwrap(),
    ];
    match found.map(|found| found == Some(holder)) {
        [true, false] => from,
        [false, true] => to,
        [both, _] => panic!(
            "{} of the keys are found: {context}",
            if both { "both" } else { "none" }
        ),
    }
}

async fn the_holder_gets_another_key<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    for (shards, n) in [(Shards::One, 1), (Shards::Two, 2)] {
        let (from, to) = pair(&mdb, n, shards);
        let absent = emails.rename(&from, &to).await.unwrap_err();
        assert!(matches!(absent, IndexError::NotFound { .. }), "{absent:?}");
        assert_eq!(emails.get(&to).await.unwrap(), None, "and the cache knows");

        emails.insert(&from, id(n)).await.unwrap();
        assert_eq!(emails.get(&from).await.unwrap(), Some(id(n)));
        assert_eq!(
            emails.rename(&from, &to).await.unwrap(),
            id(n),
            "{shards:?}"
        );
        assert_eq!(
            emails.get(&from).await.unwrap(),
            None,
            "{shards:?}: own writes are seen at once"
        );
        assert_eq!(emails.get(&to).await.unwrap(), Some(id(n)));
        assert_eq!(
            emails.get_many([&to, &from]).await.unwrap(),
            [Some(id(n)), None]
        );
        assert_eq!(emails.rename(&to, &to).await.unwrap(), id(n), "to itself");

        emails
            .insert(&from, id(100 + n))
            .await
            .expect("the old key is free");
        let taken = emails.rename(&from, &to).await.unwrap_err();
        assert!(
            matches!(taken, IndexError::Taken { holder, .. } if holder == id(n)),
            "{taken:?}"
        );
        assert_eq!(
            emails.get(&from).await.unwrap(),
            Some(id(100 + n)),
            "{shards:?}: all is as it was"
        );
        assert_eq!(emails.get(&to).await.unwrap(), Some(id(n)));

        let claim = emails.claim("claimed@example.org", id(7)).await.unwrap();
        let claimed = emails
            .rename(&from, "claimed@example.org")
            .await
            .unwrap_err();
        assert!(
            matches!(claimed, IndexError::Claimed { holder, .. } if holder == id(7)),
            "{claimed:?}"
        );
        let claimed = emails
            .rename("claimed@example.org", &from)
            .await
            .unwrap_err();
        assert!(
            matches!(claimed, IndexError::NotFound { .. }),
            "a claim is not found: {claimed:?}"
        );
        assert!(emails.release(&claim).await.unwrap());
    }
    assert!(emails.unfinished(Duration::ZERO).await.unwrap().is_empty());
}

async fn a_rename_that_breaks_off_leaves_one_key<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::IMPATIENT).await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    let elsewhere = store.open().central().index("email");
    let mut number = 0;
    for shards in [Shards::One, Shards::Two] {
        for taken in [None, Some(id(1_000_000))] {
            for failure in Failure::ALL {
                let mut statements = 0;
                for at in 1.. {
                    number += 1;
                    let context = format!("{shards:?}, {taken:?}, {failure:?} at statement {at}");
                    let (holder, (from, to)) = (id(number), pair(&mdb, number, shards));
                    let keys = [from.as_str(), to.as_str()];
                    emails.insert(&from, holder).await.unwrap();
                    if let Some(other) = taken {
                        emails.insert(&to, other).await.unwrap();
                    }
                    // The cache has both keys as they are before.
                    emails.get_many(keys).await.unwrap();

                    let outcome = fail_at(failure, at, emails.rename(&from, &to)).await;
                    let found = found_key(&elsewhere, keys, holder, &context).await;
                    for key in keys {
                        let past_the_cache = emails.get_uncached(key).await.unwrap();
                        assert_eq!(
                            emails.get(key).await.unwrap(),
                            past_the_cache,
                            "{key}: {context}"
                        );
                    }
                    let (reached, result) = match outcome {
                        Outcome::NotReached(result) => (false, Some(result)),
                        Outcome::Failed(result) => (true, Some(result)),
                        Outcome::Died => (true, None),
                    };
                    if let Some(Ok(renamed)) = &result {
                        assert_eq!((*renamed, found), (holder, to.as_str()), "{context}");
                    }
                    settle_all(&elsewhere).await;
                    assert_eq!(
                        found_key(&elsewhere, keys, holder, &context).await,
                        found,
                        "{context}"
                    );
                    let other = if found == from { &to } else { &from };
                    assert_eq!(
                        elsewhere.get_uncached(other).await.unwrap(),
                        taken,
                        "{context}"
                    );
                    if taken.is_none() {
                        elsewhere
                            .insert(other, id(2_000_000))
                            .await
                            .expect("the other key is free");
                    }
                    if !reached {
                        assert_eq!(result.unwrap().is_ok(), taken.is_none(), "{context}");
                        break;
                    }
                    statements = at;
                }
                let least = if shards == Shards::One { 1 } else { 3 };
                assert!(
                    statements >= least,
                    "{shards:?} {failure:?}: only {statements} statements"
                );
            }
        }
    }
}

async fn a_settlement_that_breaks_off_is_settled_again<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::IMPATIENT).await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    let mut number = 0;
    for at in 1..=4 {
        for failure in Failure::ALL {
            for settle_at in 1.. {
                number += 1;
                let context =
                    format!("died at {at}, then {failure:?} at {settle_at} of the settlement");
                let (holder, (from, to)) = (id(number), pair(&mdb, number, Shards::Two));
                let keys = [from.as_str(), to.as_str()];
                emails.insert(&from, holder).await.unwrap();
                let outcome = fail_at(Failure::Death, at, emails.rename(&from, &to)).await;
                assert!(matches!(outcome, Outcome::Died), "{context}");
                let found = found_key(&emails, keys, holder, &context).await;

                let mut left = Vec::new();
                wait_for(
                    "the rename to be old enough",
                    Duration::from_secs(5),
                    async || {
                        left = emails
                            .unfinished(emails.claim_ttl().unwrap())
                            .await
                            .unwrap();
                        left.len() == if at == 1 || at == 4 { 1 } else { 2 }
                    },
                )
                .await;
                for unfinished in &left {
                    assert_eq!(unfinished.id(), holder);
                    let key = if unfinished.kind() == UnfinishedKind::RenameTarget {
                        &to
                    } else {
                        &from
                    };
                    assert_eq!(unfinished.key(), key, "{context}");
                }
                let settling = async {
                    for unfinished in &left {
                        emails.settle(unfinished, BriefcaseFound::No).await?;
                    }
                    Ok::<_, IndexError>(())
                };
                let outcome = fail_at(failure, settle_at, settling).await;
                assert_eq!(
                    found_key(&emails, keys, holder, &context).await,
                    found,
                    "{context}"
                );
                settle_all(&emails).await;
                assert_eq!(
                    found_key(&emails, keys, holder, &context).await,
                    found,
                    "{context}"
                );
                if let Outcome::NotReached(result) = outcome {
                    result.unwrap();
                    break;
                }
            }
        }
    }
}

async fn a_young_rename_is_left_alone<DB: TestEngine>() {
    let store = CentralStore::start::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    let (from, to) = pair(&mdb, 1, Shards::Two);
    emails.insert(&from, id(1)).await.unwrap();
    fail_at(Failure::Death, 2, emails.rename(&from, &to)).await;
    for left in emails.unfinished(Duration::ZERO).await.unwrap() {
        let settled = emails.settle(&left, BriefcaseFound::No).await.unwrap();
        assert_eq!(settled, Settled::Left, "whoever renames may be alive");
    }
    for error in [
        emails.insert(&to, id(2)).await.unwrap_err(),
        emails.rename(&from, "third@example.org").await.unwrap_err(),
        emails.remove(&from).await.unwrap_err(),
        emails.claim(&to, id(2)).await.unwrap_err(),
    ] {
        assert!(matches!(error, IndexError::Renaming { .. }), "{error:?}");
        assert!(error.is_transient());
    }
    assert_eq!(
        found_key(&emails, [&from, &to], id(1), "unfinished").await,
        from
    );
}
