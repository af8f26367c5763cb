//! Counts and checksums, and the rows that differ.

use super::*;

#[tokio::test]
async fn spans_are_summed_together_as_they_are_one_by_one() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let whole = f.assert_equal().await;
    let spans = Span::split(&[id(1), id(2)], 2);
    let source = &mut f.pair.source;
    let together = Postgres::sums(source, &f.manifest, &f.id, &spans)
        .await
        .unwrap();
    let mut one_by_one = Vec::new();
    for span in spans {
        let sums = Postgres::sums(source, &f.manifest, &f.id, &[span]).await;
        one_by_one.extend(sums.unwrap());
    }
    assert_eq!(together, one_by_one);
    for (table, sum) in whole.iter().enumerate() {
        let [one, other] = [&together[0][table], &together[1][table]];
        assert_eq!(sum.rows, one.rows + other.rows);
        assert_eq!(sum.sum, one.sum.wrapping_add(other.sum));
    }
    assert_eq!(
        whole[1].rows, 3,
        "one order of the first user, two of the second"
    );
    assert_eq!(together[0][1].rows, 1);
}

#[tokio::test]
async fn differences_are_named() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let equal = f.assert_equal().await;
    for change in [
        // Equal as numbers, but not the same.
        format!("UPDATE account SET extra = 1.5 WHERE g_user = {}", hex(1)),
        format!(
            "UPDATE orders SET total = '-0' WHERE g_order = {}",
            hex(100)
        ),
        format!("DELETE FROM item WHERE g_order = {} AND line = 1", hex(100)),
        format!("INSERT INTO note VALUES (77, {}, 2, NULL)", hex(100)),
        "UPDATE task SET after = NULL WHERE id = '20000000-0000-0000-0000-000000000003'".to_owned(),
    ] {
        run(&mut f.pair.target, &change).await.unwrap();
    }
    let (_, there) = f.sums().await;
    let manifest = f.manifest.clone();
    for (table, (a, b)) in manifest.tables().iter().zip(equal.iter().zip(&there)) {
        assert_ne!(a, b, "{}", table.name);
        let (pair, id) = (&mut f.pair, &f.id);
        let found = Postgres::differences(pair, &f.manifest, table, id, 10).await;
        assert_eq!(found.unwrap().len(), 1, "{}", table.name);
    }
    run(&mut f.pair.target, "DELETE FROM note").await.unwrap();
    let (pair, id) = (&mut f.pair, &f.id);
    let found = Postgres::differences(pair, &f.manifest, &manifest.tables()[3], id, 4).await;
    assert_eq!(found.unwrap().len(), 4);
}

#[tokio::test]
async fn values_that_differ_are_told_apart() {
    let columns = [("g_user", "bytea"), ("body", "bytea"), ("words", "text")];
    let tables = "CREATE TABLE sample (g_user bytea PRIMARY KEY, body bytea, words text)";
    let manifest = Manifest::new(vec![table(0, "sample", &columns, &[0], by_user())]);
    let mut f = Fixture::with(tables, manifest).await;
    f.capture().await;
    let insert = format!("INSERT INTO sample VALUES ({})", hex(1));
    f.client(&insert).await.unwrap();
    let [short, long] = [16 << 10, (16 << 10) + 1].map(|length| format!("repeat('x', {length})"));
    let values = [
        "NULL".to_owned(),
        "''".to_owned(),
        short,
        long.clone(),
        format!("{long} || 'y'"),
        format!("sha256({long}::bytea)::text"),
        format!("encode(sha256({long}::bytea), 'hex')"),
    ];
    let mut sums = Vec::new();
    for body in &values {
        for words in &values {
            let change = format!(
                "UPDATE sample SET body = ({body})::text::bytea, words = {words} WHERE g_user = {}",
                hex(1)
            );
            f.client(&change).await.unwrap();
            let sum = f.sums().await.0[0];
            assert!(!sums.contains(&sum), "{body} and {words}");
            sums.push(sum);
        }
    }
}

#[tokio::test]
async fn rows_that_a_policy_hides_are_not_taken_for_none() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.client(
        "ALTER TABLE account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
         CREATE POLICY seen ON account USING (name = 'user 1')",
    )
    .await
    .unwrap();
    let (pair, id) = (&mut f.pair, &f.id);
    let copied = Postgres::copy(pair, &f.manifest, id, f.owner, &Unhurried).await;
    let summed = Postgres::sums(&mut f.pair.source, &f.manifest, &f.id, &[Span::ALL]).await;
    for refused in [copied.map(drop), summed.map(drop).map_err(StepError::from)] {
        let Err(StepError::Database(refused) | StepError::DatabaseAt(_, refused)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(Postgres::error_class(&refused), ErrorClass::NoPermission);
    }
}
