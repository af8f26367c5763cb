//! What moves on PostgreSQL are measured against.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mdb_benches::compare::Comparison;
use mdb_core::Gdid;
use mdb_core::config::Capture;
use mdb_core::relocate::MoveOptions;
use mdb_tests::bank::literal;
use mdb_tests::store::TestEngine;
use sqlx::postgres::PgRow;
use sqlx::{Connection, Executor, PgConnection, Postgres, Row};

use crate::data::{TABLES, create, fill};
use crate::place::Place;
use crate::table::{Goal, millis, print};

/// Databases on both servers with the same tables, foreign keys included, and no rows.
pub(crate) async fn peers(place: &Place<Postgres>) -> [String; 2] {
    let mut urls = [const { String::new() }; 2];
    for (number, url) in urls.iter_mut().enumerate() {
        let server = place.server(number);
        *url = server.url(&server.create_database("peer").await.unwrap());
        Postgres::run_at(url, &create::<Postgres>()).await.unwrap();
    }
    urls
}

/// `psql` writes each table in COPY's binary form, another `psql` reads it.
pub(crate) async fn psql(place: &Place<Postgres>, peers: &[String; 2], from: usize) -> Duration {
    let (source, target) = (place.url(from), &peers[1 - from]);
    let names = TABLES.each_ref().map(|table| table.name);
    let truncate = format!("TRUNCATE {}", names.join(", "));
    Postgres::run_at(target, &[truncate]).await.unwrap();
    let pipes = names.map(|name| {
        format!(
            "psql -Xq '{source}' -c 'COPY {name} TO STDOUT (FORMAT binary)' \
             | psql -Xq '{target}' -c 'COPY {name} FROM STDIN (FORMAT binary)'"
        )
    });
    let took = shell(&pipes.join(" && ")).await;
    let count = "SELECT count(*) FROM item";
    assert_eq!(
        Postgres::number_at(target, count).await.unwrap(),
        Postgres::number_at(&source, count).await.unwrap()
    );
    took
}

/// Runs a shell's commands, all of which have to succeed.
pub(crate) async fn shell(commands: &str) -> Duration {
    let started = Instant::now();
    let mut shell = tokio::process::Command::new("bash");
    let status = shell
        .args(["-o", "pipefail", "-c", commands])
        .status()
        .await;
    assert!(status.unwrap().success(), "{commands}");
    started.elapsed()
}

/// How many briefcases each side moves before it is the other's turn.
pub(crate) const TURN: usize = 10;

/// One briefcase after another, each from its announcement to its purge, against its rows copied,
/// verified and deleted with nothing around it. Both sides keep their connections; MDB's run installs its
/// triggers before the first one and removes them after the last.
///
/// At last with triggers that stay.
pub(crate) async fn one(place: &mut Place<Postgres>) {
    let mut flat = Flat::new(place).await;
    let names = [
        "postgres one / copy, verify, delete flat",
        "… alone: connections, triggers included",
    ];
    one_by_one(place, &mut flat, names).await;
    place.set_capture(Capture::Always).await;
    let names = [
        "postgres one, triggers stay / flat",
        "… alone, triggers stay",
    ];
    one_by_one(place, &mut flat, names).await;
    place.set_capture(Capture::Moving).await;
}

async fn one_by_one(place: &Place<Postgres>, flat: &mut Flat, names: [&str; 2]) {
    let options = MoveOptions::new().batch(1);
    let (mut ours, mut theirs, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let few = &place.ids()[..place.ids().len().min(400)];
    for to in [1, 0] {
        place.settle().await;
        for (round, ids) in few.chunks_exact(2 * TURN).enumerate() {
            let (one, other) = ids.split_at(TURN);
            for turn in 0..2 {
                if (round + turn) % 2 == 0 {
                    ours.push(place.move_to(to, one, &options).await.0);
                } else {
                    let started = Instant::now();
                    for id in other {
                        flat.move_to(to, *id).await;
                    }
                    theirs.push(started.elapsed());
                }
            }
        }
    }
    for id in &few[..few.len() / 10] {
        alone.push(place.move_to(1, &[*id], &options).await.0);
        place.move_to(0, &[*id], &options).await;
    }
    let flat = Comparison::of(ours, theirs).per(TURN as u32);
    let alone = Comparison::of(alone.clone(), alone);
    for (name, ours, goal) in [
        (names[0], flat.ours(), Goal::AtMost(3.0)),
        (names[1], alone.ours(), Goal::None),
    ] {
        let against = flat.against();
        print(name, &millis(ours), &millis(against), ours / against, goal);
    }
}

/// Two connections, open all the time, to databases of its own with the same rows and no triggers. It knows nothing of fences, changes or what happens when it
/// breaks off.
struct Flat([PgConnection; 2]);

impl Flat {
    async fn new(place: &Place<Postgres>) -> Self {
        let peers = peers(place).await;
        for statements in fill::<Postgres>(place.ids()) {
            Postgres::run_at(&peers[0], &statements).await.unwrap();
        }
        let connect = async |url: &str| {
            let mut connection = PgConnection::connect(url).await.unwrap();
            connection.execute("VACUUM (ANALYZE)").await.unwrap();
            connection
        };
        Self([connect(&peers[0]).await, connect(&peers[1]).await])
    }

    async fn move_to(&mut self, number: usize, id: Gdid) {
        let [first, second] = &mut self.0;
        let (source, target) = if number == 1 {
            (first, second)
        } else {
            (second, first)
        };
        let key = literal::<Postgres>(id);
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        source.execute(begin).await.unwrap();
        target.execute("BEGIN").await.unwrap();
        for table in &TABLES {
            let (name, condition) = (table.name, table.condition(&key));
            let select = format!(
                "COPY (SELECT * FROM {name} AS t WHERE {condition}) TO STDOUT (FORMAT binary)"
            );
            let rows = source.copy_out_raw(&select).await.unwrap();
            let rows = rows.try_fold(Vec::new(), async |mut rows, bytes| {
                rows.extend_from_slice(&bytes);
                Ok(rows)
            });
            let rows = rows.await.unwrap();
            let insert = format!("COPY {name} FROM STDIN (FORMAT binary)");
            let mut into = target.copy_in_raw(&insert).await.unwrap();
            into.send(rows).await.unwrap();
            into.finish().await.unwrap();
        }
        target.execute("COMMIT").await.unwrap();
        source.execute("COMMIT").await.unwrap();

        let sums = TABLES.iter().map(|table| {
            format!(
                "SELECT count(*), coalesce(sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint), 0)::text FROM {} AS t WHERE {}",
                table.name,
                table.condition(&key)
            )
        });
        let sums = sums.collect::<Vec<_>>().join(" UNION ALL ");
        let (here, there) = tokio::join!(
            source.fetch_all(sums.as_str()),
            target.fetch_all(sums.as_str())
        );
        let sum = |row: PgRow| -> (i64, String) { (row.get(0), row.get(1)) };
        let sums = |rows: Vec<PgRow>| -> Vec<_> { rows.into_iter().map(sum).collect() };
        assert_eq!(sums(here.unwrap()), sums(there.unwrap()));

        let mut delete = "BEGIN; ".to_owned();
        for table in TABLES.iter().rev() {
            let (name, condition) = (table.name, table.condition(&key));
            let _ = write!(delete, "DELETE FROM {name} AS t WHERE {condition}; ");
        }
        source
            .execute(format!("{delete}COMMIT").as_str())
            .await
            .unwrap();
    }
}
