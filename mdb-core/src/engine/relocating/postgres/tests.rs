//! Each step between two databases, with writers that know nothing of moves.

mod arming;
mod capturing;
mod catching_up;
mod copying;
mod locking;
mod ordering;
mod plans;
mod racing;
mod summing;
mod turns;
mod unchecked;

use std::fmt::Write;

use mdb_tests::kit::{SharedServer, shared_postgres};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::*;
use crate::engine::Connected;
use crate::engine::relocating::{
    FenceState, Hurried, MovedColumn, MovedReach, Side, SpanSums, Touched, Unhurried,
    check_delete_all, check_forget_some, check_neighbours, check_other_tables, checked_copy,
    checked_round,
};
use crate::engine::schema::Nullability;
use crate::engine::{TransactionOptions, mdb_tables};

const LIMIT: Duration = Duration::from_millis(100);

const TABLES: &str = "
    CREATE TABLE account (g_user bytea PRIMARY KEY, name text UNIQUE, extra numeric);
    CREATE TABLE orders (g_order bytea PRIMARY KEY,
        g_user bytea REFERENCES account ON DELETE CASCADE ON UPDATE CASCADE, total float8);
    CREATE TABLE item (g_order bytea NOT NULL REFERENCES orders ON DELETE CASCADE, line int NOT NULL, what text,
        length int GENERATED ALWAYS AS (length(what)) STORED, PRIMARY KEY (line, g_order));
    CREATE TABLE note (n int, g_order bytea, line int, body bytea, PRIMARY KEY (g_order, line, n));
    CREATE TABLE task (id uuid PRIMARY KEY, g_user bytea NOT NULL REFERENCES account, place int NOT NULL,
        after uuid REFERENCES task, UNIQUE (g_user, place));
";

/// Two databases, of which one has five users; users 1 and 2 are to move.
struct Fixture {
    server: SharedServer,
    source: String,
    target: String,
    /// A client that uses the source without MDB.
    client: PgConnection,
    pair: Pair<Postgres>,
    manifest: Manifest,
    id: MoveId,
    owner: OwnerToken,
}

fn id(counter: u64) -> Gdid {
    Gdid::new(0, 0, counter).unwrap()
}

/// An id as SQL.
fn hex(counter: u64) -> String {
    format!("'\\x{:x}'::bytea", id(counter))
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

fn by_user() -> MovedReach {
    MovedReach::Key {
        column: "g_user".to_owned(),
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
    Manifest::new(vec![
        table(
            0,
            "account",
            &[("g_user", "bytea"), ("name", "text"), ("extra", "numeric")],
            &[0],
            by_user(),
        ),
        table(
            1,
            "orders",
            &[
                ("g_order", "bytea"),
                ("g_user", "bytea"),
                ("total", "double precision"),
            ],
            &[0],
            by_user(),
        ),
        table(
            2,
            "item",
            &[("g_order", "bytea"), ("line", "integer"), ("what", "text")],
            &[1, 0],
            below(1, &["g_order"]),
        ),
        table(
            3,
            "note",
            &[
                ("n", "integer"),
                ("g_order", "bytea"),
                ("line", "integer"),
                ("body", "bytea"),
            ],
            &[1, 2, 0],
            below(2, &["g_order", "line"]),
        ),
        table(
            4,
            "task",
            &[
                ("id", "uuid"),
                ("g_user", "bytea"),
                ("place", "integer"),
                ("after", "uuid"),
            ],
            &[0],
            by_user(),
        ),
    ])
}

async fn connect(server: &SharedServer, database: &str) -> PgConnection {
    let options: PgConnectOptions = server.url(database).parse().unwrap();
    options.disable_statement_logging().connect().await.unwrap()
}

/// A connection as movers have them.
async fn connect_mover(server: &SharedServer, database: &str) -> PgConnection {
    let mut connection = connect(server, database).await;
    Postgres::begin_session(&mut connection).await.unwrap();
    connection
}

impl Fixture {
    async fn new() -> Self {
        let mut fixture = Self::with(TABLES, manifest()).await;
        for user in 1..=5_u64 {
            let owner = hex(user);
            let mut sql = format!(
                "INSERT INTO account VALUES ({owner}, 'user {user}', 1.50); \
                 INSERT INTO task SELECT ('{user}0000000-0000-0000-0000-00000000000' || n)::uuid, {owner}, n, \
                   CASE WHEN n > 1 THEN ('{user}0000000-0000-0000-0000-00000000000' || n - 1)::uuid END \
                 FROM generate_series(1, 3) AS n; "
            );
            for order in 0..user {
                let order = hex(user * 100 + order);
                let _ = write!(
                    sql,
                    "INSERT INTO orders VALUES ({order}, {owner}, 'NaN'); \
                     INSERT INTO item VALUES ({order}, 1, 'äpple'), ({order}, 2, NULL); \
                     INSERT INTO note VALUES (1, {order}, 2, decode(repeat('ab', 70000), 'hex')), (2, {order}, 2, ''); "
                );
            }
            fixture.client(&sql).await.unwrap();
        }
        fixture
    }

    /// The tables on both sides, empty.
    async fn with(tables: &str, manifest: Manifest) -> Self {
        let server = shared_postgres(0).await.unwrap();
        let source = server.create_database("source").await.unwrap();
        let target = server.create_database("target").await.unwrap();
        let mut pair = Pair {
            source: Connected::alone(connect_mover(&server, &source).await),
            target: Connected::alone(connect_mover(&server, &target).await),
            source_file: None,
        };
        for connection in [&mut pair.source, &mut pair.target] {
            for statement in mdb_tables::<Postgres>().0 {
                run(connection, &statement).await.unwrap();
            }
            run(connection, tables).await.unwrap();
        }
        Self {
            client: connect(&server, &source).await,
            server,
            source,
            target,
            pair,
            manifest,
            id: MoveId::random(),
            owner: OwnerToken::random(),
        }
    }

    /// One more client of the source.
    async fn another(&self) -> PgConnection {
        connect(&self.server, &self.source).await
    }

    async fn client(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        run(&mut self.client, sql).await.map(drop)
    }

    async fn number(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.client)
            .await
            .unwrap()
    }

    /// Until a client of the source waits for a briefcase's lock.
    async fn until_somebody_waits(&mut self) {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' \
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while self.number(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// A transition of all fences at the source, as movers make it.
    async fn fence(&mut self, state: FenceState, deadline: &str) {
        self.try_fence(state, deadline).await.unwrap();
    }

    async fn try_fence(&mut self, state: FenceState, deadline: &str) -> Result<(), StepError> {
        let source = &mut self.pair.source;
        Postgres::begin(source, &TransactionOptions::new()).await?;
        let set = format!(
            "UPDATE mdb_fence SET state = {}, deadline = {deadline}",
            state as u8
        );
        let done = async {
            Postgres::enter_as_mover(source, &self.id, LIMIT).await?;
            Postgres::check_owner(source, &self.id, self.owner).await?;
            Postgres::lock_exclusive(source, &[id(1), id(2)], LIMIT).await?;
            run(source, &set).await?;
            Ok(())
        };
        match done.await {
            Ok(()) => Ok(Postgres::commit(source).await?),
            Err(error) => {
                Postgres::rollback(source).await?;
                Err(error)
            }
        }
    }

    async fn is_armed(&mut self) -> bool {
        let is_armed = Postgres::is_armed(&mut self.pair.source, &self.manifest);
        is_armed.await.unwrap()
    }

    async fn try_arm(&mut self) -> Result<(), StepError> {
        Postgres::arm(
            &mut self.pair.source,
            &self.manifest,
            None,
            &LockLimit::of_server(LIMIT),
        )
        .await
    }

    /// As movers do: on a machine that has much to do, it takes longer than the limit.
    async fn arm(&mut self) {
        while let Err(error) = self.try_arm().await {
            assert!(matches!(error, StepError::Busy), "{error:?}");
        }
    }

    async fn capture(&mut self) {
        self.arm().await;
        self.put_fences().await;
    }

    async fn put_fences(&mut self) {
        for (connection, state) in [
            (&mut self.pair.source, FenceState::Capturing),
            (&mut self.pair.target, FenceState::Receiving),
        ] {
            let (id_text, state) = (self.id.as_str(), state as u8);
            let mover = format!(
                "INSERT INTO mdb_mover VALUES ('{id_text}', {}) ON CONFLICT DO NOTHING",
                self.owner.get()
            );
            run(connection, &mover).await.unwrap();
            Postgres::begin(connection, &TransactionOptions::new())
                .await
                .unwrap();
            Postgres::lock_exclusive(connection, &[id(1), id(2)], LIMIT)
                .await
                .unwrap();
            for user in [1, 2] {
                let fence = format!(
                    "INSERT INTO mdb_fence VALUES ({}, '{id_text}', {state}, 0, NULL, 0, 0)",
                    hex(user)
                );
                run(connection, &fence).await.unwrap();
            }
            Postgres::commit(connection).await.unwrap();
        }
    }

    async fn copy(&mut self) -> Amount {
        let (pair, id) = (&mut self.pair, &self.id);
        Postgres::copy(pair, &self.manifest, id, self.owner, &Unhurried)
            .await
            .unwrap()
    }

    async fn try_catch_up(&mut self) -> Result<u64, StepError> {
        let (pair, id) = (&mut self.pair, &self.id);
        let taken = Postgres::catch_up(pair, &self.manifest, id, self.owner, &Unhurried).await;
        Ok(taken?.records)
    }

    /// One round, checked for whose rows it says that it touches.
    async fn take(&mut self) -> Taken {
        let (pair, manifest) = (&mut self.pair, &self.manifest);
        checked_round(pair, manifest, &self.id, self.owner, &[id(1), id(2)]).await
    }

    async fn catch_up(&mut self) -> u64 {
        self.try_catch_up().await.unwrap()
    }

    async fn sums(&mut self) -> (Vec<TableSum>, Vec<TableSum>) {
        let (manifest, id) = (&self.manifest, &self.id);
        let here = Postgres::sums(&mut self.pair.source, manifest, id, &[Span::ALL]).await;
        let there = Postgres::sums(&mut self.pair.target, manifest, id, &[Span::ALL]).await;
        let sums = (here.unwrap().concat(), there.unwrap().concat());
        // Few and many briefcases are summed in different ways.
        let (manifest, id) = (&self.manifest, &self.id);
        let here = sums_as_many(&mut self.pair.source, manifest, id).await;
        let there = sums_as_many(&mut self.pair.target, manifest, id).await;
        assert_eq!((here, there), sums);
        sums
    }

    async fn assert_equal(&mut self) -> Vec<TableSum> {
        let (here, there) = self.sums().await;
        assert_eq!(here, there);
        here
    }

    /// Catches up, and nothing is missing.
    async fn settle(&mut self) {
        self.catch_up().await;
        assert_eq!(self.catch_up().await, 0);
        self.assert_equal().await;
    }
}

fn is_refused(error: &sqlx::Error) -> bool {
    Postgres::error_class(error) == ErrorClass::Fenced
}

async fn sums_as_many(
    connection: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Vec<TableSum> {
    let briefcases = Briefcases::of(connection, id).await.unwrap();
    let mut sums = SpanSums::new(manifest, &[Span::ALL]);
    sums::add_many(connection, manifest, &briefcases, &mut sums)
        .await
        .unwrap();
    sums.end().concat()
}
