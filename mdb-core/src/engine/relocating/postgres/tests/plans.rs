//! The rows of few briefcases are found by keys: what a move costs depends on what it moves, not on what else is in
//! the tables.

use super::super::briefcases::Briefcases;
use super::super::{copy, delete, sums};
use super::*;

const INDEXES: &str = "CREATE INDEX ON orders (g_user); CREATE INDEX ON item (g_order);";

/// The tables that a query reads as a whole.
async fn scanned(connection: &mut PgConnection, settings: &str, query: &str) -> Vec<String> {
    run(connection, &format!("BEGIN; {settings}"))
        .await
        .unwrap();
    let plan = run(connection, &format!("EXPLAIN {query}")).await.unwrap();
    run(connection, "ROLLBACK").await.unwrap();
    let lines = plan.iter().map(|row| row.get::<String, _>(0));
    lines
        .filter(|line| line.contains("Seq Scan") && !line.contains("pg_"))
        .collect()
}

#[tokio::test]
async fn rows_of_few_briefcases_are_found_by_keys() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let source = &mut f.pair.source;
    run(source, INDEXES).await.unwrap();
    let briefcases = Briefcases::of(source, &f.id).await.unwrap();
    let mut queries: Vec<String> = copy::all_rows(&f.manifest, &briefcases)
        .into_iter()
        .map(|transfer| transfer.select)
        .collect();
    let tables = f.manifest.tables().iter();
    queries.extend(tables.map(|table| sums::query(&f.manifest, table, &briefcases.comparison)));
    for query in queries {
        let scanned = scanned(source, briefcases.settings, &query).await;
        assert_eq!(scanned, [""; 0], "{query}");
    }
    let keep = format!(
        "PREPARE summing (bytea[]) AS {}",
        sums::kept_query(&f.manifest)
    );
    run(source, &keep).await.unwrap();
    let settings = format!("{}{}", briefcases.settings, sums::KEEP_PLAN);
    let execute = format!("EXECUTE summing (ARRAY[{}])", hex(1));
    assert_eq!(scanned(source, &settings, &execute).await, [""; 0]);
}

#[tokio::test]
async fn what_is_deleted_is_found_by_keys() {
    let mut f = Fixture::new().await;
    let source = &mut f.pair.source;
    run(source, INDEXES).await.unwrap();
    let delete = format!(
        "PREPARE deleting (bytea[], bigint) AS {}",
        delete::delete(&f.manifest)
    );
    run(source, &delete).await.unwrap();
    let whole = delete::delete_whole(&f.manifest).unwrap();
    let whole = format!("PREPARE deleting_all (bytea[]) AS {whole}");
    run(source, &whole).await.unwrap();
    for execute in ["deleting (ARRAY[{}], 100)", "deleting_all (ARRAY[{}])"] {
        let execute = format!("EXECUTE {}", execute.replace("{}", &hex(1)));
        let scanned = scanned(source, delete::SETTINGS, &execute).await;
        assert_eq!(scanned, [""; 0], "{execute}");
    }
}
