//! Bringing the target to what the source has become.

use super::copy::BEGIN_SNAPSHOT;
use super::records::{forget, recorded};
use super::*;

#[tokio::test]
async fn changes_of_all_kinds_arrive() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    for change in [
        format!("UPDATE account SET extra = 7 WHERE g_user = {}", hex(1)),
        format!("DELETE FROM orders WHERE g_order = {}", hex(200)),
        format!("INSERT INTO orders VALUES ({}, {}, 3)", hex(299), hex(2)),
        format!("INSERT INTO item VALUES ({}, 9, 'new')", hex(299)),
        format!("INSERT INTO note VALUES ({}, 9, 5, NULL)", hex(299)),
        format!(
            "INSERT INTO item VALUES ({}, 9, 'x') ON DUPLICATE KEY UPDATE what = 'newer'",
            hex(299)
        ),
        format!("REPLACE INTO item VALUES ({}, 9, 'newest')", hex(299)),
        format!(
            "UPDATE orders o JOIN item i USING (g_order) SET o.total = 5, i.what = 'both' WHERE o.g_order = {}",
            hex(299)
        ),
        // Keys change.
        format!(
            "UPDATE note SET n = 5 WHERE g_order = {} AND n = 1",
            hex(201)
        ),
        format!(
            "UPDATE item SET line = 3 WHERE g_order = {} AND line = 1",
            hex(201)
        ),
        // Another briefcase's, and from another one into this one.
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
        // Between the two that move.
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {}",
            hex(2),
            hex(100)
        ),
        // Somebody else's.
        format!("UPDATE account SET extra = 8 WHERE g_user = {}", hex(4)),
        format!("DELETE FROM orders WHERE g_order = {}", hex(300)),
    ] {
        f.client(&change).await.unwrap();
        let taken = f.take().await.records;
        let is_others = change.contains("extra = 8") || change.contains(&hex(300));
        assert_eq!(taken == 0, is_others, "{change}");
        f.assert_equal().await;
    }
    assert_eq!(f.catch_up().await, 0);
}

#[tokio::test]
async fn changes_arrive_together() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    f.client(&format!(
        "BEGIN; DELETE FROM orders WHERE g_order = {}; \
         INSERT INTO orders VALUES ({moved}, {}, 1); \
         INSERT INTO item VALUES ({moved}, 1, 'a'), ({moved}, 2, 'b'); \
         INSERT INTO note VALUES ({moved}, 2, 1, 'c'); \
         UPDATE orders SET g_user = {} WHERE g_order = {moved}; COMMIT",
        hex(100),
        hex(1),
        hex(2),
        moved = hex(150),
    ))
    .await
    .unwrap();
    f.settle().await;
    // A change that is taken back is none.
    f.client(&format!(
        "BEGIN; DELETE FROM account WHERE g_user = {}; ROLLBACK",
        hex(2)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 0);
}

#[tokio::test]
async fn what_follows_by_foreign_keys_arrives() {
    let tables = [
        "CREATE TABLE account (g_user BINARY(12) PRIMARY KEY, name VARCHAR(20) UNIQUE)",
        // By a key that says nothing of the briefcase, and within the table.
        "CREATE TABLE task (g_user BINARY(12) NOT NULL, n INTEGER NOT NULL, name VARCHAR(20), after_n INTEGER, \
         PRIMARY KEY (n), FOREIGN KEY (name) REFERENCES account (name) ON UPDATE CASCADE ON DELETE SET NULL, \
         FOREIGN KEY (after_n) REFERENCES task (n) ON DELETE SET NULL)",
        "CREATE TABLE step (n INTEGER NOT NULL, s INTEGER NOT NULL, PRIMARY KEY (n, s), \
         FOREIGN KEY (n) REFERENCES task (n) ON DELETE CASCADE ON UPDATE CASCADE)",
    ];
    let on = vec![("n".to_owned(), "n".to_owned())];
    let manifest = [
        ("account", keyed("g_user")),
        ("task", keyed("g_user")),
        ("step", MovedReach::Parent { parent: 1, on }),
    ];
    let mut f = Fixture::with(&tables, &manifest).await;
    f.client(&format!(
        "INSERT INTO account VALUES ({one}, 'one'), ({three}, 'three'); \
         INSERT INTO task VALUES ({one}, 1, 'one', NULL), ({one}, 2, 'one', 1), ({one}, 3, NULL, 2), ({three}, 4, 'three', NULL); \
         INSERT INTO step SELECT n, s.seq FROM task JOIN seq_1_to_3 s",
        one = hex(1),
        three = hex(3)
    ))
    .await
    .unwrap();
    f.capture().await;
    // A row comes before the one that it refers to, in the order of keys.
    f.client("UPDATE task SET after_n = 3 WHERE n = 1")
        .await
        .unwrap();
    assert_eq!(f.copy().await.rows, 1 + 3 + 9);
    f.settle().await;
    for change in [
        "UPDATE account SET name = 'eins' WHERE name = 'one'",
        "UPDATE task SET after_n = NULL WHERE n = 1",
        "DELETE FROM task WHERE n = 2",
        "UPDATE task SET n = 20 WHERE n = 3",
        "DELETE FROM account WHERE name = 'eins'",
        "DELETE FROM task WHERE n < 4",
    ] {
        f.client(change).await.unwrap();
        assert!(f.catch_up().await > 0, "{change}");
        let (pair, id) = (&mut f.pair, &f.id);
        for table in f.manifest.tables() {
            let found = MySql::differences(pair, &f.manifest, table, id, 9).await;
            assert_eq!(found.unwrap(), [""; 0], "{change}");
        }
        f.assert_equal().await;
    }
    // Somebody else's cascade.
    f.client("DELETE FROM account WHERE name = 'three'")
        .await
        .unwrap();
    assert_eq!(f.catch_up().await, 0);
}

#[tokio::test]
async fn unique_values_change_places() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    f.client(&format!(
        "UPDATE account SET name = 'x' WHERE g_user = {one}; \
         UPDATE account SET name = 'user 1' WHERE g_user = {two}; \
         UPDATE account SET name = 'user 2' WHERE g_user = {one}",
        one = hex(1),
        two = hex(2),
    ))
    .await
    .unwrap();
    f.settle().await;
    // A value that a row which has gone leaves to another one.
    f.client(&format!(
        "DELETE FROM account WHERE g_user = {}; UPDATE account SET name = 'USER 2' WHERE g_user = {}",
        hex(1),
        hex(2),
    ))
    .await
    .unwrap();
    f.settle().await;
}

#[tokio::test]
async fn a_round_whose_end_is_lost_is_repeated() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    f.client(&format!("DELETE FROM orders WHERE g_order = {}", hex(200)))
        .await
        .unwrap();
    // The records stay, as after a crash before the last commit.
    f.client("CREATE TABLE kept AS SELECT * FROM mdb_change_1")
        .await
        .unwrap();
    assert!(f.catch_up().await > 0);
    f.client("INSERT INTO mdb_change_1 SELECT * FROM kept")
        .await
        .unwrap();
    assert_eq!(f.pending().await, 1);
    f.settle().await;
}

#[tokio::test]
async fn keys_that_are_no_ids_are_left_alone() {
    let tables = ["CREATE TABLE odd (g VARBINARY(40), n INTEGER PRIMARY KEY)"];
    let mut f = Fixture::with(&tables, &[("odd", keyed("g"))]).await;
    f.capture().await;
    f.copy().await;
    f.client(&format!(
        "INSERT INTO odd VALUES (NULL, 1), ('', 2), ('x', 3), (REPEAT('x', 40), 4), (CONCAT({one}, 'x'), 5); \
         UPDATE odd SET g = 'y' WHERE n = 3; DELETE FROM odd WHERE n = 4",
        one = hex(1)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 0);
    // One becomes an id, and ceases to be.
    for g in [hex(1), "NULL".to_owned()] {
        f.client(&format!("UPDATE odd SET g = {g} WHERE n = 1"))
            .await
            .unwrap();
        assert_eq!(f.catch_up().await, 1);
        f.assert_equal().await;
    }
}

#[tokio::test]
async fn rows_of_neighbours_stay() {
    let mut f = Fixture::new().await;
    f.capture().await;
    check_neighbours(&mut f.pair, &f.manifest, &f.id, f.owner, hex).await;
}

#[tokio::test]
async fn servers_that_ask_for_primary_keys_get_them() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    f.client("DELETE FROM orders").await.unwrap();
    f.catch_up().await;
    for number in 0..f.manifest.tables().len() {
        let columns = format!("SHOW COLUMNS FROM mdb_hit_{number} WHERE `Key` = 'PRI'");
        // The server says that the table is unknown where no rows of it were hit.
        if let Ok(columns) = f.pair.target.fetch_all(columns.as_str()).await {
            assert_eq!(columns.len(), 1);
        } else {
            assert_eq!(number, 0);
        }
    }
}

#[tokio::test]
async fn records_of_a_snapshot_are_removed_a_few_at_a_time() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let write = format!(
        "UPDATE account SET extra = extra + 1 WHERE g_user = {}",
        hex(1)
    );
    let busy = format!(
        "UPDATE orders SET total = total + 1 WHERE g_user = {}",
        hex(2)
    );
    for write in [&write, &busy, &write, &write, &busy, &write, &write] {
        f.client(write).await.unwrap();
    }
    let (id, owner) = (f.id.clone(), f.owner);
    // Somebody else runs the move meanwhile.
    for owner in [OwnerToken::random(), owner] {
        let recorded_before = f.pending().await;
        let source = &mut f.pair.source;
        run(source, BEGIN_SNAPSHOT).await.unwrap();
        let counts = recorded(source, &f.manifest, &id).await.unwrap();
        assert_eq!(
            counts.iter().map(|table| table.all).sum::<u64>(),
            recorded_before
        );
        // It comes later, and is not of the snapshot.
        f.client(&write).await.unwrap();
        let source = &mut f.pair.source;
        let forgotten = forget(source, &f.manifest, &id, owner, &counts, 2).await;
        let left = if owner == f.owner {
            forgotten.unwrap();
            1
        } else {
            assert!(
                matches!(forgotten, Err(StepError::NotOwner)),
                "{forgotten:?}"
            );
            rollback(source).await.unwrap();
            recorded_before + 1
        };
        assert_eq!(f.pending().await, left);
    }
}

/// More than one statement removes.
#[tokio::test]
async fn many_records_are_removed() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    for total in 0..250 {
        let write = format!(
            "UPDATE orders SET total = {total} WHERE g_order = {}",
            hex(100)
        );
        f.client(&write).await.unwrap();
    }
    assert_eq!(f.catch_up().await, 250);
    assert_eq!(f.pending().await, 0);
    f.assert_equal().await;
}
