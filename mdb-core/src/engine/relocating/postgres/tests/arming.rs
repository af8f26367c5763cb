//! Movers that install triggers, and others that are done with them.

use super::*;

/// Until somebody waits for a lock of that type in the database.
async fn until_lock_is_awaited(watcher: &mut PgConnection, locktype: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = '{locktype}' \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    loop {
        let waiting = sqlx::query_scalar::<_, i64>(&waiting).fetch_one(&mut *watcher);
        if waiting.await.unwrap() > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn triggers_that_a_mover_has_found_in_place_are_not_taken_from_him() {
    const LONG: Duration = Duration::from_secs(30);
    for is_removed in [false, true] {
        let mut f = Fixture::new().await;
        f.arm().await;
        let (mut writer, mut watcher) = (f.another().await, f.another().await);
        let write = format!(
            "BEGIN; UPDATE item SET what = 'busy' WHERE g_order = {}",
            hex(500)
        );
        run(&mut writer, &write).await.unwrap();
        // Whose move ends has seen no fence, and waits for the writer.
        let mut ending = f.another().await;
        let ending = tokio::spawn(async move {
            if is_removed {
                Postgres::uninstall(&mut ending, &LockLimit::of_server(LONG)).await
            } else {
                Postgres::disarm(&mut ending, &LockLimit::of_server(LONG)).await
            }
        });
        until_lock_is_awaited(&mut watcher, "relation").await;
        f.put_fences().await;
        let long = LockLimit::of_server(LONG);
        let arm = Postgres::arm(&mut f.pair.source, &f.manifest, None, &long);
        let (armed, ()) = tokio::join!(arm, async {
            until_lock_is_awaited(&mut watcher, "advisory").await;
            run(&mut writer, "COMMIT").await.unwrap();
        });
        armed.unwrap();
        ending.await.unwrap().unwrap();
        assert!(f.is_armed().await, "is_removed: {is_removed}");
        f.client("UPDATE item SET what = 'x'").await.unwrap();
        assert_eq!(f.number("SELECT count(*) FROM mdb_change_2").await, 6);
    }
}

#[tokio::test]
async fn what_another_move_relies_on_is_not_replaced() {
    let mut f = Fixture::new().await;
    f.capture().await;
    check_other_tables::<Postgres>(&mut f.pair.source, &f.manifest, &f.id, hex).await;
}

#[tokio::test]
async fn a_publication_of_all_tables_is_in_nobodys_way() {
    let mut f = Fixture::new().await;
    f.capture().await;
    // One of all tables takes a superuser, and has these too.
    let publish = "CREATE PUBLICATION everything FOR TABLE account, mdb_fence, mdb_change_0";
    f.client(publish).await.unwrap();
    f.copy().await;
    let write = format!("UPDATE account SET extra = 7 WHERE g_user = {}", hex(1));
    f.client(&write).await.unwrap();
    assert_eq!(f.catch_up().await, 1);
    f.assert_equal().await;

    // A change table that does not say how its rows are told apart.
    let forget = "ALTER TABLE mdb_change_0 REPLICA IDENTITY DEFAULT";
    f.client(forget).await.unwrap();
    f.client(&write).await.unwrap();
    assert!(!f.is_armed().await);
    assert!(matches!(
        f.try_catch_up().await,
        Err(StepError::DatabaseAt(Side::Source, _))
    ));
    f.arm().await;
    assert_eq!(f.catch_up().await, 1, "the record is still there");
    f.assert_equal().await;

    // Undoing a move doesn't look at triggers first.
    f.client(forget).await.unwrap();
    let source = &mut f.pair.source;
    check_forget_some::<Postgres>(source, &f.manifest, &f.id, f.owner, hex).await;
}
