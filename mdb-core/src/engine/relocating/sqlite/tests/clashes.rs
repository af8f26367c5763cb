//! Rows that can't come because others have their keys, or unique values.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::engine::relocating::Pace;

#[tokio::test]
async fn what_a_row_replaced_without_a_record_goes_with_all_below_it() {
    let mut f = Fixture::new().await;
    f.make_totals_unique().await;
    f.capture().await;
    f.copy().await;
    f.client("PRAGMA foreign_keys = ON").await.unwrap();
    f.client(&format!(
        "INSERT OR REPLACE INTO orders SELECT {}, g_user, total FROM orders WHERE g_order = {}",
        hex(250),
        hex(200)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 1);
    f.assert_equal().await;
    let gone = format!("SELECT count(*) FROM item WHERE g_order = {}", hex(200));
    assert_eq!(f.at_target(&gone).await, 0);
}

/// Has a name change places once the first chunk was copied.
struct Swapping {
    source: PathBuf,
    is_done: AtomicBool,
}

impl Pace for Swapping {
    fn taken(&self, _: Amount) -> Duration {
        if !self.is_done.swap(true, Ordering::Relaxed) {
            let source = rusqlite::Connection::open(&self.source).unwrap();
            for (name, user) in [("x", 1), ("user 1", 2)] {
                let rename = format!(
                    "UPDATE account SET name = '{name}' WHERE g_user = {}",
                    hex(user)
                );
                assert_eq!(source.execute(&rename, []).unwrap(), 1);
            }
        }
        Duration::ZERO
    }
}

#[tokio::test]
async fn a_value_may_change_places_between_two_chunks() {
    for triggers in [Triggers::Fire, Triggers::Rest] {
        let mut f = chunks::large(true).await;
        f.capture().await;
        set_triggers(&mut f.pair.target, triggers).await.unwrap();
        let pace = Swapping {
            source: f.pair.source_file.clone().unwrap(),
            is_done: AtomicBool::new(false),
        };
        Sqlite::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &pace)
            .await
            .unwrap();
        let kept = f.at_target("SELECT count(*) FROM account").await;
        assert_eq!(kept, 1, "user 2's row in the place of user 1's");
        assert_eq!(f.catch_up().await, 2);
        f.assert_equal().await;
        let now = set_triggers(&mut f.pair.target, triggers).await.unwrap();
        assert_eq!(now, triggers, "as before");
    }
}

#[tokio::test]
async fn rows_of_neighbours_stay() {
    let mut f = Fixture::new().await;
    f.capture().await;
    check_neighbours(&mut f.pair, &f.manifest, &f.id, f.owner, hex).await;
}
