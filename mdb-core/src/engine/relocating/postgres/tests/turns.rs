//! When a move may fence its briefcases, and when it is decided.

use super::*;
use crate::engine::relocating::Turn;
use crate::engine::{Listed, Shape};

async fn shape_of(f: &mut Fixture) -> Shape {
    let tables = f.manifest.tables().iter();
    let listed = Listed {
        tables: tables.map(|table| table.name.clone()).collect(),
        keys: vec!["g_user".to_owned()],
    };
    let shape = Shape::read::<Postgres>(&mut f.pair.source, listed).await;
    shape.unwrap()
}

#[tokio::test]
async fn a_turn_is_taken_only_when_all_is_as_it_should_be() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let take = async |f: &mut Fixture, owner, turn| {
        let ids = [id(1), id(2)];
        let source = &mut f.pair.source;
        let taken = Postgres::turn_at_once(source, &f.manifest, &f.id, owner, &ids, turn).await;
        taken.unwrap()
    };
    let (owner, other) = (f.owner, OwnerToken::random());
    let shape = shape_of(&mut f).await;
    let fence = |milliseconds| Turn::Fence {
        milliseconds,
        as_they_were: &shape,
        glance: None,
    };
    let flip = Turn::Flip {
        target: "b's",
        epoch: 7,
    };
    let count = |state: u8| format!("SELECT count(*) FROM mdb_fence WHERE state = {state}");
    for turn in [fence(60_000), flip] {
        let refused = take(&mut f, other, turn).await;
        assert!(matches!(refused, Err(StepError::NotOwner)), "{refused:?}");
    }
    // Not fenced; with a change that the target has not got; too late.
    let busy = async |f: &mut Fixture| {
        let refused = take(f, owner, flip).await;
        assert!(matches!(refused, Err(StepError::Busy)), "{refused:?}");
    };
    busy(&mut f).await;
    f.client("UPDATE account SET extra = 3").await.unwrap();
    take(&mut f, owner, fence(60_000)).await.unwrap();
    assert_eq!(f.number(&count(2)).await, 2);
    busy(&mut f).await;
    assert!(f.catch_up().await > 0);
    take(&mut f, owner, fence(-1)).await.unwrap();
    busy(&mut f).await;
    assert_eq!(f.number(&count(3)).await, 0);

    take(&mut f, owner, fence(60_000)).await.unwrap();
    take(&mut f, owner, flip).await.unwrap();
    assert_eq!(f.number(&count(3)).await, 2);
    busy(&mut f).await;
}

#[tokio::test]
async fn nothing_is_fenced_when_tables_or_triggers_are_others() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let shape = shape_of(&mut f).await;
    let ids = [id(1), id(2)];
    for (change, back) in [
        (
            "ALTER TABLE account ADD COLUMN nick text",
            "ALTER TABLE account DROP COLUMN nick",
        ),
        (
            "CREATE TABLE unlisted (g_user bytea)",
            "DROP TABLE unlisted",
        ),
        (
            "ALTER TABLE account DISABLE TRIGGER mdb_capture",
            "ALTER TABLE account ENABLE ALWAYS TRIGGER mdb_capture",
        ),
    ] {
        for (statement, is_altered) in [(change, true), (back, false)] {
            f.client(statement).await.unwrap();
            let rehearsed = Postgres::rehearse_fence(&mut f.pair.source, &shape).await;
            match rehearsed {
                Err(StepError::Altered) => assert!(is_altered, "{statement}"),
                rehearsed => assert!(rehearsed.is_ok() && !is_altered, "{statement}"),
            }
            let turn = Turn::Fence {
                milliseconds: 60_000,
                as_they_were: &shape,
                glance: None,
            };
            let source = &mut f.pair.source;
            let taken = Postgres::turn_at_once(source, &f.manifest, &f.id, f.owner, &ids, turn);
            match taken.await.unwrap() {
                Err(StepError::Altered) => assert!(is_altered, "{statement}"),
                taken => assert!(taken.is_ok() && !is_altered, "{statement}: {taken:?}"),
            }
            let fenced = "SELECT count(*) FROM mdb_fence WHERE state = 2";
            assert_eq!(f.number(fenced).await > 0, !is_altered, "{statement}");
            f.client("UPDATE mdb_fence SET state = 1").await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_becomes_of_partitions_is_seen() {
    let mut f = Fixture::new().await;
    let listed = Listed {
        tables: vec!["day".to_owned()],
        keys: Vec::new(),
    };
    f.client(
        "CREATE TABLE day (g_user bytea, n int) PARTITION BY RANGE (n); \
         CREATE TABLE day_1 PARTITION OF day FOR VALUES FROM (10) TO (20); \
         CREATE TABLE day_2 (LIKE day); \
         CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER noted AFTER INSERT ON day FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    .await
    .unwrap();
    let mut seen = Shape::read::<Postgres>(&mut f.pair.source, listed)
        .await
        .unwrap();
    for change in [
        "ALTER TABLE day ATTACH PARTITION day_2 FOR VALUES FROM (20) TO (30)",
        "ALTER TABLE day_1 DISABLE TRIGGER USER",
        "TRUNCATE day_1",
        "ALTER TABLE day DETACH PARTITION day_1",
    ] {
        f.client(change).await.unwrap();
        let now = seen.again::<Postgres>(&mut f.pair.source).await.unwrap();
        assert!(!now.has_tables_of(&seen), "{change}");
        seen = now;
        let still = seen.again::<Postgres>(&mut f.pair.source).await.unwrap();
        assert!(still.has_tables_of(&seen));
    }
}
