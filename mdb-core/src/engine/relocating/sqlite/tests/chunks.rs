//! Copying and deleting in transactions of a bounded size.

use proptest::prelude::*;
use sqlx::Row;

use super::*;
use crate::engine::relocating::Commits;
use pieces::{Counted, Piece, count_after, is_indexed, pieces};

proptest! {
    #[test]
    fn pieces_have_everything_once_and_parents_first(
        rows in prop::collection::vec(prop::collection::vec(0_u64..40, 3), 0..20),
        most in 1_u64..60,
    ) {
        let counted: Vec<Counted> = rows.iter().map(|rows| Counted {
            briefcase: Vec::new(),
            rows: rows.clone(),
        }).collect();
        let mut left = rows.clone();
        for Piece { briefcases, tables, rows } in pieces(&counted, most) {
            let is_one = briefcases.len() == 1 && tables.len() == 1;
            prop_assert!(rows <= most || is_one);
            let mut sum = 0;
            for briefcase in briefcases {
                for table in tables.clone() {
                    sum += std::mem::take(&mut left[briefcase][table]);
                    // Parents are there, or come along.
                    prop_assert!(left[briefcase][..tables.start].iter().all(|rows| *rows == 0));
                }
            }
            prop_assert_eq!(sum, rows, "each row once");
        }
        prop_assert!(left.concat().iter().all(|rows| *rows == 0));
    }
}

const INDEX: &str = "CREATE INDEX orders_user ON orders (g_user)";

/// The fixture with 5,000 more items and 3,000 more notes of user 1.
pub(super) async fn large(is_indexed: bool) -> Fixture {
    let mut f = Fixture::new().await;
    if is_indexed {
        f.client(INDEX).await.unwrap();
        f.pair.target.execute(INDEX).await.unwrap();
    }
    for insert in [
        format!(
            "INSERT INTO item SELECT {}, n, 'x' FROM n WHERE n <= 5000",
            hex(100)
        ),
        format!(
            "INSERT INTO note SELECT {}, 2, n, x'00' FROM n WHERE n <= 3000",
            hex(100)
        ),
    ] {
        let numbers =
            "WITH RECURSIVE n(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM n WHERE n <= 5000)";
        f.client(&format!("{numbers} {insert}")).await.unwrap();
    }
    f
}

#[tokio::test]
async fn a_large_briefcase_is_copied_in_chunks_and_copied_anew() {
    for has_index in [true, false] {
        let mut f = large(has_index).await;
        let found = is_indexed(&mut f.pair.source, "main", &f.manifest, &f.id).await;
        assert_eq!(found.unwrap(), has_index);
        f.capture().await;
        for most in [2_000, 100] {
            let (pair, manifest, id) = (&mut f.pair, &f.manifest, &f.id);
            let rows = 17 + 4_998 + 2_998;
            let chunks = checked_copy(pair, manifest, id, f.owner, most, rows).await;
            assert!(chunks.iter().all(|chunk| chunk.rows > 0), "{chunks:?}");
            f.assert_equal().await;
        }
    }
}

#[tokio::test]
async fn the_sources_writers_are_not_kept_waiting_by_a_transaction_on_the_target() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    begin_as_mover(&mut f.pair.target, &f.id, f.owner)
        .await
        .unwrap();
    f.client("PRAGMA busy_timeout = 0").await.unwrap();
    f.client("UPDATE account SET extra = 3").await.unwrap();
    end(&mut f.pair.target, &f.id, Ok(())).await.unwrap();
    assert_eq!(f.catch_up().await, 2);
    f.assert_equal().await;
}

async fn delete(f: &mut Fixture, limit: u32) -> u64 {
    begin_as_mover(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    let deleted = Sqlite::delete_some(&mut f.pair.source, &f.manifest, &f.id, limit).await;
    end(&mut f.pair.source, &f.id, deleted).await.unwrap()
}

/// How many rows are left of the two users that move, and of the others.
async fn left(f: &mut Fixture) -> (i64, i64) {
    let count = |ids: &str| {
        format!(
            "SELECT (SELECT count(*) FROM account WHERE g_user IN ({ids})) \
             + (SELECT count(*) FROM orders WHERE g_user IN ({ids})) \
             + (SELECT count(*) FROM item JOIN orders USING (g_order) WHERE g_user IN ({ids})) \
             + (SELECT count(*) FROM note JOIN orders USING (g_order) WHERE g_user IN ({ids}))"
        )
    };
    let [own, others] = [[1, 2].as_slice(), &[3, 4, 5]].map(|users| {
        let users: Vec<String> = users.iter().map(|user| hex(*user)).collect();
        count(&users.join(", "))
    });
    let counts = format!("SELECT ({own}), ({others})");
    let row = f.client.fetch_one(counts.as_str()).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn rows_are_deleted_up_to_the_limit_until_none_is_left() {
    for (has_index, limit) in [(true, 1), (true, 7), (true, 17), (false, 7), (true, 1_000)] {
        let mut f = Fixture::new().await;
        if has_index {
            f.client(INDEX).await.unwrap();
        }
        f.capture().await;
        let (mut own, others) = left(&mut f).await;
        assert_eq!(own, 17);
        loop {
            // One that is rolled back has not been.
            begin_as_mover(&mut f.pair.source, &f.id, f.owner)
                .await
                .unwrap();
            Sqlite::delete_some(&mut f.pair.source, &f.manifest, &f.id, limit)
                .await
                .unwrap();
            Sqlite::rollback(&mut f.pair.source).await.unwrap();

            let deleted = delete(&mut f, limit).await;
            assert_eq!(deleted, u64::from(limit).min(own.unsigned_abs()));
            own -= i64::try_from(deleted).unwrap();
            assert_eq!(left(&mut f).await, (own, others));
            if deleted < u64::from(limit) {
                break;
            }
        }
        assert_eq!(own, 0);
        assert_eq!(delete(&mut f, limit).await, 0);
    }
}

#[tokio::test]
async fn rows_that_come_while_others_are_deleted_are_deleted_too() {
    let mut f = Fixture::new().await;
    f.client(INDEX).await.unwrap();
    f.capture().await;
    assert_eq!(delete(&mut f, 12).await, 12);
    // Past the triggers.
    for trigger in ["insert", "update", "delete"] {
        for table in 0..4 {
            let drop = format!("DROP TRIGGER mdb_capture_{table}_{trigger}");
            f.client(&drop).await.unwrap();
        }
    }
    for n in 10..14 {
        let insert = format!("INSERT INTO note VALUES ({}, 1, {n}, NULL)", hex(100));
        f.client(&insert).await.unwrap();
    }
    let mut deleted = Vec::new();
    while deleted.last().is_none_or(|last| *last == 3) {
        deleted.push(delete(&mut f, 3).await);
    }
    assert!(deleted.iter().sum::<u64>() >= 5);
    assert_eq!(left(&mut f).await.0, 0);
}

#[tokio::test]
async fn rows_without_a_whole_key_are_deleted() {
    let mut f = Fixture::new().await;
    f.client(INDEX).await.unwrap();
    f.capture().await;
    for _ in 0..5 {
        let insert = format!("INSERT INTO note VALUES ({}, 2, NULL, NULL)", hex(100));
        f.client(&insert).await.unwrap();
    }
    for _ in 0..20 {
        delete(&mut f, 2).await;
    }
    assert_eq!(left(&mut f).await.0, 0);
}

#[tokio::test]
async fn rows_without_a_whole_key_are_caught_up_with() {
    let mut f = Fixture::new().await;
    f.client(INDEX).await.unwrap();
    f.capture().await;
    f.copy().await;
    for change in [
        format!("INSERT INTO note VALUES ({}, 2, NULL, x'01')", hex(100)),
        "UPDATE note SET body = x'02' WHERE n IS NULL".to_owned(),
        "DELETE FROM note WHERE n IS NULL".to_owned(),
    ] {
        f.client(&change).await.unwrap();
        assert!(f.catch_up().await > 0, "{change}");
        f.assert_equal().await;
    }
}

#[tokio::test]
async fn no_more_rows_are_counted_than_matter() {
    let mut f = large(true).await;
    f.capture().await;
    let tables = f.manifest.tables();
    let mut counts = Vec::new();
    for most in [10, 100_000] {
        let source = &mut f.pair.source;
        let counted = count_after(source, "main", &f.manifest, tables, &f.id, &[], 1, most).await;
        counts.extend(counted.unwrap().pop().map(|counted| counted.rows));
    }
    let [few, all] = &counts[..] else {
        panic!("{counts:?}");
    };
    assert!(all.iter().any(|rows| *rows > 4_000), "{all:?}");
    let capped: Vec<u64> = all.iter().map(|rows| (*rows).min(11)).collect();
    assert_eq!(few, &capped);
}

#[tokio::test]
async fn commits_wait_for_the_disk_again_when_they_are_to() {
    let mut f = Fixture::new().await;
    let source = &mut f.pair.source;
    // https://sqlite.org/pragma.html#pragma_synchronous
    for (commits, level) in [(Commits::Unforced, 1), (Commits::Forced, 2)] {
        Sqlite::set_commits(source, commits).await.unwrap();
        let found = Sqlite::query_own(source, "PRAGMA main.synchronous", &[]).await;
        assert_eq!(found.unwrap()[0].integer(0).unwrap(), level);
    }
}
