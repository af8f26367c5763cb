//! Which changes take rows below them along.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::engine::relocating::Pace;

/// Counts the rows that came.
#[derive(Default)]
struct Counting(AtomicU64);

impl Pace for Counting {
    fn taken(&self, amount: Amount) -> Duration {
        self.0.fetch_add(amount.rows, Ordering::Relaxed);
        Duration::ZERO
    }
}

/// A round that catches up with all, and how many rows came with it.
async fn caught_up(f: &mut Fixture) -> u64 {
    let rows = Counting::default();
    Sqlite::catch_up(&mut f.pair, &f.manifest, &f.id, f.owner, &rows)
        .await
        .unwrap();
    f.assert_equal().await;
    rows.0.into_inner()
}

#[tokio::test]
async fn a_row_that_stays_what_it_is_comes_alone() {
    let mut f = Fixture::new().await;
    f.make_totals_unique().await;
    f.capture().await;
    f.copy().await;
    let set = |order: u64, total: u64| {
        format!(
            "UPDATE orders SET total = {total} WHERE g_order = {};",
            hex(order)
        )
    };
    for _ in 0..3 {
        f.client(&set(100, 77)).await.unwrap();
        assert_eq!(caught_up(&mut f).await, 1);
    }
    // Values change places.
    f.client(&[set(200, 1000), set(201, 1001)].concat())
        .await
        .unwrap();
    assert_eq!(caught_up(&mut f).await, 2);
    f.client(&[set(200, 0), set(201, 1000), set(200, 1001)].concat())
        .await
        .unwrap();
    assert_eq!(caught_up(&mut f).await, 2);

    // It belongs to somebody else, with all below it: two items, two notes.
    f.client(&format!(
        "{} UPDATE orders SET g_user = {} WHERE g_order = {}",
        set(200, 5),
        hex(1),
        hex(200)
    ))
    .await
    .unwrap();
    assert_eq!(caught_up(&mut f).await, 1 + 2 + 2);
}

#[tokio::test]
async fn a_row_that_is_missing_comes_with_those_below_it() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    // As when another one had its unique value for a while.
    for table in ["orders", "item", "note"] {
        let delete = format!("DELETE FROM {table} WHERE g_order = {}", hex(200));
        f.pair.target.execute(delete.as_str()).await.unwrap();
    }
    let write = format!("UPDATE orders SET total = 7 WHERE g_order = {}", hex(200));
    f.client(&write).await.unwrap();
    assert_eq!(caught_up(&mut f).await, 1 + 2 + 2);
}

#[tokio::test]
async fn a_row_that_was_changed_and_then_replaced_goes_with_those_below_it() {
    let mut f = Fixture::new().await;
    f.make_totals_unique().await;
    f.capture().await;
    f.copy().await;
    f.client("PRAGMA foreign_keys = OFF").await.unwrap();
    let (gone, new) = (hex(200), hex(250));
    f.client(&format!(
        "UPDATE orders SET total = 7 WHERE g_order = {gone}; \
         INSERT OR REPLACE INTO orders SELECT {new}, g_user, total FROM orders WHERE g_order = {gone}"
    ))
    .await
    .unwrap();
    assert_eq!(caught_up(&mut f).await, 1);
    for table in ["orders", "item", "note"] {
        let left = format!("SELECT count(*) FROM {table} WHERE g_order = {gone}");
        assert_eq!(f.at_target(&left).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_key_that_is_written_otherwise_is_another_one_to_rows_below() {
    let mut f = Fixture::new().await;
    let tables = "CREATE TABLE letter (name TEXT COLLATE NOCASE PRIMARY KEY, g_user BLOB); \
                  CREATE TABLE page (n INTEGER, name TEXT, PRIMARY KEY (name, n)) WITHOUT ROWID";
    let by_user = MovedReach::Key {
        column: "g_user".to_owned(),
    };
    f.manifest = Manifest::new(vec![
        fixture::table(
            0,
            "letter",
            &[("name", "TEXT COLLATE NOCASE"), ("g_user", "BLOB")],
            &[0],
            by_user,
        ),
        fixture::table(
            1,
            "page",
            &[("n", "INTEGER"), ("name", "TEXT")],
            &[1, 0],
            fixture::below(0, &["name"]),
        ),
    ]);
    f.client(tables).await.unwrap();
    f.pair.target.execute(tables).await.unwrap();
    let letter = format!("INSERT INTO letter VALUES ('a', {})", hex(1));
    f.client(&letter).await.unwrap();
    f.client("INSERT INTO page VALUES (1, 'a'), (2, 'A')")
        .await
        .unwrap();
    f.capture().await;
    f.copy().await;
    f.assert_equal().await;
    f.client("UPDATE letter SET name = 'A'").await.unwrap();
    assert_eq!(caught_up(&mut f).await, 1 + 1);
}
