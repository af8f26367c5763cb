//! Copying and deleting.

use super::*;

#[tokio::test]
async fn rows_are_copied_and_deleted_again_and_again() {
    let mut f = Fixture::new().await;
    f.capture().await;
    for _ in 0..2 {
        assert_eq!(f.copy().await.rows, 2 + 3 + 6 + 6 + 6);
        let sums = f.assert_equal().await;
        let rows: Vec<u64> = sums.iter().map(|sum| sum.rows).collect();
        assert_eq!(rows, [2, 3, 6, 6, 6]);
    }
    assert_eq!(f.catch_up().await, 0);

    let source = &mut f.pair.source;
    let mut deleted = 0;
    loop {
        Postgres::begin(source, &TransactionOptions::new())
            .await
            .unwrap();
        Postgres::enter_as_mover(source, &f.id, LIMIT)
            .await
            .unwrap();
        let some = Postgres::delete_some(source, &f.manifest, &f.id, 5)
            .await
            .unwrap();
        let (forced,): (String,) = sqlx::query_as("SHOW synchronous_commit")
            .fetch_one(&mut **source)
            .await
            .unwrap();
        assert_eq!(forced, if some < 5 { "on" } else { "off" });
        Postgres::commit(source).await.unwrap();
        deleted += some;
        // Rows that refer to others of their table go together.
        assert!(some <= 4 + 3, "{some}");
        if some < 5 {
            break;
        }
    }
    assert_eq!(deleted, 23);
    assert_eq!(f.number("SELECT count(*) FROM account").await, 3);
    assert_eq!(f.number("SELECT count(*) FROM note").await, 24);
    assert_eq!(f.number("SELECT count(*) FROM mdb_change_0").await, 0);
}

/// Every kind of type, and values at its limits; the first column is the key.
const VALUES: &[(&str, &str, &str)] = &[
    ("c_int2", "smallint", "-32768"),
    ("c_int8", "bigint", "9223372036854775807"),
    ("c_bool", "boolean", "true"),
    ("c_float4", "real", "'-0'"),
    ("c_float8", "double precision", "'1.7976931348623157e308'"),
    ("c_nan", "double precision", "'NaN'"),
    ("c_infinite", "double precision", "'-Infinity'"),
    ("c_numeric", "numeric", "'NaN'"),
    ("c_scale", "numeric", "1.5000"),
    ("c_digits", "numeric(1000,500)", "1e499 / 3"),
    ("c_numeric_infinite", "numeric", "'Infinity'"),
    ("c_money", "money", "'-92233720368547758.08'"),
    ("c_text", "text", "E'a\"b\\\\c,(d)\\n\\t'"),
    ("c_empty", "text", "''"),
    ("c_null", "text", "NULL"),
    ("c_varchar", "character varying(5)", "'äöü€😀'"),
    ("c_char", "character(5)", "'ab'"),
    ("c_byte", "\"char\"", "'x'"),
    ("c_name", "name", "'n'"),
    ("c_bytea", "bytea", "'\\x00ff5c27'"),
    ("c_no_bytes", "bytea", "''"),
    ("c_date", "date", "'4713-01-01 BC'"),
    ("c_never", "date", "'infinity'"),
    ("c_time", "time", "'24:00:00'"),
    ("c_timetz", "time with time zone", "'23:59:59.999999+15:59'"),
    ("c_timestamp", "timestamp", "'294276-12-31 23:59:59.999999'"),
    ("c_timestamptz", "timestamp with time zone", "'-infinity'"),
    (
        "c_interval",
        "interval",
        "'-178000000 years 1 mon -3 days 04:05:06.000007'",
    ),
    ("c_uuid", "uuid", "'00000000-0000-0000-0000-000000000000'"),
    ("c_json", "json", "'{\"a\" : 1,  \"a\": [null, 1.0e2]}'"),
    ("c_jsonb", "jsonb", "'{\"a\": 1.00, \"b\": \"\\u00e9\"}'"),
    ("c_xml", "xml", "'<a b=\"c\">d</a>'"),
    (
        "c_array",
        "integer[]",
        "'[-1:1][2:3]={{1,2},{NULL,4},{5,6}}'",
    ),
    ("c_texts", "text[]", "'{\"\",NULL,\"NULL\",\"a,b\"}'"),
    ("c_enum", "mood", "'sad'"),
    ("c_enums", "mood[]", "'{happy,NULL,sad}'"),
    (
        "c_composite",
        "place",
        "ROW('a \"b\"', ARRAY['happy']::mood[], NULL)",
    ),
    ("c_domain", "small", "7"),
    ("c_range", "int4range", "'[1,5)'"),
    ("c_empty_range", "tstzrange", "'empty'"),
    ("c_multirange", "nummultirange", "'{[1,2),[3,)}'"),
    ("c_inet", "inet", "'2001:db8::1/64'"),
    ("c_cidr", "cidr", "'10.0.0.0/8'"),
    ("c_macaddr", "macaddr8", "'08:00:2b:01:02:03:04:05'"),
    ("c_bit", "bit(3)", "B'101'"),
    ("c_varbit", "bit varying", "B''"),
    ("c_point", "point", "'(1e-300,-0)'"),
    ("c_polygon", "polygon", "'((0,0),(1,1),(2,0))'"),
    ("c_path", "path", "'[(0,0),(1,1)]'"),
    ("c_circle", "circle", "'<(0,0),5>'"),
    ("c_tsvector", "tsvector", "'fat:2A cat:1'"),
    ("c_tsquery", "tsquery", "'fat & !cat'"),
    ("c_jsonpath", "jsonpath", "'$.a[*] ? (@ > 1)'"),
    ("c_collated", "text COLLATE nocase", "'ÄB'"),
];

#[tokio::test]
async fn every_type_is_copied_bit_by_bit() {
    let mut columns = String::new();
    let mut values = String::new();
    let mut moved = vec![("g_user", "bytea")];
    for (name, data_type, value) in VALUES {
        let _ = write!(columns, ", {name} {data_type}");
        let _ = write!(values, ", {value}");
        moved.push((name, data_type));
    }
    let types = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); \
        CREATE TYPE place AS (name text, moods mood[], at point); \
        CREATE DOMAIN small AS integer CHECK (VALUE < 10); \
        CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);";
    let create = format!("CREATE TABLE sample (g_user bytea PRIMARY KEY{columns})");
    let manifest = Manifest::new(vec![table(0, "sample", &moved, &[0], by_user())]);
    let mut f = Fixture::with(&format!("{types} {create}"), manifest).await;
    f.client(&format!(
        "INSERT INTO sample VALUES ({}{values}); INSERT INTO sample (g_user) VALUES ({})",
        hex(1),
        hex(2)
    ))
    .await
    .unwrap();
    f.capture().await;
    assert_eq!(f.copy().await.rows, 2);
    f.assert_equal().await;
    // What the server itself would write out, byte by byte.
    let mut dumps = Vec::new();
    for database in [&f.source, &f.target] {
        let mut connection = connect(&f.server, database).await;
        let copy = "COPY (SELECT * FROM sample ORDER BY g_user) TO STDOUT";
        let stream = connection.copy_out_raw(copy).await.unwrap();
        let chunks: Vec<_> = futures_util::TryStreamExt::try_collect(stream)
            .await
            .unwrap();
        dumps.push(chunks.concat());
    }
    assert_eq!(dumps[0], dumps[1]);

    // The checksum depends on no setting of the session, and on every column.
    let (before, _) = f.sums().await;
    run(
        &mut f.pair.source,
        "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = iso_8601; \
         SET extra_float_digits = -15; SET bytea_output = escape",
    )
    .await
    .unwrap();
    assert_eq!(f.sums().await.0, before);
    for (name, _, value) in VALUES {
        let other = if *value == "NULL" { "''" } else { "NULL" };
        let change = format!(
            "UPDATE sample SET {name} = {other} WHERE g_user = {}",
            hex(1)
        );
        run(&mut f.pair.target, &change).await.unwrap();
        assert_ne!(f.sums().await.1, before, "{name}");
        f.copy().await;
        f.assert_equal().await;
    }
}

#[tokio::test]
async fn values_of_a_hundred_megabytes_are_moved() {
    let tables =
        "CREATE TABLE big (g_user bytea PRIMARY KEY, body bytea, words text, document jsonb)";
    let columns = [
        ("g_user", "bytea"),
        ("body", "bytea"),
        ("words", "text"),
        ("document", "jsonb"),
    ];
    let manifest = Manifest::new(vec![table(0, "big", &columns, &[0], by_user())]);
    let mut f = Fixture::with(tables, manifest).await;
    f.capture().await;
    f.client(&format!(
        "INSERT INTO big SELECT {}, string_agg(sha256(n::text::bytea), '' ORDER BY n), \
         (SELECT repeat('äbc\"', 4000000)), (SELECT to_jsonb(repeat('abcd', 25000000))) FROM generate_series(1, 3200000) AS n",
        hex(1)
    ))
    .await
    .unwrap();
    let amount = f.copy().await;
    assert_eq!(amount.rows, 1);
    assert!(amount.bytes > 200 << 20);
    f.settle().await;
}

#[tokio::test]
async fn many_rows_flow_in_chunks() {
    let tables = "CREATE TABLE many (g_user bytea, n int, body text, PRIMARY KEY (g_user, n))";
    let columns = [("g_user", "bytea"), ("n", "integer"), ("body", "text")];
    let manifest = Manifest::new(vec![table(0, "many", &columns, &[0, 1], by_user())]);
    let mut f = Fixture::with(tables, manifest).await;
    f.client(&format!(
        "INSERT INTO many SELECT {}, n, repeat('x', n % 300) FROM generate_series(1, 20000) AS n",
        hex(1)
    ))
    .await
    .unwrap();
    f.capture().await;

    for most in [2_000, 100] {
        let (pair, manifest, id) = (&mut f.pair, &f.manifest, &f.id);
        let chunks = checked_copy(pair, manifest, id, f.owner, most, 20_000).await;
        assert!(chunks.iter().all(|c| c.bytes < 200 << 10), "{chunks:?}");
        f.assert_equal().await;
    }
}

#[tokio::test]
async fn a_copy_that_fails_can_be_repeated_on_the_same_connections() {
    let mut f = Fixture::new().await;
    f.capture().await;
    // The target refuses a row of the last but one table.
    let refuse = "ALTER TABLE note ADD CONSTRAINT small CHECK (length(body) < 10)";
    run(&mut f.pair.target, refuse).await.unwrap();
    for _ in 0..2 {
        let copied = Postgres::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
        assert!(
            matches!(copied, Err(StepError::DatabaseAt(Side::Target, _))),
            "{copied:?}"
        );
    }
    let (_, there) = f.sums().await;
    assert!(there.iter().all(|sum| sum.rows == 0));
    let allow = "ALTER TABLE note DROP CONSTRAINT small";
    run(&mut f.pair.target, allow).await.unwrap();
    // The source fails in the middle of a table.
    f.client(
        "ALTER TABLE item RENAME TO item_rows; \
         CREATE VIEW item AS SELECT g_order, line, (1 / (line - 2))::text AS what FROM item_rows",
    )
    .await
    .unwrap();
    for _ in 0..2 {
        let copied = Postgres::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
        assert!(
            matches!(copied, Err(StepError::DatabaseAt(Side::Source, _))),
            "{copied:?}"
        );
    }
    f.client("DROP VIEW item; ALTER TABLE item_rows RENAME TO item")
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

/// How the commits of a session wait.
async fn commits(connection: &mut PgConnection) -> String {
    let shown = sqlx::query_scalar("SHOW synchronous_commit");
    shown.fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn what_moves_is_forced_to_the_disk_whatever_the_database_does_by_default() {
    for (default, movers) in [("off", "on"), ("local", "local"), ("on", "on")] {
        let mut f = Fixture::new().await;
        f.client(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = {default}', current_database()); END $$"
        ))
        .await
        .unwrap();
        let mut client = f.another().await;
        assert_eq!(commits(&mut client).await, default);
        f.pair.source = Connected::alone(connect_mover(&f.server, &f.source).await);
        assert_eq!(commits(&mut f.pair.source).await, movers);
        f.capture().await;
        let source = &mut f.pair.source;
        for (limit, forced) in [(1, "off"), (1000, movers)] {
            Postgres::begin_as_mover(source, &f.id, f.owner, LIMIT)
                .await
                .unwrap();
            let deleted = Postgres::delete_some(source, &f.manifest, &f.id, limit).await;
            assert!(deleted.unwrap() > 0);
            assert_eq!(commits(source).await, forced);
            Postgres::commit(source).await.unwrap();
            assert_eq!(commits(source).await, movers);
        }

        // The journal is written by sessions that are not the mover's.
        run(&mut client, "BEGIN").await.unwrap();
        let write = format!(
            "UPDATE mdb_mover SET owner = owner WHERE move = ?{}",
            Postgres::durably()
        );
        let written = Postgres::execute_own(&mut client, &write, &[(&f.id).into()]).await;
        assert_eq!(written.unwrap(), 1);
        assert_eq!(commits(&mut client).await, movers);
        run(&mut client, "COMMIT").await.unwrap();
        assert_eq!(commits(&mut client).await, default);
    }
}
