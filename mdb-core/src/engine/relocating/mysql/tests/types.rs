//! Every column type, bit by bit.

use sqlx::Row;

use super::*;

const TYPES: &str = "CREATE TABLE everything (
    g BINARY(12) NOT NULL, n INTEGER NOT NULL, tiny TINYINT, big BIGINT UNSIGNED, deci DECIMAL(65, 30),
    f FLOAT, ff FLOAT(7, 2), d DOUBLE, dd DOUBLE(10, 3), b BIT(1), bb BIT(64),
    c CHAR(10), v VARCHAR(100) CHARACTER SET latin1, u VARCHAR(100) CHARACTER SET utf16, w TEXT CHARACTER SET ucs2,
    t LONGTEXT, bin BINARY(4), var VARBINARY(300), blo LONGBLOB, e ENUM('a', 'b''c', 'ö'), s SET('x', 'y', 'z'),
    dat DATE, tim TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, y YEAR, j JSON, g1 GEOMETRY, p POINT,
    ip INET6, id UUID, ge INTEGER AS (n + 1) STORED, gv VARCHAR(20) AS (CONCAT(c, '!')) VIRTUAL,
    PRIMARY KEY (n, g))";

const ROWS: [&str; 5] = [
    "0, -128, 18446744073709551615, -99999999999999999999999999999999999.999999999999999999999999999999, \
     0.1, 12345.67, 0.1, 1234567.891, b'1', b'1111111111111111111111111111111111111111111111111111111111111111', \
     'it''s ', 'grün', 'über', '€', 'a\\\\b\\'c\\0d', x'00', x'00ff27', x'275c00ff', 'b''c', 'x,z', \
     '9999-12-31', '-838:59:59.999999', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', 2155, \
     '{\"a\": [1, \"ä\"]}', ST_GeomFromText('LINESTRING(0 0, 1 1.5)', 4326), POINT(0.1, -0.2), '2001:db8::1', \
     '123e4567-e89b-12d3-a456-426655440000'",
    "1, 127, 0, 0.000000000000000000000000000001, 3.402823466e38, -0.01, 1.7976931348623157e308, -0.001, b'0', b'0', \
     '', '', '', '', '', '', '', '', 'a', '', '1000-01-01', '838:59:59', '1000-01-01 00:00:00', '1970-01-01 00:00:01', 1901, \
     '[]', ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'), POINT(1e300, -1e-300), '::', '00000000-0000-0000-0000-000000000000'",
    "-2147483648, 0, 9007199254740993, -1, 1.17549435e-38, 0, 4.9e-324, 0, b'1', b'10', '\u{1f600}', 'x', '\u{1f600}', 'x', \
     REPEAT('é', 3000), x'ffffffff', REPEAT(x'27', 300), REPEAT(x'00ff', 200000), '', 'x,y,z', '0000-00-00', '00:00:00.000001', \
     '0000-00-00 00:00:00', '0000-00-00 00:00:00', 0, 'null', ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))'), NULL, '::ffff:10.0.0.1', NULL",
    "7, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    "8, 1, 1, 1, 16777217, 1, -0e0, 1, b'1', b'1', 'N', 'N', 'N', 'N', 'N', 'N', 'N', 'N', 'ö', 'y', '2024-02-30', '24:00:00', \
     '2023-02-31 12:00:00', '2001-01-01 01:02:03.000004', 1, '\"N\"', NULL, NULL, NULL, NULL",
];

/// All that a client can see of a row, in bytes.
async fn rows(connection: &mut MySqlConnection) -> Vec<Vec<Option<Vec<u8>>>> {
    let query = "SELECT g, n, tiny, big, deci, CAST(f AS DOUBLE), CAST(ff AS DOUBLE), d, dd, b + 0, bb + 0, CAST(c AS BINARY), \
                 CAST(v AS BINARY), CAST(u AS BINARY), CAST(w AS BINARY), CAST(t AS BINARY), bin, var, blo, e + 0, CAST(e AS BINARY), \
                 s + 0, dat, tim, dt, ts, UNIX_TIMESTAMP(ts), y, CAST(j AS BINARY), HEX(g1), HEX(p), ip, id, ge, gv FROM everything ORDER BY n";
    let rows = connection.fetch_all(query).await.unwrap();
    rows.iter()
        .map(|row| {
            (0..row.len())
                .map(|place| row.try_get_unchecked::<Option<Vec<u8>>, _>(place).unwrap())
                .collect()
        })
        .collect()
}

#[tokio::test]
async fn every_type_arrives_as_it_was() {
    let mut f = Fixture::with(&[TYPES], &[("everything", keyed("g"))]).await;
    f.client("SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
        .await
        .unwrap();
    let mut columns: Vec<String> = Vec::new();
    for column in &f.manifest.tables()[0].columns {
        columns.push(MySql::quote(&column.name));
    }
    for row in ROWS {
        let insert = format!(
            "INSERT INTO everything ({}) VALUES ({}, {row})",
            columns.join(", "),
            hex(1)
        );
        f.client(&insert).await.unwrap();
    }
    f.capture().await;
    assert_eq!(f.copy().await.rows, ROWS.len() as u64);
    let (here, there) = (
        rows(&mut f.pair.source).await,
        rows(&mut f.pair.target).await,
    );
    assert_eq!(here.len(), ROWS.len());
    for (place, (a, b)) in here.iter().zip(&there).enumerate() {
        for (column, (a, b)) in a.iter().zip(b).enumerate() {
            assert_eq!(a, b, "row {place}, column {column}");
        }
    }
    f.assert_equal().await;
    // The sums see each of them: change one column at a time, on one side.
    for change in [
        "tiny = tiny + 1",
        "big = big - 1",
        "deci = deci / 2",
        "f = f + f",
        "ff = ff + 1",
        "d = d / 2 + 1e-300",
        "dd = dd + 1",
        "b = b ^ 1",
        "bb = bb ^ 4",
        "c = 'I'",
        "v = 'GRÜN'",
        "u = 'Über'",
        "w = 'x'",
        "t = UPPER(t)",
        "bin = x'01'",
        "var = CONCAT(var, x'00')",
        "blo = NULL",
        "e = 'a'",
        "s = 'x'",
        "dat = '0000-00-00'",
        "tim = '00:00:00.1'",
        "dt = NULL",
        "ts = '2001-01-01'",
        "y = 1999",
        "j = '{}'",
        "g1 = POINT(0, 0)",
        "p = POINT(0.1, -0.3)",
        "ip = '::2'",
        "id = NULL",
    ] {
        let target = &mut f.pair.target;
        target.execute("BEGIN").await.unwrap();
        let update = format!("UPDATE everything SET {change} WHERE n = 0");
        target.execute(update.as_str()).await.unwrap();
        assert_ne!(
            f.sums(Side::Target).await,
            f.sums(Side::Source).await,
            "{change}"
        );
        f.pair.target.execute("ROLLBACK").await.unwrap();
    }
    f.assert_equal().await;
    // By record, too: the key is composite.
    f.client("UPDATE everything SET d = d / 3, g1 = p, j = '1' WHERE n <> 7")
        .await
        .unwrap();
    assert_eq!(f.catch_up().await, 4);
    f.assert_equal().await;
    assert_eq!(
        rows(&mut f.pair.source).await,
        rows(&mut f.pair.target).await
    );
}

#[tokio::test]
async fn keys_of_any_type_are_recorded() {
    let tables = [
        "CREATE TABLE a (g BINARY(12) NOT NULL, k VARCHAR(40) CHARACTER SET utf16 COLLATE utf16_general_ci, e ENUM('x', 'y'), \
         d DATETIME(6), b VARBINARY(20), n INTEGER, PRIMARY KEY (k, e, d, b))",
        "CREATE TABLE b (g BINARY(12) NOT NULL, k DECIMAL(30, 10), i BIGINT UNSIGNED, s SET('p', 'q'), y YEAR, f BIT(9), n INTEGER, \
         PRIMARY KEY (k, i, s, y, f))",
    ];
    let mut f = Fixture::with(&tables, &[("a", keyed("g")), ("b", keyed("g"))]).await;
    f.capture().await;
    f.copy().await;
    let key = hex(1);
    for write in [
        format!(
            "INSERT INTO a VALUES ({key}, 'straße', 'y', '2020-01-01 00:00:00.000001', x'00ff', 1), ({key}, 'b', 'x', '2020-01-01', '', 1)"
        ),
        format!(
            "INSERT INTO b VALUES ({key}, 0.1, 18446744073709551615, 'p,q', 2000, b'100000001', 1)"
        ),
        "UPDATE a SET k = 'STRASSE2' WHERE e = 'y'".to_owned(),
        "UPDATE a SET k = 'B' WHERE e = 'x'".to_owned(),
    ] {
        f.client(&write).await.unwrap();
        f.catch_up().await;
        f.assert_equal().await;
    }
    f.client("UPDATE b SET s = 'q', n = 2; DELETE FROM a WHERE k = 'B'")
        .await
        .unwrap();
    f.catch_up().await;
    let sums = f.assert_equal().await;
    assert_eq!((sums[0].rows, sums[1].rows), (1, 1));
}

#[tokio::test]
async fn long_values_arrive_whole() {
    let tables = [
        "CREATE TABLE long_values (g BINARY(12) NOT NULL, n INTEGER PRIMARY KEY, e ENUM('a'), f FLOAT, j JSON, v LONGBLOB)",
    ];
    let mut f = Fixture::with(&tables, &[("long_values", keyed("g"))]).await;
    for (n, length) in [(1, 10), (2, 200_000), (3, 300_000), (4, 12_000_000), (5, 5)] {
        let insert = format!(
            "INSERT INTO long_values VALUES ({}, {n}, 'a', 0.1, '[0.1]', REPEAT(x'00ff275c80', {}))",
            hex(1),
            length / 5
        );
        f.client(&insert).await.unwrap();
    }
    f.capture().await;
    assert_eq!(f.copy().await.rows, 5);
    f.assert_equal().await;
    let digest = "SELECT CAST(GROUP_CONCAT(SHA2(v, 256), LENGTH(v)) AS CHAR) FROM long_values";
    let here: String = sqlx::query_scalar(digest)
        .fetch_one(&mut *f.pair.source)
        .await
        .unwrap();
    let there: String = sqlx::query_scalar(digest)
        .fetch_one(&mut *f.pair.target)
        .await
        .unwrap();
    assert_eq!(here, there);
}

#[tokio::test]
async fn what_urls_say_of_sessions_does_not_matter() {
    let tables = [
        "CREATE TABLE moments (g BINARY(12) NOT NULL, at TIMESTAMP(3) NULL PRIMARY KEY, \
         what TEXT CHARACTER SET utf8mb4)",
    ];
    let mut f = Fixture::with(&tables, &[("moments", keyed("g"))]).await;
    let key = hex(1);
    f.client(&format!(
        "INSERT INTO moments VALUES ({key}, FROM_UNIXTIME(1e9), 'äpple'), ({key}, FROM_UNIXTIME(1.5e9), '\u{1f34f}')"
    ))
    .await
    .unwrap();
    f.reconnect_target("timezone=%2B02:00&charset=latin1").await;
    f.capture().await;
    f.copy().await;
    f.client(
        "UPDATE moments SET at = FROM_UNIXTIME(2e9), what = 'Ä' WHERE at = FROM_UNIXTIME(1e9)",
    )
    .await
    .unwrap();
    f.catch_up().await;
    f.assert_equal().await;
    let query = "SELECT CAST(GROUP_CONCAT(CAST(UNIX_TIMESTAMP(at) AS SIGNED), HEX(what) ORDER BY at) AS CHAR) FROM moments";
    for connection in [&mut *f.pair.source, &mut *f.pair.target] {
        let found: String = sqlx::query_scalar(query)
            .fetch_one(connection)
            .await
            .unwrap();
        assert_eq!(found, "1500000000F09F8D8F,2000000000C384");
    }
}

/// A zone in which an hour comes twice: the server asks for its clock in whatever zone a client has.
#[tokio::test]
async fn an_hour_that_comes_twice_is_two_hours() {
    const TURN: i64 = 1_600_000_000;
    let mut f = Fixture::with(&[], &[]).await;
    for zone in [
        "REPLACE INTO mysql.time_zone VALUES (77, 'N')".to_owned(),
        "REPLACE INTO mysql.time_zone_name VALUES ('Twice', 77)".to_owned(),
        "REPLACE INTO mysql.time_zone_transition_type VALUES (77, 0, 7200, 1, 'S'), (77, 1, 3600, 0, 'W')"
            .to_owned(),
        format!("REPLACE INTO mysql.time_zone_transition VALUES (77, 0, 0), (77, {TURN}, 1)"),
        "SET time_zone = 'Twice'".to_owned(),
    ] {
        f.client(&zone).await.unwrap();
    }
    for at in [TURN - 1_800, TURN + 1_800] {
        f.client(&format!("SET timestamp = {at}.25")).await.unwrap();
        let now = f.count(&format!("SELECT {}", MySql::now())).await;
        assert_eq!(now, at * 1_000 + 250);
    }
}
