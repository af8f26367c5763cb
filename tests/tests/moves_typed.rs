//! Values of types that would be compared, made up or computed in two ways.

use mdb_core::error::chain;
use mdb_core::relocate::{MoveOptions, TakeOver};
use mdb_tests::bank::{NOTE, Place, SHOPS, id, literal, word};
use mdb_tests::kit::Kind;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres};

async fn rows_are_found_by_values_of_the_same_kind<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    place.mdb = place.bank.open_with(SHOPS);
    let id = id::<DB>();
    for (parents, own, is_fit) in [
        ("VARCHAR(20)", "INTEGER", false),
        ("INTEGER", "VARCHAR(20)", false),
        ("BIGINT", "INTEGER", true),
        ("VARCHAR(30)", "VARCHAR(20)", true),
    ] {
        let shop = format!(
            "CREATE TABLE shop (name {parents} NOT NULL UNIQUE, g {id} NOT NULL PRIMARY KEY, g_user {id} NOT NULL)"
        );
        let shelf = format!(
            "CREATE TABLE shelf (shop {own} NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shop, n))"
        );
        place.on_both(&shop).await;
        place.on_both(&shelf).await;
        if is_fit {
            place.warned_of_unbound("shelf").await;
        } else {
            place
                .refused("shelf", &["`shop`", "`name`", "the same type"])
                .await;
        }
        place.on_both("DROP TABLE shelf").await;
        place.on_both("DROP TABLE shop").await;
    }
}

on_all_engines!(rows_are_found_by_values_of_the_same_kind);

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
async fn moments_are_not_found_by_times_of_some_zone() {
    for (parents, own) in [
        ("TIMESTAMP", "DATETIME"),
        ("BIGINT", "DOUBLE"),
        ("DATE", "DATETIME"),
    ] {
        let mut place = Place::<MySql>::new().await;
        place.mdb = place.bank.open_with(SHOPS);
        let shop = format!(
            "CREATE TABLE shop (name {parents} NOT NULL PRIMARY KEY, g_user BINARY(12) NOT NULL)"
        );
        let shelf = format!(
            "CREATE TABLE shelf (shop {own} NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shop, n))"
        );
        place.on_both(&shop).await;
        place.on_both(&shelf).await;
        place
            .refused("shelf", &["`shop`", "`name`", "the same type"])
            .await;
    }
}

async fn columns_by_which_rows_are_found_are_computed_alike<DB: TestEngine>() {
    let mut place = Place::<DB>::new().await;
    place.mdb = place.bank.open_with(NOTE);
    let (id, raw) = (id::<DB>(), word::<DB>(["", "BYTEA", "VARBINARY(60)"]));
    let note = |from: u32, other: u32| {
        let key = match DB::SERVER {
            Some(Kind::MariaDb) => format!("CAST(SUBSTR(raw, {from}, 12) AS BINARY(12))"),
            _ => format!("SUBSTR(raw, {from}, 12)"),
        };
        format!(
            "CREATE TABLE note (k INTEGER NOT NULL, raw {raw}, g_user {id} GENERATED ALWAYS AS ({key}) STORED, \
             n INTEGER GENERATED ALWAYS AS (k + {other}) STORED, PRIMARY KEY (k))"
        )
    };
    for (there, is_fit) in [(note(1, 1), true), (note(1, 2), true), (note(13, 1), false)] {
        place.at(0, &note(1, 1)).await;
        place.at(1, &there).await;
        if is_fit {
            place.warned(&[]).await;
        } else {
            place.refused("note", &["`g_user`", "is computed as"]).await;
        }
        place.on_both("DROP TABLE note").await;
    }
}

#[tokio::test]
async fn columns_by_which_rows_are_found_are_computed_alike_on_postgres() {
    columns_by_which_rows_are_found_are_computed_alike::<Postgres>().await;
}

#[tokio::test]
async fn columns_by_which_rows_are_found_are_computed_alike_on_mariadb() {
    columns_by_which_rows_are_found_are_computed_alike::<MySql>().await;
}

#[tokio::test]
async fn ids_are_not_filled_up_on_mariadb() {
    let mut place = Place::<MySql>::new().await;
    place.mdb = place.bank.open_with(NOTE);
    let note = "CREATE TABLE note (k INTEGER PRIMARY KEY, g_user BINARY(16) NOT NULL) PARTITION BY HASH (k) PARTITIONS 2";
    place.on_both(note).await;
    place.refused("note", &["`g_user`", "12 bytes"]).await;
    place
        .on_both("ALTER TABLE note MODIFY g_user BINARY(12) NOT NULL")
        .await;
    place.warned(&[("note", "partitioned")]).await;
}

/// PostgreSQL sends an empty query in binary form, and refuses to read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_tsquery_stops_a_move_that_can_be_undone() {
    let mut place = Place::<Postgres>::new().await;
    place.mdb = place.bank.open_with(NOTE);
    place
        .on_both("CREATE TABLE note (g_user BYTEA PRIMARY KEY, wanted TSQUERY NOT NULL)")
        .await;
    place.warned(&[("note", "`wanted` is a tsquery")]).await;
    let key = literal::<Postgres>(place.ids[0]);
    place
        .at(0, &format!("INSERT INTO note VALUES ({key}, '')"))
        .await;
    let error = place.run(&place.plan_to(1).await).await.unwrap_err();
    assert!(chain(&error).contains("tsquery"), "{}", chain(&error));
    let id = place.moves().await[0].id().to_owned();
    let options = MoveOptions::new().take_over(TakeOver::FromAnybody);
    place.mdb.relocator().abort(&id, &options).await.unwrap();
    place.is_whole(0).await;

    place.at(0, "UPDATE note SET wanted = 'fat & !cat'").await;
    place.carry_to(1).await;
    place.is_whole(1).await;
}
