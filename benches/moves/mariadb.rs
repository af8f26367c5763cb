//! What moves on MariaDB are measured against.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use mdb_benches::compare::Comparison;
use mdb_core::Gdid;
use mdb_core::config::Capture;
use mdb_core::relocate::MoveOptions;
use mdb_tests::bank::literal;
use mdb_tests::kit::{PASSWORD, USER};
use mdb_tests::store::TestEngine;
use sqlx::mysql::MySqlRow;
use sqlx::{Column, Connection, Executor, MySql, MySqlConnection, Row, TypeInfo};

use crate::data::{TABLES, create, fill};
use crate::place::Place;
use crate::postgres::{TURN, shell};
use crate::table::{Goal, millis, print};

/// Databases on both servers with the same tables, foreign keys included, and no rows.
pub(crate) async fn peers(place: &Place<MySql>) -> [String; 2] {
    let mut names = [const { String::new() }; 2];
    for (number, name) in names.iter_mut().enumerate() {
        let server = place.server(number);
        *name = server.create_database("peer").await.unwrap();
        let url = server.url(name);
        MySql::run_at(&url, &create::<MySql>()).await.unwrap();
    }
    names
}

/// `mariadb-dump` writes statements from one snapshot, `mariadb` runs them. The dump itself tells the
/// reader not to check foreign keys.
///
/// The briefcases that stay at the source are copied too, those that stay at the target are there before.
pub(crate) async fn dump(place: &Place<MySql>, peers: &[String; 2], from: usize) -> Duration {
    let (source, target) = (place.server(from), place.server(1 - from));
    let (database, peer) = (place.database(from), &peers[1 - from]);
    let names = TABLES.each_ref().map(|table| table.name);
    let mut empty = vec!["SET foreign_key_checks = 0".to_owned()];
    empty.extend(names.map(|name| format!("TRUNCATE TABLE {name}")));
    MySql::run_at(&target.url(peer), &empty).await.unwrap();
    for statements in fill::<MySql>(place.others(1 - from)) {
        MySql::run_at(&target.url(peer), &statements).await.unwrap();
    }
    let login = |port| format!("--no-defaults -h 127.0.0.1 -u {USER} -p{PASSWORD} -P {port}");
    let pipe = format!(
        "mariadb-dump {} --single-transaction --no-create-info --skip-triggers {database} {} | mariadb {} {peer}",
        login(source.port()),
        names.join(" "),
        login(target.port()),
    );
    let took = shell(&pipe).await;
    // As many stay on each side.
    let count = "SELECT count(*) FROM account";
    assert_eq!(
        MySql::number_at(&target.url(peer), count).await.unwrap(),
        MySql::number_at(&place.url(from), count).await.unwrap()
            + i64::try_from(place.others(0).len()).unwrap()
    );
    place.share_of_moving(took)
}

/// One briefcase at a time, from the announcement to the purge, against its rows selected and inserted
/// with nothing around it; and against that with verification and deletion. At last with triggers that stay.
pub(crate) async fn one(place: &mut Place<MySql>) {
    let mut flat = Flat::new(place).await;
    let names = [
        "mariadb one / select, insert flat",
        "mariadb one / … verify, delete flat",
    ];
    one_by_one(place, &mut flat, names).await;
    place.set_capture(Capture::Always).await;
    let names = [
        "mariadb one, triggers stay / flat",
        "mariadb one, triggers stay / … verify, delete",
    ];
    one_by_one(place, &mut flat, names).await;
    place.set_capture(Capture::Moving).await;
}

async fn one_by_one(place: &Place<MySql>, flat: &mut Flat, names: [&str; 2]) {
    let options = MoveOptions::new().batch(1);
    let (mut ours, mut copied, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    let few = &place.ids()[..place.ids().len().min(400)];
    for to in [1, 0] {
        place.settle().await;
        for ids in few.chunks_exact(2 * TURN) {
            let (one, other) = ids.split_at(TURN);
            ours.push(place.move_to(to, one, &options).await.0);
            let mut took = [Duration::ZERO; 2];
            for id in other {
                let [copy, delete] = flat.move_to(to, *id).await;
                took = [took[0] + copy, took[1] + delete];
            }
            copied.push(took[0]);
            deleted.push(took[1]);
        }
    }
    for (name, flat, goal) in [
        (names[0], copied, Goal::AtMost(3.0)),
        (names[1], deleted, Goal::None),
    ] {
        let comparison = Comparison::of(ours.clone(), flat).per(TURN as u32);
        print(
            name,
            &millis(comparison.ours()),
            &millis(comparison.against()),
            comparison.ratio(),
            goal,
        );
    }
}

/// Two connections, open all the time, to databases of its own with the same rows and no triggers. It knows nothing of fences, changes or what happens when it
/// breaks off.
struct Flat([MySqlConnection; 2]);

impl Flat {
    async fn new(place: &Place<MySql>) -> Self {
        let peers = peers(place).await;
        let url = |number: usize| place.server(number).url(&peers[number]);
        for statements in fill::<MySql>(place.ids()) {
            MySql::run_at(&url(0), &statements).await.unwrap();
        }
        let connect = |number| {
            let url = url(number);
            async move { MySqlConnection::connect(&url).await.unwrap() }
        };
        Self([connect(0).await, connect(1).await])
    }

    /// The time until the rows were committed at the target, and until they were gone at the source.
    async fn move_to(&mut self, number: usize, id: Gdid) -> [Duration; 2] {
        let [first, second] = &mut self.0;
        let (source, target) = if number == 1 {
            (first, second)
        } else {
            (second, first)
        };
        let key = literal::<MySql>(id);
        let started = Instant::now();
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        source.execute(begin).await.unwrap();
        target.execute("START TRANSACTION").await.unwrap();
        for table in &TABLES {
            let (name, condition) = (table.name, table.condition(&key));
            let select = format!("SELECT * FROM {name} t WHERE {condition}");
            let rows = source.fetch_all(select.as_str()).await.unwrap();
            let insert = format!("INSERT INTO {name} VALUES {}", values(&rows));
            target.execute(insert.as_str()).await.unwrap();
        }
        target.execute("COMMIT").await.unwrap();
        source.execute("COMMIT").await.unwrap();
        let copied = started.elapsed();

        let sums = TABLES.iter().map(|table| {
            format!(
                "SELECT count(*), CAST(coalesce(sum(CAST(conv(left(md5(concat_ws(',', {})), 15), 16, 10) AS UNSIGNED)), 0) AS CHAR) \
                 FROM {} t WHERE {}",
                columns(table.name),
                table.name,
                table.condition(&key)
            )
        });
        let sums = sums.collect::<Vec<_>>().join(" UNION ALL ");
        let (here, there) = tokio::join!(
            source.fetch_all(sums.as_str()),
            target.fetch_all(sums.as_str())
        );
        let sum = |row: MySqlRow| -> (i64, String) { (row.get(0), row.get(1)) };
        let sums = |rows: Vec<MySqlRow>| -> Vec<_> { rows.into_iter().map(sum).collect() };
        assert_eq!(sums(here.unwrap()), sums(there.unwrap()));

        let mut delete = "START TRANSACTION; ".to_owned();
        for table in TABLES.iter().rev() {
            let (name, condition) = (table.name, table.condition(&key));
            let _ = write!(delete, "DELETE t FROM {name} t WHERE {condition}; ");
        }
        source
            .execute(format!("{delete}COMMIT").as_str())
            .await
            .unwrap();
        [copied, started.elapsed()]
    }
}

/// The columns that a sum is made of.
fn columns(table: &str) -> &'static str {
    match table {
        "account" => "t.g_user, t.cents, t.name, t.joined, t.settings, t.picture",
        "address" => "t.g_user, t.n, t.street, t.city, t.latitude",
        "purchase" => "t.g_purchase, t.g_user, t.placed, t.total, t.is_paid",
        "item" => "t.g_purchase, t.n, t.product, t.pieces, t.price",
        "payment" => "t.g_purchase, t.n, t.paid, t.amount, t.reference",
        "message" => "t.g_user, t.n, t.sent, t.body",
        "attachment" => "t.g_user, t.message, t.content",
        _ => "t.g_user, t.n, t.happened, t.level, t.detail",
    }
}

/// Rows as one `INSERT` takes them.
fn values(rows: &[MySqlRow]) -> String {
    let mut text = String::new();
    for row in rows {
        text.push_str(if text.is_empty() { "(" } else { ", (" });
        for (place, column) in row.columns().iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            let Some(value) = row.get_unchecked::<Option<&[u8]>, _>(place) else {
                text.push_str("NULL");
                continue;
            };
            if matches!(column.type_info().name(), "BLOB" | "BINARY") {
                text.push_str("x'");
                for byte in value {
                    let _ = write!(text, "{byte:02x}");
                }
                text.push('\'');
            } else {
                let value = std::str::from_utf8(value).unwrap();
                let value = value.replace('\\', "\\\\").replace('\'', "''");
                let _ = write!(text, "'{value}'");
            }
        }
        text.push(')');
    }
    text
}
