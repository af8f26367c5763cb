//! Locks, and how long they are waited for.

use super::*;
use crate::engine::ServerSession;
use crate::engine::relocating::TriggerState;

#[tokio::test]
async fn arming_can_be_repeated_and_taken_back() {
    let mut f = Fixture::new().await;
    f.arm().await;
    let source = &mut f.pair.source;
    let installed = Postgres::installed(source).await.unwrap().names;
    // Two triggers, two functions and a change table each.
    assert_eq!(installed.len(), 5 * 5, "{installed:?}");
    assert!(installed.contains(&"mdb_change_4".to_owned()));
    assert!(installed.contains(&"mdb_capture on task".to_owned()));
    let stamps =
        "SELECT string_agg(xmin::text, ',' ORDER BY oid) FROM pg_trigger WHERE tgname LIKE 'mdb%'";
    let before: String = sqlx::query_scalar(stamps)
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    f.arm().await;
    let after: String = sqlx::query_scalar(stamps)
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    assert_eq!(before, after, "nothing was made anew");
    assert!(f.is_armed().await);
    f.client("ALTER TABLE item DISABLE TRIGGER mdb_capture_truncate")
        .await
        .unwrap();
    assert!(!f.is_armed().await, "a single one does not fire");
    for _ in 0..2 {
        Postgres::disarm(&mut f.pair.source, &LockLimit::of_server(LIMIT))
            .await
            .unwrap();
        let disabled = Postgres::installed(&mut f.pair.source).await.unwrap();
        assert_eq!(disabled.state, TriggerState::Disabled);
        assert_eq!(disabled.names, installed, "they stay");
    }
    f.client("UPDATE item SET what = 'x'").await.unwrap();
    assert_eq!(f.number("SELECT count(*) FROM mdb_change_3").await, 0);
    for _ in 0..2 {
        Postgres::uninstall(&mut f.pair.source, &LockLimit::of_server(LIMIT))
            .await
            .unwrap();
        let nothing = Postgres::installed(&mut f.pair.source).await.unwrap();
        assert_eq!(nothing.names, [""; 0]);
    }
    f.client("UPDATE item SET what = 'x'").await.unwrap();
}

#[tokio::test]
async fn triggers_that_were_disabled_are_enabled_again() {
    let mut f = Fixture::new().await;
    let triggers =
        "SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_trigger WHERE tgname LIKE 'mdb%'";
    let mut first: Option<String> = None;
    for _ in 0..3 {
        f.capture().await;
        // A session that has compiled them needs to do so once.
        let found = sqlx::query_scalar(triggers).fetch_one(&mut f.client).await;
        let found: String = found.unwrap();
        assert_eq!(first.get_or_insert_with(|| found.clone()), &found);
        f.client("UPDATE item SET what = what || 'x'")
            .await
            .unwrap();
        f.copy().await;
        // Only what this time recorded: the last one left something behind.
        assert_eq!(f.catch_up().await, 6);
        f.assert_equal().await;
        f.client("UPDATE item SET what = what || 'y'")
            .await
            .unwrap();
        for side in [&mut f.pair.source, &mut f.pair.target] {
            run(side, "DELETE FROM mdb_fence").await.unwrap();
        }
        Postgres::disarm(&mut f.pair.source, &LockLimit::of_server(LIMIT))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_change_table_that_was_made_for_another_table_is_made_anew() {
    let mut f = Fixture::new().await;
    f.arm().await;
    Postgres::disarm(&mut f.pair.source, &LockLimit::of_server(LIMIT))
        .await
        .unwrap();
    // As a mover leaves it who was killed while he armed for an order in which the first and the last have changed places.
    let mut tables = f.manifest.tables().to_vec();
    let last = tables.len() - 1;
    tables.swap(0, last);
    for (number, table) in tables.iter_mut().enumerate() {
        table.number = number;
    }
    f.client("BEGIN; LOCK TABLE account IN ROW EXCLUSIVE MODE")
        .await
        .unwrap();
    let swapped = Manifest::new(tables);
    let armed = Postgres::arm(
        &mut f.pair.source,
        &swapped,
        None,
        &LockLimit::of_server(LIMIT),
    )
    .await;
    assert!(matches!(armed, Err(StepError::Busy)), "{armed:?}");
    f.client("ROLLBACK").await.unwrap();

    f.capture().await;
    f.copy().await;
    let update = format!("UPDATE account SET extra = 7 WHERE g_user = {}", hex(1));
    f.client(&update).await.unwrap();
    f.catch_up().await;
    f.assert_equal().await;
}

#[tokio::test]
async fn arming_notices_what_has_changed() {
    let mut f = Fixture::new().await;
    f.arm().await;
    // A table less: numbers move up, and what hung at it is gone.
    let mut tables: Vec<MovedTable> = f.manifest.tables().to_vec();
    tables.remove(3);
    tables[3].number = 3;
    f.manifest = Manifest::new(tables);
    // Somebody has meddled with another one.
    f.client("ALTER TABLE item DISABLE TRIGGER mdb_capture; DROP TABLE mdb_change_1")
        .await
        .unwrap();
    f.capture().await;
    f.copy().await;
    f.client(&format!(
        "DELETE FROM orders WHERE g_order = {}; UPDATE item SET what = 'x'; \
         UPDATE task SET after = NULL; UPDATE note SET body = 'x'",
        hex(200)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 1 + 4 + 6);
    f.assert_equal().await;
    let on_note =
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'note'::regclass AND tgname LIKE 'mdb%'";
    assert_eq!(f.number(on_note).await, 0);
}

#[tokio::test]
async fn a_busy_table_is_left_alone() {
    let mut f = Fixture::new().await;
    let mut writer = f.another().await;
    run(&mut writer, "BEGIN; UPDATE item SET what = 'busy'")
        .await
        .unwrap();
    // It comes back, so it did not wait for the writer, who waits for nobody.
    for _ in 0..2 {
        assert!(matches!(f.try_arm().await, Err(StepError::Busy)));
    }
    let on_item =
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass AND tgname LIKE 'mdb%'";
    assert_eq!(f.number(on_item).await, 0);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(f.number(waiting).await, 0);
    run(&mut writer, "COMMIT").await.unwrap();
    f.arm().await;
    // Readers are no obstacle, but to dropping one.
    run(&mut writer, "BEGIN; SELECT count(*) FROM task")
        .await
        .unwrap();
    Postgres::disarm(&mut f.pair.source, &LockLimit::of_server(LIMIT))
        .await
        .unwrap();
    let removed = Postgres::uninstall(&mut f.pair.source, &LockLimit::of_server(LIMIT)).await;
    assert!(matches!(removed, Err(StepError::Busy)), "{removed:?}");
    f.arm().await;
    run(&mut writer, "UPDATE task SET after = after")
        .await
        .unwrap();
    let disarmed = Postgres::disarm(&mut f.pair.source, &LockLimit::of_server(LIMIT)).await;
    assert!(matches!(disarmed, Err(StepError::Busy)), "{disarmed:?}");
    run(&mut writer, "COMMIT").await.unwrap();
    Postgres::disarm(&mut f.pair.source, &LockLimit::of_server(LIMIT))
        .await
        .unwrap();
    let disabled = Postgres::installed(&mut f.pair.source).await.unwrap();
    assert_eq!(disabled.state, TriggerState::Disabled);
}

#[tokio::test]
async fn two_movers_arm_at_the_same_time() {
    let mut f = Fixture::new().await;
    let mut other = f.another().await;
    let limit = LockLimit::of_server(Duration::from_secs(20));
    let (a, b) = tokio::join!(
        Postgres::arm(&mut f.pair.source, &f.manifest, None, &limit),
        Postgres::arm(&mut other, &f.manifest, None, &limit)
    );
    a.unwrap();
    b.unwrap();
    let installed = Postgres::installed(&mut other).await.unwrap();
    assert_eq!(installed.names.len(), 25);
    f.capture().await;
    f.client("UPDATE task SET after = NULL").await.unwrap();
    f.copy().await;
    assert_eq!(f.catch_up().await, 6);
}

#[tokio::test]
async fn a_briefcase_in_use_can_not_be_fenced() {
    let mut f = Fixture::new().await;
    f.capture().await;
    for begin in [
        "BEGIN READ ONLY",
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
    ] {
        let mut reader = f.another().await;
        run(&mut reader, begin).await.unwrap();
        Postgres::lock_shared(&mut reader, id(2)).await.unwrap();
        // Sharing is no obstacle to others who share.
        let mut other = f.another().await;
        run(&mut other, begin).await.unwrap();
        Postgres::lock_shared(&mut other, id(2)).await.unwrap();
        run(&mut other, "COMMIT").await.unwrap();
        let fenced = f.try_fence(FenceState::Fenced, "9e15::bigint").await;
        assert!(matches!(fenced, Err(StepError::Busy)), "{fenced:?}");
        assert_eq!(
            f.number("SELECT count(*) FROM mdb_fence WHERE state = 1")
                .await,
            2
        );
        run(&mut reader, "COMMIT").await.unwrap();
    }
    f.try_fence(FenceState::Fenced, "9e15::bigint")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_mover_that_falls_silent_blocks_nobody_for_long() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let source = &mut f.pair.source;
    Postgres::begin(source, &TransactionOptions::new())
        .await
        .unwrap();
    Postgres::lock_exclusive(source, &[id(1)], LIMIT)
        .await
        .unwrap();
    // The server ends the mover's session; else this waited for ever.
    f.client(&format!(
        "UPDATE account SET extra = 3 WHERE g_user = {}",
        hex(1)
    ))
    .await
    .unwrap();
    assert!(run(&mut f.pair.source, "SELECT 1").await.is_err());
}

#[tokio::test]
async fn many_briefcases_in_one_transaction_do_not_fill_the_lock_table() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.client(
        "INSERT INTO account (g_user) SELECT substr(sha256(n::text::bytea), 1, 12) FROM generate_series(1, 30000) AS n",
    )
    .await
    .unwrap();
    assert_eq!(f.number("SELECT count(*) FROM account").await, 30_005);
}

#[tokio::test]
async fn the_sessions_of_a_name_end() {
    let mut f = Fixture::new().await;
    let mut theirs = f.another().await;
    let mut others = f.another().await;
    run(&mut theirs, "SET application_name = 'router 7'")
        .await
        .unwrap();
    run(&mut others, "SET application_name = 'router 77'")
        .await
        .unwrap();
    Postgres::end_sessions(&mut f.pair.source, "router 7")
        .await
        .unwrap();
    Postgres::end_sessions(&mut f.pair.source, "router 7")
        .await
        .unwrap();
    assert!(run(&mut theirs, "SELECT 1").await.is_err());
    run(&mut others, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_session_of_somebody_else_does_not_end() {
    let mut f = Fixture::new().await;
    let mut ours = f.another().await;
    run(&mut ours, "SET application_name = 'router 8'")
        .await
        .unwrap();
    let number: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut ours)
        .await
        .unwrap();
    let mut session = ServerSession {
        number: number.unsigned_abs().into(),
        name: "router 9".to_owned(),
    };
    Postgres::end_session(&mut f.pair.source, &session)
        .await
        .unwrap();
    run(&mut ours, "SELECT 1").await.unwrap();
    session.name = "router 8".to_owned();
    Postgres::end_session(&mut f.pair.source, &session)
        .await
        .unwrap();
    assert!(run(&mut ours, "SELECT 1").await.is_err());
}

#[tokio::test]
async fn so_many_records_are_removed_at_once() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let source = &mut f.pair.source;
    check_forget_some::<Postgres>(source, &f.manifest, &f.id, f.owner, hex).await;
}
