//! Criterion's view of a point read on SQLite: by briefcase, on the shard, and from a bare pool.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{Criterion, criterion_group, criterion_main};
use mdb_benches::stores::{ROWS, Store, bare, id, only_shard, sqlite_reader};
use sqlx::Sqlite;

const SELECT: &str = "SELECT name FROM account WHERE g_user = ?";

fn point_read(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(Store::sqlite());
    let area = store.area::<Sqlite>();
    let shard = runtime.block_on(only_shard(&area));
    runtime.block_on(async {
        let create = "CREATE TABLE account (g_user BLOB PRIMARY KEY, name TEXT NOT NULL)";
        sqlx::query(create).execute(&shard).await.unwrap();
        for row in 0..ROWS {
            let insert = sqlx::query("INSERT INTO account VALUES (?, ?)").bind(id(row));
            insert
                .bind(format!("account {row}"))
                .execute(&shard)
                .await
                .unwrap();
        }
    });
    let pool = bare(sqlite_reader(&store));
    let mut group = criterion.benchmark_group("point read sqlite");
    group.bench_function("briefcase", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let briefcase = area.briefcase(id(7)).unwrap();
            sqlx::query_scalar::<_, String>(SELECT)
                .bind(id(7))
                .fetch_one(&briefcase)
                .await
                .unwrap()
        });
    });
    group.bench_function("same pool", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            sqlx::query_scalar::<_, String>(SELECT)
                .bind(id(7))
                .fetch_one(&shard)
                .await
                .unwrap()
        });
    });
    group.bench_function("bare pool", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let mut connection = pool.get().await.unwrap();
            sqlx::query_scalar::<_, String>(SELECT)
                .bind(id(7))
                .fetch_one(&mut *connection)
                .await
                .unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, point_read);
criterion_main!(benches);
