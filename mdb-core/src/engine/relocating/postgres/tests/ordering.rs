//! Foreign keys that go round in a circle, or to a table that is listed later.

use super::*;
use crate::engine::relocating::Sparing;

const COUNTRY: &str =
    "CREATE TABLE country (code text PRIMARY KEY); INSERT INTO country VALUES ('x');";

/// Users with a home among their addresses, and a key that has checks be made.
async fn circle(timing: &str) -> Fixture {
    circle_with(timing, by_user()).await
}

/// The same, with addresses that are reached so.
async fn circle_with(timing: &str, addresses: MovedReach) -> Fixture {
    let tables = format!(
        "{COUNTRY} \
         CREATE TABLE account (g_user bytea PRIMARY KEY, home int, code text REFERENCES country); \
         CREATE TABLE address (g_user bytea NOT NULL REFERENCES account, n int NOT NULL, street text, \
           PRIMARY KEY (g_user, n)); \
         ALTER TABLE account ADD FOREIGN KEY (g_user, home) REFERENCES address (g_user, n) {timing};"
    );
    let manifest = Manifest::new(vec![
        table(
            0,
            "account",
            &[("g_user", "bytea"), ("home", "integer"), ("code", "text")],
            &[0],
            by_user(),
        ),
        table(
            1,
            "address",
            &[("g_user", "bytea"), ("n", "integer"), ("street", "text")],
            &[0, 1],
            addresses,
        ),
    ]);
    let mut f = Fixture::with(&tables, manifest).await;
    for user in 1..=3_u64 {
        let owner = hex(user);
        f.client(&format!(
            "INSERT INTO account VALUES ({owner}, NULL, 'x'); \
             INSERT INTO address SELECT {owner}, n, 'street' FROM generate_series(1, 5) AS n; \
             UPDATE account SET home = 2 WHERE g_user = {owner}"
        ))
        .await
        .unwrap();
    }
    Postgres::spare_checks(&mut f.pair, &f.manifest, &f.id)
        .await
        .unwrap();
    f
}

#[tokio::test]
async fn rows_that_refer_to_each_other_are_copied_and_caught_up_with() {
    for timing in ["DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"] {
        let mut f = circle(timing).await;
        f.capture().await;
        for _ in 0..2 {
            assert_eq!(f.copy().await.rows, 2 * 6);
            f.assert_equal().await;
        }
        let one = hex(1);
        for change in [
            format!(
                "BEGIN; INSERT INTO address VALUES ({one}, 7, 'new'); UPDATE account SET home = 7 WHERE g_user = {one}; COMMIT"
            ),
            format!("DELETE FROM address WHERE g_user = {one} AND n = 2"),
            format!(
                "BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM address WHERE g_user = {one}; \
                 DELETE FROM account WHERE g_user = {one}; INSERT INTO account VALUES ({one}, 1, 'x'); \
                 INSERT INTO address VALUES ({one}, 1, 'again'); COMMIT"
            ),
        ] {
            f.client(&change).await.unwrap();
            f.settle().await;
        }
    }
}

/// Where nothing is checked at all, neither are a few rows: else one of these would come too soon, and all be copied anew.
#[tokio::test]
async fn a_few_rows_that_refer_to_each_other_are_caught_up_with_alone() {
    let mut f = circle("").await;
    for connection in [&mut f.pair.source, &mut f.pair.target] {
        let inside = "ALTER TABLE account DROP CONSTRAINT account_code_fkey";
        run(connection, inside).await.unwrap();
    }
    Postgres::spare_checks(&mut f.pair, &f.manifest, &f.id)
        .await
        .unwrap();
    f.capture().await;
    f.copy().await;
    let one = hex(1);
    f.client(&format!(
        "INSERT INTO address VALUES ({one}, 7, 'new'); UPDATE account SET home = 7 WHERE g_user = {one}"
    ))
    .await
    .unwrap();
    let touched = f.take().await.touched;
    assert!(matches!(touched, Touched::These(_)), "{touched:?}");
    f.assert_equal().await;
}

#[tokio::test]
async fn rows_that_refer_to_each_other_go_together() {
    for timing in ["", "ON DELETE RESTRICT", "DEFERRABLE"] {
        let mut f = circle(timing).await;
        f.capture().await;
        let source = &mut f.pair.source;
        let mut deleted = Vec::new();
        while deleted.last() != Some(&0) {
            Postgres::begin_as_mover(source, &f.id, f.owner, LIMIT)
                .await
                .unwrap();
            let some = Postgres::delete_some(source, &f.manifest, &f.id, 3).await;
            deleted.push(some.unwrap());
            Postgres::commit(source).await.unwrap();
        }
        assert_eq!(deleted, [6, 6, 0], "{timing}");
        assert_eq!(f.number("SELECT count(*) FROM account").await, 1);
    }
}

/// Table by table, so that triggers can be watched that may keep rows.
#[tokio::test]
async fn rows_that_refer_to_each_other_go_together_where_triggers_fire() {
    let below = MovedReach::Parent {
        parent: 0,
        on: vec![("g_user".to_owned(), "g_user".to_owned())],
    };
    for when in ["BEFORE", "AFTER"] {
        let mut f = circle_with("DEFERRABLE", below.clone()).await;
        f.client(&format!(
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; \
             CREATE TRIGGER audit {when} DELETE ON address FOR EACH ROW EXECUTE FUNCTION audit()"
        ))
        .await
        .unwrap();
        f.capture().await;
        let source = &mut f.pair.source;
        let mut deleted = Vec::new();
        while deleted.last() != Some(&0) {
            Postgres::begin_as_mover(source, &f.id, f.owner, LIMIT)
                .await
                .unwrap();
            let some = Postgres::delete_some(source, &f.manifest, &f.id, 3).await;
            deleted.push(some.unwrap());
            Postgres::commit(source).await.unwrap();
        }
        assert_eq!(deleted, [6, 6, 0], "{when}");
        assert_eq!(f.number("SELECT count(*) FROM account").await, 1);
    }
}
