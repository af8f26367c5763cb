//! Two databases with users and orders, of which two users are to move.

use std::time::Duration;

use mdb_gdid::Gdid;
use mdb_tests::kit::{SharedServer, shared_mariadb, wait_for};
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Executor, MySql};

use crate::engine::Connected;
use crate::engine::relocating::{
    Amount, FenceState, LockLimit, Manifest, MoveId, MovedColumn, MovedReach, MovedTable,
    OwnerToken, Pair, Relocating, Side, Span, StepError, TableSum, Taken, Unhurried, checked_round,
};
use crate::engine::schema::Nullability;
use crate::engine::{Engine, Table, Value, mdb_tables};

pub(super) const LIMIT: Duration = Duration::from_millis(150);

const TABLES: [&str; 4] = [
    "CREATE TABLE account (g_user BINARY(12) PRIMARY KEY, name VARCHAR(80) COLLATE utf8mb4_general_ci UNIQUE, extra DOUBLE)",
    "CREATE TABLE orders (g_order BINARY(12) PRIMARY KEY, g_user BINARY(12) NOT NULL, total FLOAT, \
     FOREIGN KEY (g_user) REFERENCES account (g_user) ON DELETE CASCADE)",
    "CREATE TABLE item (g_order BINARY(12) NOT NULL, line INTEGER NOT NULL, what TEXT, PRIMARY KEY (g_order, line), \
     FOREIGN KEY (g_order) REFERENCES orders (g_order) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE note (g_order BINARY(12), line INTEGER, n INTEGER, body LONGBLOB, PRIMARY KEY (g_order, line, n))",
];

pub(super) struct Fixture {
    pub(super) server: SharedServer,
    source: String,
    target: String,
    /// A client that uses the source without MDB.
    pub(super) client: MySqlConnection,
    pub(super) pair: Pair<MySql>,
    pub(super) manifest: Manifest,
    pub(super) id: MoveId,
    pub(super) owner: OwnerToken,
}

pub(super) fn id(counter: u64) -> Gdid {
    Gdid::new(0, 0, counter).unwrap()
}

pub(super) fn hex(counter: u64) -> String {
    format!("x'{:x}'", id(counter))
}

pub(super) fn keyed(column: &str) -> MovedReach {
    MovedReach::Key {
        column: column.to_owned(),
    }
}

/// The index by which rows are found.
fn index_of(table: &Table, reach: &MovedReach) -> Option<String> {
    let mut columns = reach.columns().into_iter();
    columns.find_map(|column| table.column(column)?.first_in.clone())
}

fn below(parent: usize, columns: &[&str]) -> MovedReach {
    let on = columns
        .iter()
        .map(|c| ((*c).to_owned(), (*c).to_owned()))
        .collect();
    MovedReach::Parent { parent, on }
}

fn manifest() -> [(&'static str, MovedReach); 4] {
    [
        ("account", keyed("g_user")),
        ("orders", keyed("g_user")),
        ("item", below(1, &["g_order"])),
        ("note", below(2, &["g_order", "line"])),
    ]
}

/// A connection as movers have them.
async fn connect(server: &SharedServer, database: &str) -> MySqlConnection {
    let mut connection = MySqlConnection::connect(&server.url(database))
        .await
        .unwrap();
    connection
        .execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await
        .unwrap();
    MySql::begin_session(&mut connection).await.unwrap();
    connection
}

impl Fixture {
    /// Five users with orders at the source; users 1 and 2 are to move.
    pub(super) async fn new() -> Self {
        let mut fixture = Self::with(&TABLES, &manifest()).await;
        for user in 1..=5_u64 {
            let key = hex(user);
            let account = format!("INSERT INTO account VALUES ({key}, 'user {user}', 1.5)");
            fixture.client(&account).await.unwrap();
            for order in 0..user {
                let order = hex(user * 100 + order);
                fixture
                    .client(&format!(
                        "INSERT INTO orders VALUES ({order}, {key}, 0.1); \
                         INSERT INTO item VALUES ({order}, 1, 'äpple'), ({order}, 2, NULL); \
                         INSERT INTO note VALUES ({order}, 2, 1, REPEAT(x'00', 70000)), ({order}, 2, 2, 'text')",
                    ))
                    .await
                    .unwrap();
            }
        }
        fixture
    }

    /// Both databases with these tables, and nothing in them.
    pub(super) async fn with(tables: &[&str], reaches: &[(&str, MovedReach)]) -> Self {
        let server = shared_mariadb(0).await.unwrap();
        let source = server.create_database("source").await.unwrap();
        let target = server.create_database("target").await.unwrap();
        let mut pair = Pair {
            source: Connected::alone(connect(&server, &source).await),
            target: Connected::alone(connect(&server, &target).await),
            source_file: None,
        };
        for connection in [&mut *pair.source, &mut *pair.target] {
            for statement in mdb_tables::<MySql>().0 {
                MySql::execute_own(connection, &statement, &[])
                    .await
                    .unwrap();
            }
            for table in tables {
                connection.execute(*table).await.unwrap();
            }
        }
        let manifest = Self::manifest_of(&mut pair.source, reaches).await;
        let client = MySqlConnection::connect(&server.url(&source))
            .await
            .unwrap();
        Self {
            server,
            source,
            target,
            client,
            pair,
            manifest,
            id: MoveId::random(),
            owner: OwnerToken::random(),
        }
    }

    /// The tables as they are now.
    pub(super) async fn manifest_of(
        source: &mut MySqlConnection,
        reaches: &[(&str, MovedReach)],
    ) -> Manifest {
        let found = MySql::tables(source).await.unwrap();
        let moved = reaches.iter().enumerate().map(|(number, (name, reach))| {
            let table = found.iter().find(|table| table.name == *name).unwrap();
            let written = || table.columns.iter().filter(|c| !c.is_generated());
            let mut key: Vec<_> = written()
                .enumerate()
                .filter_map(|(place, column)| Some((column.key_position?, place)))
                .collect();
            key.sort_unstable();
            MovedTable {
                number,
                name: (*name).to_owned(),
                columns: written()
                    .map(|column| MovedColumn {
                        name: column.name.clone(),
                        data_type: column.data_type.clone(),
                        nullability: Nullability::NotNull,
                        collation: column.collation.clone(),
                    })
                    .collect(),
                primary_key: key.into_iter().map(|(_, place)| place).collect(),
                reach: reach.clone(),
                index: index_of(table, reach),
            }
        });
        Manifest::new(moved.collect())
    }

    /// Another client of the source, as any client is.
    pub(super) async fn connect(&self) -> MySqlConnection {
        MySqlConnection::connect(&self.server.url(&self.source))
            .await
            .unwrap()
    }

    pub(super) async fn client(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.client.execute(sql).await.map(drop)
    }

    pub(super) async fn count(&mut self, query: &str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.client)
            .await
            .unwrap()
    }

    pub(super) async fn is_armed(&mut self) -> bool {
        let is_armed = MySql::is_armed(&mut self.pair.source, &self.manifest);
        is_armed.await.unwrap()
    }

    pub(super) async fn try_arm(&mut self) -> Result<(), StepError> {
        MySql::arm(
            &mut self.pair.source,
            &self.manifest,
            None,
            &LockLimit::of_server(LIMIT),
        )
        .await
    }

    /// Arms as a mover does: a slow machine is a busy one.
    pub(super) async fn arm(&mut self) {
        while let Err(error) = self.try_arm().await {
            assert!(matches!(error, StepError::Busy), "{error:?}");
        }
    }

    pub(super) async fn disarm(&mut self) {
        let source = &mut self.pair.source;
        while let Err(error) = MySql::disarm(source, &LockLimit::of_server(LIMIT)).await {
            assert!(matches!(error, StepError::Busy), "{error:?}");
        }
    }

    /// Opens the mover's connection to the target anew, with more in its URL.
    pub(super) async fn reconnect_target(&mut self, parameters: &str) {
        let database = format!("{}?{parameters}", self.target);
        self.pair.target = Connected::alone(connect(&self.server, &database).await);
    }

    /// Opens all connections anew.
    pub(super) async fn reconnect(&mut self) {
        self.client = self.connect().await;
        self.pair.source = Connected::alone(connect(&self.server, &self.source).await);
        self.pair.target = Connected::alone(connect(&self.server, &self.target).await);
    }

    /// Changes the fences at the source as a mover does.
    pub(super) async fn try_fence(
        &mut self,
        state: FenceState,
        deadline: &str,
    ) -> Result<(), StepError> {
        let set = format!(
            "UPDATE mdb_fence SET state = {}, deadline = {deadline}",
            state as u8
        );
        self.try_under_locks(&[set]).await
    }

    pub(super) async fn fence(&mut self, state: FenceState, deadline: &str) {
        while let Err(error) = self.try_fence(state, deadline).await {
            assert!(matches!(error, StepError::Busy), "{error:?}");
        }
    }

    async fn try_under_locks(&mut self, statements: &[String]) -> Result<(), StepError> {
        let source = &mut self.pair.source;
        source.execute("START TRANSACTION").await?;
        let done = async {
            MySql::lock_exclusive(source, &[id(1), id(2)], LIMIT).await?;
            for statement in statements {
                let done = source.execute(statement.as_str()).await;
                done.map_err(super::super::busy)?;
            }
            Ok(())
        };
        let done = done.await;
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        source.execute(end).await?;
        done
    }

    /// Has the fences of users 1 and 2 put, as a mover does.
    pub(super) async fn put_fences(&mut self) {
        let fences = self.fences(FenceState::Capturing);
        while let Err(error) = self.try_under_locks(&fences).await {
            assert!(matches!(error, StepError::Busy), "{error:?}");
        }
    }

    /// The statements that put the fences of users 1 and 2.
    fn fences(&self, state: FenceState) -> Vec<String> {
        [1, 2]
            .map(|user| {
                format!(
                    "INSERT INTO mdb_fence VALUES ({}, '{}', {}, 0, NULL, 0, 0)",
                    hex(user),
                    self.id.as_str(),
                    state as u8
                )
            })
            .to_vec()
    }

    pub(super) async fn claim(&mut self) {
        for connection in [&mut self.pair.source, &mut self.pair.target] {
            let mover = [Value::from(&self.id), Value::Integer(self.owner.get())];
            MySql::execute_own(connection, "INSERT INTO mdb_mover VALUES (?, ?)", &mover)
                .await
                .unwrap();
        }
        for fence in self.fences(FenceState::Receiving) {
            self.pair.target.execute(fence.as_str()).await.unwrap();
        }
    }

    pub(super) async fn capture(&mut self) {
        self.claim().await;
        self.arm().await;
        self.put_fences().await;
    }

    pub(super) async fn copy(&mut self) -> Amount {
        let (pair, manifest) = (&mut self.pair, &self.manifest);
        MySql::copy(pair, manifest, &self.id, self.owner, &Unhurried)
            .await
            .unwrap()
    }

    pub(super) async fn try_catch_up(&mut self) -> Result<u64, StepError> {
        let (pair, manifest) = (&mut self.pair, &self.manifest);
        let taken = MySql::catch_up(pair, manifest, &self.id, self.owner, &Unhurried).await;
        Ok(taken?.records)
    }

    /// One round, checked for whose rows it says that it touches.
    pub(super) async fn take(&mut self) -> Taken {
        let (pair, manifest) = (&mut self.pair, &self.manifest);
        checked_round(pair, manifest, &self.id, self.owner, &[id(1), id(2)]).await
    }

    pub(super) async fn catch_up(&mut self) -> u64 {
        self.try_catch_up().await.unwrap()
    }

    /// Catches up, and nothing is missing.
    pub(super) async fn settle(&mut self) {
        self.catch_up().await;
        assert_eq!(self.catch_up().await, 0);
        self.assert_equal().await;
    }

    pub(super) async fn pending(&mut self) -> u64 {
        MySql::pending_changes(&mut self.pair.source, &self.manifest, &self.id)
            .await
            .unwrap()
    }

    /// Waits until a session of the source has been at a statement for so long that it waits for a lock.
    pub(super) async fn until_somebody_waits(&mut self) {
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
            WHERE db = DATABASE() AND command = 'Query' AND id <> CONNECTION_ID() AND time_ms > 200";
        wait_for("somebody to wait", Duration::from_secs(30), async || {
            self.count(waiting).await > 0
        })
        .await;
    }

    pub(super) async fn sums(&mut self, side: Side) -> Vec<TableSum> {
        let connection = match side {
            Side::Source => &mut self.pair.source,
            Side::Target => &mut self.pair.target,
        };
        MySql::sums(connection, &self.manifest, &self.id, &[Span::ALL])
            .await
            .unwrap()
            .remove(0)
    }

    pub(super) async fn assert_equal(&mut self) -> Vec<TableSum> {
        let source = self.sums(Side::Source).await;
        assert_eq!(source, self.sums(Side::Target).await);
        source
    }
}
