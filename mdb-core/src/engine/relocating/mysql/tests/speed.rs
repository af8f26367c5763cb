//! Temporary.
use super::fixture::keyed;
use super::*;
use crate::engine::relocating::MovedReach;
use std::time::Instant;

#[tokio::test]
async fn speed() {
    let mut tables = vec![
        "CREATE TABLE t0 (g BINARY(12) PRIMARY KEY, name VARCHAR(80), at DATETIME(6), n DOUBLE)"
            .to_owned(),
    ];
    for n in 1..8 {
        tables.push(format!("CREATE TABLE t{n} (i BINARY(12) PRIMARY KEY, g BINARY(12) NOT NULL, name VARCHAR(80), at DATETIME(6), n DOUBLE, KEY (g), FOREIGN KEY (g) REFERENCES t0 (g))"));
    }
    let refs: Vec<&str> = tables.iter().map(String::as_str).collect();
    let names: Vec<String> = (0..8).map(|n| format!("t{n}")).collect();
    let reaches: Vec<(&str, MovedReach)> = names.iter().map(|n| (n.as_str(), keyed("g"))).collect();
    let mut f = Fixture::with(&refs, &reaches).await;
    let users = 1000_u64;
    for user in 1..=users {
        let mut sql = format!(
            "INSERT INTO t0 VALUES ({}, 'user {user}', NOW(6), RAND())",
            hex(user)
        );
        for n in 1..8_u64 {
            sql.push_str(&format!("; INSERT INTO t{n} VALUES "));
            for r in 0..36_u64 {
                if r > 0 {
                    sql.push(',');
                }
                sql.push_str(&format!(
                    "({}, {}, 'name of a row {r}', NOW(6), RAND())",
                    hex(user * 100_000 + n * 1000 + r),
                    hex(user)
                ));
            }
        }
        f.client(&sql).await.unwrap();
    }
    f.claim().await;
    f.pair
        .target
        .execute("DELETE FROM mdb_fence")
        .await
        .unwrap();
    let t = Instant::now();
    f.arm().await;
    eprintln!("arm {:?}", t.elapsed());
    let t = Instant::now();
    f.arm().await;
    eprintln!("arm again {:?}", t.elapsed());
    for round in 0..6_u64 {
        let ids: Vec<u64> = if round < 5 {
            vec![round + 1]
        } else {
            (10..=users).collect()
        };
        for i in &ids {
            for (c, s) in [(&mut f.pair.source, 1), (&mut f.pair.target, 4)] {
                c.execute(
                    "DELETE FROM mdb_fence WHERE move <> ''"
                        .replace("<> ''", "= 'x'")
                        .as_str(),
                )
                .await
                .unwrap();
                c.execute(
                    format!(
                        "INSERT INTO mdb_fence VALUES ({}, '{}', {s}, 0, NULL, 0, 0)",
                        hex(*i),
                        f.id.as_str()
                    )
                    .as_str(),
                )
                .await
                .unwrap();
            }
        }
        let t = Instant::now();
        let a = f.copy().await;
        let copied = t.elapsed();
        for i in ids.iter().take(1) {
            f.client(&format!(
                "UPDATE t1 SET n = 1 WHERE g = {}; UPDATE t0 SET name = 'x' WHERE g = {}",
                hex(*i),
                hex(*i)
            ))
            .await
            .unwrap();
        }
        let t = Instant::now();
        let c = f.catch_up().await;
        let caught = t.elapsed();
        let t = Instant::now();
        f.catch_up().await;
        let nothing = t.elapsed();
        let t = Instant::now();
        f.sums(Side::Source).await;
        let summed = t.elapsed();
        f.assert_equal().await;
        let t = Instant::now();
        let mut d = 0;
        loop {
            let t = Instant::now();
            copy::begin_at_target(&mut f.pair.source, &f.id, f.owner)
                .await
                .unwrap();
            let x = MySql::delete_some(&mut f.pair.source, &f.manifest, &f.id, 1000)
                .await
                .unwrap();
            d += x;
            copy::end_at_target(&mut f.pair.source, Ok(()))
                .await
                .unwrap();
            if d % 20000 == 0 {
                eprintln!("del {d} {:?}", t.elapsed());
            }
            if x < 1000 {
                break;
            }
        }
        let deleted = t.elapsed();
        eprintln!(
            "{a:?} copy {copied:?} catch_up({c}) {caught:?} nothing {nothing:?} sums {summed:?} delete({d}) {deleted:?}"
        );
        for c in [&mut f.pair.source, &mut f.pair.target] {
            c.execute("DELETE FROM mdb_fence").await.unwrap();
        }
    }
}
