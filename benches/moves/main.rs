//! What moving briefcases costs: `cargo bench -p mdb-benches --bench moves [-- NAME…]`.
//!
//! Both sides of a row run in turn in one process, on the same servers, which force each commit to the
//! disk. The goals are those of `README.md`; a ratio that misses its goal is marked, and the exit code
//! is 0 all the same: machines differ. `MDB_BENCH_BRIEFCASES=100` makes a quick run; 1,000 is what counts.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a bench may panic, and counts only a few million"
)]

mod batch;
mod data;
mod load;
mod mariadb;
mod pause;
mod place;
mod postgres;
mod sqlite;
mod steady;
mod table;

use mdb_benches::compare::Comparison;
use mdb_core::config::Capture;
use place::Place;
use sqlx::{MySql, Postgres, Sqlite};
use table::{Wanted, heading, print_disk};

/// Beside so many moving briefcases one stays on each shard, where those are in use.
const STAYING: usize = 4;

fn main() {
    let wanted = Wanted::from_arguments();
    let several = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let briefcases = data::briefcases();
    println!("{briefcases} briefcases × {} rows\n", data::ROWS);
    heading();
    if wanted.has("postgres") {
        print_disk();
        several.block_on(async {
            let mut place = Place::<Postgres>::start(briefcases).await;
            if wanted.has("postgres one") {
                postgres::one(&mut place).await;
            }
            if wanted.has("postgres batch") {
                let peers = postgres::peers(&place).await;
                let psql = async |from| postgres::psql(&place, &peers, from).await;
                batch::against(&place, "postgres batch / psql COPY", 1.0, psql).await;
            }
            if wanted.has("postgres four") {
                batch::four(&place, "postgres four / one at a time", 1.6).await;
            }
            if wanted.has("postgres heard") {
                batch::heard(&place, "postgres heard by a process / nobody").await;
            }
            if wanted.has("postgres pause") {
                pause::one(&place, "postgres pause, 1 in a batch").await;
                pause::hundred(&place, "postgres pause, 100 in a batch").await;
                place.set_capture(Capture::Always).await;
                pause::one(&place, "postgres pause, 1, triggers stay").await;
                pause::hundred(&place, "postgres pause, 100, triggers stay").await;
                place.set_capture(Capture::Moving).await;
            }
            if wanted.has("postgres others") {
                load::others(&place, "postgres others").await;
            }
        });
    }
    if wanted.has("mariadb") {
        print_disk();
        several.block_on(async {
            let mut place = Place::<MySql>::start(briefcases).await;
            if wanted.has("mariadb one") {
                mariadb::one(&mut place).await;
            }
            if wanted.has("mariadb batch") {
                let peers = mariadb::peers(&place).await;
                let dump = async |from| mariadb::dump(&place, &peers, from).await;
                batch::against(&place, "mariadb batch / mariadb-dump", 0.8, dump).await;
            }
            if wanted.has("mariadb heard") {
                batch::heard(&place, "mariadb heard by a process / nobody").await;
            }
            if wanted.has("mariadb others") {
                load::others(&place, "mariadb others").await;
            }
            if wanted.has("mariadb in use") {
                let place = Place::<MySql>::among(briefcases, briefcases / STAYING).await;
                let peers = mariadb::peers(&place).await;
                let dump = async |from| mariadb::dump(&place, &peers, from).await;
                batch::against(&place, "mariadb in use / mariadb-dump", 0.8, dump).await;
            }
        });
    }
    if wanted.has("sqlite") {
        print_disk();
        several.block_on(async {
            let place = Place::<Sqlite>::start(briefcases).await;
            if wanted.has("sqlite batch") {
                let attach = async |from| sqlite::attach(&place, from).await;
                batch::against(&place, "sqlite batch / ATTACH", 0.5, attach).await;
            }
            if wanted.has("sqlite heard") {
                batch::heard(&place, "sqlite heard by a process / nobody").await;
            }
            if wanted.has("sqlite others") {
                load::others(&place, "sqlite others").await;
            }
            if wanted.has("sqlite in use") {
                let place = Place::<Sqlite>::among(briefcases, briefcases / STAYING).await;
                let attach = async |from| sqlite::attach(&place, from).await;
                batch::against(&place, "sqlite in use / ATTACH", 0.5, attach).await;
            }
        });
    }
    drop(several);
    if wanted.has("steady") {
        print_disk();
        // One thread asks and waits: what is measured is a statement's way, not how threads are woken.
        let one = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        one.block_on(async {
            steady::compare::<Postgres>("postgres").await;
            steady::compare::<MySql>("mariadb").await;
            steady::compare::<Sqlite>("sqlite").await;
        });
    }
}

/// How many times faster ours is.
fn faster(comparison: Comparison) -> f64 {
    1.0 / comparison.ratio()
}
