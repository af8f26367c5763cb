//! Rows that a database tells apart, compares, reads or keeps in other ways than one may expect.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::Gdid;
use mdb_core::relocate::{MoveError, MovePhase, PlanError, Refusal};
use mdb_tests::bank::{Place, id, literal};
use mdb_tests::kit::PLAIN_ROLE;
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres, Sqlite};

/// A table `note`, as the configuration lists it.
const NOTE: &str = "[[area.briefcase.table]]\nname = \"note\"\nkey = \"g_user\"\n";

/// The id of somebody who stays.
fn neighbour<DB: TestEngine>() -> String {
    literal::<DB>(Gdid::new(0, 0, 5_000).unwrap())
}

/// Notes that have moved stay, whatever the mover does, until `drop` is run.
async fn kept<DB: TestEngine>(keep: &[&str], drop: &str) {
    let mut place = Place::<DB>::new().await;
    place.make_notes("g_user").await;
    place.mdb = place.bank.open_with(NOTE);
    for keep in keep {
        place.at(0, keep).await;
    }
    let moved = place.try_carry_to(1).await;
    let Err(MoveError::Kept { table, shard }) = moved else {
        panic!("{moved:?}");
    };
    assert_eq!(table, "note");
    let first = place.bank.shard(&place.mdb, 0);
    assert_eq!(shard, Some(place.mdb.topology().shard_place(first)));
    assert!(place.is_in(MovePhase::Purging).await);
    // Nobody takes them for the customer's.
    let fences = "SELECT count(*) FROM mdb_fence WHERE state = 3";
    assert_eq!(place.bank.count(0, fences).await, 1);

    place.at(0, drop).await;
    let id = place.moves().await[0].id().to_owned();
    place.resume(&id).await;
    place.is_whole(1).await;
    for (number, notes) in [(0, 0), (1, 1)] {
        let found = place.bank.count(number, "SELECT count(*) FROM note").await;
        assert_eq!(found, notes);
    }
}

#[tokio::test]
async fn a_move_does_not_end_while_a_trigger_keeps_its_rows_on_sqlite() {
    let keep =
        "CREATE TRIGGER keep BEFORE DELETE ON note WHEN OLD.n = 1 BEGIN SELECT RAISE(IGNORE); END";
    kept::<Sqlite>(&[keep], "DROP TRIGGER keep").await;
}

#[tokio::test]
async fn a_move_does_not_end_while_a_trigger_keeps_its_rows_on_postgres() {
    let function =
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    let trigger = "CREATE TRIGGER keep BEFORE DELETE ON note FOR EACH ROW WHEN (OLD.n = 1) EXECUTE FUNCTION keep()";
    let always = "ALTER TABLE note ENABLE ALWAYS TRIGGER keep";
    kept::<Postgres>(&[function, trigger, always], "DROP TRIGGER keep ON note").await;
}

#[tokio::test]
async fn rows_with_null_in_their_keys_move_as_often_as_they_are_there() {
    for index in ["", "CREATE INDEX note_user ON note (g_user)"] {
        let mut place = Place::<Sqlite>::new().await;
        let create = "CREATE TABLE note (k TEXT PRIMARY KEY, g_user BLOB NOT NULL, n INTEGER)";
        place.on_both(create).await;
        if !index.is_empty() {
            place.on_both(index).await;
        }
        place.mdb = place.bank.open_with(NOTE);
        let (own, others) = (literal::<Sqlite>(place.ids[0]), neighbour::<Sqlite>());
        let rows = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) \
                    INSERT INTO note SELECT";
        for (number, insert) in [
            (0, format!("{rows} 'key ' || n, {own}, n FROM c")),
            (
                0,
                format!(
                    "INSERT INTO note VALUES (NULL, {own}, 1), (NULL, {own}, 1), (NULL, {own}, 2)"
                ),
            ),
            (0, format!("INSERT INTO note VALUES (NULL, {others}, 1)")),
            (1, format!("INSERT INTO note VALUES (NULL, {others}, 1)")),
        ] {
            place.at(number, &insert).await;
        }
        place.carry_to(1).await;
        let count = |whose: &str, of: &str| {
            format!("SELECT count(*) FROM note WHERE g_user = {whose} AND {of}")
        };
        for (number, whose, of, rows) in [
            (0, &own, "TRUE", 0),
            (1, &own, "TRUE", 3_003),
            (1, &own, "k IS NULL AND n = 1", 2),
            (0, &others, "TRUE", 1),
            (1, &others, "TRUE", 1),
        ] {
            let found = place.bank.count(number, &count(whose, of)).await;
            assert_eq!(found, rows, "{of} at {number} {index}");
        }
    }
}

/// A table `shop` whose rows belong to customers, and `shelf` below it by the shop's name.
const SHOPS: &str = r#"
[[area.briefcase.table]]
name = "shop"
key = "g_user"
[[area.briefcase.table]]
name = "shelf"
parent = "shop"
on = { shop = "name" }
"#;

/// Shops and shelves with texts of two types can be moved only if they compare them alike.
async fn compared_alike<DB: TestEngine>(loose: &str, strict: &str) {
    let mut place = Place::<DB>::new().await;
    place.mdb = place.bank.open_with(SHOPS);
    compared_alike_in(&place, loose, strict).await;
}

async fn compared_alike_in<DB: TestEngine>(place: &Place<DB>, loose: &str, strict: &str) {
    let id = id::<DB>();
    for (shop, shelf, is_fit) in [
        (loose, strict, false),
        (strict, loose, false),
        (loose, loose, true),
        (strict, strict, true),
    ] {
        let shop =
            format!("CREATE TABLE shop (name {shop} NOT NULL PRIMARY KEY, g_user {id} NOT NULL)");
        let shelf = format!(
            "CREATE TABLE shelf (shop {shelf} NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shop, n))"
        );
        for create in [&shop, &shelf] {
            place.on_both(create).await;
        }
        if is_fit {
            place.warned(&[]).await;
        } else {
            place
                .refused("shelf", &["`shop`", "`name`", "the same collation"])
                .await;
        }
        for drop in ["DROP TABLE shelf", "DROP TABLE shop"] {
            place.on_both(drop).await;
        }
    }
    // The two sides have to compare alike, too.
    for (number, name) in [(0, loose), (1, strict)] {
        let shop =
            format!("CREATE TABLE shop (name {name} NOT NULL PRIMARY KEY, g_user {id} NOT NULL)");
        let shelf = format!(
            "CREATE TABLE shelf (shop {name} NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shop, n))"
        );
        place.at(number, &shop).await;
        place.at(number, &shelf).await;
    }
    let Err(PlanError::Refused { refusals }) = place.plan().await else {
        panic!("the two sides differ");
    };
    let tables: Vec<&str> = refusals.iter().map(Refusal::place).collect();
    assert_eq!(tables, ["table `shop`", "table `shelf`"], "{refusals:?}");
    assert!(
        refusals[0].reason().contains("on the source"),
        "{refusals:?}"
    );
    for drop in ["DROP TABLE shelf", "DROP TABLE shop"] {
        place.on_both(drop).await;
    }
}

#[tokio::test]
async fn rows_are_compared_as_those_above_them_on_sqlite() {
    compared_alike::<Sqlite>("TEXT COLLATE NOCASE", "TEXT").await;
}

#[tokio::test]
async fn rows_are_compared_as_those_above_them_on_postgres() {
    let mut place = Place::<Postgres>::new().await;
    place.mdb = place.bank.open_with(SHOPS);
    let any_case = "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    place.on_both(any_case).await;
    compared_alike_in(&place, "TEXT COLLATE any_case", "TEXT").await;
    // The server can't compare what has two collations.
    compared_alike_in(&place, "TEXT COLLATE \"C\"", "TEXT").await;
}

#[tokio::test]
async fn rows_are_compared_as_those_above_them_on_mariadb() {
    let bytes = "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    compared_alike::<MySql>(
        "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        bytes,
    )
    .await;
}

#[tokio::test]
async fn a_key_tells_rows_apart_as_its_columns_do() {
    let mut place = Place::<Sqlite>::new().await;
    place.mdb = place.bank.open_with(NOTE);
    let note = |key: &str| {
        format!(
            "CREATE TABLE note (name TEXT COLLATE NOCASE NOT NULL, g_user BLOB NOT NULL, PRIMARY KEY ({key}))"
        )
    };
    place.on_both(&note("name COLLATE BINARY")).await;
    place
        .refused("note", &["primary key", "the same collation"])
        .await;
    place.on_both("DROP TABLE note").await;
    place.on_both(&note("name")).await;
    place.warned(&[]).await;

    // Neither does a unique index that compares otherwise tell parents apart.
    place.mdb = place.bank.open_with(SHOPS);
    let shop = "CREATE TABLE shop (g BLOB NOT NULL PRIMARY KEY, name TEXT COLLATE NOCASE NOT NULL, g_user BLOB NOT NULL)";
    let shelf = "CREATE TABLE shelf (shop TEXT COLLATE NOCASE NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shop, n))";
    for statement in [
        "DROP TABLE note",
        shop,
        shelf,
        "CREATE UNIQUE INDEX shop_name ON shop (name COLLATE BINARY)",
    ] {
        place.on_both(statement).await;
    }
    place.refused("shelf", &["(name)", "unique"]).await;
    place
        .on_both("CREATE UNIQUE INDEX shop_name_too ON shop (name)")
        .await;
    place.warned(&[]).await;
}

#[tokio::test]
async fn words_in_a_comment_make_no_difference() {
    let mut place = Place::<Sqlite>::new().await;
    place.mdb = place.bank.open_with(NOTE);
    let note = "CREATE TABLE note (g_user BLOB NOT NULL PRIMARY KEY, n INTEGER) /* no AUTOINCREMENT, not WITHOUT ROWID */";
    place.on_both(note).await;
    place.warned(&[]).await;
    place.on_both("DROP TABLE note").await;
    let note =
        "CREATE TABLE note (n INTEGER PRIMARY KEY /* not WITHOUT ROWID */, g_user BLOB NOT NULL)";
    place.on_both(note).await;
    place
        .refused("note", &["`n`", "numbered by the server"])
        .await;
}

#[tokio::test]
async fn values_of_own_types_have_to_be_made_alike() {
    let mut place = Place::<Postgres>::new().await;
    place.mdb = place.bank.open_with(NOTE);
    let (first, other) = ("(a INTEGER, b INTEGER)", "(b INTEGER, a INTEGER)");
    for (here, there, is_fit) in [
        (
            format!("CREATE TYPE pair AS {first}"),
            format!("CREATE TYPE pair AS {other}"),
            false,
        ),
        (
            format!("CREATE TYPE pair AS {first}"),
            format!("CREATE TYPE pair AS {first}"),
            true,
        ),
        (
            "CREATE DOMAIN pair AS TEXT".to_owned(),
            "CREATE DOMAIN pair AS CHAR(6)".to_owned(),
            false,
        ),
        (
            "CREATE DOMAIN pair AS TEXT".to_owned(),
            "CREATE DOMAIN pair AS TEXT".to_owned(),
            true,
        ),
        (
            "CREATE TYPE pair AS RANGE (subtype = float8)".to_owned(),
            "CREATE TYPE pair AS RANGE (subtype = int8)".to_owned(),
            false,
        ),
    ] {
        for array in ["", "[]"] {
            for (number, create) in [(0, &here), (1, &there)] {
                place.at(number, create).await;
                // In a type of a type.
                place
                    .at(
                        number,
                        &format!("CREATE TYPE deep AS (n INTEGER, inside pair{array})"),
                    )
                    .await;
                place
                    .at(
                        number,
                        &format!("CREATE TABLE note (g_user BYTEA PRIMARY KEY, p deep{array})"),
                    )
                    .await;
            }
            if is_fit {
                place.warned(&[]).await;
            } else {
                place
                    .refused("note", &["`p`", "on the source", "on the target"])
                    .await;
            }
            let kind = if here.contains("DOMAIN") {
                "DOMAIN"
            } else {
                "TYPE"
            };
            for drop in [
                "DROP TABLE note".to_owned(),
                "DROP TYPE deep".to_owned(),
                format!("DROP {kind} pair"),
            ] {
                place.on_both(&drop).await;
            }
        }
    }
}

#[tokio::test]
async fn values_that_the_server_can_not_send_are_refused() {
    let mut place = Place::<Postgres>::new().await;
    place.mdb = place.bank.open_with(NOTE);
    for (column, is_fit) in [("aclitem[]", false), ("TEXT[]", true)] {
        let note = format!("CREATE TABLE note (g_user BYTEA PRIMARY KEY, a {column})");
        place.on_both(&note).await;
        if is_fit {
            place.warned(&[]).await;
        } else {
            place.refused("note", &["`a`", "binary form"]).await;
        }
        place.on_both("DROP TABLE note").await;
    }
}

#[tokio::test]
async fn who_moves_tables_has_to_own_them_on_postgres() {
    let mut place = Place::<Postgres>::new().await;
    for url in [
        place.bank.url(0),
        place.bank.url(1),
        place.bank.catalog_url(),
    ] {
        let grant = format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {PLAIN_ROLE}");
        Postgres::run_at(&url, &[grant]).await.unwrap();
    }
    let role = format!("?options=-c%20role%3D{PLAIN_ROLE}");
    place.mdb = place.bank.open_changed(|text| {
        let lines = text.lines().map(|line| match line.strip_suffix('"') {
            Some(url) if url.contains("url = ") => format!("{url}{role}\""),
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let Err(PlanError::Refused { refusals }) = place.plan().await else {
        panic!("it owns none of the tables");
    };
    assert_eq!(refusals.len(), 4, "{refusals:?}");
    for refusal in refusals {
        assert!(
            refusal.reason().contains("its owner is `mdb`"),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn a_table_of_words_that_others_feed_stays_where_it_is() {
    let place = Place::<Sqlite>::new().await;
    place
        .on_both("CREATE VIRTUAL TABLE words USING fts5 (g_user UNINDEXED, word)")
        .await;
    place.warned(&[("words", "virtual")]).await;
    place.carry_to(1).await;
    place.is_whole(1).await;
}

#[tokio::test]
async fn a_table_is_written_as_it_is_called() {
    let mut place = Place::<Sqlite>::new().await;
    place
        .on_both("CREATE TABLE Note (g_user BLOB NOT NULL PRIMARY KEY, n INTEGER)")
        .await;
    place.mdb = place.bank.open_with(NOTE);
    let Err(PlanError::Refused { refusals }) = place.plan().await else {
        panic!("there is no such table");
    };
    assert!(
        refusals[0].reason().contains("there is `Note`"),
        "{refusals:?}"
    );
}
