//! Named indexes and own tables of CENTRAL, on each engine.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mdb_core::{AcquireError, Gdid, IndexError};
use mdb_tests::central_store::{CentralStore, CentralTimes};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::{Database as _, Postgres, Sqlite};

on_all_engines!(
    a_key_has_one_holder,
    many_keys_are_found_in_their_order,
    own_tables_are_on_the_shard_of_their_key,
    an_unknown_index_is_named,
    a_shard_that_is_not_ready_fails_at_once,
);

async fn start<DB: TestEngine>() -> CentralStore {
    CentralStore::start::<DB>(CentralTimes::LONG).await
}

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

async fn a_key_has_one_holder<DB: TestEngine>() {
    let store = start::<DB>().await;
    let emails = store.open().central().index("email");
    assert_eq!(emails.get("ann@example.org").await.unwrap(), None);

    emails.insert("ann@example.org", id(1)).await.unwrap();
    emails
        .insert("ann@example.org", id(1))
        .await
        .expect("the same id again changes nothing");
    let taken = emails.insert("ann@example.org", id(2)).await.unwrap_err();
    assert!(
        matches!(&taken, IndexError::Taken { holder, .. } if *holder == id(1)),
        "{taken:?}"
    );
    assert!(
        taken.to_string().contains("0:1:1"),
        "names the holder: {taken}"
    );
    assert!(!taken.is_transient());
    assert_eq!(emails.get("ann@example.org").await.unwrap(), Some(id(1)));
    assert_eq!(
        emails.get_uncached("ann@example.org").await.unwrap(),
        Some(id(1))
    );

    // An id may hold several keys.
    emails.insert("ann@example.com", id(1)).await.unwrap();
    let zero = emails
        .insert("nobody@example.org", Gdid::ZERO)
        .await
        .unwrap_err();
    assert!(matches!(zero, IndexError::ZeroId { .. }), "{zero:?}");
    assert_eq!(
        emails.get_uncached("nobody@example.org").await.unwrap(),
        None
    );

    assert_eq!(emails.remove("ann@example.org").await.unwrap(), Some(id(1)));
    assert_eq!(
        emails.remove("ann@example.org").await.unwrap(),
        None,
        "nobody holds it any more"
    );
    assert_eq!(emails.get("ann@example.org").await.unwrap(), None);
    assert_eq!(
        emails.get("ann@example.com").await.unwrap(),
        Some(id(1)),
        "the other key stays"
    );
    emails
        .insert("ann@example.org", id(2))
        .await
        .expect("a removed key is free");

    // The same key in another index is another entry.
    let nicknames = store.open().central().index("nickname");
    assert_eq!(nicknames.get("ann@example.org").await.unwrap(), None);
    nicknames.insert("ann@example.org", id(3)).await.unwrap();
    assert_eq!(
        store
            .open()
            .central()
            .index("email")
            .get("ann@example.org")
            .await
            .unwrap(),
        Some(id(2))
    );
}

async fn many_keys_are_found_in_their_order<DB: TestEngine>() {
    let store = start::<DB>().await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    let keys: Vec<String> = (0..1000).map(|n| format!("user{n}@example.org")).collect();
    let mut per_shard: HashMap<_, usize> = HashMap::new();
    for key in &keys {
        *per_shard
            .entry(mdb.central().route(key.as_str()).shard_id())
            .or_default() += 1;
    }
    assert_eq!(per_shard.len(), 3);
    assert!(
        per_shard.values().all(|keys| (250..420).contains(keys)),
        "spread evenly: {per_shard:?}"
    );

    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..8 {
        let (emails, keys) = (emails.clone(), keys.clone());
        tasks.spawn(async move {
            for (n, key) in keys.iter().enumerate().filter(|(n, _)| n % 8 == part) {
                emails.insert(key, id(1 + n as u64)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;

    // Mixed with absent keys and a key that comes twice.
    let mut wanted: Vec<(String, Option<Gdid>)> = keys
        .iter()
        .zip(1..)
        .map(|(key, n)| (key.clone(), Some(id(n))))
        .collect();
    wanted.extend((0..50).map(|n| (format!("absent{n}@example.org"), None)));
    wanted.push(wanted[7].clone());
    fastrand::Rng::with_seed(7).shuffle(&mut wanted);
    let (asked, expected): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
    for (round, index) in [
        ("past", &store.emails()),
        ("from", &emails),
        ("from", &emails),
    ] {
        assert_eq!(
            index.get_many(&asked).await.unwrap(),
            expected,
            "{round} the cache"
        );
    }
    assert_eq!(emails.get_many(Vec::<&str>::new()).await.unwrap(), []);
}

async fn an_unknown_index_is_named<DB: TestEngine>() {
    let store = start::<DB>().await;
    let mdb = store.open();
    let unknown = mdb.central().index("user_emial");
    for error in [
        unknown.get("a").await.unwrap_err(),
        unknown.insert("a", id(1)).await.unwrap_err(),
        unknown.remove("a").await.unwrap_err(),
        unknown.rename("a", "b").await.unwrap_err(),
        unknown.get_many(["a"]).await.unwrap_err(),
        unknown.claim("a", id(1)).await.unwrap_err(),
        unknown.unfinished(Duration::ZERO).await.unwrap_err(),
        unknown.claim_ttl().unwrap_err(),
    ] {
        assert!(
            matches!(&error, IndexError::Unknown { name } if name == "user_emial"),
            "{error:?}"
        );
    }
    let mut names: Vec<_> = mdb.central().index_names().collect();
    names.sort_unstable();
    assert_eq!(names, ["code", "digest", "email", "nickname", "number"]);
}

async fn a_shard_that_is_not_ready_fails_at_once<DB: TestEngine>() {
    let store = CentralStore::without_databases::<DB>(CentralTimes::LONG).await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    let began = Instant::now();
    let error = emails.get("ann@example.org").await.unwrap_err();
    assert!(matches!(&error, IndexError::Database { .. }), "{error:?}");
    emails.insert("ann@example.org", id(1)).await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "took {:?}",
        began.elapsed()
    );

    // The failure is not remembered.
    for (_, report) in mdb.init().await {
        report.unwrap();
    }
    assert_eq!(emails.get("ann@example.org").await.unwrap(), None);
    emails.insert("ann@example.org", id(1)).await.unwrap();
    assert_eq!(emails.get("ann@example.org").await.unwrap(), Some(id(1)));
}

async fn own_tables_are_on_the_shard_of_their_key<DB: TestEngine>() {
    let store = start::<DB>().await;
    let mdb = store.open();
    let countries = [
        "de", "fr", "it", "se", "pl", "es", "pt", "nl", "be", "at", "ch", "dk",
    ];
    let mut shards = HashMap::new();
    for country in countries {
        let shard = mdb.central().shard::<DB>(country).unwrap();
        assert_eq!(shard.info().id(), mdb.central().route(country).shard_id());
        if !shards.contains_key(&shard.info().id()) {
            DB::run(&shard, "CREATE TABLE country (code VARCHAR(2) PRIMARY KEY)")
                .await
                .unwrap();
        }
        let insert = format!("INSERT INTO country (code) VALUES ('{country}')");
        DB::run(&shard, &insert).await.unwrap();
        shards.insert(shard.info().id(), shard);
    }
    assert!(shards.len() > 1, "twelve keys are on more than one shard");
    let mut rows = 0;
    for shard in shards.values() {
        rows += DB::number(shard, "SELECT count(*) FROM country")
            .await
            .unwrap();
    }
    assert_eq!(rows, 12);
    let wrong = if DB::NAME == Postgres::NAME {
        mdb.central().shard::<Sqlite>("de").map(drop)
    } else {
        mdb.central().shard::<Postgres>("de").map(drop)
    };
    assert!(
        matches!(wrong, Err(AcquireError::WrongEngine { .. })),
        "{wrong:?}"
    );
}
