//! For tests: moves with other tables.

use std::time::Duration;

use super::{LockLimit, Manifest, MoveId, MovedTable, Relocating, StepError};

const LIMIT: Duration = Duration::from_millis(150);

/// Checks that nobody takes the triggers and records of a move of users 1 and 2 away that captures, on the tables of the
/// engines' fixtures, and that others replace what is of no use to it.
pub(crate) async fn check_other_tables<DB: Relocating>(
    source: &mut DB::Connection,
    manifest: &Manifest,
    id: &MoveId,
    hex: fn(u64) -> String,
) {
    let other = MoveId::random();
    let orders = MovedTable {
        number: 0,
        ..manifest.tables()[1].clone()
    };
    let other_tables = Manifest::new(vec![orders]);
    let write = format!("UPDATE account SET extra = 3 WHERE g_user = {}", hex(1));
    DB::execute_own(source, &write, &[]).await.unwrap();
    for by in [Some(&other), None] {
        let refused = arm::<DB>(source, &other_tables, by).await;
        assert!(
            matches!(refused, Err(StepError::OtherTables)),
            "{refused:?}"
        );
        arm::<DB>(source, manifest, by).await.unwrap();
        assert!(DB::is_armed(source, manifest).await.unwrap());
        assert_eq!(DB::pending_changes(source, manifest, id).await.unwrap(), 1);
    }
    // Its own, when it is resumed with another configuration.
    arm::<DB>(source, &other_tables, Some(id)).await.unwrap();
    assert!(DB::is_armed(source, &other_tables).await.unwrap());
    arm::<DB>(source, manifest, Some(id)).await.unwrap();
    // It has moved: whoever comes late finds the fences with any triggers.
    DB::execute_own(source, "UPDATE mdb_fence SET state = 3", &[])
        .await
        .unwrap();
    arm::<DB>(source, &other_tables, Some(&other))
        .await
        .unwrap();
    assert!(DB::is_armed(source, &other_tables).await.unwrap());
}

/// As movers do: on a machine that has much to do, it takes longer than the limit.
async fn arm<DB: Relocating>(
    source: &mut DB::Connection,
    manifest: &Manifest,
    by: Option<&MoveId>,
) -> Result<(), StepError> {
    loop {
        match DB::arm(source, manifest, by, &LockLimit::of_server(LIMIT)).await {
            Err(StepError::Busy) => tokio::task::yield_now().await,
            armed => return armed,
        }
    }
}
