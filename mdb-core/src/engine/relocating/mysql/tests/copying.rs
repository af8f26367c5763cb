//! Copying, summing, deleting.

use super::*;

#[tokio::test]
async fn rows_are_copied_and_deleted_again_and_again() {
    let mut f = Fixture::new().await;
    f.capture().await;
    for _ in 0..2 {
        assert_eq!(f.copy().await.rows, 2 + 3 + 6 + 6);
        let sums = f.assert_equal().await;
        let rows: Vec<u64> = sums.iter().map(|sum| sum.rows).collect();
        assert_eq!(rows, [2, 3, 6, 6]);
    }
    assert_eq!(f.catch_up().await, 0);

    let source = &mut f.pair.source;
    let mut deleted = Vec::new();
    loop {
        source.execute("START TRANSACTION").await.unwrap();
        let settings = mover_settings(&f.id);
        source.execute(settings.as_str()).await.unwrap();
        let some = MySql::delete_some(source, &f.manifest, &f.id, 5).await;
        MySql::leave_as_mover(source, &f.id).await.unwrap();
        source.execute("COMMIT").await.unwrap();
        deleted.push(some.unwrap());
        if deleted.last() < Some(&5) {
            break;
        }
    }
    assert_eq!(deleted, [5, 5, 5, 2]);
    assert_eq!(f.count("SELECT COUNT(*) FROM account").await, 3);
    assert_eq!(f.count("SELECT COUNT(*) FROM note").await, 24);
    assert_eq!(
        f.count("SELECT COUNT(*) FROM mdb_change_0 WHERE seq > 0")
            .await,
        0
    );
}

#[tokio::test]
async fn many_rows_flow_in_chunks() {
    let tables = ["CREATE TABLE many (g BINARY(12), n INTEGER, body TEXT, PRIMARY KEY (g, n))"];
    let mut f = Fixture::with(&tables, &[("many", keyed("g"))]).await;
    let insert = format!(
        "INSERT INTO many SELECT {}, seq, REPEAT('x', seq % 700) FROM seq_1_to_20000",
        hex(1)
    );
    f.client(&insert).await.unwrap();
    f.capture().await;

    for most in [4_000, 100] {
        let (pair, manifest, id) = (&mut f.pair, &f.manifest, &f.id);
        let chunks = checked_copy(pair, manifest, id, f.owner, most, 20_000).await;
        // A row more than a megabyte at the most.
        assert!(chunks.iter().all(|c| c.bytes < 1_050_000), "{chunks:?}");
        f.assert_equal().await;
    }
    // As many changes at once.
    f.client("UPDATE many SET body = CONCAT(body, 'ä') WHERE n > 100")
        .await
        .unwrap();
    assert_eq!(f.catch_up().await, 19_900);
    f.settle().await;
}

#[tokio::test]
async fn values_longer_than_a_packet_of_the_protocol_are_moved() {
    let tables = ["CREATE TABLE big (g BINARY(12) PRIMARY KEY, body LONGBLOB, words LONGTEXT)"];
    let mut f = Fixture::with(&tables, &[("big", keyed("g"))]).await;
    f.client("SET GLOBAL max_allowed_packet = 128 << 20")
        .await
        .unwrap();
    f.reconnect().await;
    let insert = format!(
        "INSERT INTO big VALUES ({}, REPEAT(x'00ff275c80', 4000000), REPEAT('äb''c', 4000000))",
        hex(1)
    );
    f.client(&insert).await.unwrap();
    f.capture().await;
    let amount = f.copy().await;
    assert!(amount.bytes >= 40_000_000, "{amount:?}");
    let sums = f.assert_equal().await;
    // One byte more, less or other, anywhere.
    for change in [
        "body = CONCAT(body, x'00')",
        "body = LEFT(body, 19999999)",
        "body = INSERT(body, 13000000, 1, x'01')",
        "words = INSERT(words, 13000000, 1, 'Ä')",
    ] {
        let target = &mut f.pair.target;
        target.execute("BEGIN").await.unwrap();
        let update = format!("UPDATE big SET {change}");
        target.execute(update.as_str()).await.unwrap();
        assert_ne!(f.sums(Side::Target).await, sums, "{change}");
        f.pair.target.execute("ROLLBACK").await.unwrap();
    }
    f.client("UPDATE big SET words = CONCAT('!', words)")
        .await
        .unwrap();
    assert_eq!(f.catch_up().await, 1);
    f.assert_equal().await;
}

#[tokio::test]
async fn rows_that_refer_to_each_other_in_circles_are_moved() {
    let tables = [
        "CREATE TABLE person (g BINARY(12), n INTEGER, best INTEGER, boss INTEGER, PRIMARY KEY (n), \
         FOREIGN KEY (boss) REFERENCES person (n))",
        "CREATE TABLE pet (g BINARY(12), n INTEGER PRIMARY KEY, owner INTEGER NOT NULL, \
         FOREIGN KEY (owner) REFERENCES person (n))",
        "ALTER TABLE person ADD FOREIGN KEY (best) REFERENCES pet (n)",
    ];
    let manifest = [("person", keyed("g")), ("pet", keyed("g"))];
    let mut f = Fixture::with(&tables, &manifest).await;
    f.client(&format!(
        "INSERT INTO person VALUES ({one}, 1, NULL, NULL), ({one}, 2, NULL, 1); \
         INSERT INTO pet VALUES ({one}, 1, 2), ({one}, 2, 1); \
         UPDATE person SET best = n, boss = 3 - n",
        one = hex(1)
    ))
    .await
    .unwrap();
    f.capture().await;
    for _ in 0..2 {
        assert_eq!(f.copy().await.rows, 4);
        f.assert_equal().await;
    }
    f.client("UPDATE person SET best = 3 - n; UPDATE pet SET owner = 3 - owner")
        .await
        .unwrap();
    f.settle().await;
    // Others are checked again.
    let orphan = format!("INSERT INTO pet VALUES ({}, 3, 9)", hex(1));
    assert!(f.pair.target.execute(orphan.as_str()).await.is_err());
}

#[tokio::test]
async fn a_copy_that_fails_can_be_repeated_on_the_same_connections() {
    let mut f = Fixture::new().await;
    f.capture().await;
    // The target refuses a row of the last table.
    let refuse = "ALTER TABLE note ADD CONSTRAINT small CHECK (LENGTH(body) < 10)";
    f.pair.target.execute(refuse).await.unwrap();
    for _ in 0..2 {
        let copied = MySql::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
        assert!(
            matches!(copied, Err(StepError::DatabaseAt(Side::Target, _))),
            "{copied:?}"
        );
    }
    let allow = "ALTER TABLE note DROP CONSTRAINT small";
    f.pair.target.execute(allow).await.unwrap();
    // The source fails after some tables.
    f.client("ALTER TABLE note RENAME COLUMN body TO text")
        .await
        .unwrap();
    for _ in 0..2 {
        let copied = MySql::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
        assert!(
            matches!(copied, Err(StepError::DatabaseAt(Side::Source, _))),
            "{copied:?}"
        );
    }
    f.client("ALTER TABLE note RENAME COLUMN text TO body")
        .await
        .unwrap();
    f.copy().await;
    f.assert_equal().await;
}

#[tokio::test]
async fn whole_briefcases_are_deleted_and_no_others() {
    let mut f = Fixture::new().await;
    f.capture().await;
    let briefcases = [id(1), id(2)];
    check_delete_all(&mut f.pair, &f.manifest, &f.id, f.owner, &briefcases).await;
}

#[tokio::test]
async fn many_rows_of_many_empty_values_fit_into_packets() {
    let columns: Vec<String> = (0..500)
        .map(|number| format!("c{number} VARCHAR(1) CHARACTER SET ascii NOT NULL DEFAULT ''"))
        .collect();
    let table = format!(
        "CREATE TABLE wide (g BINARY(12) NOT NULL, n INTEGER PRIMARY KEY, {})",
        columns.join(", ")
    );
    let mut f = Fixture::with(&[&table], &[("wide", keyed("g"))]).await;
    let insert = format!(
        "INSERT INTO wide (g, n) SELECT {}, seq FROM seq_1_to_4000",
        hex(1)
    );
    f.client(&insert).await.unwrap();
    f.capture().await;
    assert_eq!(f.copy().await.rows, 4_000);
    f.assert_equal().await;
}
