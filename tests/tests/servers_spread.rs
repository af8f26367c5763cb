//! The spread in stamps: a list of shards keeps its length and its hash once anything is there.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::error::chain;
use mdb_core::{AcquireError, IdentityError, InitError, InitOutcome, Mdb, cause_of, is_transient};
use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, Store, TestEngine};

on_all_engines!(
    another_spread_is_refused,
    an_unused_store_takes_another_spread,
    stamps_of_an_older_version_are_altered,
);

/// The configuration without `a1`, with one shard more in its list, and with another hash; and what each makes of the
/// two shards by xxh3.
fn changes<DB: TestEngine>(store: &Store<DB>) -> [(Mdb, &'static str); 3] {
    let (second, third) = (store.database("a1"), store.database("a2"));
    let shard = |name: &str| format!("{{ server = \"main\", database = \"{name}\" }},");
    let changed = |change: &dyn Fn(String) -> String| store.open_changed(change);
    [
        (
            changed(&|text| text.replace(&shard(&second), "")),
            "1 shard",
        ),
        (
            changed(&|text| {
                let longer = format!("{}\n{}", shard(&second), shard(&third));
                text.replace(&shard(&second), &longer)
            }),
            "3 shards by xxh3",
        ),
        (changed(&azos), "2 shards by azos"),
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "as changes are handed over")]
fn azos(text: String) -> String {
    text.replace("name = \"user\"", "name = \"user\"\nhash = \"azos\"")
}

async fn another_spread_is_refused<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 1).await.unwrap();
    for (mdb, spread) in changes(&store) {
        let area = mdb.area::<DB>("user").unwrap();
        let first = area.shards()[0].id();
        let id = store
            .ids_on("a0")
            .find(|id| area.route(*id).unwrap().shard_id() == first)
            .unwrap();
        let briefcase = area.briefcase(id).unwrap();
        let error = DB::put(&briefcase, briefcase.id(), 2).await.unwrap_err();
        let Some(AcquireError::Identity {
            source: IdentityError::Spread { expected, found },
            ..
        }) = cause_of(&error)
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            (expected.spread(), found.spread()),
            (spread, "2 shards by xxh3")
        );
        assert!(!is_transient::<DB>(&error));
        let text = chain(&error);
        for part in ["one of 2 shards by xxh3,", spread, "put them back"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        let refused = mdb.init_shard(first).await.unwrap_err();
        let InitError::Identity {
            source: IdentityError::Spread { .. },
            ..
        } = &refused
        else {
            panic!("{refused:?}")
        };
    }
    assert_eq!(DB::accounts_in(&store, "a0").await, [ann.id()]);

    // One shard alone has all ids whatever the hash.
    let azos = store.open_changed(azos);
    azos.servers().probe(store.shard("b0")).await.unwrap();

    let longer = store.open_changed(|text| {
        let central = "{ server = \"central\", database = \"central\" }";
        text.replace(
            central,
            &format!("{central}, {{ server = \"central\", database = \"more\" }}"),
        )
    });
    let [first, second] = longer.topology().central().shards() else {
        panic!("two shards of CENTRAL")
    };
    let error = longer.servers().probe(*first).await.unwrap_err();
    assert!(
        matches!(
            &error,
            AcquireError::Identity {
                source: IdentityError::Spread { .. },
                ..
            }
        ),
        "{error:?}"
    );
    let error = longer.init_shard(*second).await.unwrap_err();
    assert!(
        matches!(error, InitError::CentralLost { .. }),
        "{}",
        chain(&error)
    );
}

async fn an_unused_store_takes_another_spread<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let first = store.shard("a0");
    for (mdb, spread) in changes(&store) {
        assert_eq!(
            mdb.init_shard(first).await.unwrap().outcome(),
            InitOutcome::Stamped
        );
        assert_eq!(mdb.servers().identity(first).spread(), spread);
        mdb.servers().probe(first).await.unwrap();
        let error = store
            .open_changed(|text| text)
            .servers()
            .probe(first)
            .await
            .unwrap_err();
        assert!(chain(&error).contains(spread), "{}", chain(&error));
    }
}

async fn stamps_of_an_older_version_are_altered<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 1).await.unwrap();
    for older in [
        "ALTER TABLE mdb_shard DROP COLUMN spread",
        // Interrupted after the column.
        "UPDATE mdb_shard SET spread = ''",
    ] {
        DB::run(&ann, older).await.unwrap();
        DB::run(&ann, "UPDATE mdb_shard SET format = 1")
            .await
            .unwrap();
        let mdb = store.open_changed(|text| text);
        let error = mdb.servers().probe(store.shard("a0")).await.unwrap_err();
        let AcquireError::Identity {
            source: IdentityError::Outdated { found: 1 },
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert!(chain(&error).contains("`mdb init`"), "{}", chain(&error));

        let elsewhere = store.open_changed(|text| text.replace("0:0:10\"", "0:0:11\""));
        let error = elsewhere.init_shard(store.shard("a0")).await.unwrap_err();
        assert!(
            matches!(
                &error,
                InitError::Identity {
                    source: IdentityError::Different { .. },
                    ..
                }
            ),
            "{error:?}"
        );

        for outcome in [InitOutcome::Stamped, InitOutcome::Unchanged] {
            let report = mdb.init_shard(store.shard("a0")).await.unwrap();
            assert_eq!(report.outcome(), outcome);
        }
        let briefcase = mdb.area::<DB>("user").unwrap().briefcase(ann.id()).unwrap();
        assert_eq!(DB::get(&briefcase, ann.id()).await.unwrap(), Some(1));
    }
}
