//! Identity stamps: a database is made ready once, and is never taken for another shard.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::error::chain;
use mdb_core::topology::ShardId;
use mdb_core::{
    AcquireError, IdentityError, InitError, InitLost, InitOutcome, InitReport, Mdb, TransactError,
    cause_of, is_transient,
};
use mdb_tests::kit::{free_port, unique};
use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, Store, TestEngine};
use sqlx::Postgres;

on_all_engines!(
    initialising_again_changes_nothing,
    many_can_initialise_at_once,
    a_swapped_shard_is_refused_before_anything_is_written,
    a_foreign_stamp_is_left_as_it_is,
    a_database_without_a_stamp_is_refused,
    tables_of_a_newer_version_are_refused,
    one_shard_that_fails_does_not_stop_the_others,
);

type Reports = Vec<(ShardId, Result<InitReport, InitError>)>;

fn outcomes(reports: Reports) -> Vec<InitOutcome> {
    let outcome = |(shard, report): (ShardId, Result<InitReport, InitError>)| {
        let report = report.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(report.shard(), shard);
        report.outcome()
    };
    reports.into_iter().map(outcome).collect()
}

/// The store with databases that nobody has made.
fn unmade<DB: TestEngine>(store: &Store<DB>) -> (impl Fn(String) -> String + use<DB>, String) {
    let (old, new) = (store.prefix().to_owned(), unique("unmade"));
    let name = new.clone();
    (
        move |text: String| {
            text.replace(&old, &name)
                .replace("\"central\"", "\"other\"")
        },
        new,
    )
}

async fn initialising_again_changes_nothing<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let (change, _) = unmade(&store);
    let mdb = store.open_changed(&change);
    assert_eq!(outcomes(mdb.init().await), [InitOutcome::Created; 4]);
    assert_eq!(outcomes(mdb.init().await), [InitOutcome::Unchanged; 4]);
    assert_eq!(
        outcomes(store.open_changed(&change).init().await),
        [InitOutcome::Unchanged; 4]
    );

    // What the user put there stays.
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 7).await.unwrap();
    assert_eq!(
        outcomes(store.mdb().init().await),
        [InitOutcome::Unchanged; 4]
    );
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(7));
}

async fn many_can_initialise_at_once<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let (change, _) = unmade(&store);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let mdb = store.open_changed(&change);
            tokio::spawn(async move { mdb.init().await })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(outcomes(task.await.unwrap()));
    }
    assert_eq!(all.len(), 16);
    assert!(all.contains(&InitOutcome::Created) || all.contains(&InitOutcome::Stamped));
    let mdb = store.open_changed(&change);
    for shard in mdb.area::<DB>("user").unwrap().shards() {
        mdb.servers().probe(shard.id()).await.unwrap();
    }
}

/// The configuration with two databases in each other's place.
fn swapped<DB: TestEngine>(store: &Store<DB>, one: &str, other: &str) -> Mdb {
    let [one, other] = [store.database(one), store.database(other)];
    store.open_changed(|text| {
        text.replace(&one, "SWAPPED")
            .replace(&other, &one)
            .replace("SWAPPED", &other)
    })
}

async fn a_swapped_shard_is_refused_before_anything_is_written<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    for (one, other, part) in [
        ("a0", "a1", "shard 1 of area `user`"),
        ("a1", "b0", "partition 0:1000"),
    ] {
        let mdb = swapped(&store, one, other);
        let briefcase = mdb
            .area::<DB>("user")
            .unwrap()
            .briefcase(store.id_on(one))
            .unwrap();
        let mut runs = 0;
        let transact = briefcase.transact(|_| {
            runs += 1;
            async { Ok(()) }
        });
        let Err(TransactError::Database(in_transact)) = transact.await else {
            panic!("it was accepted")
        };
        assert_eq!(runs, 0);
        let errors = [
            DB::put(&briefcase, briefcase.id(), 1).await.unwrap_err(),
            DB::get(&briefcase.read(), briefcase.id())
                .await
                .unwrap_err(),
            briefcase.begin().await.unwrap_err(),
            in_transact,
        ];
        for error in errors {
            let Some(AcquireError::Identity { source, .. }) = cause_of(&error) else {
                panic!("{error:?}")
            };
            let IdentityError::Different { expected, found } = source else {
                panic!("{source:?}")
            };
            assert_eq!(**expected, store.mdb().servers().identity(store.shard(one)));
            assert_eq!(**found, store.mdb().servers().identity(store.shard(other)));
            assert!(!is_transient::<DB>(&error));
            let text = chain(&error);
            for part in [
                part,
                "store `shop`",
                "names the wrong server or database",
                &store.database(other),
            ] {
                assert!(text.contains(part), "{text} lacks {part}");
            }
        }
        assert!(mdb.servers().probe(store.shard(one)).await.is_err());
        for short in [one, other] {
            assert!(
                DB::accounts_in(&store, short).await.is_empty(),
                "something was written to {short}"
            );
        }
    }
}

async fn a_foreign_stamp_is_left_as_it_is<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::put(&ann, ann.id(), 1).await.unwrap();
    let another_store = |text: String| text.replace("name = \"shop\"", "name = \"bank\"");
    let another_area = |text: String| text.replace("name = \"user\"", "name = \"device\"");
    let another_start = |text: String| text.replace("0:0:10\"", "0:0:11\"");
    for mdb in [
        store.open_changed(another_store),
        store.open_changed(another_area),
        store.open_changed(another_start),
    ] {
        let shard = mdb.topology().areas()[0].shards().next().unwrap();
        let error = mdb.init_shard(shard).await.unwrap_err();
        let InitError::Identity {
            source: IdentityError::Different { .. },
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert!(
            chain(&error).contains("shard 0 of area `user`"),
            "{}",
            chain(&error)
        );
        assert!(!error.is_unreachable());
    }
    let stamp =
        "SELECT count(*) FROM mdb_shard WHERE store = 'shop' AND area = 'user' AND shard = 0";
    assert_eq!(DB::number(&ann, stamp).await.unwrap(), 1);
    assert_eq!(
        DB::number(&ann, "SELECT count(*) FROM mdb_shard")
            .await
            .unwrap(),
        1
    );
    assert_eq!(DB::get(&ann, ann.id()).await.unwrap(), Some(1));
    store
        .open_changed(|text| text)
        .servers()
        .probe(store.shard("a0"))
        .await
        .unwrap();
}

async fn a_database_without_a_stamp_is_refused<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    // Without a lease, every statement looks at the shard's own tables.
    assert!(store.mdb().join().await);
    let ann = store.briefcase_on("a0");
    // Without its row, and without the whole table; on connections that were opened before, nothing is looked at.
    for statement in ["DELETE FROM mdb_shard", "DROP TABLE mdb_shard"] {
        DB::run(&ann, statement).await.unwrap();
        let mdb = store.open_changed(|text| text);
        let briefcase = mdb.area::<DB>("user").unwrap().briefcase(ann.id()).unwrap();
        let error = DB::put(&briefcase, ann.id(), 1).await.unwrap_err();
        let Some(AcquireError::Identity {
            source: IdentityError::Missing { .. },
            ..
        }) = cause_of(&error)
        else {
            panic!("{error:?}");
        };
        assert!(
            chain(&error).contains("run `mdb init`"),
            "{}",
            chain(&error)
        );
        assert!(!is_transient::<DB>(&error));
    }
    assert!(DB::accounts_in(&store, "a0").await.is_empty());
    let mdb = store.open_changed(|text| text);
    assert_eq!(
        mdb.init_shard(store.shard("a0")).await.unwrap().outcome(),
        InitOutcome::Stamped
    );
    let briefcase = mdb.area::<DB>("user").unwrap().briefcase(ann.id()).unwrap();
    DB::put(&briefcase, ann.id(), 1).await.unwrap();
}

async fn tables_of_a_newer_version_are_refused<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let ann = store.briefcase_on("a0");
    DB::run(&ann, "UPDATE mdb_shard SET format = 99")
        .await
        .unwrap();
    let mdb = store.open_changed(|text| text);
    let error = mdb.servers().probe(store.shard("a0")).await.unwrap_err();
    let AcquireError::Identity {
        source: IdentityError::Format { found: 99 },
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(chain(&error).contains("format 99"), "{}", chain(&error));
    let error = mdb.init_shard(store.shard("a0")).await.unwrap_err();
    assert!(
        matches!(
            &error,
            InitError::Identity {
                source: IdentityError::Format { found: 99 },
                ..
            }
        ),
        "{error:?}"
    );
}

async fn one_shard_that_fails_does_not_stop_the_others<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::SHORT).await;
    let (change, name) = unmade(&store);
    let place = match DB::SERVER {
        None => "sqlite:central/central.db/below".to_owned(),
        Some(kind) => format!(
            "{}://mdb:mdb@127.0.0.1:{}/{{database}}",
            kind.scheme(),
            free_port().unwrap()
        ),
    };
    let mdb = store.open_changed(|text| {
        let text = change(text);
        let text = text.replace(
            "[central]",
            &format!("[[server]]\nname = \"gone\"\nurl = \"{place}\"\n\n[central]"),
        );
        text.replace(
            &format!("\"main\", database = \"{name}_a1\""),
            &format!("\"gone\", database = \"{name}_a1\""),
        )
    });
    // A shard that can't be asked may be in use.
    let central = mdb.topology().central().shards()[0];
    match mdb.init_shard(central).await {
        Err(InitError::CentralUncertain { source, .. }) => {
            assert!(DB::SERVER.is_some(), "{}", chain(&source));
            assert!(chain(&source).contains("server `gone`"));
            let made = mdb.init_shard_with(central, InitLost::Begin).await;
            assert_eq!(made.unwrap().outcome(), InitOutcome::Stamped);
        }
        made => assert!(made.is_ok() && DB::SERVER.is_none(), "{made:?}"),
    }
    let reports = mdb.init().await;
    assert_eq!(reports.len(), 4);
    for (shard, report) in reports {
        let on_gone = mdb.topology().shard(shard).server().as_str() == "gone";
        match report {
            Ok(_) => assert!(!on_gone),
            Err(error) => {
                assert!(on_gone, "{}", chain(&error));
                assert!(chain(&error).contains("server `gone`"), "{}", chain(&error));
                assert_eq!(error.is_unreachable(), DB::SERVER.is_some());
            }
        }
    }
}

/// Tables that are made in a schema that comes first hide those in use: the next `init` would find no stamp, and make a new
/// store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_in_another_schema_are_not_hidden() {
    let store = Store::<Postgres>::start(Limits::ROOMY).await;
    let earlier = [
        "CREATE SCHEMA earlier".to_owned(),
        format!(
            "ALTER DATABASE {} SET search_path = earlier, public",
            store.database("a0")
        ),
    ];
    Postgres::run_at(&store.url("a0"), &earlier).await.unwrap();
    // On new connections, where the setting holds.
    let mdb = store.open_changed(|text| text);
    for _ in 0..2 {
        let report = mdb.init_shard(store.shard("a0")).await;
        let Err(InitError::Elsewhere { found, first, .. }) = report else {
            panic!("{report:?}");
        };
        assert_eq!([found.as_str(), first.as_str()], ["public", "earlier"]);
    }
    let area = mdb.area::<Postgres>("user").unwrap();
    let ann = area.briefcase(store.id_on("a0")).unwrap();
    Postgres::put(&ann, ann.id(), 7).await.unwrap();
}
