//! Two files with five users, of which two are to move.

use std::path::Path;
use std::time::Duration;

use mdb_gdid::Gdid;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Executor, Sqlite};

use crate::engine::Connected;
use crate::engine::relocating::{
    Amount, FenceState, LockLimit, Manifest, MoveId, MovedColumn, MovedReach, MovedTable,
    OwnerToken, Pair, Relocating, Span, TableSum, Taken, Unhurried, checked_round,
};
use crate::engine::schema::Nullability;
use crate::engine::{Engine, Value, mdb_tables};

const TABLES: &str = "
    CREATE TABLE account (g_user BLOB PRIMARY KEY, name TEXT UNIQUE, extra);
    CREATE TABLE orders (g_order BLOB PRIMARY KEY, g_user BLOB NOT NULL REFERENCES account ON DELETE CASCADE, total REAL);
    CREATE TABLE item (g_order BLOB NOT NULL REFERENCES orders ON DELETE CASCADE, line INTEGER NOT NULL, what TEXT,
                       PRIMARY KEY (g_order, line)) WITHOUT ROWID;
    CREATE TABLE note (g_order BLOB, line INTEGER, n INTEGER, body BLOB, PRIMARY KEY (g_order, line, n));
";

pub(super) struct Fixture {
    pub(super) files: tempfile::TempDir,
    /// A client that uses the source without MDB.
    pub(super) client: SqliteConnection,
    pub(super) pair: Pair<Sqlite>,
    pub(super) manifest: Manifest,
    pub(super) id: MoveId,
    pub(super) owner: OwnerToken,
}

pub(super) fn id(counter: u64) -> Gdid {
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

pub(super) fn table(
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
            nullability: Nullability::NotNull,
            collation: None,
        })
        .collect();
    MovedTable {
        number,
        name: name.to_owned(),
        columns,
        primary_key: key.to_vec(),
        reach,
        index: None,
    }
}

pub(super) fn below(parent: usize, columns: &[&str]) -> MovedReach {
    let on = columns
        .iter()
        .map(|c| ((*c).to_owned(), (*c).to_owned()))
        .collect();
    MovedReach::Parent { parent, on }
}

pub(super) fn manifest() -> Manifest {
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
    /// A number that the target has.
    pub(super) async fn at_target(&mut self, query: &str) -> i64 {
        let found = sqlx::query_scalar(query).fetch_one(&mut *self.pair.target);
        found.await.unwrap()
    }

    /// Has both sides allow each total once a user.
    pub(super) async fn make_totals_unique(&mut self) {
        let unique = "CREATE UNIQUE INDEX only_total ON orders (g_user, total)";
        self.client("UPDATE orders SET total = rowid")
            .await
            .unwrap();
        self.client(unique).await.unwrap();
        self.pair.target.execute(unique).await.unwrap();
    }

    /// Five users with orders at the source; users 1 and 2 are to move.
    pub(super) async fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let (source_file, target_file) = (files.path().join("a.db"), files.path().join("b.db"));
        let mut pair = Pair {
            source: Connected::alone(open(&source_file).await),
            target: Connected::alone(open(&target_file).await),
            source_file: Some(source_file.clone()),
        };
        for connection in [&mut *pair.source, &mut *pair.target] {
            for statement in mdb_tables::<Sqlite>().0 {
                Sqlite::execute_own(connection, &statement, &[])
                    .await
                    .unwrap();
            }
            connection.execute(TABLES).await.unwrap();
        }
        let mut fixture = Self {
            files,
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

    pub(super) async fn client(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.client.execute(sql).await.map(drop)
    }

    pub(super) async fn fence(&mut self, state: FenceState, deadline: &str) {
        let set = format!(
            "UPDATE mdb_fence SET state = {}, deadline = {deadline}",
            state as u8
        );
        self.client(&set).await.unwrap();
    }

    pub(super) async fn capture(&mut self) {
        let limit = Duration::from_millis(100);
        Sqlite::arm(
            &mut self.pair.source,
            &self.manifest,
            None,
            &LockLimit::of_server(limit),
        )
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

    pub(super) async fn copy(&mut self) -> Amount {
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

    pub(super) async fn catch_up(&mut self) -> u64 {
        let (pair, manifest) = (&mut self.pair, &self.manifest);
        Sqlite::catch_up(pair, manifest, &self.id, self.owner, &Unhurried)
            .await
            .unwrap()
            .records
    }

    /// One round, checked for whose rows it says that it touches.
    pub(super) async fn take(&mut self) -> Taken {
        let (pair, manifest) = (&mut self.pair, &self.manifest);
        checked_round(pair, manifest, &self.id, self.owner, &[id(1), id(2)]).await
    }

    pub(super) async fn assert_equal(&mut self) -> Vec<TableSum> {
        let source = Sqlite::sums(
            &mut self.pair.source,
            &self.manifest,
            &self.id,
            &[Span::ALL],
        )
        .await
        .unwrap();
        let target = Sqlite::sums(
            &mut self.pair.target,
            &self.manifest,
            &self.id,
            &[Span::ALL],
        )
        .await
        .unwrap();
        assert_eq!(source, target);
        source.concat()
    }
}

pub(super) fn hex(counter: u64) -> String {
    format!("x'{:x}'", id(counter))
}
