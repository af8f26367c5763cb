//! Writers before, between and behind the fences: captured or refused, never lost.

use sqlx::mysql::MySqlConnection;

use super::*;

/// A writer whose transaction has begun, with a snapshot where its level has one.
async fn begun(f: &Fixture, level: &str) -> MySqlConnection {
    let mut writer = f.connect().await;
    for statement in [
        format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"),
        "BEGIN".to_owned(),
        // Not a table of the manifest, so nobody has to wait for it.
        "SELECT COUNT(*) FROM mdb_relocation".to_owned(),
    ] {
        writer.execute(statement.as_str()).await.unwrap();
    }
    writer
}

#[tokio::test]
async fn a_fenced_briefcase_refuses_everybody_but_the_mover() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let write = format!(
        "UPDATE item SET what = CONCAT(what, 'z') WHERE g_order = {}",
        hex(200)
    );
    for (state, deadline, refused) in [
        (FenceState::Fenced, "9e15", true),
        (FenceState::Moved, "0", true),
        (FenceState::Receiving, "0", true),
        // Its deadline has passed: as if it only captured.
        (FenceState::Fenced, "1", false),
        (FenceState::Capturing, "0", false),
    ] {
        f.fence(state, deadline).await;
        match f.client(&write).await {
            Ok(()) => assert!(!refused, "{state:?}"),
            Err(error) => {
                assert!(refused, "{state:?}: {error}");
                assert!(is_fenced(&error), "{error}");
            }
        }
        let other = format!("UPDATE account SET extra = 2 WHERE g_user = {}", hex(3));
        f.client(&other).await.unwrap();
    }
    assert!(f.catch_up().await > 0);
    f.assert_equal().await;
    f.fence(FenceState::Moved, "0").await;
    copy::begin_at_target(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    f.pair.source.execute(write.as_str()).await.unwrap();
    copy::end_at_target(&mut f.pair.source, Ok(()))
        .await
        .unwrap();
    assert!(f.pair.source.execute(write.as_str()).await.is_err());
    assert_eq!(f.count("SELECT COUNT(*) FROM mdb_change_2").await, 0);
}

/// What is written before the fence counts in the end, whenever its transaction began.
#[tokio::test]
async fn writers_that_began_before_are_captured() {
    for level in LEVELS {
        let mut f = Fixture::new().await;
        let mut early = begun(&f, level).await;
        f.arm().await;
        let mut armed = begun(&f, level).await;
        f.claim().await;
        f.put_fences().await;
        f.copy().await;
        for (writer, order) in [(&mut early, 100), (&mut armed, 200)] {
            let write = format!(
                "UPDATE item SET what = 'late' WHERE g_order = {}",
                hex(order)
            );
            writer.execute(write.as_str()).await.unwrap();
            let write = format!("UPDATE orders SET total = 9 WHERE g_order = {}", hex(order));
            writer.execute(write.as_str()).await.unwrap();
            writer.execute("COMMIT").await.unwrap();
        }
        assert_eq!(f.catch_up().await, 6, "{level}");
        f.assert_equal().await;
    }
}

/// A parent and its rows that a transaction makes are found, also when others made the parent.
#[tokio::test]
async fn rows_below_a_parent_that_is_newer_than_the_snapshot_are_captured() {
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        let mut f = Fixture::new().await;
        f.capture().await;
        f.copy().await;
        let mut writer = begun(&f, level).await;
        let order = format!("INSERT INTO orders VALUES ({}, {}, 3)", hex(150), hex(1));
        f.client(&order).await.unwrap();
        assert_eq!(f.catch_up().await, 1);
        let item = format!("INSERT INTO item VALUES ({}, 1, 'new')", hex(150));
        writer.execute(item.as_str()).await.unwrap();
        writer.execute("COMMIT").await.unwrap();
        assert_eq!(f.catch_up().await, 1, "{level}");
        f.assert_equal().await;
    }
}

/// A fence waits for those who have written; who comes later is refused, whatever he sees.
#[tokio::test]
async fn fences_wait_for_writers_and_stop_those_that_come_later() {
    for level in LEVELS {
        let mut f = Fixture::new().await;
        f.capture().await;
        f.copy().await;
        let write = format!("UPDATE orders SET total = 9 WHERE g_order = {}", hex(100));
        let mut writing = begun(&f, level).await;
        writing.execute(write.as_str()).await.unwrap();
        let mut idle = begun(&f, level).await;
        let fenced = f.try_fence(FenceState::Fenced, "9e15").await;
        assert!(
            matches!(fenced, Err(StepError::Busy)),
            "{level}: {fenced:?}"
        );
        writing.execute("COMMIT").await.unwrap();
        f.fence(FenceState::Fenced, "9e15").await;
        let error = idle.execute(write.as_str()).await.unwrap_err();
        assert!(is_fenced(&error), "{level}: {error}");
        idle.execute("ROLLBACK").await.unwrap();
        let mut idle = begun(&f, level).await;
        assert_eq!(f.catch_up().await, 1);
        f.assert_equal().await;
        f.fence(FenceState::Moved, "0").await;
        let error = idle.execute(write.as_str()).await.unwrap_err();
        assert!(is_fenced(&error), "{level}: {error}");
    }
}

/// Rows that others' snapshots look for must not keep a mover from putting its fences.
#[tokio::test]
async fn writers_of_other_briefcases_do_not_keep_fences_from_coming() {
    let mut f = Fixture::new().await;
    f.claim().await;
    f.arm().await;
    let mut writer = begun(&f, "REPEATABLE READ").await;
    let write = format!("UPDATE account SET extra = 4 WHERE g_user = {}", hex(4));
    writer.execute(write.as_str()).await.unwrap();
    f.put_fences().await;
    writer.execute("COMMIT").await.unwrap();
}

#[tokio::test]
async fn records_are_counted_and_removed_one_by_one() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    // The earlier number commits later.
    let mut slow = begun(&f, "READ COMMITTED").await;
    let write = |order: u64| format!("UPDATE orders SET total = 9 WHERE g_order = {}", hex(order));
    slow.execute(write(100).as_str()).await.unwrap();
    f.client(&write(200)).await.unwrap();
    assert_eq!(f.catch_up().await, 1);
    assert_eq!(f.pending().await, 0);
    slow.execute("COMMIT").await.unwrap();
    assert_eq!(f.pending().await, 1);
    assert_eq!(f.catch_up().await, 1);
    f.assert_equal().await;
}

/// The type of a text does not say how it is compared.
#[tokio::test]
async fn a_change_table_follows_the_collation_of_its_key() {
    let note = |collation: &str| {
        format!(
            "CREATE TABLE note (g_user BINARY(12) NOT NULL, name VARCHAR(20) COLLATE {collation} NOT NULL, \
             PRIMARY KEY (g_user, name))"
        )
    };
    let (bin, general) = ("utf8mb4_bin", "utf8mb4_general_ci");
    let reaches = [("note", keyed("g_user"))];
    let mut f = Fixture::with(&[&note(bin)], &reaches).await;
    f.arm().await;
    assert!(f.is_armed().await);
    let alter = format!("ALTER TABLE note MODIFY name VARCHAR(20) COLLATE {general} NOT NULL");
    f.client(&alter).await.unwrap();
    f.manifest = Fixture::manifest_of(&mut f.pair.source, &reaches).await;
    assert!(!f.is_armed().await);
    f.arm().await;
    let follows = format!(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() \
         AND table_name = 'mdb_change_0' AND collation_name = '{general}'"
    );
    assert_eq!(f.count(&follows).await, 1);
}

/// A handler of the user's that catches the refusal keeps the row: the record of it is kept as well.
#[tokio::test]
async fn what_a_handler_keeps_is_recorded() {
    let mut f = Fixture::new().await;
    let function = "CREATE FUNCTION writes(which BINARY(12)) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN \
                    DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; \
                    UPDATE item SET what = CONCAT(what, 'z') WHERE g_order = which; RETURN 1; END";
    f.client(function).await.unwrap();
    let write = format!("DO writes({})", hex(200));
    f.capture().await;
    f.copy().await;
    f.fence(FenceState::Fenced, "9e15").await;
    f.client(&write).await.unwrap();
    assert!(f.catch_up().await > 0);
    f.assert_equal().await;

    f.fence(FenceState::Moved, "0").await;
    let (source, manifest, id) = (&mut f.pair.source, &f.manifest, &f.id);
    let past = MySql::written_past(source, manifest, id).await.unwrap();
    assert_eq!(past.len(), 0);
    let refused = f.client("UPDATE item SET what = 'refused'").await;
    assert!(is_fenced(&refused.unwrap_err()));
    let (source, manifest, id) = (&mut f.pair.source, &f.manifest, &f.id);
    let past = MySql::written_past(source, manifest, id).await.unwrap();
    assert_eq!(past.len(), 0);
    f.client(&write).await.unwrap();
    let (source, manifest, id) = (&mut f.pair.source, &f.manifest, &f.id);
    let past = MySql::written_past(source, manifest, id).await.unwrap();
    let past: Vec<&str> = past.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(past, ["item"]);
}
