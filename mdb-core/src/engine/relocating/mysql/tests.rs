//! Each step between two MariaDB databases, with writers that know nothing of moves.

mod bystanders;
mod capturing;
mod catching_up;
mod copying;
mod fixture;
mod glancing;
mod locking;
mod modes;
mod plans;
mod racing;
mod types;

use sqlx::Executor;

use super::*;
use crate::engine::relocating::{
    FenceState, MovedReach, Side, Span, Unhurried, check_delete_all, check_forget_some,
    check_neighbours, check_other_tables, checked_copy,
};
use fixture::{Fixture, LIMIT, hex, id, keyed};

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

fn is_fenced(error: &sqlx::Error) -> bool {
    MySql::error_class(error) == ErrorClass::Fenced
}

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
        // Unique values that change places; one that differs by a capital only.
        format!("UPDATE account SET name = 'x' WHERE g_user = {}", hex(1)),
        format!(
            "UPDATE account SET name = 'user 1' WHERE g_user = {}",
            hex(2)
        ),
        format!(
            "UPDATE account SET name = 'User 2' WHERE g_user = {}",
            hex(1)
        ),
        // Somebody else's.
        format!("UPDATE account SET extra = 8 WHERE g_user = {}", hex(4)),
        format!("REPLACE INTO item VALUES ({}, 1, 'replaced')", hex(100)),
    ] {
        f.client(&change).await.unwrap();
    }
    assert!(f.catch_up().await > 0);
    assert_eq!(f.catch_up().await, 0);
    let sums = f.assert_equal().await;
    assert_eq!(sums[0].rows, 2);

    // The account's orders go by themselves, and what is below them.
    f.client(&format!("DELETE FROM account WHERE g_user = {}", hex(1)))
        .await
        .unwrap();
    assert!(f.catch_up().await > 0);
    let sums = f.assert_equal().await;
    assert_eq!(sums[0].rows, 1, "user 1 is gone");

    // Copying again replaces what is there.
    f.copy().await;
    f.assert_equal().await;

    let neighbours = f.count("SELECT count(*) FROM account").await;
    copy::begin_at_target(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    let first = MySql::delete_some(&mut f.pair.source, &f.manifest, &f.id, 2)
        .await
        .unwrap();
    let rest = MySql::delete_some(&mut f.pair.source, &f.manifest, &f.id, 1000)
        .await
        .unwrap();
    copy::end_at_target(&mut f.pair.source, Ok(()))
        .await
        .unwrap();
    assert_eq!(first, 2);
    assert_eq!(first + rest, sums.iter().map(|sum| sum.rows).sum::<u64>());
    assert_eq!(
        f.count("SELECT count(*) FROM account").await,
        neighbours - 1
    );
}

#[tokio::test]
async fn rows_below_a_changed_parent_are_brought_anew() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    // The parent's key changes, and with it whose the rows below are; those fire no triggers.
    for change in [
        format!(
            "UPDATE item SET line = 7 WHERE g_order = {} AND line = 2",
            hex(100)
        ),
        format!(
            "UPDATE note SET line = 7 WHERE g_order = {} AND line = 2",
            hex(100)
        ),
        format!(
            "UPDATE orders SET g_order = {} WHERE g_order = {}",
            hex(777),
            hex(201)
        ),
    ] {
        f.client(&change).await.unwrap();
    }
    assert!(f.catch_up().await > 0);
    f.assert_equal().await;
}

#[tokio::test]
async fn differences_are_named_and_found_by_the_sums() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let equal = f.assert_equal().await;
    // A capital, NULL for nothing, one row less, one row more.
    for change in [
        format!(
            "UPDATE orders SET total = 0.25 WHERE g_order = {}",
            hex(100)
        ),
        format!("DELETE FROM item WHERE g_order = {} AND line = 1", hex(100)),
        format!("INSERT INTO note VALUES ({}, 2, 77, NULL)", hex(100)),
        format!(
            "UPDATE account SET name = 'User 1' WHERE g_user = {}",
            hex(1)
        ),
    ] {
        f.pair.target.execute(change.as_str()).await.unwrap();
    }
    let sums = f.sums(Side::Target).await;
    let manifest = f.manifest.clone();
    for (table, (a, b)) in manifest.tables().iter().zip(equal.iter().zip(&sums)) {
        assert_ne!(a, b, "{}", table.name);
        let found = MySql::differences(&mut f.pair, &f.manifest, table, &f.id, 10)
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{}: {found:?}", table.name);
    }
}

/// Spans in between which are left out, one without rows, and a table whose rows are looked for one by one.
#[tokio::test]
async fn spans_are_summed_up_by_themselves() {
    let mut f = Fixture::new().await;
    let mut tables = f.manifest.tables().to_vec();
    if let MovedReach::Parent { on, .. } = &mut tables[3].reach {
        on.truncate(1);
    }
    f.manifest = Manifest::new(tables);
    f.claim().await;
    for user in [3, 4] {
        let fence = format!(
            "INSERT INTO mdb_fence VALUES ({}, '{}', 1, 0, NULL, 0, 0)",
            hex(user),
            f.id.as_str()
        );
        f.pair.source.execute(fence.as_str()).await.unwrap();
    }
    f.put_fences().await;
    let span = |first, last| {
        let ids: Vec<Gdid> = (first..=last).map(id).collect();
        Span::split(&ids, 1)[0]
    };
    let apart = [span(1, 1), span(3, 4), span(90, 95)];
    let (source, manifest) = (&mut f.pair.source, &f.manifest);
    let sums = MySql::sums(source, manifest, &f.id, &apart).await.unwrap();
    let rows = |sums: &[TableSum]| sums.iter().map(|sum| sum.rows).collect::<Vec<_>>();
    let found: Vec<Vec<u64>> = sums.iter().map(|sums| rows(sums)).collect();
    assert_eq!(found, [[1, 1, 2, 2], [2, 7, 14, 14], [0, 0, 0, 0]]);
    for (span, together) in apart.iter().zip(sums) {
        let alone = MySql::sums(source, manifest, &f.id, &[*span])
            .await
            .unwrap();
        assert_eq!(alone, [together]);
    }
    let none = MySql::sums(source, manifest, &f.id, &[]).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn who_was_replaced_touches_nothing() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    f.client(&format!("DELETE FROM note WHERE g_order = {}", hex(100)))
        .await
        .unwrap();
    let before = f.sums(Side::Target).await;
    for connection in [&mut f.pair.source, &mut f.pair.target] {
        connection
            .execute("UPDATE mdb_mover SET owner = owner + 1")
            .await
            .unwrap();
    }
    let copied = MySql::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
    assert!(matches!(copied, Err(StepError::NotOwner)));
    let caught_up = MySql::catch_up(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
    assert!(matches!(caught_up, Err(StepError::NotOwner)));
    assert_eq!(f.sums(Side::Target).await, before);
}

#[tokio::test]
async fn so_many_records_are_removed_at_once() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let source = &mut f.pair.source;
    check_forget_some::<MySql>(source, &f.manifest, &f.id, f.owner, hex).await;
}
