//! Schemas of one engine that a move has to refuse, or that it has to cope with.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::sync::atomic::{AtomicBool, Ordering};

use mdb_core::error::chain;
use mdb_core::failpoint::HaltSide;
use mdb_core::relocate::{MoveError, MoveOptions};
use mdb_tests::bank::{NOTE, Place, id, literal};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres};

on_all_engines!(
    capitals_of_a_key_column_are_not_told_apart,
    a_column_that_only_the_target_has_keeps_its_default,
);

/// A store that has the table `note`, which is listed; `create` comes after its columns and primary key.
async fn with_note<DB: TestEngine>(columns: &str, create: &str) -> Place<DB> {
    let mut place = Place::<DB>::new().await;
    let note = format!(
        "CREATE TABLE note (g_user {} NOT NULL, n INTEGER NOT NULL, {columns} PRIMARY KEY (g_user, n)) {create}",
        id::<DB>()
    );
    place.on_both(&note).await;
    place.mdb = place.bank.open_with(NOTE);
    place
}

async fn capitals_of_a_key_column_are_not_told_apart<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let note = format!(
        "CREATE TABLE note (G_User {} NOT NULL PRIMARY KEY)",
        id::<DB>()
    );
    place.at(0, &note).await;
    place.refused("note", &["left behind"]).await;
}

/// As in the middle of a change of the schema, shard by shard.
async fn a_column_that_only_the_target_has_keeps_its_default<DB: TestEngine>() {
    let place = Place::<DB>::new().await;
    let user = place.ids[0];
    let key = literal::<DB>(user);
    place
        .at(
            1,
            "ALTER TABLE transfer ADD COLUMN state BIGINT NOT NULL DEFAULT 7",
        )
        .await;
    place
        .at(1, "ALTER TABLE entry ADD COLUMN state BIGINT")
        .await;
    let area = place.mdb.area::<DB>("user").unwrap();
    let over = AtomicBool::new(false);
    let works = async {
        let mut done = 0;
        while !over.load(Ordering::Relaxed) {
            let transfer = literal::<DB>(place.bank.transfer());
            let statements = [
                format!(
                    "INSERT INTO transfer (g_transfer, g_user, cents) VALUES ({transfer}, {key}, 1)"
                ),
                format!(
                    "INSERT INTO entry (g_transfer, side, n, cents) VALUES ({transfer}, 0, 0, 1)"
                ),
                format!("UPDATE transfer SET cents = cents + 1 WHERE g_user = {key}"),
            ];
            let statements = &statements;
            let briefcase = area.briefcase(user).unwrap();
            let wrote = briefcase.transact(async |tx| {
                for statement in statements {
                    DB::run(&tx, statement).await?;
                }
                Ok(())
            });
            wrote.await.unwrap_or_else(|e| panic!("{}", chain(&e)));
            done += 1;
            tokio::task::yield_now().await;
        }
        done
    };
    let moves = async {
        place.carry_to(1).await;
        over.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(works, moves);
    for (rows, expected) in [
        ("transfer", done),
        ("transfer WHERE state = 7", done),
        ("entry WHERE state IS NULL", done),
    ] {
        let rows = format!("SELECT count(*) FROM {rows}");
        assert_eq!(place.bank.count(1, &rows).await, expected, "{rows}");
    }
    assert!(done > 0);
    // There it would lose what only that side has.
    let back = place.try_carry_to(0).await;
    assert!(matches!(&back, Err(MoveError::Plan(_))), "{back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_in_another_character_set_are_refused() {
    let place = Place::<MySql>::new().await;
    let modify =
        |form: &str| format!("ALTER TABLE customer MODIFY name VARCHAR(40) {form} NOT NULL");
    place
        .on_both(&modify("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
        .await;
    place.warned(&[]).await;
    place.at(1, &modify("CHARACTER SET latin1")).await;
    place
        .refused("customer", &["`name`", "utf8mb4", "latin1"])
        .await;
    // How texts are compared makes no difference but to keys.
    place
        .at(
            1,
            &modify("CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        )
        .await;
    place.warned(&[]).await;
    place
        .at(0, "CREATE UNIQUE INDEX name ON customer (name)")
        .await;
    place
        .refused("customer", &["`name`", "utf8mb4_bin", "utf8mb4_general_ci"])
        .await;
    place
        .at(1, &modify("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
        .await;
    place.warned(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_without_transactions_are_refused() {
    let place = with_note::<MySql>("", "ENGINE = MyISAM").await;
    place.refused("note", &["MyISAM", "InnoDB"]).await;
    place.on_both("ALTER TABLE note ENGINE = InnoDB").await;
    place.warned(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_with_system_versions_are_seen() {
    let mut place = with_note::<MySql>("", "WITH SYSTEM VERSIONING").await;
    place.refused("note", &["system versioning"]).await;
    place.mdb = place.bank.open();
    place.refused("note", &["left behind"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_are_refused() {
    for data_type in ["oid", "lo", "lob"] {
        let mut place = Place::<Postgres>::new().await;
        place.on_both("CREATE DOMAIN lo AS oid").await;
        place.on_both("CREATE DOMAIN lob AS lo").await;
        let note =
            format!("CREATE TABLE note (g_user BYTEA NOT NULL PRIMARY KEY, picture {data_type})");
        place.on_both(&note).await;
        place.mdb = place.bank.open_with(NOTE);
        place.refused("note", &["`picture`", "large objects"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_of_another_locale_is_refused() {
    let mut place = with_note::<Postgres>("price money,", "").await;
    place.warned(&[]).await;
    let database = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lc_monetary = ''POSIX''', current_database()); END $$";
    place.at(1, database).await;
    place.mdb = place.bank.open_with(NOTE);
    place.refused("note", &["`price`", "posix"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_that_hide_rows_from_the_mover_are_refused() {
    let place = Place::<Postgres>::new().await;
    let secure = |how: &str| format!("ALTER TABLE account {how} ROW LEVEL SECURITY");
    // Whoever owns the table sees all of its rows.
    place.on_both(&secure("ENABLE")).await;
    place.warned(&[]).await;
    place.at(0, &secure("FORCE")).await;
    place.refused("account", &["policies"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_others_inherit_from_are_refused() {
    let place = with_note::<Postgres>("", "").await;
    place
        .at(0, "CREATE TABLE draft (body text) INHERITS (note)")
        .await;
    let refused = place.plan().await.unwrap_err().to_string();
    assert!(refused.contains("inherit"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_a_crash_empties_are_warned_of() {
    let place = with_note::<Postgres>("", "").await;
    place.at(1, "ALTER TABLE note SET UNLOGGED").await;
    place.warned(&[("note", "unlogged")]).await;
}

/// They would fail a mover's deletions when the move is decided already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_let_nobody_delete_are_refused() {
    let place = with_note::<Postgres>("", "").await;
    let rule = "CREATE RULE kept AS ON DELETE TO note DO INSTEAD NOTHING";
    place.at(0, rule).await;
    place.refused("note", &["rule", "`kept`"]).await;
    place.at(0, "DROP RULE kept ON note").await;
    place
        .at(0, "ALTER TABLE note REPLICA IDENTITY NOTHING")
        .await;
    place.warned(&[]).await;
    place.at(0, "CREATE PUBLICATION told FOR TABLE note").await;
    place.refused("note", &["replica identity", "`told`"]).await;
}

/// Its type has no equality, by which a trigger would look whether a key has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_a_key_includes_are_no_part_of_it() {
    let place = with_note::<Postgres>("extra JSON, ", "").await;
    let include =
        "ALTER TABLE note DROP CONSTRAINT note_pkey, ADD PRIMARY KEY (g_user, n) INCLUDE (extra)";
    place.on_both(include).await;
    let key = literal::<Postgres>(place.ids[0]);
    place
        .at(0, &format!("INSERT INTO note VALUES ({key}, 1, '[]')"))
        .await;
    let moved = place
        .run_halted(
            &MoveOptions::new(),
            HaltSide::After,
            async || place.bank.count(1, "SELECT count(*) FROM note").await == 1,
            async || place.at(0, "UPDATE note SET extra = '[1]'").await,
        )
        .await;
    moved.unwrap();
    let came = "SELECT count(*) FROM note WHERE extra::text = '[1]'";
    assert_eq!(place.bank.count(1, came).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_other_schemas_that_refer_to_a_briefcase_are_refused() {
    let place = Place::<Postgres>::new().await;
    place.at(0, "CREATE SCHEMA other").await;
    let audit = "CREATE TABLE other.audit (id BIGINT PRIMARY KEY, g_transfer BYTEA REFERENCES transfer ON DELETE CASCADE)";
    place.at(0, audit).await;
    place
        .refused("other.audit", &["(g_transfer)", "`transfer`"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_other_databases_that_refer_to_a_briefcase_are_refused() {
    let place = Place::<MySql>::new().await;
    let url = place.bank.url(0);
    let here = url.rsplit('/').next().unwrap();
    let other = format!("{here}_other");
    for (rule, then) in [("ON DELETE CASCADE", "would go"), ("", "keep those")] {
        place.at(0, &format!("CREATE DATABASE {other}")).await;
        let audit = format!(
            "CREATE TABLE {other}.audit (id BIGINT PRIMARY KEY, of BINARY(12), note BIGINT, \
             CONSTRAINT to_transfer FOREIGN KEY (of) REFERENCES {here}.transfer (g_transfer) {rule})"
        );
        place.at(0, &audit).await;
        place
            .refused(
                &format!("{other}.audit"),
                &["`to_transfer`", "(of)", "`transfer`", then],
            )
            .await;
        place.at(0, &format!("DROP DATABASE {other}")).await;
    }
    place.warned(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_would_be_looked_for_before_they_come_are_refused() {
    let place = Place::<Postgres>::new().await;
    let main = "ALTER TABLE customer ADD COLUMN main BIGINT, \
                ADD CONSTRAINT to_main FOREIGN KEY (g_user, main) REFERENCES account (g_user, n)";
    place.on_both(main).await;
    place.at(0, "UPDATE customer SET main = 1").await;
    // Where everything stays inside, nothing is checked.
    place.warned(&[]).await;
    place
        .on_both("CREATE TABLE country (code INTEGER PRIMARY KEY)")
        .await;
    place
        .on_both("ALTER TABLE customer ADD COLUMN code INTEGER REFERENCES country (code)")
        .await;
    place
        .refused("customer", &["`to_main`", "`account`", "DEFERRABLE"])
        .await;
    let shard = place.bank.shard(&place.mdb, 1);
    let found = place.mdb.relocator().suitability(shard).await.unwrap();
    assert_eq!(found.refusals().len(), 1);
    place
        .on_both("ALTER TABLE customer ALTER CONSTRAINT to_main DEFERRABLE")
        .await;
    place.warned(&[]).await;
    place.carry_to(1).await;
    let moved = "SELECT count(*) FROM customer WHERE main = 1";
    assert_eq!(place.bank.count(1, moved).await, 1);
    assert_eq!(place.bank.count(0, moved).await, 0);
}

/// Partitions are no tables of their own, and all of them are captured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitioned_tables_move() {
    let mut place = Place::<Postgres>::new().await;
    for statement in [
        "CREATE TABLE note (g_user BYTEA NOT NULL REFERENCES customer, n BIGINT NOT NULL, kind BIGINT NOT NULL, \
         PRIMARY KEY (g_user, n, kind)) PARTITION BY LIST (kind)",
        "CREATE TABLE note_odd PARTITION OF note FOR VALUES IN (1)",
        "CREATE TABLE note_even PARTITION OF note FOR VALUES IN (0)",
    ] {
        place.on_both(statement).await;
    }
    place.mdb = place.bank.open_with(NOTE);
    let user = place.ids[0];
    let key = literal::<Postgres>(user);
    for n in 0..100 {
        let insert = format!("INSERT INTO note VALUES ({key}, {n}, {})", n % 2);
        place.at(0, &insert).await;
    }
    let area = place.mdb.area::<Postgres>("user").unwrap();
    let mut written = 0;
    for to in [1, 0, 1] {
        let over = AtomicBool::new(false);
        let works = async {
            while !over.load(Ordering::Relaxed) {
                written += 1;
                let n = 1000 + written;
                let briefcase = area.briefcase(user).unwrap();
                let wrote = briefcase.transact(async |tx| {
                    Postgres::run(&tx, &format!("INSERT INTO note VALUES ({key}, {n}, 0)")).await?;
                    // From one partition to the other.
                    Postgres::run(
                        &tx,
                        &format!(
                            "UPDATE note SET kind = 1 - kind WHERE n >= {} AND n < 1000",
                            n % 100
                        ),
                    )
                    .await?;
                    Postgres::run(&tx, &format!("DELETE FROM note WHERE n = {}", n - 3)).await?;
                    Ok(())
                });
                wrote.await.unwrap_or_else(|e| panic!("{}", chain(&e)));
            }
        };
        let moves = async {
            place.carry_to(to).await;
            over.store(true, Ordering::Relaxed);
        };
        tokio::join!(works, moves);
        let left = place.bank.count(1 - to, "SELECT count(*) FROM note").await;
        assert_eq!(left, 0, "all have left");
        let all = place.bank.count(to, "SELECT count(*) FROM note").await;
        assert_eq!(all, 100 + written.min(3));
        let late = format!("SELECT count(*) FROM note WHERE n = {}", 1000 + written);
        assert_eq!(place.bank.count(to, &late).await, 1);
        for number in [0, 1] {
            let firing = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'mdb_capture%' AND tgenabled <> 'D'";
            assert_eq!(place.bank.count(number, firing).await, 0);
        }
    }
}
