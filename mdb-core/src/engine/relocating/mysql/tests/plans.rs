//! Rows are found by keys, whatever the server believes of the tables' sizes: its statistics follow behind when
//! briefcases come and go.

use sqlx::Row;

use super::super::{delete, ids, rows_of, run, sums};
use super::*;

/// Has the server take all tables to be as large, and all keys to have as many values.
async fn believe(f: &mut Fixture, rows: u64, values: u64) {
    for side in [Side::Source, Side::Target] {
        let connection = match side {
            Side::Source => &mut f.pair.source,
            Side::Target => &mut f.pair.target,
        };
        let believe = format!(
            "UPDATE mysql.innodb_table_stats SET n_rows = {rows}, clustered_index_size = 65 \
             WHERE database_name = DATABASE(); \
             UPDATE mysql.innodb_index_stats SET stat_value = {values} \
             WHERE database_name = DATABASE() AND stat_name LIKE 'n_diff%'; FLUSH TABLES"
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
    // The more briefcases there are, the less it seems to take to read everything for each of them.
    for number in 1_000..1_100 {
        let fence = format!(
            "INSERT INTO mdb_fence VALUES ({}, '{}', 1, 0, NULL, 0, 0)",
            hex(number),
            f.id.as_str()
        );
        f.pair.source.execute(fence.as_str()).await.unwrap();
    }
    // As each batch does first.
    MySql::enter_as_mover(&mut f.pair.source, &f.id, LIMIT)
        .await
        .unwrap();
    let ids = ids(&f.id);
    let spans = Span::split(&[id(1), id(2)], 2);
    let mut statements = Vec::new();
    for table in f.manifest.tables() {
        let rows = rows_of(&f.manifest, table, "t", &ids);
        statements.push(chunks::Reading::of_table(table, &rows).query);
        statements.push(delete::delete_table(&f.manifest, table, &ids));
        statements.push(delete::delete_rows(&f.manifest, table, &ids, 10));
        for spans in [&spans[..], &[Span::ALL]] {
            let queries = sums::queries(&f.manifest, table, &f.id, spans);
            statements.extend(queries.into_iter().map(|query| query.sql));
        }
    }
    statements.extend(delete::find(&f.manifest, &f.id));
    // First as the server finds them when they are as good as empty; it counts on, but does not look at the keys again.
    for table in f.manifest.tables() {
        let name = MySql::quote(&table.name);
        let stay = format!("ALTER TABLE {name} STATS_AUTO_RECALC = 0");
        f.pair.source.execute(stay.as_str()).await.unwrap();
    }
    believe(&mut f, 0, 0).await;
    f.client(
        "SET foreign_key_checks = 0; \
         INSERT INTO orders SELECT UNHEX(LPAD(HEX(seq + 100000), 24, '0')), UNHEX(LPAD(HEX(seq + 100000), 24, '0')), 1 \
         FROM seq_1_to_20000; \
         INSERT INTO item SELECT g_order, 1, 'x' FROM orders WHERE total = 1; \
         INSERT INTO note SELECT g_order, 1, 1, 'x' FROM orders WHERE total = 1; \
         SET foreign_key_checks = 1",
    )
    .await
    .unwrap();
    assert_keys_are_used(&mut f, &statements, "many rows, no values").await;
    for (rows, values) in [
        (0, 0),
        (1, 1),
        (20_000, 1),
        (1_000_000, 1),
        (1_000_000, 1_000_000),
    ] {
        believe(&mut f, rows, values).await;
        let beliefs = format!("{values} values in {rows} rows");
        assert_keys_are_used(&mut f, &statements, &beliefs).await;
    }
}

async fn assert_keys_are_used(f: &mut Fixture, statements: &[String], beliefs: &str) {
    for statement in statements {
        let scanned = scanned(f, statement).await;
        assert_eq!(scanned, [""; 0], "{beliefs}: {statement}");
    }
}

#[tokio::test]
async fn an_index_is_named_that_begins_with_the_column() {
    let mut f = Fixture::new().await;
    let find = async |f: &mut Fixture| -> Vec<Option<String>> {
        let tables = MySql::tables(&mut f.pair.source).await.unwrap();
        let orders = tables.iter().find(|table| table.name == "orders").unwrap();
        ["g_order", "g_user", "total"]
            .map(|name| orders.column(name).unwrap().first_in.clone())
            .into()
    };
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(find(&mut f).await, [name("PRIMARY"), name("g_user"), None]);
    // The server does not know an ignored index by its name.
    f.client("CREATE INDEX a_total ON orders (total, g_user) IGNORED")
        .await
        .unwrap();
    assert_eq!(find(&mut f).await, [name("PRIMARY"), name("g_user"), None]);
    f.client("ALTER TABLE orders ALTER INDEX a_total NOT IGNORED")
        .await
        .unwrap();
    assert_eq!(
        find(&mut f).await,
        [name("PRIMARY"), name("g_user"), name("a_total")]
    );
    let orders = &f.manifest.tables()[1];
    let rows = rows_of(&f.manifest, orders, "t", &ids(&f.id));
    assert!(
        rows.contains("`orders` t FORCE INDEX (`g_user`) ON"),
        "{rows}"
    );
}
