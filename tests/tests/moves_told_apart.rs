//! Rows that a database tells apart, compares or reads in other ways than one may expect.

use mdb_core::relocate::{PlanError, Refusal};
use mdb_tests::bank::{NOTE, Place, SHOPS, id};
use mdb_tests::kit::PLAIN_ROLE;
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres, Sqlite};

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
            place.warned_of_unbound("shelf").await;
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
    // These all compare bytes.
    let shop =
        "CREATE TABLE shop (name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, g_user BYTEA NOT NULL)";
    let shelf =
        "CREATE TABLE shelf (shop TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shop, n))";
    place.on_both(shop).await;
    place.on_both(shelf).await;
    place.warned_of_unbound("shelf").await;
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
async fn a_collation_may_be_written_in_any_case_on_sqlite() {
    let mut place = Place::<Sqlite>::new().await;
    place.mdb = place.bank.open_with(SHOPS);
    let shop = "CREATE TABLE shop (name TEXT COLLATE NoCase NOT NULL, g_user BLOB NOT NULL, PRIMARY KEY (name COLLATE nocase))";
    place.on_both(shop).await;
    for (number, collation) in [(0, "NOCASE"), (1, "nocase")] {
        let shelf = format!(
            "CREATE TABLE shelf (shop TEXT COLLATE {collation} NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shop, n COLLATE binary))"
        );
        place.at(number, &shelf).await;
    }
    place.warned(&[]).await;
}

#[tokio::test]
async fn a_table_is_not_left_behind_for_its_name_on_sqlite() {
    let place = Place::<Sqlite>::new().await;
    place
        .on_both("CREATE TABLE note_content (id INTEGER PRIMARY KEY, g_user BLOB, body TEXT)")
        .await;
    place
        .on_both("CREATE VIRTUAL TABLE note USING fts5 (body, content = 'note_content')")
        .await;
    place.refused("note_content", &["left behind"]).await;
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
async fn who_does_not_own_what_he_moves_is_warned_on_postgres() {
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
    let owner = "its owner is `mdb`";
    let tables = ["customer", "account", "transfer", "entry"];
    let mut warned = tables.map(|table| (table, owner));
    warned.sort_unstable();
    place.warned(&warned).await;
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
