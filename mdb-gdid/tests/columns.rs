//! Ids as columns of a real SQLite database; the servers' turn comes in the workspace's tests.
#![cfg(feature = "sqlite")]

use mdb_gdid::{EraZeroId, Gdid};
use sqlx::{Connection, SqliteConnection};

#[tokio::test]
async fn ids_come_back_and_sort_as_their_bytes() -> Result<(), sqlx::Error> {
    let mut db = SqliteConnection::connect("sqlite::memory:").await?;
    sqlx::query("CREATE TABLE t (id BLOB NOT NULL PRIMARY KEY, low INTEGER NOT NULL, other BLOB)")
        .execute(&mut db)
        .await?;
    let mut ids: Vec<Gdid> = [
        (0, 15, 7),
        (1, 0, 0),
        (0, 0, 1),
        (0, 1, Gdid::MAX_COUNTER),
        (u32::MAX, 3, 9),
    ]
    .map(|(era, authority, counter)| Gdid::new(era, authority, counter).expect("valid parts"))
    .into();
    for id in &ids {
        let low = EraZeroId::try_from(Gdid::from_era_and_id(0, id.id())).expect("era 0");
        sqlx::query("INSERT INTO t VALUES (?, ?, ?)")
            .bind(id)
            .bind(low)
            .bind(None::<Gdid>)
            .execute(&mut db)
            .await?;
    }
    ids.sort_unstable();
    let read: Vec<(Gdid, EraZeroId, Option<Gdid>)> =
        sqlx::query_as("SELECT id, low, other FROM t ORDER BY id")
            .fetch_all(&mut db)
            .await?;
    assert_eq!(read.iter().map(|row| row.0).collect::<Vec<_>>(), ids);
    assert!(
        read.iter()
            .all(|(id, low, other)| Gdid::from(*low).id() == id.id() && other.is_none())
    );

    let error = sqlx::query_scalar::<_, Gdid>("SELECT x'0102'")
        .fetch_one(&mut db)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("an id has 12 bytes, not 2"),
        "{error}"
    );
    Ok(())
}
