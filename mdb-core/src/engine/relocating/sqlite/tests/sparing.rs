//! Which triggers and foreign keys a mover's connections go without.

use super::*;
use crate::engine::relocating::Sparing;

/// What the source's and the target's triggers do, and whether the source checks foreign keys.
async fn spared(f: &mut Fixture) -> ([Triggers; 2], bool) {
    Sqlite::spare_checks(&mut f.pair, &f.manifest, &f.id)
        .await
        .unwrap();
    let mut found = Vec::new();
    for connection in [&mut f.pair.source, &mut f.pair.target] {
        let before = set_triggers(connection, Triggers::Fire).await.unwrap();
        found.push(before);
    }
    let checks: bool = sqlx::query_scalar("PRAGMA foreign_keys")
        .fetch_one(&mut *f.pair.source)
        .await
        .unwrap();
    ([found[0], found[1]], checks)
}

#[tokio::test]
async fn what_makes_no_difference_is_left_out() {
    use Triggers::{Fire, Rest};
    let mut f = Fixture::new().await;
    f.capture().await;
    assert_eq!(spared(&mut f).await, ([Rest, Rest], false));

    let trigger =
        "CREATE TRIGGER users AFTER DELETE ON \"ITEM\" BEGIN UPDATE account SET extra = 1; END";
    f.client(trigger).await.unwrap();
    assert_eq!(spared(&mut f).await, ([Fire, Rest], false));
    f.pair.target.execute(trigger).await.unwrap();
    assert_eq!(spared(&mut f).await, ([Fire, Fire], false));
    f.client("DROP TRIGGER users").await.unwrap();
    assert_eq!(spared(&mut f).await, ([Rest, Fire], false));

    // From a table that is not in the manifest, and to another briefcase's rows.
    for table in [
        "CREATE TABLE extra (g_order BLOB REFERENCES orders ON DELETE CASCADE)",
        "CREATE TABLE extra (g_order BLOB, FOREIGN KEY (g_order) REFERENCES \"Orders\" (g_order))",
    ] {
        f.client(table).await.unwrap();
        assert_eq!(spared(&mut f).await, ([Fire, Fire], true), "{table}");
        f.client("DROP TABLE extra").await.unwrap();
    }
    f.client("ALTER TABLE account ADD friend BLOB REFERENCES account (g_user)")
        .await
        .unwrap();
    assert_eq!(spared(&mut f).await, ([Fire, Fire], true));
}

#[tokio::test]
async fn a_move_without_triggers_is_as_one_with_them() {
    let mut f = Fixture::new().await;
    f.capture().await;
    Sqlite::spare_checks(&mut f.pair, &f.manifest, &f.id)
        .await
        .unwrap();
    f.copy().await;
    f.client(&format!(
        "DELETE FROM orders WHERE g_order = {}; UPDATE account SET name = 'x' WHERE g_user = {one}; \
         UPDATE account SET name = 'user 1' WHERE g_user = {}",
        hex(200),
        hex(2),
        one = hex(1),
    ))
    .await
    .unwrap();
    assert!(f.catch_up().await > 0);
    let sums = f.assert_equal().await;
    begin_as_mover(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    let deleted = Sqlite::delete_some(&mut f.pair.source, &f.manifest, &f.id, 1000).await;
    let deleted = end(&mut f.pair.source, &f.id, deleted).await.unwrap();
    assert_eq!(deleted, sums.iter().map(|sum| sum.rows).sum::<u64>());
    assert_eq!(f.catch_up().await, 0, "nothing was recorded");
    // Others still fire what MDB has installed.
    f.client(&format!(
        "INSERT INTO account VALUES ({}, 'new', 1)",
        hex(1)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 1);
}
