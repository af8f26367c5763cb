//! Writers that were under way when the mover took a step: captured or refused, never lost.

use super::*;

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// What a writer has done before the mover's step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Read,
    WroteElsewhere,
}

async fn begin(f: &Fixture, level: &str, before: Before, number: usize) -> PgConnection {
    let mut writer = f.another().await;
    run(&mut writer, &format!("BEGIN ISOLATION LEVEL {level}"))
        .await
        .unwrap();
    let first = match before {
        Before::Nothing => return writer,
        Before::Read => "SELECT count(*) FROM item".to_owned(),
        Before::WroteElsewhere => format!(
            "UPDATE item SET what = 'w' WHERE g_order = {}",
            hex(500 + number as u64)
        ),
    };
    run(&mut writer, &first).await.unwrap();
    writer
}

/// Writes to briefcases 1 and 2: directly, through one and two parents; and one that takes an order from
/// briefcase 2 to another one, or back.
fn writes() -> [String; 4] {
    [
        format!("UPDATE account SET extra = 77 WHERE g_user = {}", hex(1)),
        format!(
            "UPDATE item SET what = 'raced' WHERE g_order = {} AND line = 1",
            hex(200)
        ),
        format!(
            "UPDATE note SET body = 'raced' WHERE g_order = {}",
            hex(201)
        ),
        format!(
            "UPDATE orders SET g_user = CASE g_user WHEN {two} THEN {three} ELSE {two} END WHERE g_order = {}",
            hex(200),
            two = hex(2),
            three = hex(3)
        ),
    ]
}

/// Writes and commits; `false` when it was refused or has to be done again.
async fn finish(mut writer: PgConnection, write: &str) -> bool {
    match run(&mut writer, write).await {
        Ok(_) => run(&mut writer, "COMMIT").await.is_ok(),
        Err(error) => {
            let class = Postgres::error_class(&error);
            let expected = [ErrorClass::Fenced, ErrorClass::Conflict];
            assert!(expected.contains(&class), "{write}: {error}");
            false
        }
    }
}

#[tokio::test]
async fn writers_from_before_the_capture_are_captured() {
    for level in LEVELS {
        for before in [Before::Nothing, Before::Read, Before::WroteElsewhere] {
            for armed_before in [true, false] {
                // The triggers wait for who has written.
                if !armed_before && before == Before::WroteElsewhere {
                    continue;
                }
                let mut f = Fixture::new().await;
                if armed_before {
                    f.arm().await;
                }
                let mut writers = Vec::new();
                for (number, write) in writes().into_iter().enumerate() {
                    writers.push((begin(&f, level, before, number).await, write));
                }
                f.capture().await;
                f.copy().await;
                for (writer, write) in writers {
                    let done = finish(writer, &write).await;
                    // Who keeps an old snapshot can't see the fence.
                    let must = level == "READ COMMITTED" || before == Before::Nothing;
                    assert!(done || !must, "{level} {before:?} {write}");
                    assert_eq!(f.catch_up().await > 0, done, "{level} {before:?} {write}");
                    f.assert_equal().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn writers_from_before_the_fence_are_refused_or_waited_for() {
    for level in LEVELS {
        let mut f = Fixture::new().await;
        f.capture().await;
        f.copy().await;
        for write in writes() {
            // It has written already: the fence can't be had.
            let mut writer = begin(&f, level, Before::Read, 0).await;
            run(&mut writer, &write).await.unwrap();
            let fenced = f.try_fence(FenceState::Fenced, "9e15::bigint").await;
            assert!(matches!(fenced, Err(StepError::Busy)), "{fenced:?}");
            run(&mut writer, "ROLLBACK").await.unwrap();
            // It has only begun: it is too late.
            let writer = begin(&f, level, Before::Read, 0).await;
            f.fence(FenceState::Fenced, "9e15::bigint").await;
            assert!(!finish(writer, &write).await, "{level} {write}");
            // The same for the flip.
            let writer = begin(&f, level, Before::Read, 0).await;
            f.fence(FenceState::Moved, "0").await;
            assert!(!finish(writer, &write).await, "{level} {write}");
            assert_eq!(f.catch_up().await, 0);
            f.assert_equal().await;
            f.fence(FenceState::Capturing, "0").await;
        }
    }
}

#[tokio::test]
async fn a_writer_waits_for_the_step_that_is_being_taken() {
    for level in LEVELS {
        let mut f = Fixture::new().await;
        f.capture().await;
        for write in writes() {
            let source = &mut f.pair.source;
            Postgres::begin(source, &TransactionOptions::new())
                .await
                .unwrap();
            Postgres::lock_exclusive(source, &[id(1), id(2)], LIMIT)
                .await
                .unwrap();
            run(source, "UPDATE mdb_fence SET state = 3").await.unwrap();
            let writer = begin(&f, level, Before::Read, 0).await;
            let waiting = {
                let write = write.clone();
                tokio::spawn(async move { finish(writer, &write).await })
            };
            f.until_somebody_waits().await;
            Postgres::commit(&mut f.pair.source).await.unwrap();
            assert!(!waiting.await.unwrap(), "{level} {write}");
            f.fence(FenceState::Capturing, "0").await;
        }
    }
}

#[tokio::test]
async fn a_table_is_not_emptied_past_a_capture() {
    for level in LEVELS {
        let mut f = Fixture::new().await;
        f.arm().await;
        let writer = begin(&f, level, Before::Read, 0).await;
        f.capture().await;
        assert!(!finish(writer, "TRUNCATE note").await, "{level}");
    }
}

#[tokio::test]
async fn a_row_below_a_parent_that_changes_hands_is_not_lost() {
    for level in LEVELS {
        for below_first in [true, false] {
            let mut f = Fixture::new().await;
            f.capture().await;
            f.copy().await;
            // Somebody else's order, and rows below it.
            let child = format!("INSERT INTO note VALUES (9, {}, 2, 'raced')", hex(500));
            let parent = format!(
                "UPDATE orders SET g_user = {} WHERE g_order = {}",
                hex(1),
                hex(500)
            );
            let mut writer = begin(&f, level, Before::Read, 0).await;
            if below_first {
                // The other one waits until it is clear whose the row is.
                run(&mut writer, &child).await.unwrap();
                let mut mover = f.another().await;
                let waiting = tokio::spawn(async move { run(&mut mover, &parent).await.map(drop) });
                f.until_somebody_waits().await;
                run(&mut writer, "COMMIT").await.unwrap();
                waiting.await.unwrap().unwrap();
            } else {
                f.client(&parent).await.unwrap();
                f.catch_up().await;
                let done = finish(writer, &child).await;
                assert!(done || level != "READ COMMITTED", "{level}");
            }
            f.settle().await;
        }
    }
}
