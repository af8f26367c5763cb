//! Named indexes and own tables of CENTRAL, on each engine.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mdb_core::central::{IndexKey, KeyError, MAX_KEY_BYTES};
use mdb_core::{AcquireError, Engine, Gdid, Index, IndexError, Mdb};
use mdb_tests::central_fixture::{CentralEngine, CentralStore, CentralTimes};
use mdb_tests::on_each_central_engine;
use sqlx::{Executor as _, IntoArguments, MySql, Postgres, Sqlite};

on_each_central_engine!(
    a_key_has_one_holder,
    many_keys_are_found_in_their_order,
    keys_are_normalised,
    bytes_and_integers_are_keys,
    what_is_no_key_is_refused_before_anything_is_written,
    own_tables_are_on_the_shard_of_their_key,
    an_unknown_index_is_named,
    a_shard_that_is_not_ready_fails_at_once,
);

async fn start(engine: CentralEngine) -> CentralStore {
    CentralStore::start(engine, CentralTimes::LONG).await
}

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 1, counter).unwrap()
}

async fn a_key_has_one_holder(engine: CentralEngine) {
    let store = start(engine).await;
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

async fn many_keys_are_found_in_their_order(engine: CentralEngine) {
    let store = start(engine).await;
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

async fn keys_are_normalised(engine: CentralEngine) {
    let store = start(engine).await;
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

async fn bytes_and_integers_are_keys(engine: CentralEngine) {
    let store = start(engine).await;
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

async fn what_is_no_key_is_refused_before_anything_is_written(engine: CentralEngine) {
    let store = start(engine).await;
    let mdb = store.open();
    let emails = mdb.central().index("email");
    let huge = format!("{}@example.org", "x".repeat(64 * 1024));
    let bad: [(IndexKey<'_>, fn(&KeyError) -> bool); 6] = [
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

async fn an_unknown_index_is_named(engine: CentralEngine) {
    let store = start(engine).await;
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

async fn a_shard_that_is_not_ready_fails_at_once(engine: CentralEngine) {
    let store = CentralStore::without_databases(engine, CentralTimes::LONG).await;
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

async fn own_tables_are_on_the_shard_of_their_key(engine: CentralEngine) {
    let store = start(engine).await;
    let mdb = store.open();
    match engine {
        CentralEngine::Sqlite => own_tables::<Sqlite>(&mdb, "?").await,
        CentralEngine::Postgres => own_tables::<Postgres>(&mdb, "$1").await,
        CentralEngine::MariaDb => own_tables::<MySql>(&mdb, "?").await,
    }
    let wrong = match engine {
        CentralEngine::Postgres => mdb.central().shard::<Sqlite>("de").map(drop),
        _ => mdb.central().shard::<Postgres>("de").map(drop),
    };
    assert!(
        matches!(wrong, Err(AcquireError::WrongEngine { .. })),
        "{wrong:?}"
    );
}

async fn own_tables<DB: Engine>(mdb: &Mdb, mark: &str)
where
    for<'q> DB::Arguments<'q>: IntoArguments<'q, DB>,
    for<'q> &'q str: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    for<'r> i64: sqlx::Decode<'r, DB> + sqlx::Type<DB>,
    for<'r> (i64,): sqlx::FromRow<'r, DB::Row>,
    usize: sqlx::ColumnIndex<DB::Row>,
{
    let countries = [
        "de", "fr", "it", "se", "pl", "es", "pt", "nl", "be", "at", "ch", "dk",
    ];
    let mut shards = HashMap::new();
    for country in countries {
        let shard = mdb.central().shard::<DB>(country).unwrap();
        assert_eq!(shard.info().id(), mdb.central().route(country).shard_id());
        if !shards.contains_key(&shard.info().id()) {
            (&shard)
                .execute("CREATE TABLE country (code VARCHAR(2) PRIMARY KEY)")
                .await
                .unwrap();
        }
        let insert = format!("INSERT INTO country (code) VALUES ({mark})");
        sqlx::query::<DB>(&insert)
            .bind(country)
            .execute(&shard)
            .await
            .unwrap();
        shards.insert(shard.info().id(), shard);
    }
    assert!(shards.len() > 1, "twelve keys are on more than one shard");
    let mut rows = 0;
    for shard in shards.values() {
        let (count,): (i64,) = sqlx::query_as::<DB, _>("SELECT count(*) FROM country")
            .fetch_one(shard)
            .await
            .unwrap();
        rows += count;
    }
    assert_eq!(rows, 12);
}
