//! What is installed is known in sessions of every mode: without backslashes, MySQL's LIKE has no escape unless it is named.

use super::*;
use crate::engine::Listed;

#[tokio::test]
async fn own_names_are_known_without_backslashes() {
    let mut f = Fixture::new().await;
    f.arm().await;
    f.client("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'")
        .await
        .unwrap();
    let found = MySql::installed(&mut f.client).await.unwrap();
    // A change table and three triggers each.
    assert_eq!(found.names.len(), 16);
    let tables = MySql::tables(&mut f.client).await.unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["account", "item", "note", "orders"]);
    let triggers = MySql::texts(&mut f.client, MySql::CATALOGUE.triggers).await;
    assert_eq!(triggers.unwrap(), Vec::<Vec<Option<String>>>::new());
    let listed = Listed {
        tables: vec!["account".to_owned()],
        keys: vec!["gdid".to_owned()],
    };
    let words = MySql::words_of(&mut f.client, &listed).await.unwrap();
    assert_eq!(words.triggers.lines().count(), 3);
    // Orders refer to it.
    let others = MySql::others_of(&mut f.client, &listed).await.unwrap();
    assert_eq!(others.lines().count(), 1);
}

/// As clusters are known by, of which no test has one.
#[tokio::test]
async fn settings_are_read_whose_names_a_server_may_not_know() {
    let mut f = Fixture::new().await;
    let query = "SHOW GLOBAL VARIABLES WHERE Variable_name = 'autocommit' AND Value = 'ON' \
         OR Variable_name = 'group_replication_single_primary_mode' AND Value = 'OFF'";
    let found = MySql::texts(&mut f.client, query).await.unwrap();
    let expected = ["autocommit", "ON"].map(|text| Some(text.to_owned()));
    assert_eq!(found, [expected.to_vec()]);
}
