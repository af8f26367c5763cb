//! Bringing the target to what the source has become.

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
        format!("INSERT INTO note VALUES (5, {}, 9, NULL)", hex(299)),
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
        // Between the two that move, and to nobody.
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {}",
            hex(2),
            hex(100)
        ),
        format!(
            "UPDATE orders SET g_user = NULL WHERE g_order = {}",
            hex(300)
        ),
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {}",
            hex(1),
            hex(300)
        ),
        // Somebody else's.
        format!("UPDATE account SET extra = 8 WHERE g_user = {}", hex(4)),
    ] {
        f.client(&change).await.unwrap();
        let taken = f.take().await.records;
        assert_eq!(
            taken == 0,
            change.contains("extra = 8") || change.contains("= NULL"),
            "{change}"
        );
        f.assert_equal().await;
    }
    assert_eq!(f.catch_up().await, 0);
}

#[tokio::test]
async fn a_row_that_stays_keeps_those_below_it() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    // In one round with a row of the table above that comes, or goes.
    for change in [
        format!("INSERT INTO orders VALUES ({}, {}, 3)", hex(299), hex(2)),
        format!("DELETE FROM orders WHERE g_order = {}", hex(100)),
    ] {
        f.client(&format!(
            "BEGIN; {change}; UPDATE item SET what = what || '!' WHERE g_order = {}; COMMIT",
            hex(201)
        ))
        .await
        .unwrap();
        assert!(f.take().await.records > 0);
        f.assert_equal().await;
    }
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
         INSERT INTO note VALUES (1, {moved}, 2, 'c'); \
         UPDATE orders SET g_user = {} WHERE g_order = {moved}; COMMIT",
        hex(100),
        hex(1),
        hex(2),
        moved = hex(150),
    ))
    .await
    .unwrap();
    f.settle().await;
    // Everything goes.
    f.client(&format!(
        "DELETE FROM task WHERE g_user = {one}; DELETE FROM account WHERE g_user = {one}",
        one = hex(1)
    ))
    .await
    .unwrap();
    f.settle().await;
}

#[tokio::test]
async fn unique_values_change_places() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    // In a table that nothing but itself refers to, and in one that others refer to.
    f.client(&format!(
        "UPDATE task SET place = place + 10 WHERE g_user = {one}; \
         UPDATE task SET place = 14 - place WHERE g_user = {one}; \
         UPDATE account SET name = 'x' WHERE g_user = {one}; \
         UPDATE account SET name = 'user 1' WHERE g_user = {}; \
         UPDATE account SET name = 'user 2' WHERE g_user = {one}",
        hex(2),
        one = hex(1),
    ))
    .await
    .unwrap();
    f.settle().await;
    // A value that a row which has gone leaves to another one.
    f.client(&format!(
        "DELETE FROM task WHERE g_user = {one} AND after IS NOT NULL; \
         UPDATE task SET place = 13 WHERE g_user = {one}; \
         INSERT INTO task VALUES ('ffffffff-0000-0000-0000-000000000000', {one}, 2, NULL)",
        one = hex(1),
    ))
    .await
    .unwrap();
    f.settle().await;
}

#[tokio::test]
async fn rows_that_refer_to_a_changed_row_stay() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let before: String =
        sqlx::query_scalar("SELECT string_agg(xmin::text, ',' ORDER BY g_order) FROM orders")
            .fetch_one(&mut *f.pair.target)
            .await
            .unwrap();
    f.client(&format!(
        "UPDATE account SET extra = 3 WHERE g_user = {}",
        hex(1)
    ))
    .await
    .unwrap();
    f.settle().await;
    let after: String =
        sqlx::query_scalar("SELECT string_agg(xmin::text, ',' ORDER BY g_order) FROM orders")
            .fetch_one(&mut *f.pair.target)
            .await
            .unwrap();
    assert_eq!(before, after);
}

#[tokio::test]
async fn records_that_come_during_a_round_stay() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let mut late = f.another().await;
    let item = hex(200);
    // It has recorded its change, but the round can't see it yet.
    run(
        &mut late,
        &format!("BEGIN; UPDATE item SET what = 'late' WHERE g_order = {item}"),
    )
    .await
    .unwrap();
    f.client(&format!(
        "UPDATE account SET extra = 3 WHERE g_user = {}",
        hex(1)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 1);
    run(&mut late, "COMMIT").await.unwrap();
    assert_eq!(f.catch_up().await, 2);
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
    // The records stay, as after a crash between the two commits.
    f.client("CREATE TABLE kept AS SELECT * FROM mdb_change_1")
        .await
        .unwrap();
    assert_eq!(f.catch_up().await, 1);
    f.client("INSERT INTO mdb_change_1 SELECT * FROM kept")
        .await
        .unwrap();
    let pending = Postgres::pending_changes(&mut f.pair.source, &f.manifest, &f.id).await;
    assert_eq!(pending.unwrap(), 1);
    f.settle().await;
}

#[tokio::test]
async fn who_was_replaced_touches_nothing() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    f.client(&format!("DELETE FROM orders WHERE g_order = {}", hex(200)))
        .await
        .unwrap();
    run(&mut f.pair.target, "UPDATE mdb_mover SET owner = owner + 1")
        .await
        .unwrap();
    assert!(matches!(f.try_catch_up().await, Err(StepError::NotOwner)));
    let copied = Postgres::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
    assert!(matches!(copied, Err(StepError::NotOwner)), "{copied:?}");
    let (_, there) = f.sums().await;
    assert_eq!(there[1].rows, 3, "as it was copied");
    run(
        &mut f.pair.target,
        "UPDATE mdb_mover SET owner = owner - 1; DELETE FROM mdb_mover",
    )
    .await
    .unwrap();
    assert!(matches!(f.try_catch_up().await, Err(StepError::NotOwner)));
    assert!(matches!(
        f.try_fence(FenceState::Capturing, "0").await,
        Ok(())
    ));
    f.client("UPDATE mdb_mover SET owner = owner + 1")
        .await
        .unwrap();
    assert!(matches!(
        f.try_fence(FenceState::Fenced, "9e15::bigint").await,
        Err(StepError::NotOwner)
    ));
}

#[tokio::test]
async fn rows_of_neighbours_stay() {
    let mut f = Fixture::new().await;
    f.capture().await;
    check_neighbours(&mut f.pair, &f.manifest, &f.id, f.owner, hex).await;
}

#[tokio::test]
async fn a_row_of_nobody_stays() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let order = hex(299);
    let nobodys = format!("INSERT INTO orders VALUES ({order}, NULL, 7)");
    run(&mut f.pair.target, &nobodys).await.unwrap();
    f.client(&format!(
        "INSERT INTO orders VALUES ({order}, {}, 2)",
        hex(2)
    ))
    .await
    .unwrap();
    let refused = f.try_catch_up().await;
    assert!(
        matches!(&refused, Err(StepError::DatabaseAt(Side::Target, error)) if Postgres::is_taken(error)),
        "{refused:?}"
    );
    let kept = "SELECT count(*) FROM orders WHERE g_user IS NULL AND total = 7";
    let kept: i64 = sqlx::query_scalar(kept)
        .fetch_one(&mut *f.pair.target)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

/// The last round asks for nothing twice: whether there is anything to do, it sees when it has begun.
#[tokio::test]
async fn a_round_that_services_wait_for_ends_what_it_has_begun() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    for records in [0, 1, 0] {
        if records > 0 {
            let update = format!("UPDATE account SET extra = 5 WHERE g_user = {}", hex(1));
            f.client(&update).await.unwrap();
        }
        let (pair, id) = (&mut f.pair, &f.id);
        let taken = Postgres::catch_up(pair, &f.manifest, id, f.owner, &Hurried).await;
        assert_eq!(taken.unwrap().records, records);
        for connection in [&mut f.pair.source, &mut f.pair.target] {
            let ended = "SELECT now() = statement_timestamp() AS is_over";
            run(connection, "SELECT 1").await.unwrap();
            assert!(run(connection, ended).await.unwrap()[0].get::<bool, _>(0));
        }
        f.assert_equal().await;
    }
}
