//! Arming and disarming, locks and how long they are waited for, sessions.

use super::*;
use crate::engine::mysql::mark_session;

async fn installed(connection: &mut MySqlConnection) -> Vec<String> {
    MySql::installed(connection).await.unwrap().names
}

#[tokio::test]
async fn arming_can_be_repeated_and_taken_back() {
    let mut f = Fixture::new().await;
    for _ in 0..2 {
        f.arm().await;
        // Three triggers and a change table each.
        let installed = installed(&mut f.pair.source).await;
        assert_eq!(installed.len(), 4 * 4, "{installed:?}");
    }
    // Nothing was done twice: who uses a table does not mind.
    f.client("BEGIN").await.unwrap();
    f.client("SELECT * FROM account").await.unwrap();
    f.arm().await;
    f.client("COMMIT").await.unwrap();
    // A table that came back without its triggers, of which only movers who come later hear.
    assert!(f.is_armed().await);
    f.client("DROP TRIGGER mdb_capture_1_update").await.unwrap();
    assert!(!f.is_armed().await);
    f.reconnect().await;
    f.arm().await;
    assert!(f.is_armed().await);
    assert_eq!(installed(&mut f.pair.source).await.len(), 4 * 4);
    for _ in 0..2 {
        f.disarm().await;
        assert_eq!(installed(&mut f.pair.source).await, [""; 0]);
    }
    f.client("UPDATE item SET what = 'x'").await.unwrap();
}

#[tokio::test]
async fn arming_notices_what_has_changed() {
    let mut f = Fixture::new().await;
    f.arm().await;
    // A table less, so another one has its number; and another type of a key.
    let mut tables = f.manifest.tables().to_vec();
    tables.remove(3);
    let orders = tables.remove(1);
    tables[1].number = 1;
    tables[1].reach = keyed("g_order");
    f.manifest = Manifest::new(tables);
    f.arm().await;
    let key = "SELECT CAST(GROUP_CONCAT(column_name ORDER BY ordinal_position) AS CHAR) FROM information_schema.columns \
               WHERE table_schema = DATABASE() AND table_name = 'mdb_change_1'";
    let columns: String = sqlx::query_scalar(key)
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    assert_eq!(columns, "seq,gdid,deep,k1,k2");
    let on = "SELECT CAST(GROUP_CONCAT(DISTINCT event_object_table) AS CHAR) FROM information_schema.triggers \
              WHERE trigger_schema = DATABASE() AND trigger_name LIKE 'mdb\\_capture\\_1\\_%'";
    let on: String = sqlx::query_scalar(on)
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    assert_eq!(on, "item");
    // What an earlier manifest has left does no harm, and goes with the rest.
    let write = format!("UPDATE {} SET total = 3", quoted(&orders));
    f.client(&write).await.unwrap();
    f.disarm().await;
    assert_eq!(installed(&mut f.pair.source).await, [""; 0]);
}

#[tokio::test]
async fn a_busy_table_is_left_alone() {
    let mut f = Fixture::new().await;
    let mut user = f.connect().await;
    for use_it in ["SELECT * FROM item", "UPDATE item SET what = 'busy'"] {
        user.execute("BEGIN").await.unwrap();
        user.execute(use_it).await.unwrap();
        // It comes back, so it did not wait for the user, who waits for nobody.
        for _ in 0..2 {
            assert!(matches!(f.try_arm().await, Err(StepError::Busy)));
        }
        // Nobody queues behind the attempt.
        f.client("SELECT * FROM item").await.unwrap();
        user.execute("COMMIT").await.unwrap();
    }
    f.arm().await;
    user.execute("BEGIN").await.unwrap();
    user.execute("SELECT * FROM item").await.unwrap();
    let disarmed = MySql::disarm(&mut f.pair.source, &LockLimit::of_server(LIMIT)).await;
    assert!(matches!(disarmed, Err(StepError::Busy)), "{disarmed:?}");
    user.execute("COMMIT").await.unwrap();
    f.disarm().await;
    assert_eq!(installed(&mut f.pair.source).await, [""; 0]);
}

#[tokio::test]
async fn two_movers_arm_at_the_same_time() {
    let mut f = Fixture::new().await;
    let mut other = f.connect().await;
    let manifest = f.manifest.clone();
    let busily = async {
        while let Err(error) =
            MySql::arm(&mut other, &manifest, None, &LockLimit::of_server(LIMIT)).await
        {
            assert!(matches!(error, StepError::Busy), "{error:?}");
        }
    };
    tokio::join!(f.arm(), busily);
    assert_eq!(installed(&mut other).await.len(), 4 * 4);
    f.capture().await;
    f.copy().await;
    f.client("UPDATE account SET extra = 3").await.unwrap();
    assert_eq!(f.catch_up().await, 2);
    f.assert_equal().await;
}

/// What one session has found installed, another one has removed since.
#[tokio::test]
async fn arming_notices_who_has_disarmed() {
    let mut f = Fixture::new().await;
    let mut other = f.connect().await;
    f.arm().await;
    // Half way: the rest is in use.
    let mut user = f.connect().await;
    user.execute("BEGIN").await.unwrap();
    user.execute("SELECT * FROM note").await.unwrap();
    let disarmed = MySql::disarm(&mut other, &LockLimit::of_server(LIMIT)).await;
    assert!(matches!(disarmed, Err(StepError::Busy)), "{disarmed:?}");
    assert!(installed(&mut other).await.len() < 4 * 4);
    user.execute("COMMIT").await.unwrap();
    f.arm().await;
    assert_eq!(installed(&mut other).await.len(), 4 * 4);
    while let Err(error) = MySql::disarm(&mut other, &LockLimit::of_server(LIMIT)).await {
        assert!(matches!(error, StepError::Busy), "{error:?}");
    }
    f.arm().await;
    assert_eq!(installed(&mut other).await.len(), 4 * 4);
    // While somebody has the lock, nothing is certain.
    let lock = "SELECT GET_LOCK(CONCAT('mdb-arming:', LEFT(SHA2(DATABASE(), 256), 40)), 0)";
    other.execute(lock).await.unwrap();
    assert!(matches!(f.try_arm().await, Err(StepError::Busy)));
}

/// A mover that has looked for fences, and found none, may be late.
#[tokio::test]
async fn triggers_that_a_fence_needs_stay() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.disarm().await;
    assert_eq!(installed(&mut f.pair.source).await.len(), 4 * 4);
    f.client("DELETE FROM mdb_fence").await.unwrap();
    f.disarm().await;
    assert_eq!(installed(&mut f.pair.source).await, [""; 0]);
}

/// Who holds the share lock, reading only, is waited for too; readers don't wait for each other.
#[tokio::test]
async fn readers_share_a_fence_and_movers_wait_for_them() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let (mut one, mut other) = (f.connect().await, f.connect().await);
    for reader in [&mut one, &mut other] {
        reader.execute("START TRANSACTION READ ONLY").await.unwrap();
        MySql::lock_shared(reader, id(1)).await.unwrap();
    }
    let fenced = f.try_fence(FenceState::Fenced, "9e15").await;
    assert!(matches!(fenced, Err(StepError::Busy)), "{fenced:?}");
    for reader in [&mut one, &mut other] {
        reader.execute("COMMIT").await.unwrap();
    }
    f.fence(FenceState::Fenced, "9e15").await;
}

#[tokio::test]
async fn a_mover_that_falls_silent_blocks_nobody_for_long() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let source = &mut f.pair.source;
    source.execute("START TRANSACTION").await.unwrap();
    while let Err(error) = MySql::lock_exclusive(source, &[id(1)], LIMIT).await {
        assert!(matches!(error, StepError::Busy), "{error:?}");
    }
    // The server ends the mover's session; else this waited for as long as locks are waited for.
    f.client("SET SESSION innodb_lock_wait_timeout = 600")
        .await
        .unwrap();
    let write = format!("UPDATE account SET extra = 3 WHERE g_user = {}", hex(1));
    f.client(&write).await.unwrap();
    assert!(f.pair.source.execute("DO 1").await.is_err());
    // In all other transactions it may take its time.
    f.reconnect().await;
    f.fence(FenceState::Capturing, "0").await;
    let mut limits = Vec::new();
    for begin in ["DO 1", copy::BEGIN_SNAPSHOT, &mover_settings(&f.id)] {
        let source = &mut *f.pair.source;
        source.execute(begin).await.unwrap();
        let limit = "SELECT CAST(/*!80000 @@SESSION.wait_timeout */ \
             /*M! @@SESSION.idle_transaction_timeout */ AS SIGNED)";
        let limit: i64 = sqlx::query_scalar(limit).fetch_one(source).await.unwrap();
        limits.push(limit);
    }
    // What MySQL limits is a session, which has a limit anyhow.
    assert!(matches!(limits[..], [2, 0 | 28800, 60]), "{limits:?}");
}

/// Neither waits for the other: not for a record that is just being made, nor for a gap in which one is to come.
#[tokio::test]
async fn records_are_removed_while_others_are_made() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let change = |user: u64| {
        let user = hex(user);
        format!("UPDATE account SET extra = extra + 1 WHERE g_user = {user}")
    };
    let (mut early, mut late) = (f.connect().await, f.connect().await);
    for writer in [&mut early, &mut late] {
        let limit = "SET SESSION innodb_lock_wait_timeout = 1";
        writer.execute(limit).await.unwrap();
        writer.execute("BEGIN").await.unwrap();
    }
    // Too few for an index to seem worth its while.
    for _ in 0..3 {
        f.client(&change(1)).await.unwrap();
    }
    early.execute(change(2).as_str()).await.unwrap();
    f.pair
        .source
        .execute(mover_settings(&f.id).as_str())
        .await
        .unwrap();
    f.pair.source.execute("BEGIN").await.unwrap();
    let [accounts, ..] = f.manifest.tables() else {
        unreachable!()
    };
    let removed = MySql::forget_some(&mut f.pair.source, accounts, &f.id, 10).await;
    assert_eq!(removed.unwrap(), 3);
    late.execute(change(1).as_str()).await.unwrap();
    f.pair.source.execute("COMMIT").await.unwrap();
    for writer in [&mut early, &mut late] {
        writer.execute("COMMIT").await.unwrap();
    }
    assert_eq!(f.pending().await, 2);
}

#[tokio::test]
async fn the_sessions_of_a_name_end() {
    let f = Fixture::new().await;
    let connect = async |application: &str| {
        let mut connection = f.connect().await;
        mark_session(&mut connection, application).await.unwrap();
        connection
    };
    let id = f.id.as_str();
    // Longer than a lock's name may be.
    for name in [format!("{id}a"), format!("{}{id}a", "long".repeat(20))] {
        let mut theirs = Vec::new();
        for _ in 0..20 {
            theirs.push(connect(&name).await);
        }
        let mut others = [
            connect(&format!("{name}:1")).await,
            connect(&name[..name.len() - 1]).await,
        ];
        let mut mover = connect(&format!("{name} mover")).await;
        // One of them is at work.
        let [busy, ..] = &mut theirs[..] else {
            unreachable!()
        };
        let (end, worked) = tokio::join!(
            MySql::end_sessions(&mut mover, &name),
            busy.execute("DO SLEEP(600)")
        );
        end.unwrap();
        assert!(worked.is_err());
        for connection in &mut theirs {
            assert!(connection.execute("DO 1").await.is_err());
        }
        for connection in &mut others {
            connection.execute("DO 1").await.unwrap();
        }
        MySql::end_sessions(&mut mover, &name).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_of_somebody_else_does_not_end() {
    let f = Fixture::new().await;
    let mut ours = f.connect().await;
    let mut theirs = f.connect().await;
    let mut ender = f.connect().await;
    let mut session = mark_session(&mut ours, f.id.as_str()).await.unwrap();
    let number = session.number;
    session.number = sqlx::query_scalar("SELECT CONNECTION_ID()")
        .fetch_one(&mut theirs)
        .await
        .unwrap();
    // Another session of that number, and none of that name.
    MySql::end_session(&mut ender, &session).await.unwrap();
    session.name.push('x');
    MySql::end_session(&mut ender, &session).await.unwrap();
    for connection in [&mut ours, &mut theirs] {
        connection.execute("DO 1").await.unwrap();
    }
    session.name.pop();
    session.number = number;
    MySql::end_session(&mut ender, &session).await.unwrap();
    assert!(ours.execute("DO 1").await.is_err());
    MySql::end_session(&mut ender, &session).await.unwrap();
}

#[tokio::test]
async fn what_another_move_relies_on_is_not_replaced() {
    let mut f = Fixture::new().await;
    f.capture().await;
    check_other_tables::<MySql>(&mut f.pair.source, &f.manifest, &f.id, hex).await;
}
