//! Each step between two files, with writers that know nothing of moves.

mod below;
mod chunks;
mod clashes;
mod fixture;
mod forcing;
mod hashes;
mod sparing;

use std::time::Duration;

use sqlx::Executor;

use super::*;
use crate::engine::relocating::{
    FenceState, Unhurried, check_delete_all, check_forget_some, check_neighbours,
    check_other_tables, checked_copy,
};
use fixture::{Fixture, hex, id};
use handle::{Triggers, set_triggers};

#[tokio::test]
async fn rows_are_copied_caught_up_with_and_deleted() {
    let mut f = Fixture::new().await;
    f.capture().await;
    assert_eq!(f.copy().await.rows, 2 + 3 + 6 + 6);
    f.assert_equal().await;
    assert_eq!(f.catch_up().await, 0);
    for change in [
        // A row each of all kinds, by a client that knows nothing of moves.
        format!("UPDATE account SET extra = 7 WHERE g_user = {}", hex(1)),
        format!("DELETE FROM orders WHERE g_order = {}", hex(200)),
        format!("INSERT INTO orders VALUES ({}, {}, 3)", hex(299), hex(2)),
        format!("INSERT INTO item VALUES ({}, 9, 'new')", hex(299)),
        format!(
            "UPDATE note SET n = 5 WHERE g_order = {} AND n = 1",
            hex(201)
        ),
        // Another parent, another briefcase, and back into this one.
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {}",
            hex(3),
            hex(201)
        ),
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {}",
            hex(1),
            hex(500)
        ),
        // Unique values that change places.
        format!("UPDATE account SET name = 'x' WHERE g_user = {}", hex(1)),
        format!(
            "UPDATE account SET name = 'user 1' WHERE g_user = {}",
            hex(2)
        ),
        format!(
            "UPDATE account SET name = 'user 2' WHERE g_user = {}",
            hex(1)
        ),
        // Somebody else's.
        format!("UPDATE account SET extra = 8 WHERE g_user = {}", hex(4)),
        // A row that goes without a trigger of its own.
        format!(
            "INSERT OR REPLACE INTO account VALUES ({}, 'user 2', 9)",
            hex(2)
        ),
    ] {
        f.client(&change).await.unwrap();
    }
    assert!(f.catch_up().await > 0);
    assert_eq!(f.catch_up().await, 0);
    let sums = f.assert_equal().await;
    assert_eq!(sums[0].rows, 1, "user 1 was replaced");

    // Copying again replaces what is there.
    f.copy().await;
    f.assert_equal().await;

    begin_as_mover(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    let deleted = Sqlite::delete_some(&mut f.pair.source, &f.manifest, &f.id, 1000)
        .await
        .unwrap();
    end(&mut f.pair.source, &f.id, Ok(())).await.unwrap();
    assert_eq!(deleted, sums.iter().map(|sum| sum.rows).sum::<u64>());
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM account")
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    assert_eq!(left, 3);
}

#[tokio::test]
async fn a_fenced_briefcase_refuses_everybody_but_the_mover() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let write = format!("UPDATE item SET what = 'z' WHERE g_order = {}", hex(200));
    for (state, deadline, refused) in [
        (FenceState::Fenced, "9e18", true),
        (FenceState::Moved, "0", true),
        (FenceState::Receiving, "0", true),
        // Its deadline has passed: as if it only captured.
        (FenceState::Fenced, "1", false),
        (FenceState::Capturing, "0", false),
    ] {
        f.fence(state, &format!("CAST({deadline} AS INTEGER)"))
            .await;
        match f.client(&write).await {
            Ok(()) => assert!(!refused, "{state:?}"),
            Err(error) => {
                assert!(refused, "{state:?}: {error}");
                assert_eq!(Sqlite::error_class(&error), ErrorClass::Fenced);
            }
        }
        f.client(&format!(
            "UPDATE account SET extra = 2 WHERE g_user = {}",
            hex(3)
        ))
        .await
        .unwrap();
    }
    assert!(f.catch_up().await > 0);
    f.assert_equal().await;
    f.fence(FenceState::Moved, "0").await;
    begin_as_mover(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    f.pair.source.execute(write.as_str()).await.unwrap();
    end(&mut f.pair.source, &f.id, Ok(())).await.unwrap();
    let guests: i64 = sqlx::query_scalar("SELECT count(*) FROM mdb_guest")
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    assert_eq!(guests, 0);
}

#[tokio::test]
async fn differences_are_named_and_found_by_the_sums() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let equal = f.assert_equal().await;
    // One number as another type, one row less, one row more.
    for change in [
        format!("UPDATE orders SET total = 0.0 WHERE g_order = {}", hex(100)),
        format!("DELETE FROM item WHERE g_order = {} AND line = 1", hex(100)),
        format!("INSERT INTO note VALUES ({}, 2, 77, NULL)", hex(100)),
        format!("UPDATE account SET extra = '1.5' WHERE g_user = {}", hex(1)),
    ] {
        f.pair.target.execute(change.as_str()).await.unwrap();
    }
    let sums = Sqlite::sums(&mut f.pair.target, &f.manifest, &f.id, &[Span::ALL])
        .await
        .unwrap()
        .concat();
    let manifest = f.manifest.clone();
    for (table, (a, b)) in manifest.tables().iter().zip(equal.iter().zip(&sums)) {
        assert_ne!(a, b, "{}", table.name);
        let found = Sqlite::differences(&mut f.pair, &f.manifest, table, &f.id, 10)
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{}: {found:?}", table.name);
    }
}

#[tokio::test]
async fn arming_can_be_repeated_and_taken_back() {
    let mut f = Fixture::new().await;
    let limit = Duration::from_millis(100);
    for _ in 0..2 {
        Sqlite::arm(
            &mut f.pair.source,
            &f.manifest,
            None,
            &LockLimit::of_server(limit),
        )
        .await
        .unwrap();
        assert_eq!(
            Sqlite::installed(&mut f.pair.source)
                .await
                .unwrap()
                .names
                .len(),
            4 * 4
        );
    }
    for _ in 0..2 {
        Sqlite::disarm(&mut f.pair.source, &LockLimit::of_server(limit))
            .await
            .unwrap();
        assert_eq!(
            Sqlite::installed(&mut f.pair.source).await.unwrap().names,
            [""; 0]
        );
    }
}

#[tokio::test]
async fn who_was_replaced_touches_nothing() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.client("UPDATE mdb_mover SET owner = owner + 1")
        .await
        .unwrap();
    f.pair
        .target
        .execute("UPDATE mdb_mover SET owner = owner + 1")
        .await
        .unwrap();
    let copied = Sqlite::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
    assert!(matches!(copied, Err(StepError::NotOwner)));
}

#[tokio::test]
async fn a_round_says_whose_rows_it_touches() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    for (change, records) in [
        (
            format!("UPDATE account SET extra = 7 WHERE g_user = {}", hex(1)),
            1,
        ),
        (
            format!("DELETE FROM orders WHERE g_order = {}", hex(200)),
            1,
        ),
        // From the one to the other.
        (
            format!(
                "UPDATE orders SET g_user = {} WHERE g_order = {}",
                hex(2),
                hex(100)
            ),
            2,
        ),
        (
            format!("UPDATE account SET extra = 8 WHERE g_user = {}", hex(4)),
            0,
        ),
    ] {
        f.client(&change).await.unwrap();
        assert_eq!(f.take().await.records, records, "{change}");
    }
    f.assert_equal().await;
}

#[tokio::test]
async fn whole_briefcases_are_deleted_and_no_others() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let briefcases = [id(1), id(2)];
    check_delete_all(&mut f.pair, &f.manifest, &f.id, f.owner, &briefcases).await;
}

#[tokio::test]
async fn so_many_records_are_removed_at_once() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let source = &mut f.pair.source;
    check_forget_some::<Sqlite>(source, &f.manifest, &f.id, f.owner, hex).await;
}

#[tokio::test]
async fn what_another_move_relies_on_is_not_replaced() {
    let mut f = Fixture::new().await;
    f.capture().await;
    check_other_tables::<Sqlite>(&mut f.pair.source, &f.manifest, &f.id, hex).await;
}

/// A run keeps its connections, and another mover may have removed the triggers since.
#[tokio::test]
async fn a_target_is_armed_anew_while_the_source_is_attached() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let limit = Duration::from_millis(100);
    for _ in ["there are none yet", "another mover has removed them"] {
        Sqlite::arm(
            &mut f.pair.target,
            &f.manifest,
            None,
            &LockLimit::of_server(limit),
        )
        .await
        .unwrap();
        let armed = Sqlite::is_armed(&mut f.pair.target, &f.manifest).await;
        assert!(armed.unwrap());
        f.pair
            .target
            .execute("DELETE FROM mdb_fence")
            .await
            .unwrap();
        Sqlite::disarm(&mut f.pair.target, &LockLimit::of_server(limit))
            .await
            .unwrap();
    }
    let armed = Sqlite::is_armed(&mut f.pair.source, &f.manifest).await;
    assert!(armed.unwrap(), "those of the source are its own");
}
