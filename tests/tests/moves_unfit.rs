//! What a move has to refuse, or to warn of, by the schemas of its shards.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::Gdid;
use mdb_core::relocate::{MoveError, MoveOptions, MoveProgress, PlanError, Warning};
use mdb_core::topology::ShardId;
use mdb_tests::bank::{Place, id, literal, word};
use mdb_tests::kit::Kind;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    tables_that_refer_to_a_briefcase_have_to_move,
    rows_that_go_with_another_briefcases_rows_are_refused,
    rows_that_may_refer_to_another_briefcase_are_warned_of,
    rows_that_the_target_lacks_are_not_referred_to,
    a_move_that_may_not_go_on_can_be_undone,
    a_parents_columns_have_to_tell_briefcases_apart,
    own_triggers_are_warned_of_unless_they_look_for_the_mover,
    servers_that_may_lose_commits_are_warned_of,
);

async fn tables_that_refer_to_a_briefcase_have_to_move<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    for (number, rule, then) in [
        (0, "ON DELETE CASCADE", "would go"),
        (0, "", "keep those"),
        (1, "ON DELETE SET NULL", "would go"),
    ] {
        let create = format!(
            "CREATE TABLE audit (id INTEGER PRIMARY KEY, of_transfer {}, \
             CONSTRAINT to_transfer FOREIGN KEY (of_transfer) REFERENCES transfer (g_transfer) {rule})",
            id::<DB>()
        );
        place.at(number, &create).await;
        place
            .refused("audit", &["(of_transfer)", "`transfer`", then, "add it"])
            .await;
        if DB::SERVER.is_some() {
            place.refused("audit", &["`to_transfer`"]).await;
        }
        place.at(number, "DROP TABLE audit").await;
    }
    // What briefcases refer to needs not move, nor what has nothing to do with them.
    let country = "CREATE TABLE country (code INTEGER PRIMARY KEY)";
    place.on_both(country).await;
    let town = "CREATE TABLE town (n INTEGER PRIMARY KEY, code INTEGER, \
                FOREIGN KEY (code) REFERENCES country (code) ON DELETE CASCADE)";
    place.on_both(town).await;
    let lives = word::<DB>([
        "ALTER TABLE customer ADD COLUMN code INTEGER REFERENCES country (code)",
        "ALTER TABLE customer ADD COLUMN code INTEGER REFERENCES country (code)",
        "ALTER TABLE customer ADD COLUMN code INTEGER, ADD FOREIGN KEY (code) REFERENCES country (code)",
    ]);
    place.on_both(lives).await;
    place.warned(&[]).await;
}

async fn rows_that_go_with_another_briefcases_rows_are_refused<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    place.on_both(&befriend::<DB>("ON DELETE SET NULL")).await;
    place
        .refused(
            "customer",
            &["(friend)", "another one leaves", "take its ON DELETE"],
        )
        .await;
}

async fn rows_that_may_refer_to_another_briefcase_are_warned_of<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    place.on_both(&befriend::<DB>("")).await;
    place.warned(&[("customer", "(friend)")]).await;
}

/// A customer may have a friend.
fn befriend<DB: TestEngine>(rule: &str) -> String {
    let id = id::<DB>();
    match DB::SERVER {
        None => format!(
            "ALTER TABLE customer ADD COLUMN friend {id} REFERENCES customer (g_user) {rule}"
        ),
        Some(_) => format!(
            "ALTER TABLE customer ADD COLUMN friend {id}, \
             ADD FOREIGN KEY (friend) REFERENCES customer (g_user) {rule}"
        ),
    }
}

async fn rows_that_the_target_lacks_are_not_referred_to<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let country = "CREATE TABLE country (code INTEGER PRIMARY KEY)";
    place.on_both(country).await;
    let born = word::<DB>([
        "ALTER TABLE account ADD COLUMN born INTEGER REFERENCES country (code)",
        "ALTER TABLE account ADD COLUMN born INTEGER REFERENCES country (code)",
        "ALTER TABLE account ADD COLUMN born INTEGER, ADD FOREIGN KEY (born) REFERENCES country (code)",
    ]);
    place.on_both(born).await;
    place.on_both(&befriend::<DB>("")).await;
    place.at(0, "INSERT INTO country VALUES (1), (2)").await;
    place.at(1, "INSERT INTO country VALUES (1)").await;
    place
        .at(0, "UPDATE account SET born = n WHERE n > 0 AND n < 3")
        .await;
    let dangles = |moved: Result<(), MoveError>, [table, column, referred]: [&str; 3]| match moved {
        Err(error @ MoveError::Dangling { .. }) => {
            let error = error.to_string();
            for word in [table, column, referred] {
                assert!(error.contains(word), "{error}");
            }
        }
        // The server itself refuses the row.
        Err(MoveError::OnShard { source: error, .. }) if DB::SERVER == Some(Kind::Postgres) => {
            let error = error.to_string();
            assert!(error.contains("violates foreign key"), "{error}");
        }
        other => panic!("{other:?}"),
    };
    let moved = place.try_carry_to(1).await;
    dangles(moved, ["`account`", "(born)", "`country`"]);
    let relocator = place.mdb.relocator();
    let begun = relocator.list().await.unwrap();
    let resume = async || {
        let (options, progress) = (MoveOptions::new(), MoveProgress::new());
        let resumed = relocator.resume(begun[0].id(), &options, &progress).await;
        resumed.map(drop)
    };
    place.at(1, "INSERT INTO country VALUES (2)").await;
    let friend = "INSERT INTO customer (g_user, name) VALUES";
    let hers = literal::<DB>(Gdid::new(0, 0, 5_000).unwrap());
    place.at(0, &format!("{friend} ({hers}, 'bo')")).await;
    place
        .at(
            0,
            &format!("UPDATE customer SET friend = {hers} WHERE name = 'ann'"),
        )
        .await;
    dangles(resume().await, ["`customer`", "(friend)", "`customer`"]);
    place.at(0, "UPDATE customer SET friend = NULL").await;
    resume().await.unwrap();
    assert_eq!(
        place
            .bank
            .count(1, "SELECT count(*) FROM account WHERE born > 0")
            .await,
        2
    );
}

async fn a_move_that_may_not_go_on_can_be_undone<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    place.on_both(&befriend::<DB>("")).await;
    let hers = literal::<DB>(Gdid::new(0, 0, 5_000).unwrap());
    for statement in [
        format!("INSERT INTO customer (g_user, name) VALUES ({hers}, 'bo')"),
        format!("UPDATE customer SET friend = {hers} WHERE name = 'ann'"),
    ] {
        place.at(0, &statement).await;
    }
    assert!(place.try_carry_to(1).await.is_err(), "bo stays");
    let audit = format!(
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, g_transfer {}, \
         FOREIGN KEY (g_transfer) REFERENCES transfer (g_transfer) ON DELETE CASCADE)",
        id::<DB>()
    );
    place.at(0, &audit).await;
    let relocator = place.mdb.relocator();
    let begun = relocator.list().await.unwrap();
    let (options, progress) = (MoveOptions::new(), MoveProgress::new());
    let resumed = relocator.resume(begun[0].id(), &options, &progress).await;
    let Err(MoveError::Plan(PlanError::Refused { refusals })) = resumed else {
        panic!("{resumed:?}");
    };
    assert_eq!(refusals[0].place(), "table `audit`");
    relocator.abort(begun[0].id(), &options).await.unwrap();
    let rows = "SELECT count(*) FROM account";
    assert_eq!(place.bank.count(0, rows).await, 4);
    assert_eq!(place.bank.count(1, rows).await, 0);
}

async fn a_parents_columns_have_to_tell_briefcases_apart<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    place
        .on_both("ALTER TABLE customer ADD COLUMN team INTEGER")
        .await;
    let setting = "CREATE TABLE team_setting (team INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (team, n))";
    place.on_both(setting).await;
    let below = |on: &str| {
        format!(
            "[[area.briefcase.table]]\nname = \"team_setting\"\nparent = \"customer\"\non = {{ {on} }}\n"
        )
    };
    let by_team = below("team = \"team\"");
    place.mdb = place.bank.open_with(&by_team);
    place
        .refused("team_setting", &["`customer`", "(team)", "unique"])
        .await;
    // On one side is not enough.
    place
        .at(0, "CREATE UNIQUE INDEX team ON customer (team)")
        .await;
    place.refused("team_setting", &["(team)"]).await;
    place
        .at(1, "CREATE UNIQUE INDEX team ON customer (team)")
        .await;
    place.warned_of_unbound("team_setting").await;
    place
        .on_both(word::<DB>([
            "DROP INDEX team",
            "DROP INDEX team",
            "DROP INDEX team ON customer",
        ]))
        .await;
    place.refused("team_setting", &["(team)"]).await;
    // Rows that agree in the briefcase's key are of one briefcase, however many they are.
    place
        .on_both(&format!(
            "ALTER TABLE team_setting ADD COLUMN of_user {}",
            id::<DB>()
        ))
        .await;
    place.mdb = place
        .bank
        .open_with(&below("of_user = \"g_user\", team = \"team\""));
    place.warned_of_unbound("team_setting").await;
    // A key to one of the columns may be one to another row.
    if DB::SERVER.is_some() {
        let to_one =
            "ALTER TABLE team_setting ADD FOREIGN KEY (of_user) REFERENCES customer (g_user)";
        place.on_both(to_one).await;
        place.warned_of_unbound("team_setting").await;
        place
            .on_both("CREATE UNIQUE INDEX of_both ON customer (g_user, team)")
            .await;
        let to_both = "ALTER TABLE team_setting ADD FOREIGN KEY (of_user, team) REFERENCES customer (g_user, team)";
        place.on_both(to_both).await;
        place.warned(&[]).await;
    }
}

async fn own_triggers_are_warned_of_unless_they_look_for_the_mover<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    place.on_both("CREATE TABLE seen (n INTEGER)").await;
    let function = "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN INSERT INTO seen VALUES (1); RETURN NULL; END'";
    if DB::SERVER == Some(Kind::Postgres) {
        place.on_both(function).await;
    }
    let create = word::<DB>([
        "CREATE TRIGGER see AFTER INSERT ON account BEGIN INSERT INTO seen VALUES (1); END",
        "CREATE TRIGGER see AFTER INSERT ON account FOR EACH ROW EXECUTE FUNCTION see()",
        "CREATE TRIGGER see AFTER INSERT ON account FOR EACH ROW INSERT INTO seen VALUES (1)",
    ]);
    place.on_both(create).await;
    place.warned(&[("account", "`see`")]).await;
    let suitability = place
        .mdb
        .relocator()
        .suitability(place.bank.shard(&place.mdb, 0))
        .await;
    let suitability = suitability.unwrap();
    let of_tables = suitability.warnings().iter();
    let of_tables = of_tables.filter(|warning| warning.place() == "table `account`");
    assert_eq!(of_tables.count(), 1);

    let drop = word::<DB>([
        "DROP TRIGGER see",
        "DROP TRIGGER see ON account",
        "DROP TRIGGER see",
    ]);
    place.on_both(drop).await;
    for event in ["INSERT", "UPDATE", "DELETE"] {
        let fires = format!("CREATE TRIGGER see_{event} AFTER {event} ON account FOR EACH ROW");
        place.on_both(&format!("{fires} {}", word::<DB>([
            "WHEN NOT EXISTS (SELECT 1 FROM mdb_guest) BEGIN INSERT INTO seen VALUES (1); END",
            "WHEN (coalesce(current_setting('mdb.mover', true), '') = '') EXECUTE FUNCTION see()",
            "IF @mdb_mover IS NULL THEN INSERT INTO seen VALUES (1); END IF",
        ]))).await;
    }
    place.warned(&[]).await;
    // It sees what others write, and not what the mover does.
    let row = |n: u64| {
        let user = literal::<DB>(place.ids[0]);
        format!("INSERT INTO account VALUES ({user}, {n}, 0)")
    };
    place.at(0, &row(100)).await;
    assert_eq!(place.bank.count(0, "SELECT count(*) FROM seen").await, 1);
    place.carry_to(1).await;
    assert_eq!(place.bank.count(1, "SELECT count(*) FROM account").await, 5);
    for (number, seen) in [(0, 1), (1, 0)] {
        let count = place.bank.count(number, "SELECT count(*) FROM seen").await;
        assert_eq!(count, seen);
    }
    place.at(1, &row(101)).await;
    assert_eq!(place.bank.count(1, "SELECT count(*) FROM seen").await, 1);
}

async fn servers_that_may_lose_commits_are_warned_of<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let plan = place.plan().await.unwrap();
    // Once for a server, however many shards are on it.
    let mut checked = Vec::new();
    for shard in 0..u32::try_from(place.mdb.topology().shards().len()).unwrap() {
        let relocator = place.mdb.relocator();
        let suitability = relocator.suitability(ShardId::new(shard)).await.unwrap();
        checked.extend_from_slice(suitability.warnings());
    }
    let said = |place: &str, warnings: &[Warning]| -> Vec<String> {
        let warnings = warnings.iter();
        let of_it = warnings.filter(|warning| warning.place() == format!("server `{place}`"));
        of_it.map(|warning| warning.reason().to_owned()).collect()
    };
    // As the servers of tests are.
    let expected: &[&str] = match DB::SERVER {
        None => &[],
        Some(Kind::Postgres) => &["`fsync` is off"],
        Some(Kind::MariaDb) => &[
            "`innodb_flush_log_at_trx_commit` is 2",
            "`sync_binlog` is 0",
        ],
    };
    let found = [
        said("east", plan.warnings()),
        said("west", plan.warnings()),
        said("east", &checked),
        said("west", &checked),
    ];
    for found in found {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (reason, word) in found.iter().zip(expected) {
            assert!(reason.contains(word), "no {word}: {reason}");
        }
    }
}
