//! A store with two shards on two servers, and moves between them.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use mdb_core::config::{Capture, Config};
use mdb_core::error::chain;
use mdb_core::relocate::{MoveOptions, MoveProgress, MoveReport, MoveRequest, Selection};
use mdb_core::{Area, Gdid, Mdb};
use mdb_tests::kit::{Durability, Kind, Server, temp_dir, unique};
use mdb_tests::store::TestEngine;
use tempfile::TempDir;

use crate::data;

/// A store, its servers, and a process that moves its briefcases.
pub(crate) struct Place<DB: TestEngine> {
    text: String,
    directory: TempDir,
    prefix: String,
    servers: Vec<Server>,
    mover: Mdb,
    ids: Vec<Gdid>,
    /// What stays on each shard.
    others: [Vec<Gdid>; 2],
    engine: PhantomData<fn() -> DB>,
}

impl<DB: TestEngine> Place<DB> {
    /// Fills the first shard with so many briefcases, and the second with none.
    pub(crate) async fn start(briefcases: usize) -> Self {
        Self::among(briefcases, 0).await
    }

    /// The same, where each shard has so many other briefcases, whose ids are between those of the moving ones.
    pub(crate) async fn among(briefcases: usize, others: usize) -> Self {
        let mut servers = Vec::new();
        if let Some(kind) = DB::SERVER {
            for _ in 0..2 {
                servers.push(Server::start(kind, Durability::Fsync).await.unwrap());
            }
        }
        let urls = match &servers[..] {
            [a, b] => [a.url_template(), b.url_template()],
            _ => ["sqlite:east".to_owned(), "sqlite:west".to_owned()],
        };
        let prefix = unique("moves");
        let (text, directory) = (configuration(&prefix, &urls), temp_dir().unwrap());
        let mover = open(&text, &directory);
        for (shard, report) in mover.init().await {
            report.unwrap_or_else(|error| panic!("shard {shard}: {}", chain(&error)));
        }
        let area: Area<DB> = mover.area("user").unwrap();
        let [mut ids, theirs] = [0, 1].map(|number| {
            let shard = area.shards()[number].id();
            let ids = (1..).map(|counter| Gdid::new(0, 0, counter).unwrap());
            let ids = ids.filter(|id| area.route(*id).is_ok_and(|route| route.shard_id() == shard));
            ids.take(briefcases + others).collect::<Vec<_>>()
        });
        let others = [spread(&ids, others), spread(&theirs, others)];
        ids.retain(|id| !others[0].contains(id));
        let place = Self {
            text,
            directory,
            prefix,
            servers,
            mover,
            ids,
            others,
            engine: PhantomData,
        };
        place.prepare_logs().await;
        for number in [0, 1] {
            DB::run_at(&place.url(number), &data::create::<DB>())
                .await
                .unwrap();
        }
        for (number, ids) in [
            (0, &place.ids),
            (0, &place.others[0]),
            (1, &place.others[1]),
        ] {
            for statements in data::fill::<DB>(ids) {
                DB::run_at(&place.url(number), &statements).await.unwrap();
            }
        }
        place.settle().await;
        place
    }

    /// Has PostgreSQL's servers own a gigabyte of log, as servers do that have been in use: a new one writes each
    /// segment full of zeroes before its first use, while all commits wait.
    async fn prepare_logs(&self) {
        for server in self
            .servers
            .iter()
            .filter(|server| server.kind() == Kind::Postgres)
        {
            let mut session = superuser(server).await;
            let mut run = async |sql: &str| {
                sqlx::Executor::execute(&mut session, sql).await.unwrap();
            };
            run("ALTER SYSTEM SET min_wal_size = '1GB'").await;
            run("ALTER SYSTEM SET max_wal_size = '4GB'").await;
            run("SELECT pg_reload_conf()").await;
            for _ in 0..60 {
                run("SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()").await;
            }
            run("CHECKPOINT").await;
        }
    }

    /// Has the triggers stay from now on, or not any more.
    pub(crate) async fn set_capture(&mut self, capture: Capture) {
        let area = "[[area]]\n";
        let always = format!("{area}capture = \"always\"\n");
        self.text = match capture {
            Capture::Always => self.text.replace(area, &always),
            Capture::Moving => self.text.replace(&always, area),
        };
        self.mover = open(&self.text, &self.directory);
        let relocator = self.mover.relocator();
        match capture {
            Capture::Always => drop(
                relocator
                    .prepare("user", Duration::from_mins(1))
                    .await
                    .unwrap(),
            ),
            Capture::Moving => drop(relocator.clean().await.unwrap()),
        }
    }

    /// The store as another process sees it, with a lease.
    pub(crate) async fn joined(&self) -> Mdb {
        let mdb = open(&self.text, &self.directory);
        assert!(mdb.join().await);
        mdb
    }

    /// All briefcases that move.
    pub(crate) fn ids(&self) -> &[Gdid] {
        &self.ids
    }

    /// The briefcases that stay on the shard of that number.
    pub(crate) fn others(&self, number: usize) -> &[Gdid] {
        &self.others[number]
    }

    /// What is left of a time in which the source's other briefcases were copied too.
    pub(crate) fn share_of_moving(&self, took: Duration) -> Duration {
        let (moving, all) = (self.ids.len(), self.ids.len() + self.others[0].len());
        took.mul_f64(moving as f64 / all as f64)
    }

    /// The directory of SQLite's files.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The server of that number.
    pub(crate) fn server(&self, number: usize) -> &Server {
        &self.servers[number]
    }

    /// The name of a shard's database.
    pub(crate) fn database(&self, number: usize) -> String {
        format!("{}_{number}", self.prefix)
    }

    /// The URL of a shard's database.
    pub(crate) fn url(&self, number: usize) -> String {
        let database = self.database(number);
        if let Some(server) = self.servers.get(number) {
            return server.url(&database);
        }
        let server = ["east", "west"][number];
        let directory = self.directory.path().display();
        format!("sqlite:{directory}/{server}/{database}.db")
    }

    /// Moves briefcases to the shard of that number, and says how long that took.
    ///
    /// The plan is made before: it reads both schemas and takes no part in the announcement or what
    /// comes after it.
    pub(crate) async fn move_to(
        &self,
        number: usize,
        ids: &[Gdid],
        options: &MoveOptions,
    ) -> (Duration, Vec<MoveReport>) {
        let relocator = self.mover.relocator();
        let area: Area<DB> = self.mover.area("user").unwrap();
        let target = area.shards()[number].id();
        let request = MoveRequest::new("user", Selection::Briefcases(ids.to_vec()), target);
        let plan = relocator.plan(&request).await;
        let plan = plan.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(plan.briefcases(), ids.len(), "all of them are elsewhere");
        let progress = MoveProgress::new();
        let started = Instant::now();
        let reports = relocator.run(&plan, options, &progress).await;
        let took = started.elapsed();
        let reports = reports.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let rows: u64 = reports.iter().map(MoveReport::rows).sum();
        assert_eq!(
            rows,
            (ids.len() * data::ROWS) as u64,
            "all rows were verified"
        );
        (took, reports)
    }

    /// Has both shards done with what earlier moves have left to do in the background, so that no side
    /// of a comparison pays for the other.
    pub(crate) async fn settle(&self) {
        for number in [0, 1] {
            let url = self.url(number);
            match DB::SERVER {
                Some(Kind::Postgres) => {
                    // Not in a transaction.
                    sqlx::Executor::execute(&mut connect(&url).await, "VACUUM (ANALYZE)")
                        .await
                        .unwrap();
                    let mut owner = superuser(&self.servers[number]).await;
                    sqlx::Executor::execute(&mut owner, "CHECKPOINT")
                        .await
                        .unwrap();
                }
                Some(Kind::MariaDb) => {
                    let history = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
                        WHERE variable_name = 'INNODB_HISTORY_LIST_LENGTH'";
                    let until = Instant::now() + Duration::from_secs(20);
                    while DB::number_at(&url, history).await.unwrap() > 100
                        && Instant::now() < until
                    {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                None => {
                    DB::number_at(&url, "PRAGMA wal_checkpoint(TRUNCATE)")
                        .await
                        .unwrap();
                }
            }
        }
    }
}

/// So many of the ids, at equal distances.
fn spread(ids: &[Gdid], count: usize) -> Vec<Gdid> {
    (0..count)
        .map(|place| ids[(2 * place + 1) * ids.len() / (2 * count)])
        .collect()
}

/// Who may write checkpoints; lets itself in by the server's own socket.
async fn superuser(server: &Server) -> sqlx::PgConnection {
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .socket(server.directory().join("data"))
        .port(server.port())
        .username("postgres")
        .database("postgres");
    sqlx::Connection::connect_with(&options).await.unwrap()
}

async fn connect(url: &str) -> sqlx::PgConnection {
    sqlx::Connection::connect(url).await.unwrap()
}

fn open(text: &str, directory: &TempDir) -> Mdb {
    let config = Config::parse("mdb.toml", text, directory.path(), &|_| None);
    let config = config.unwrap_or_else(|faults| panic!("{faults}:\n{faults:?}"));
    Mdb::from_config(config).unwrap()
}

fn configuration(prefix: &str, [east, west]: &[String; 2]) -> String {
    format!(
        r#"
        store = {{ name = "moves" }}
        defaults = {{ max_connections = 20 }}
        [[server]]
        name = "east"
        url = "{east}"
        [[server]]
        name = "west"
        url = "{west}"
        [central]
        shards = [{{ server = "east", database = "{prefix}_central" }}]
        [[area]]
        name = "user"
        [[area.partition]]
        start = "0:0:1"
        shards = [
            {{ server = "east", database = "{prefix}_0" }},
            {{ server = "west", database = "{prefix}_1" }},
        ]
        [[area.briefcase]]
        name = "user"
        table = [
            {{ name = "account", key = "g_user" }},
            {{ name = "address", key = "g_user" }},
            {{ name = "purchase", key = "g_user" }},
            {{ name = "item", parent = "purchase", on = {{ g_purchase = "g_purchase" }} }},
            {{ name = "payment", parent = "purchase", on = {{ g_purchase = "g_purchase" }} }},
            {{ name = "message", key = "g_user" }},
            {{ name = "attachment", key = "g_user" }},
            {{ name = "event", key = "g_user" }},
        ]
        "#
    )
}
