//! Rows are found by keys, whatever the server believes of the tables' sizes: its statistics follow behind when
//! briefcases come and go.

use sqlx::Row;

use super::super::{copy, delete, ids, rows_of, run, sums};
use super::*;

/// Has the server take all tables to be as large.
async fn believe(f: &mut Fixture, rows: u64) {
    for side in [Side::Source, Side::Target] {
        let connection = match side {
            Side::Source => &mut f.pair.source,
            Side::Target => &mut f.pair.target,
        };
        let believe = format!(
            "UPDATE mysql.innodb_table_stats SET n_rows = {rows} WHERE database_name = DATABASE(); FLUSH TABLES"
        );
        connection.execute(believe.as_str()).await.unwrap();
    }
}

/// The tables of the user's that a statement reads as a whole.
async fn scanned(f: &mut Fixture, statement: &str) -> Vec<String> {
    let explain = format!("EXPLAIN {statement}");
    let steps = run(&mut f.pair.source, &explain).await.unwrap();
    let tables = f.manifest.tables().len();
    let steps = steps.iter().filter_map(|step| {
        let (table, kind): (Option<String>, Option<String>) = (step.get("table"), step.get("type"));
        let alias = table?;
        let is_ours = alias == "t" || (0..tables).any(|number| alias == format!("p{number}"));
        let is_scan = matches!(kind.as_deref(), Some("ALL" | "index"));
        (is_ours && is_scan).then_some(alias)
    });
    steps.collect()
}

#[tokio::test]
async fn rows_are_found_by_keys() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    // As each batch does first.
    MySql::enter_as_mover(&mut f.pair.source, &f.id, LIMIT)
        .await
        .unwrap();
    let ids = ids(&f.id);
    let spans = Span::split(&[id(1), id(2)], 2);
    let mut statements = Vec::new();
    for table in f.manifest.tables() {
        let rows = rows_of(&f.manifest, table, "t", &ids);
        statements.push(copy::Reading::of_table(table, &rows).query);
        statements.push(delete::delete_all(&f.manifest, table, &ids));
        statements.push(delete::delete_rows(&f.manifest, table, &ids, 10));
        for spans in [&spans[..], &[Span::ALL]] {
            let queries = sums::queries(&f.manifest, table, &f.id, spans);
            statements.extend(queries.into_iter().map(|query| query.sql));
        }
    }
    statements.extend(delete::find(&f.manifest, &f.id));
    for rows in [0, 1, 1_000_000] {
        believe(&mut f, rows).await;
        for statement in &statements {
            let scanned = scanned(&mut f, statement).await;
            assert_eq!(scanned, [""; 0], "{rows}: {statement}");
        }
    }
}
