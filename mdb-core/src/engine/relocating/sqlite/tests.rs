//! Each step between two files, with writers that know nothing of moves.

use std::path::Path;

use mdb_gdid::Gdid;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Executor};

use super::*;
use crate::engine::mdb_tables;
use crate::engine::relocating::{FenceState, MovedColumn, MovedReach};

struct Unhurried;

impl Pace for Unhurried {
    fn taken(&self, _: Amount) -> Duration {
        Duration::ZERO
    }
}

const TABLES: &str = "
    CREATE TABLE account (g_user BLOB PRIMARY KEY, name TEXT UNIQUE, extra);
    CREATE TABLE orders (g_order BLOB PRIMARY KEY, g_user BLOB NOT NULL REFERENCES account ON DELETE CASCADE, total REAL);
    CREATE TABLE item (g_order BLOB NOT NULL REFERENCES orders ON DELETE CASCADE, line INTEGER NOT NULL, what TEXT,
                       PRIMARY KEY (g_order, line)) WITHOUT ROWID;
    CREATE TABLE note (g_order BLOB, line INTEGER, n INTEGER, body BLOB, PRIMARY KEY (g_order, line, n));
";

struct Fixture {
    _files: tempfile::TempDir,
    /// A client that uses the source without MDB.
    client: SqliteConnection,
    pair: Pair<Sqlite>,
    manifest: Manifest,
    id: MoveId,
    owner: OwnerToken,
}

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 0, counter).unwrap()
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await
        .unwrap()
}

fn table(
    number: usize,
    name: &str,
    columns: &[(&str, &str)],
    key: &[usize],
    reach: MovedReach,
) -> MovedTable {
    let columns = columns
        .iter()
        .map(|(name, data_type)| MovedColumn {
            name: (*name).to_owned(),
            data_type: (*data_type).to_owned(),
        })
        .collect();
    MovedTable {
        number,
        name: name.to_owned(),
        columns,
        primary_key: key.to_vec(),
        reach,
    }
}

fn below(parent: usize, columns: &[&str]) -> MovedReach {
    let on = columns
        .iter()
        .map(|c| ((*c).to_owned(), (*c).to_owned()))
        .collect();
    MovedReach::Parent { parent, on }
}

fn manifest() -> Manifest {
    let keyed = || MovedReach::Key {
        column: "g_user".to_owned(),
    };
    Manifest::new(vec![
        table(
            0,
            "account",
            &[("g_user", "BLOB"), ("name", "TEXT"), ("extra", "")],
            &[0],
            keyed(),
        ),
        table(
            1,
            "orders",
            &[("g_order", "BLOB"), ("g_user", "BLOB"), ("total", "REAL")],
            &[0],
            keyed(),
        ),
        table(
            2,
            "item",
            &[("g_order", "BLOB"), ("line", "INTEGER"), ("what", "TEXT")],
            &[0, 1],
            below(1, &["g_order"]),
        ),
        table(
            3,
            "note",
            &[
                ("g_order", "BLOB"),
                ("line", "INTEGER"),
                ("n", "INTEGER"),
                ("body", "BLOB"),
            ],
            &[0, 1, 2],
            below(2, &["g_order", "line"]),
        ),
    ])
}

impl Fixture {
    /// Five users with orders at the source; users 1 and 2 are to move.
    async fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let (source_file, target_file) = (files.path().join("a.db"), files.path().join("b.db"));
        let mut pair = Pair {
            source: open(&source_file).await,
            target: open(&target_file).await,
            source_file: Some(source_file.clone()),
        };
        for connection in [&mut pair.source, &mut pair.target] {
            for statement in mdb_tables::<Sqlite>().0 {
                Sqlite::execute_own(connection, &statement, &[])
                    .await
                    .unwrap();
            }
            connection.execute(TABLES).await.unwrap();
        }
        let mut fixture = Self {
            _files: files,
            client: open(&source_file).await,
            pair,
            manifest: manifest(),
            id: MoveId::random(),
            owner: OwnerToken::random(),
        };
        for user in 1..=5_u64 {
            fixture
                .client(&format!(
                    "INSERT INTO account VALUES ({}, 'user {user}', 1.5)",
                    hex(user)
                ))
                .await
                .unwrap();
            for order in 0..user {
                let order = hex(user * 100 + order);
                fixture
                    .client(&format!(
                        "INSERT INTO orders VALUES ({order}, {}, 'nan'); \
                         INSERT INTO item VALUES ({order}, 1, 'äpple'), ({order}, 2, NULL); \
                         INSERT INTO note VALUES ({order}, 2, 1, zeroblob(70000)), ({order}, 2, 2, 'text')",
                        hex(user)
                    ))
                    .await
                    .unwrap();
            }
        }
        fixture
    }

    async fn client(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.client.execute(sql).await.map(drop)
    }

    async fn fence(&mut self, state: FenceState, deadline: &str) {
        let set = format!(
            "UPDATE mdb_fence SET state = {}, deadline = {deadline}",
            state as u8
        );
        self.client(&set).await.unwrap();
    }

    async fn capture(&mut self) {
        let limit = Duration::from_millis(100);
        Sqlite::arm(&mut self.pair.source, &self.manifest, limit)
            .await
            .unwrap();
        for (connection, state) in [
            (&mut self.pair.source, FenceState::Capturing),
            (&mut self.pair.target, FenceState::Receiving),
        ] {
            let mover = [Value::from(&self.id), Value::Integer(self.owner.get())];
            Sqlite::execute_own(connection, "INSERT INTO mdb_mover VALUES (?, ?)", &mover)
                .await
                .unwrap();
            for user in [1, 2] {
                let values = [
                    Value::from(id(user)),
                    Value::from(&self.id),
                    Value::Integer(state as i64),
                ];
                let insert = "INSERT INTO mdb_fence VALUES (?, ?, ?, 0, NULL, 0, 0)";
                Sqlite::execute_own(connection, insert, &values)
                    .await
                    .unwrap();
            }
        }
    }

    async fn copy(&mut self) -> Amount {
        Sqlite::copy(
            &mut self.pair,
            &self.manifest,
            &self.id,
            self.owner,
            &Unhurried,
        )
        .await
        .unwrap()
    }

    async fn catch_up(&mut self) -> u64 {
        Sqlite::catch_up(
            &mut self.pair,
            &self.manifest,
            &self.id,
            self.owner,
            &Unhurried,
        )
        .await
        .unwrap()
    }

    async fn assert_equal(&mut self) -> Vec<TableSum> {
        let source = Sqlite::sums(&mut self.pair.source, &self.manifest, &self.id)
            .await
            .unwrap();
        let target = Sqlite::sums(&mut self.pair.target, &self.manifest, &self.id)
            .await
            .unwrap();
        assert_eq!(source, target);
        source
    }
}

fn hex(counter: u64) -> String {
    format!("x'{:x}'", id(counter))
}

#[tokio::test]
async fn rows_are_copied_caught_up_with_and_deleted() {
    let mut f = Fixture::new().await;
    f.capture().await;
    assert_eq!(f.copy().await.rows, 2 + 3 + 6 + 6);
    f.assert_equal().await;
    assert_eq!(f.catch_up().await, 0);
    for change in [
        // A row each of all kinds, by a client that knows nothing of moves.
        format!("UPDATE account SET extra = 7 WHERE g_user = {}", hex(1)),
        format!("DELETE FROM orders WHERE g_order = {}", hex(200)),
        format!("INSERT INTO orders VALUES ({}, {}, 3)", hex(299), hex(2)),
        format!("INSERT INTO item VALUES ({}, 9, 'new')", hex(299)),
        format!(
            "UPDATE note SET n = 5 WHERE g_order = {} AND n = 1",
            hex(201)
        ),
        // Another parent, another briefcase, and back into this one.
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {}",
            hex(3),
            hex(201)
        ),
        format!(
            "UPDATE orders SET g_user = {} WHERE g_order = {}",
            hex(1),
            hex(500)
        ),
        // Unique values that change places.
        format!("UPDATE account SET name = 'x' WHERE g_user = {}", hex(1)),
        format!(
            "UPDATE account SET name = 'user 1' WHERE g_user = {}",
            hex(2)
        ),
        format!(
            "UPDATE account SET name = 'user 2' WHERE g_user = {}",
            hex(1)
        ),
        // Somebody else's.
        format!("UPDATE account SET extra = 8 WHERE g_user = {}", hex(4)),
        // A row that goes without a trigger of its own.
        format!(
            "INSERT OR REPLACE INTO account VALUES ({}, 'user 2', 9)",
            hex(2)
        ),
    ] {
        f.client(&change).await.unwrap();
    }
    assert!(f.catch_up().await > 0);
    assert_eq!(f.catch_up().await, 0);
    let sums = f.assert_equal().await;
    assert_eq!(sums[0].rows, 1, "user 1 was replaced");

    // Copying again replaces what is there.
    f.copy().await;
    f.assert_equal().await;

    begin_as_mover(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    let deleted = Sqlite::delete_some(&mut f.pair.source, &f.manifest, &f.id, 1000)
        .await
        .unwrap();
    end(&mut f.pair.source, &f.id, Ok(())).await.unwrap();
    assert_eq!(deleted, sums.iter().map(|sum| sum.rows).sum::<u64>());
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM account")
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    assert_eq!(left, 3);
}

#[tokio::test]
async fn a_fenced_briefcase_refuses_everybody_but_the_mover() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let write = format!("UPDATE item SET what = 'z' WHERE g_order = {}", hex(200));
    for (state, deadline, refused) in [
        (FenceState::Fenced, "9e18", true),
        (FenceState::Moved, "0", true),
        (FenceState::Receiving, "0", true),
        // Its deadline has passed: as if it only captured.
        (FenceState::Fenced, "1", false),
        (FenceState::Capturing, "0", false),
    ] {
        f.fence(state, &format!("CAST({deadline} AS INTEGER)"))
            .await;
        match f.client(&write).await {
            Ok(()) => assert!(!refused, "{state:?}"),
            Err(error) => {
                assert!(refused, "{state:?}: {error}");
                assert_eq!(Sqlite::error_class(&error), ErrorClass::Fenced);
            }
        }
        f.client(&format!(
            "UPDATE account SET extra = 2 WHERE g_user = {}",
            hex(3)
        ))
        .await
        .unwrap();
    }
    assert!(f.catch_up().await > 0);
    f.assert_equal().await;
    f.fence(FenceState::Moved, "0").await;
    begin_as_mover(&mut f.pair.source, &f.id, f.owner)
        .await
        .unwrap();
    f.pair.source.execute(write.as_str()).await.unwrap();
    end(&mut f.pair.source, &f.id, Ok(())).await.unwrap();
    let guests: i64 = sqlx::query_scalar("SELECT count(*) FROM mdb_guest")
        .fetch_one(&mut f.client)
        .await
        .unwrap();
    assert_eq!(guests, 0);
}

#[tokio::test]
async fn differences_are_named_and_found_by_the_sums() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.copy().await;
    let equal = f.assert_equal().await;
    // One number as another type, one row less, one row more.
    for change in [
        format!("UPDATE orders SET total = 0.0 WHERE g_order = {}", hex(100)),
        format!("DELETE FROM item WHERE g_order = {} AND line = 1", hex(100)),
        format!("INSERT INTO note VALUES ({}, 2, 77, NULL)", hex(100)),
        format!("UPDATE account SET extra = '1.5' WHERE g_user = {}", hex(1)),
    ] {
        f.pair.target.execute(change.as_str()).await.unwrap();
    }
    let sums = Sqlite::sums(&mut f.pair.target, &f.manifest, &f.id)
        .await
        .unwrap();
    let manifest = f.manifest.clone();
    for (table, (a, b)) in manifest.tables().iter().zip(equal.iter().zip(&sums)) {
        assert_ne!(a, b, "{}", table.name);
        let found = Sqlite::differences(&mut f.pair, &f.manifest, table, &f.id, 10)
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{}: {found:?}", table.name);
    }
}

#[tokio::test]
async fn arming_can_be_repeated_and_taken_back() {
    let mut f = Fixture::new().await;
    let limit = Duration::from_millis(100);
    for _ in 0..2 {
        Sqlite::arm(&mut f.pair.source, &f.manifest, limit)
            .await
            .unwrap();
        assert_eq!(
            Sqlite::installed(&mut f.pair.source).await.unwrap().len(),
            4 * 4
        );
    }
    for _ in 0..2 {
        Sqlite::disarm(&mut f.pair.source, &f.manifest, limit)
            .await
            .unwrap();
        assert_eq!(
            Sqlite::installed(&mut f.pair.source).await.unwrap(),
            [""; 0]
        );
    }
}

#[tokio::test]
async fn who_was_replaced_touches_nothing() {
    let mut f = Fixture::new().await;
    f.capture().await;
    f.client("UPDATE mdb_mover SET owner = owner + 1")
        .await
        .unwrap();
    f.pair
        .target
        .execute("UPDATE mdb_mover SET owner = owner + 1")
        .await
        .unwrap();
    let copied = Sqlite::copy(&mut f.pair, &f.manifest, &f.id, f.owner, &Unhurried).await;
    assert!(matches!(copied, Err(StepError::NotOwner)));
}
