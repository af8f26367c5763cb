//! Who writes other briefcases notices nothing but a little latency when triggers come and go.

use sqlx::{Connection, MySqlConnection};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_statements_go_on_while_triggers_come_and_go() {
    let mut f = Fixture::new().await;
    let mut writers = tokio::task::JoinSet::new();
    let (over, is_over) = tokio::sync::watch::channel(false);
    for user in [3, 4, 5] {
        let mut client: MySqlConnection = f.connect().await;
        let is_over = is_over.clone();
        writers.spawn(async move {
            let update = format!(
                "UPDATE account SET extra = extra + 1 WHERE g_user = {}",
                hex(user)
            );
            let mut count = 0;
            while !*is_over.borrow() {
                let done = sqlx::query(&update).execute(&mut client).await;
                assert_eq!(done.unwrap().rows_affected(), 1, "after {count}");
                count += 1;
            }
            client.close().await.unwrap();
            count
        });
    }
    for _ in 0..40 {
        f.arm().await;
        f.disarm().await;
        if let Some(end) = writers.try_join_next() {
            end.unwrap();
        }
    }
    over.send(true).unwrap();
    while let Some(end) = writers.join_next().await {
        assert!(end.unwrap() > 0);
    }
}
