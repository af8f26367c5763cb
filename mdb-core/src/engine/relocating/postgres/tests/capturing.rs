//! What triggers record, refuse, and leave alone.

use super::*;

#[tokio::test]
async fn a_fenced_briefcase_refuses_everybody_but_the_mover() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let (order, one) = (hex(200), hex(2));
    let writes = [
        format!("UPDATE account SET extra = 2 WHERE g_user = {one}"),
        format!("INSERT INTO orders VALUES ({}, {one}, 1)", hex(251)),
        // Into a moving one, and out of it.
        format!(
            "UPDATE orders SET g_user = {one} WHERE g_order = {}",
            hex(500)
        ),
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {order}",
            hex(5)
        ),
        format!("UPDATE item SET what = 'z' WHERE g_order = {order}"),
        format!(
            "UPDATE item SET g_order = {order}, line = line + 10 WHERE g_order = {}",
            hex(500)
        ),
        format!("DELETE FROM note WHERE g_order = {order}"),
        format!("INSERT INTO note VALUES (3, {order}, 2, NULL)"),
        format!("DELETE FROM orders WHERE g_order = {order}"),
        format!("INSERT INTO account VALUES ({one}) ON CONFLICT (g_user) DO UPDATE SET extra = 1"),
        "TRUNCATE note".to_owned(),
    ];
    for (state, deadline, refused) in [
        (FenceState::Fenced, "9e15", true),
        (FenceState::Moved, "0", true),
        (FenceState::Receiving, "0", true),
        // Its deadline has passed: as if it only captured.
        (FenceState::Fenced, "1", false),
        (FenceState::Capturing, "0", false),
    ] {
        f.fence(state, &format!("{deadline}::bigint")).await;
        for write in &writes {
            // Of the table with briefcases in all states, only what has gone may be emptied.
            let refused = match write.as_str() {
                "TRUNCATE note" => state != FenceState::Moved,
                _ => refused,
            };
            f.client("BEGIN").await.unwrap();
            match f.client(write).await {
                Ok(()) => assert!(!refused, "{state:?}: {write}"),
                Err(error) => {
                    assert!(refused, "{state:?}: {write}: {error}");
                    assert!(is_refused(&error), "{write}: {error}");
                }
            }
            f.client("ROLLBACK").await.unwrap();
        }
        // Others notice nothing.
        f.client(&format!(
            "UPDATE item SET what = 'y' WHERE g_order = {}",
            hex(300)
        ))
        .await
        .unwrap();
    }
    f.fence(FenceState::Moved, "0").await;
    let source = &mut f.pair.source;
    Postgres::begin(source, &TransactionOptions::new())
        .await
        .unwrap();
    Postgres::enter_as_mover(source, &f.id, LIMIT)
        .await
        .unwrap();
    run(source, &writes[4]).await.unwrap();
    Postgres::leave_as_mover(source, &f.id).await.unwrap();
    Postgres::commit(source).await.unwrap();
    // The mark has gone with the transaction.
    assert!(is_refused(&run(source, &writes[4]).await.unwrap_err()));
    let pending = Postgres::pending_changes(source, &f.manifest, &f.id).await;
    assert_eq!(pending.unwrap(), 0);
}

#[tokio::test]
async fn what_a_session_calls_its_tables_does_not_matter() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    // Tables of the session that are named like MDB's don't hide them.
    f.client(
        "CREATE TEMP TABLE mdb_fence (gdid bytea, state int, deadline bigint); \
         CREATE TEMP TABLE orders (g_order bytea, g_user bytea); \
         CREATE TEMP TABLE mdb_change_2 (x int); SET search_path = public",
    )
    .await
    .unwrap();
    f.client(&format!(
        "UPDATE public.item SET what = 'z' WHERE g_order = {}",
        hex(200)
    ))
    .await
    .unwrap();
    f.client("SET search_path = pg_catalog").await.unwrap();
    f.client(&format!(
        "INSERT INTO public.item VALUES ({}, 5, 'q')",
        hex(200)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 3);
    f.assert_equal().await;
}

#[tokio::test]
async fn what_users_triggers_change_is_captured() {
    let mut f = Fixture::new().await;
    f.client(
        "CREATE FUNCTION redirect() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.total = 42 THEN NEW.g_user := (SELECT g_user FROM account WHERE name = 'user 1'); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION redirect()",
    )
    .await
    .unwrap();
    f.capture().await;
    f.copy().await;
    f.client(&format!(
        "UPDATE orders SET total = 42 WHERE g_order = {}",
        hex(500)
    ))
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 1);
    let sums = f.assert_equal().await;
    assert_eq!(sums[1].rows, 4);
    assert_eq!(sums[2].rows, 8);
}

#[tokio::test]
async fn cascades_are_captured() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    f.client(&format!("DELETE FROM orders WHERE g_order = {}", hex(200)))
        .await
        .unwrap();
    f.settle().await;
    f.client(&format!(
        "DELETE FROM task WHERE g_user = {one}; UPDATE account SET g_user = {nine} WHERE g_user = {one}",
        one = hex(1),
        nine = hex(9)
    ))
    .await
    .unwrap();
    f.settle().await;
    assert_eq!(f.sums().await.1[1].rows, 1, "an order of user 2 is left");
    f.client(&format!(
        "DELETE FROM task WHERE g_user = {two}; DELETE FROM account WHERE g_user = {two}",
        two = hex(2)
    ))
    .await
    .unwrap();
    f.settle().await;
    assert!(f.sums().await.1.iter().all(|sum| sum.rows == 0));
}

#[tokio::test]
async fn keys_that_are_no_ids_are_left_alone() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.client(
        "INSERT INTO account VALUES ('', 'a', 1), ('x', 'b', 1), (decode(repeat('00', 40), 'hex'), 'c', 1); \
         INSERT INTO orders VALUES ('o', NULL, 1), ('p', 'x', 1); UPDATE orders SET g_user = '' WHERE g_order = 'o'; \
         INSERT INTO item VALUES ('o', 1, 'x'), ('p', 1, 'y'); INSERT INTO note VALUES (1, 'nobody', 1, NULL); \
         DELETE FROM orders WHERE g_order IN ('o', 'p')",
    )
    .await
    .unwrap();
    assert_eq!(f.catch_up().await, 0);
}
