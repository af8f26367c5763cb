//! Whether the fence finds the definitions that were looked at.

use super::*;
use crate::engine::relocating::{Turn, take};
use crate::engine::{Listed, Shape};

async fn shape_of(f: &mut Fixture) -> Shape {
    let names = f.manifest.tables().iter().map(|table| table.name.clone());
    let listed = Listed {
        tables: names.collect(),
        keys: vec!["g_user".to_owned()],
    };
    let shape = Shape::read::<MySql>(&mut f.pair.source, listed).await;
    shape.unwrap()
}

async fn glance(f: &mut Fixture) -> Option<String> {
    let glance = MySql::glance(&mut f.pair.source, &f.manifest).await;
    glance.unwrap()
}

/// What becomes of a fence that has been looked for with that shape and glance.
async fn fence(f: &mut Fixture, shape: &Shape, glance: Option<&str>) -> Result<(), StepError> {
    let turn = Turn::Fence {
        milliseconds: 60_000,
        as_they_were: shape,
        glance,
    };
    let source = &mut f.pair.source;
    source.execute("START TRANSACTION").await?;
    let ids = [id(1), id(2)];
    let taken = take::<MySql>(source, &f.manifest, &f.id, &ids, turn).await;
    source.execute("ROLLBACK").await?;
    taken
}

#[tokio::test]
async fn a_glance_sees_definitions_and_no_rows() {
    let mut f = Fixture::new().await;
    assert_eq!(glance(&mut f).await, None, "nothing is armed");
    f.capture().await;
    let before = glance(&mut f).await;
    assert!(before.is_some());
    f.client(&format!(
        "UPDATE orders SET total = 7 WHERE g_user = {}",
        hex(1)
    ))
    .await
    .unwrap();
    f.client(&format!("INSERT INTO item VALUES ({}, 77, 'x')", hex(100)))
        .await
        .unwrap();
    assert_eq!(glance(&mut f).await, before);
    for change in [
        "ALTER TABLE item ADD COLUMN more INT",
        "ALTER TABLE item MODIFY what VARCHAR(200)",
        "ALTER TABLE note ALTER n SET DEFAULT 3",
        "ALTER TABLE mdb_change_0 ADD COLUMN more INT",
        "DROP TRIGGER mdb_capture_2_delete",
    ] {
        let before = glance(&mut f).await;
        f.client(change).await.unwrap();
        assert_ne!(glance(&mut f).await, before, "{change}");
    }
    f.arm().await;
    f.reconnect().await;
    f.arm().await;
    let before = glance(&mut f).await;
    // The same name, another body.
    f.client("CREATE OR REPLACE TRIGGER mdb_capture_1_insert AFTER INSERT ON orders FOR EACH ROW SET @x = 1")
        .await
        .unwrap();
    assert_ne!(glance(&mut f).await, before);
}

#[tokio::test]
async fn nothing_is_fenced_when_tables_or_triggers_are_others() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let seen = glance(&mut f).await;
    let shape = shape_of(&mut f).await;
    fence(&mut f, &shape, seen.as_deref()).await.unwrap();
    // It is of another time than the shape: nobody looked at what there is now.
    f.client("ALTER TABLE item ADD COLUMN more INT")
        .await
        .unwrap();
    let fenced = fence(&mut f, &shape, seen.as_deref()).await;
    assert!(matches!(fenced, Err(StepError::Altered)), "{fenced:?}");
    f.client("ALTER TABLE item DROP COLUMN more").await.unwrap();
    // No concern of the move's, though a glance can't tell.
    f.client("ALTER TABLE item ADD INDEX item_what (what)")
        .await
        .unwrap();
    assert_ne!(glance(&mut f).await, seen);
    fence(&mut f, &shape, seen.as_deref()).await.unwrap();
    // What follows a key by itself fires no trigger.
    let key = "ALTER TABLE item ADD CONSTRAINT item_follows FOREIGN KEY (g_order) REFERENCES orders (g_order) ON DELETE CASCADE";
    f.client(key).await.unwrap();
    let fenced = fence(&mut f, &shape, seen.as_deref()).await;
    assert!(matches!(fenced, Err(StepError::Altered)), "{fenced:?}");
    f.client("ALTER TABLE item DROP FOREIGN KEY item_follows")
        .await
        .unwrap();
    fence(&mut f, &shape, seen.as_deref()).await.unwrap();
    f.client("DROP TRIGGER mdb_capture_1_update").await.unwrap();
    for seen in [seen.as_deref(), None] {
        let fenced = fence(&mut f, &shape, seen).await;
        assert!(matches!(fenced, Err(StepError::Altered)), "{fenced:?}");
    }
}

/// Services may wait for whoever asks.
#[tokio::test]
async fn a_glance_waits_for_no_table_that_is_being_altered() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let (mut user, mut altering) = (f.connect().await, f.connect().await);
    user.execute("BEGIN").await.unwrap();
    user.execute("SELECT * FROM orders").await.unwrap();
    let number = "SELECT CAST(CONNECTION_ID() AS SIGNED)";
    let number: i64 = sqlx::query_scalar(number)
        .fetch_one(&mut altering)
        .await
        .unwrap();
    // It has the first one for itself while it waits for the second one.
    let rename = "RENAME TABLE item TO item_before, orders TO orders_before";
    let renamed = tokio::spawn(async move { altering.execute(rename).await.map(drop) });
    loop {
        match MySql::glance(&mut f.pair.source, &f.manifest).await {
            Err(error) if MySql::error_class(&error) == ErrorClass::Conflict => break,
            Ok(Some(_)) if !renamed.is_finished() => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
    f.client(&format!("KILL QUERY {number}")).await.unwrap();
    renamed.await.unwrap().unwrap_err();
    assert!(glance(&mut f).await.is_some());
}
