//! What is summed up, value by value.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor, Row};
use xxhash_rust::xxh3::xxh3_128;

use super::fixture::{below, id, table};
use super::*;
use crate::engine::mdb_tables;
use crate::engine::relocating::TableSum;
use sums::{row_by_row, sums};

const KEYS: &str = "SELECT gdid FROM mdb_fence WHERE move = ?";

fn keyed() -> MovedReach {
    MovedReach::Key {
        column: "g".to_owned(),
    }
}

/// A database in memory, in which briefcases 1 and 2 are to move.
async fn open(move_id: &MoveId, definition: &str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().in_memory(true);
    let mut connection = options.connect().await.unwrap();
    for statement in mdb_tables::<Sqlite>().0 {
        run(&mut connection, &statement, &[]).await.unwrap();
    }
    for counter in [1, 2] {
        let values = [Value::from(id(counter)), move_id.into()];
        let insert = "INSERT INTO mdb_fence VALUES (?, ?, 1, 0, NULL, 0, 0)";
        run(&mut connection, insert, &values).await.unwrap();
    }
    connection.execute(definition).await.unwrap();
    connection
}

/// The canonical form, written down once more.
fn canonical(columns: &[&[&[u8]]]) -> u128 {
    xxh3_128(&columns.concat().concat())
}

#[tokio::test]
async fn each_value_is_hashed_in_its_canonical_form() {
    let move_id = MoveId::random();
    let mut connection = open(&move_id, "CREATE TABLE t (g BLOB, n INTEGER, v)").await;
    let long = vec![7_u8; 5_000];
    let length = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
    let real = |number: f64| number.to_bits().to_be_bytes();
    let integer = |number: i64| number.to_be_bytes();
    let values: Vec<(String, Vec<Vec<u8>>)> = vec![
        ("NULL".into(), vec![vec![0]]),
        ("0".into(), vec![vec![1], integer(0).to_vec()]),
        ("-1".into(), vec![vec![1], integer(-1).to_vec()]),
        (
            "9223372036854775807".into(),
            vec![vec![1], integer(i64::MAX).to_vec()],
        ),
        ("1.0".into(), vec![vec![2], real(1.0).to_vec()]),
        ("-0.0".into(), vec![vec![2], real(-0.0).to_vec()]),
        ("9e999".into(), vec![vec![2], real(f64::INFINITY).to_vec()]),
        (
            "-9e999".into(),
            vec![vec![2], real(f64::NEG_INFINITY).to_vec()],
        ),
        // It has no number for that.
        ("9e999 - 9e999".into(), vec![vec![0]]),
        ("''".into(), vec![vec![3], length(b"").to_vec()]),
        (
            "'äpple'".into(),
            vec![vec![3], length("äpple".as_bytes()).to_vec(), "äpple".into()],
        ),
        (
            "CAST(x'610062' AS TEXT)".into(),
            vec![vec![3], length(b"a\0b").to_vec(), b"a\0b".to_vec()],
        ),
        (
            "CAST(x'ff61fe' AS TEXT)".into(),
            vec![vec![3], length(b"...").to_vec(), b"\xffa\xfe".to_vec()],
        ),
        ("x''".into(), vec![vec![4], length(b"").to_vec()]),
        (
            "x'00ff'".into(),
            vec![vec![4], length(b"..").to_vec(), b"\x00\xff".to_vec()],
        ),
        (
            format!("x'{}'", "07".repeat(5_000)),
            vec![vec![4], length(&long).to_vec(), long],
        ),
    ];
    let manifest = Manifest::new(vec![table(
        0,
        "t",
        &[("g", "BLOB"), ("n", "INTEGER"), ("v", "")],
        &[0, 1],
        keyed(),
    )]);
    let mut expected = TableSum::NOTHING;
    for (number, (sql, form)) in values.iter().enumerate() {
        let key = id(1 + number as u64 % 2).to_bytes();
        let insert = format!("INSERT INTO t VALUES (?, ?, {sql})");
        let number = i64::try_from(number).unwrap();
        let row = [Value::Bytes(key.to_vec()), Value::Integer(number)];
        run(&mut connection, &insert, &row).await.unwrap();
        let form: Vec<&[u8]> = form.iter().map(Vec::as_slice).collect();
        let hash = canonical(&[
            &[&[4], &12_u64.to_be_bytes(), &key],
            &[&[1], &number.to_be_bytes()],
            &form,
        ]);
        expected.rows += 1;
        expected.sum = expected.sum.wrapping_add(hash);
        let found = sums(&mut connection, &manifest, &move_id, Span::ALL).await;
        assert_eq!(found.unwrap(), [expected], "{sql}");
        let (table, values) = (&manifest.tables()[0], [Value::from(&move_id)]);
        let one_by_one = row_by_row(&mut connection, &manifest, table, KEYS, &values).await;
        assert_eq!(one_by_one.unwrap(), expected, "{sql}");
    }
    // What receipts have, and other versions compute.
    assert_eq!(
        format!("{:032x}", expected.sum),
        "fb79aa784ebd79abcfc2e380653f8a84"
    );
    // Somebody else's.
    let other = format!("INSERT INTO t VALUES (x'{:x}', 0, 0)", id(3));
    connection.execute(other.as_str()).await.unwrap();
    let found = sums(&mut connection, &manifest, &move_id, Span::ALL).await;
    assert_eq!(found.unwrap(), [expected]);
    // Spans share the rows out.
    let mut sum = 0_u128;
    for span in Span::split(&[id(1), id(2)], 2) {
        let found = sums(&mut connection, &manifest, &move_id, span).await;
        sum = sum.wrapping_add(found.unwrap()[0].sum);
    }
    assert_eq!(sum, expected.sum);
}

#[tokio::test]
async fn tables_may_have_more_columns_than_a_function_takes() {
    let move_id = MoveId::random();
    let names: Vec<String> = (0..300).map(|place| format!("c{place}")).collect();
    let definition = format!(
        "CREATE TABLE above (g BLOB, n INTEGER, r REAL); CREATE TABLE wide (g BLOB, {0}); CREATE TABLE below (n INTEGER)",
        names.join(", ")
    );
    let mut connection = open(&move_id, &definition).await;
    let mut columns = vec![("g", "BLOB")];
    columns.extend(names.iter().map(|name| (name.as_str(), "")));
    let wide = table(1, "wide", &columns, &[0], keyed());
    let manifest = Manifest::new(vec![
        table(
            0,
            "above",
            &[("g", "BLOB"), ("n", "INTEGER"), ("r", "REAL")],
            &[1],
            keyed(),
        ),
        wide,
        table(2, "below", &[("n", "INTEGER")], &[0], below(0, &["n"])),
    ]);
    let key = format!("x'{:x}'", id(2));
    for statement in [
        format!("INSERT INTO above VALUES ({key}, 5, 2)"),
        format!("INSERT INTO wide VALUES ({key}{})", ", 1.5".repeat(300)),
        "INSERT INTO below VALUES (5), (5)".to_owned(),
    ] {
        connection.execute(statement.as_str()).await.unwrap();
    }
    let key = id(2).to_bytes();
    let key: &[&[u8]] = &[&[4], &12_u64.to_be_bytes(), &key];
    let number: &[&[u8]] = &[&[1], &5_i64.to_be_bytes()];
    let fraction: &[&[u8]] = &[&[2], &1.5_f64.to_bits().to_be_bytes()];
    // It is stored as an integer, and is none.
    let real: &[&[u8]] = &[&[2], &2_f64.to_bits().to_be_bytes()];
    let mut row = vec![fraction; 301];
    row[0] = key;
    let found = sums(&mut connection, &manifest, &move_id, Span::ALL).await;
    let sum = |rows: u64, hash: u128| TableSum {
        rows,
        sum: hash.wrapping_mul(rows.into()),
    };
    assert_eq!(
        found.unwrap(),
        [
            sum(1, canonical(&[key, number, real])),
            sum(1, canonical(&row)),
            sum(2, canonical(&[number])),
        ]
    );
}

#[tokio::test]
async fn the_function_is_defined_once() {
    let mut connection = open(&MoveId::random(), "CREATE TABLE t (v)").await;
    let sum = format!("SELECT {}(v) FROM t", hashing::SUM_ROWS);
    assert!(connection.fetch_one(sum.as_str()).await.is_err());
    for _ in 0..2 {
        hashing::register(&mut connection).await.unwrap();
        let row = connection.fetch_one(sum.as_str()).await.unwrap();
        assert_eq!(row.get::<Vec<u8>, _>(0), [0; 24]);
    }
}
