//! Rows arrive bit by bit, of whatever kind and size their values are.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_tests::bank::{Bank, NOTE, Place, id, literal, word};
use mdb_tests::kit::Kind;
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection};

on_all_engines!(values_of_a_hundred_megabytes_arrive);

/// A customer in a store that has the table `note` with these columns, which is listed.
async fn with_note<DB: TestEngine>(bank: Bank<DB>, columns: &str) -> Place<DB> {
    let mut place = Place::on(bank, 1).await;
    let note = format!(
        "CREATE TABLE note (g_user {} NOT NULL, {columns}, PRIMARY KEY (g_user, n))",
        id::<DB>()
    );
    place.on_both(&note).await;
    place.mdb = place.bank.open_with(NOTE);
    place
}

/// How large they are.
const LARGE: i64 = 100 << 20;

async fn values_of_a_hundred_megabytes_arrive<DB: TestEngine>() {
    // Alone: packets of that size are for the whole server to allow.
    let place = with_note(
        Bank::<DB>::alone().await,
        word::<DB>([
            "n INTEGER NOT NULL, body BLOB, words TEXT",
            "n INTEGER NOT NULL, body BYTEA, words TEXT",
            "n INTEGER NOT NULL, body LONGBLOB, words LONGTEXT",
        ]),
    )
    .await;
    let key = literal::<DB>(place.ids[0]);
    // 16 bytes with all that is special to somebody, doubled until there are enough.
    let first = word::<DB>([
        "x'00ff275c80220a0d1a00ff275c80220a', 'ä''\"\\%€ bcdefg'",
        "'\\x00ff275c80220a0d1a00ff275c80220a'::bytea, 'ä''\"\\%€ bcdefg'",
        "x'00ff275c80220a0d1a00ff275c80220a', 'ä''\"\\\\%€ bcdefg'",
    ]);
    let double = word::<DB>([
        "body = CAST(body || body AS BLOB), words = words || words",
        "body = body || body, words = words || words",
        "body = CONCAT(body, body), words = CONCAT(words, words)",
    ]);
    if DB::SERVER == Some(Kind::MariaDb) {
        place
            .on_both("SET GLOBAL max_allowed_packet = 1 << 30")
            .await;
    }
    place
        .at(0, &format!("INSERT INTO note VALUES ({key}, 1, {first})"))
        .await;
    let length = word::<DB>([
        "SELECT min(length(body), length(CAST(words AS BLOB))) FROM note",
        "SELECT CAST(least(octet_length(body), octet_length(words)) AS BIGINT) FROM note",
        "SELECT CAST(LEAST(LENGTH(body), LENGTH(words)) AS SIGNED) FROM note",
    ]);
    while place.bank.count(0, length).await < LARGE {
        place.at(0, &format!("UPDATE note SET {double}")).await;
    }
    place.carry_to(1).await;
    place.is_whole(1).await;
    assert!(place.bank.count(1, length).await >= LARGE);
    let pattern = word::<DB>([
        "SELECT count(*) FROM note WHERE hex(substr(body, -16)) = '00FF275C80220A0D1A00FF275C80220A' \
         AND words LIKE '%€ bcdefg'",
        "SELECT count(*) FROM note WHERE substr(body, octet_length(body) - 15) = '\\x00ff275c80220a0d1a00ff275c80220a' \
         AND right(words, 8) = '€ bcdefg'",
        "SELECT COUNT(*) FROM note WHERE RIGHT(body, 16) = x'00ff275c80220a0d1a00ff275c80220a' \
         AND RIGHT(words, 8) = '€ bcdefg'",
    ]);
    assert_eq!(place.bank.count(1, pattern).await, 1);
}

/// What SQLite can keep in a column, as it is written; in one without a type, so that nothing is converted.
const VALUES: [&str; 24] = [
    "NULL",
    "0",
    "-1",
    "9223372036854775807",
    "(-9223372036854775807 - 1)",
    "0.0",
    "-0.0",
    "0.1",
    "5e-324",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "9e999",
    "-9e999",
    "9007199254740993.0",
    "''",
    "'ä€😀'",
    "CAST(x'610062' AS TEXT)",
    "CAST(x'00' AS TEXT)",
    // No UTF-8.
    "CAST(x'c328ff' AS TEXT)",
    "'{\"b\": [1.0, 1e2, null],  \"a\": \"\\u00e4\"}'",
    "x''",
    "x'00'",
    "x'610062ff'",
    "zeroblob(70000)",
];

/// The bits of all values, each with its kind.
async fn bits(url: &str) -> Vec<(i64, Vec<String>)> {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    // A real number's shortest text that leads back to it; zeros have a sign.
    let query = "SELECT n, typeof(plain), hex(plain), quote(plain), printf('%!.26g', plain), \
         typeof(number), quote(number), typeof(words), quote(words), quote(doubled), quote(kept) \
         FROM note ORDER BY n";
    let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    let bits = rows.iter().map(|row| {
        let texts = (1..11).map(|column| {
            let text: Vec<u8> = row.get_unchecked(column);
            text.escape_ascii().to_string()
        });
        (row.get(0), texts.collect())
    });
    let bits = bits.collect();
    connection.close().await.unwrap();
    bits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_sqlite_arrives_bit_by_bit() {
    let columns = "n INTEGER NOT NULL, plain, number REAL, words TEXT, \
         doubled AS (n * 2) VIRTUAL, kept TEXT AS (typeof(plain) || n) STORED";
    let place = with_note(Bank::<Sqlite>::start().await, columns).await;
    let key = literal::<Sqlite>(place.ids[0]);
    for (value, n) in VALUES.into_iter().zip(1..) {
        let insert = format!(
            "INSERT INTO note (g_user, n, plain, number, words) VALUES ({key}, {n}, {value}, {value}, {value})"
        );
        place.at(0, &insert).await;
    }
    let before = bits(&place.bank.url(0)).await;
    assert_eq!(before.len(), VALUES.len());
    let kinds = |kind: &str| before.iter().filter(|(_, bits)| bits[0] == kind).count();
    let found = ["null", "integer", "real", "text", "blob"].map(kinds);
    assert_eq!(found, [1, 4, 9, 6, 4]);
    place.carry_to(1).await;
    place.is_whole(1).await;
    let after = bits(&place.bank.url(1)).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            before,
            after,
            "{}",
            VALUES[usize::try_from(before.0).unwrap() - 1]
        );
    }
    assert_eq!(before.len(), after.len());
    let left = "SELECT count(*) FROM note";
    assert_eq!(place.bank.count(0, left).await, 0);
}
