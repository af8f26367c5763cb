//! What can be a key of an index, and what cannot.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::{Duration, Instant};

use mdb_core::central::{IndexKey, KeyError, MAX_KEY_BYTES};
use mdb_core::{Gdid, Index, IndexError};
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    keys_are_normalised,
    bytes_and_integers_are_keys,
    what_is_no_key_is_refused_before_anything_is_written,
);

async fn start<DB: TestEngine>() -> CentralStore {
    CentralStore::start::<DB>(CentralTimes::LONG).await
}

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

async fn keys_are_normalised<DB: TestEngine>() {
    let store = start::<DB>().await;
    let central = store.open().central().clone();
    let (fold, trim, none) = (
        central.index("email"),
        central.index("nickname"),
        central.index("code"),
    );
    for index in [&fold, &trim, &none] {
        index.insert(" Jürgen STRASSE\t", id(1)).await.unwrap();
    }
    let finds = async |index: &Index, key: &str| index.get(key).await.unwrap() == Some(id(1));
    assert!(finds(&fold, "jürgen straße").await);
    assert!(
        finds(&fold, "JU\u{308}RGEN strasse").await,
        "decomposed and composed letters are one"
    );
    assert!(finds(&trim, "Jürgen STRASSE").await);
    assert!(!finds(&trim, "jürgen strasse").await);
    assert!(!finds(&trim, "Ju\u{308}rgen STRASSE").await);
    assert!(finds(&none, " Jürgen STRASSE\t").await);
    assert!(!finds(&none, "Jürgen STRASSE").await);
    assert!(matches!(
        fold.insert("JÜRGEN STRASSE", id(2)).await,
        Err(IndexError::Taken { .. })
    ));
    assert_eq!(
        fold.rename("JÜRGEN strasse", "Jürgen Straße")
            .await
            .unwrap(),
        id(1),
        "the same key"
    );
    assert_eq!(fold.remove("Jürgen Strasse").await.unwrap(), Some(id(1)));

    // What an engine's own collations would take for one is not.
    for (n, key) in ["a", "A", "a ", "a\0", "á", "ａ"].into_iter().enumerate() {
        none.insert(key, id(10 + n as u64)).await.unwrap();
    }
    for (n, key) in ["a", "A", "a ", "a\0", "á", "ａ"].into_iter().enumerate() {
        assert_eq!(
            none.get_uncached(key).await.unwrap(),
            Some(id(10 + n as u64)),
            "{key:?}"
        );
    }
}

async fn bytes_and_integers_are_keys<DB: TestEngine>() {
    let store = start::<DB>().await;
    let central = store.open().central().clone();
    let digests = central.index("digest");
    let long = [0xff_u8; MAX_KEY_BYTES];
    let keys: [&[u8]; 7] = [&[0], &[0, 0], b" ", b"  ", b"'; --", &[0xff, 0xfe], &long];
    for (key, n) in keys.into_iter().zip(1..) {
        digests.insert(key, id(n)).await.unwrap();
    }
    let found = digests.get_many(keys).await.unwrap();
    assert_eq!(found, (1..=7).map(|n| Some(id(n))).collect::<Vec<_>>());
    assert_eq!(
        digests
            .rename(keys[0], [0_u8, 0, 0].as_slice())
            .await
            .unwrap(),
        id(1)
    );
    assert_eq!(
        store
            .open()
            .central()
            .index("digest")
            .get([0_u8, 0, 0].as_slice())
            .await
            .unwrap(),
        Some(id(1))
    );

    let numbers = central.index("number");
    let keys = [0, 1, -1, i64::MIN, i64::MAX];
    for (key, n) in keys.into_iter().zip(1..) {
        numbers.insert(key, id(n)).await.unwrap();
    }
    let found = store
        .open()
        .central()
        .index("number")
        .get_many(keys)
        .await
        .unwrap();
    assert_eq!(found, (1..=5).map(|n| Some(id(n))).collect::<Vec<_>>());
    assert_eq!(numbers.rename(-1, 77).await.unwrap(), id(3));
    assert_eq!(numbers.get(-1).await.unwrap(), None);
    assert_eq!(numbers.remove(77).await.unwrap(), Some(id(3)));
}

type IsExpected = fn(&KeyError) -> bool;

async fn what_is_no_key_is_refused_before_anything_is_written<DB: TestEngine>() {
    let store = start::<DB>().await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    let huge = format!("{}@example.org", "x".repeat(64 * 1024));
    let bad: [(IndexKey<'_>, IsExpected); 6] = [
        (IndexKey::from(7), |error| {
            matches!(error, KeyError::Kind { .. })
        }),
        (IndexKey::from(b"bytes".as_slice()), |error| {
            matches!(error, KeyError::Kind { .. })
        }),
        (IndexKey::from(""), |error| matches!(error, KeyError::Empty)),
        (IndexKey::from(" \t\n\u{a0}"), |error| {
            matches!(error, KeyError::Empty)
        }),
        (
            IndexKey::from(&huge),
            |error| matches!(error, KeyError::TooLong { bytes } if *bytes > 65_536),
        ),
        (IndexKey::from(&huge), |error| {
            !error.to_string().contains("xxx")
        }),
    ];
    let began = Instant::now();
    for (key, is_expected) in bad {
        let errors = [
            emails.insert(key, id(1)).await.unwrap_err(),
            emails.get(key).await.unwrap_err(),
            emails.get_uncached(key).await.unwrap_err(),
            emails
                .get_many([IndexKey::from("ann@example.org"), key])
                .await
                .unwrap_err(),
            emails.claim(key, id(1)).await.unwrap_err(),
            emails.remove(key).await.unwrap_err(),
            emails.rename(key, "ann@example.org").await.unwrap_err(),
            emails.rename("ann@example.org", key).await.unwrap_err(),
        ];
        for error in errors {
            assert!(!error.is_transient());
            let IndexError::Key { index, source } = error else {
                panic!("{error:?}")
            };
            assert_eq!(index, "email");
            assert!(is_expected(&source), "{source:?}");
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "refused without asking anybody: {:?}",
        began.elapsed()
    );
    let open = mdb.topology().shards().iter().zip(0..).map(|(_, n)| {
        mdb.servers()
            .status(mdb_core::topology::ShardId::new(n))
            .open
    });
    assert_eq!(open.sum::<usize>(), 0, "no connection was opened");

    // The longest key that is allowed, in a script of three bytes a letter.
    let longest = "語".repeat(MAX_KEY_BYTES / 3);
    emails.insert(&longest, id(1)).await.unwrap();
    assert_eq!(store.emails().get(&longest).await.unwrap(), Some(id(1)));
}
