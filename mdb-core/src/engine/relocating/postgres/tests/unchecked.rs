//! When foreign keys are checked row by row.

use super::super::unchecked::{Rows, as_decided};
use super::*;
use crate::engine::relocating::Sparing;
use mdb_tests::kit::PLAIN_ROLE;

const TABLES: &str = "
    CREATE TABLE account (g_user bytea PRIMARY KEY, name text UNIQUE, extra numeric);
    CREATE TABLE orders (g_order bytea PRIMARY KEY, g_user bytea NOT NULL REFERENCES account, total float8);
    CREATE TABLE item (g_order bytea NOT NULL REFERENCES orders, line int NOT NULL, what text,
        PRIMARY KEY (line, g_order));
";

async fn fixture() -> Fixture {
    let tables = manifest().tables()[..3].to_vec();
    Fixture::with(TABLES, Manifest::new(tables)).await
}

/// The roles of the mover's transactions at the source and at the target.
async fn roles(f: &mut Fixture) -> [String; 2] {
    Postgres::spare_checks(&mut f.pair, &f.manifest, &f.id)
        .await
        .unwrap();
    let begin = format!("BEGIN; {}", writer_settings(&f.id, LIMIT));
    let mut roles = [const { String::new() }; 2];
    for (role, connection) in roles
        .iter_mut()
        .zip([&mut f.pair.source, &mut f.pair.target])
    {
        run(connection, &begin).await.unwrap();
        *role = shown(connection, "session_replication_role").await;
        rollback(connection).await.unwrap();
    }
    roles
}

async fn shown(connection: &mut PgConnection, setting: &str) -> String {
    let rows = run(connection, &format!("SHOW {setting}")).await.unwrap();
    rows[0].get(0)
}

/// A pooler that lends the server's sessions by the transaction gives them to services next.
#[tokio::test]
async fn nothing_of_it_outlasts_a_transaction() {
    const SETTINGS: [(&str, &str); 4] = [
        ("session_replication_role", "origin"),
        ("row_security", "on"),
        ("lock_timeout", "0"),
        ("mdb.mover", ""),
    ];
    let mut f = fixture().await;
    let insert = format!("INSERT INTO account VALUES ({}, 'one', 7)", hex(1));
    f.client(&insert).await.unwrap();
    f.capture().await;
    assert_eq!(roles(&mut f).await, ["replica", "replica"]);
    assert_eq!(f.copy().await.rows, 1);
    f.client("UPDATE account SET extra = 8").await.unwrap();
    f.settle().await;
    let source = &mut f.pair.source;
    Postgres::begin_as_mover(source, &f.id, f.owner, LIMIT)
        .await
        .unwrap();
    let deleted = Postgres::delete_some(source, &f.manifest, &f.id, 3).await;
    assert_eq!(deleted.unwrap(), 1);
    Postgres::commit(source).await.unwrap();
    for connection in [&mut f.pair.source, &mut f.pair.target] {
        for (setting, value) in SETTINGS {
            assert_eq!(shown(connection, setting).await, value, "{setting}");
        }
    }
}

/// To change the role costs more than to check them.
#[tokio::test]
async fn a_few_rows_are_checked() {
    let mut f = fixture().await;
    assert_eq!(roles(&mut f).await, ["replica", "replica"]);
    for (rows, role) in [(Rows::Few, "origin"), (Rows::Many, "replica")] {
        let begin = format!("BEGIN; {}", as_decided(&f.id, rows));
        let target = &mut f.pair.target;
        run(target, &begin).await.unwrap();
        assert_eq!(shown(target, "session_replication_role").await, role);
        rollback(target).await.unwrap();
    }
    // A session whose own role is another one checks each row that has to be.
    for connection in [&mut f.pair.source, &mut f.pair.target] {
        let replica = "SET session_replication_role = replica; CREATE TABLE audit (g_user bytea REFERENCES account)";
        run(connection, replica).await.unwrap();
    }
    assert_eq!(roles(&mut f).await, ["origin", "origin"]);
    let begin = format!("BEGIN; {}", as_decided(&f.id, Rows::Few));
    let target = &mut f.pair.target;
    run(target, &begin).await.unwrap();
    assert_eq!(shown(target, "session_replication_role").await, "origin");
    rollback(target).await.unwrap();
}

/// A session that another mover has had says nothing about this one's move.
#[tokio::test]
async fn what_was_decided_holds_for_one_move() {
    let mut f = fixture().await;
    assert_eq!(roles(&mut f).await, ["replica", "replica"]);
    let begin = format!("BEGIN; {}", writer_settings(&MoveId::random(), LIMIT));
    for connection in [&mut f.pair.source, &mut f.pair.target] {
        run(connection, &begin).await.unwrap();
        let role = shown(connection, "session_replication_role").await;
        assert_eq!(role, "origin");
        rollback(connection).await.unwrap();
    }
}

#[tokio::test]
async fn checks_are_left_out_where_all_keys_stay_inside() {
    let mut f = fixture().await;
    assert_eq!(roles(&mut f).await, ["replica", "replica"]);
    assert_eq!(roles(&mut f).await, ["replica", "replica"]);
    f.capture().await;
    assert_eq!(
        roles(&mut f).await,
        ["replica", "replica"],
        "with triggers of our own"
    );
}

#[tokio::test]
async fn whatever_could_notice_has_them_checked() {
    let mut f = fixture().await;
    for (change, back) in [
        (
            "CREATE TABLE audit (g_user bytea REFERENCES account)",
            "DROP TABLE audit",
        ),
        (
            "CREATE TABLE country (code text PRIMARY KEY); ALTER TABLE account ADD FOREIGN KEY (name) REFERENCES country",
            "ALTER TABLE account DROP CONSTRAINT account_name_fkey; DROP TABLE country",
        ),
        (
            "ALTER TABLE orders ADD before bytea REFERENCES orders",
            "ALTER TABLE orders DROP before",
        ),
        (
            "ALTER TABLE item ADD g_user bytea REFERENCES account",
            "ALTER TABLE item DROP g_user",
        ),
        (
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
             CREATE TRIGGER own BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION nothing()",
            "DROP FUNCTION nothing CASCADE",
        ),
        (
            "CREATE RULE kept AS ON DELETE TO item DO INSTEAD NOTHING",
            "DROP RULE kept ON item",
        ),
        (
            "CREATE TABLE child () INHERITS (item)",
            // The mark that a table has children outlives them, until it is analyzed.
            "DROP TABLE child; ANALYZE item",
        ),
        (
            "ALTER TABLE orders ADD UNIQUE (g_order, g_user); \
             ALTER TABLE item ADD FOREIGN KEY (g_order) REFERENCES orders NOT VALID",
            "ALTER TABLE item DROP CONSTRAINT item_g_order_fkey1",
        ),
        (
            "ALTER TABLE account ADD UNIQUE (extra) DEFERRABLE",
            "ALTER TABLE account DROP CONSTRAINT account_extra_key",
        ),
        (
            "ALTER TABLE item ADD CONSTRAINT apart EXCLUDE (what WITH =) DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE item DROP CONSTRAINT apart",
        ),
    ] {
        for side in [Side::Source, Side::Target] {
            for (statements, role) in [(change, "origin"), (back, "replica")] {
                let connection = match side {
                    Side::Source => &mut f.pair.source,
                    Side::Target => &mut f.pair.target,
                };
                run(connection, statements).await.unwrap();
                assert_eq!(roles(&mut f).await, [role, role], "{side:?}: {statements}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_only_one_side_has_is_checked() {
    let mut f = fixture().await;
    let drop = "ALTER TABLE item DROP CONSTRAINT item_g_order_fkey";
    run(&mut f.pair.source, drop).await.unwrap();
    assert_eq!(roles(&mut f).await, ["origin", "origin"]);
    run(&mut f.pair.target, drop).await.unwrap();
    assert_eq!(roles(&mut f).await, ["replica", "replica"]);
}

#[tokio::test]
async fn without_the_right_all_is_checked() {
    let mut f = fixture().await;
    for connection in [&mut f.pair.source, &mut f.pair.target] {
        run(connection, &format!("SET ROLE {PLAIN_ROLE}"))
            .await
            .unwrap();
    }
    assert_eq!(roles(&mut f).await, ["origin", "origin"]);
    let asked = run(&mut f.pair.source, "SHOW mdb.checks").await.unwrap();
    assert_eq!(asked[0].get::<String, _>(0), "bound");
    assert_eq!(roles(&mut f).await, ["origin", "origin"]);
}

#[tokio::test]
async fn a_deferrable_unique_value_of_a_neighbour_is_not_taken() {
    for initially in ["IMMEDIATE", "DEFERRED"] {
        let mut f = fixture().await;
        for connection in [&mut f.pair.source, &mut f.pair.target] {
            let unique =
                format!("ALTER TABLE account ADD UNIQUE (extra) DEFERRABLE INITIALLY {initially}");
            run(connection, &unique).await.unwrap();
        }
        let insert = |user| format!("INSERT INTO account VALUES ({}, '{user}', 7)", hex(user));
        f.client(&insert(1)).await.unwrap();
        run(&mut f.pair.target, &insert(3)).await.unwrap();
        f.capture().await;
        roles(&mut f).await;
        let (pair, id) = (&mut f.pair, &f.id);
        let copied = Postgres::copy(pair, &f.manifest, id, f.owner, &Unhurried).await;
        let Err(StepError::DatabaseAt(Side::Target, taken)) = copied else {
            panic!("{copied:?}");
        };
        assert!(Postgres::is_taken(&taken), "{taken}");
    }
}
