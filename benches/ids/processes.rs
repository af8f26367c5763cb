//! Two processes with two threads each that take ids from one authority in a database, to whose own
//! latency some is added.
//!
//! A process is this program once more, told by its environment what to do. It runs for a while that does
//! not count, then for [`PART`]: as fast as it goes, or at 0.8 × (ids at the low-water mark of the largest
//! block ÷ latency), the latency being the added one and what the database was seen to take.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mdb_core::Mdb;
use mdb_gdid::{
    AllocateFuture, BlockSize, BlockSource, Generator, GeneratorOptions, RangeKey, ScopeName,
    SequenceName, StatusFuture,
};
use mdb_tests::kit::{Durability, Kind, Server, unique};

use crate::rates;

/// What tells a process that it is one of two: configuration, latency in ms, largest block, rate.
const TOLD: &str = "MDB_BENCH_IDS";
const PROCESSES: u32 = 2;

/// An authority that takes longer than it would.
#[derive(Debug)]
struct Slower {
    source: Arc<dyn BlockSource>,
    latency: Duration,
}

impl BlockSource for Slower {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            if !self.latency.is_zero() {
                tokio::time::sleep(self.latency).await;
            }
            self.source.allocate(scope, sequence, size).await
        })
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        self.source.raise(scope, sequence, floor)
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        self.source.status(scope, sequence)
    }
}

/// Does what the environment says, if this is one of the two processes.
pub(crate) fn is_told() -> bool {
    let Ok(told) = std::env::var(TOLD) else {
        return false;
    };
    let told: Vec<&str> = told.split('|').collect();
    let [config, millis, largest, rate] = told[..] else {
        panic!("{TOLD} has four parts");
    };
    let latency = Duration::from_millis(millis.parse().unwrap());
    let largest: u16 = largest.parse().unwrap();
    let rate: f64 = rate.parse().unwrap();
    let runtime = rates::runtime();
    let _inside = runtime.enter();
    let mdb = runtime.block_on(Mdb::open(config)).unwrap();
    let source = mdb.authority("central").unwrap();
    let size = |ids| BlockSize::new(ids).unwrap();
    let options = GeneratorOptions::new(size(8), size(largest)).unwrap();
    let (scope, name) = (
        "BENCH.MAIN.CENTRAL".parse().unwrap(),
        "user".parse().unwrap(),
    );
    let ids = Generator::new(Arc::new(Slower { source, latency }), scope, name, options);
    if rate > 0.0 {
        let (waits, waited) = rates::paced(&runtime, &ids, rate);
        println!("{waits} {}", waited.as_secs_f64());
    } else {
        println!("{} 0", rates::fastest(&runtime, &ids));
    }
    true
}

pub(crate) fn sustained() {
    println!(
        "\n{:>10} {:>7} {:>8} {:>14} {:>10} | {:>12} {:>8} {:>10}",
        "processes",
        "block",
        "latency",
        "ids/s, fastest",
        "a block",
        "ids/s, paced",
        "waits",
        "waited"
    );
    let runtime = rates::runtime();
    let server = runtime
        .block_on(Server::start(Kind::Postgres, Durability::Fast))
        .unwrap();
    for (engine, url) in [
        ("SQLite", "sqlite:data".to_owned()),
        ("PostgreSQL", server.url_template()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("mdb.toml");
        let central = unique("central");
        std::fs::write(
            &config,
            format!(
                "store = {{ name = \"bench\" }}\nsequence = [{{ name = \"user\" }}]\n[[server]]\nname = \"one\"\nurl = \"{url}\"\n\
                 [central]\nshards = [{{ server = \"one\", database = \"{central}\" }}]\n"
            ),
        )
        .unwrap();
        let taken = runtime.block_on(async {
            let mdb = Mdb::open(&config).await.unwrap();
            for (_, report) in mdb.init().await {
                report.unwrap();
            }
            // What a block takes by itself, one after another.
            let (source, blocks) = (mdb.authority("central").unwrap(), 200);
            let (scope, name) = (
                "BENCH.MAIN.CENTRAL".parse().unwrap(),
                "user".parse().unwrap(),
            );
            let began = Instant::now();
            for _ in 0..blocks {
                source
                    .allocate(&scope, &name, BlockSize::MAX)
                    .await
                    .unwrap();
            }
            began.elapsed() / blocks
        });
        let config = config.display().to_string();
        for largest in [128_u16, 1_024] {
            for millis in [0_u32, 1, 10] {
                let told = |rate: f64| format!("{config}|{millis}|{largest}|{rate}");
                let (fastest, _) = both(&told(0.0));
                // The others' blocks are waited for too, and the timer adds about a millisecond.
                let timer = Duration::from_millis(u64::from(millis > 0));
                let latency = Duration::from_millis(millis.into()) + timer + taken * PROCESSES;
                let low_water = f64::from(largest) * 0.25;
                let rate = 0.8 * low_water / latency.as_secs_f64();
                let (waits, waited) = both(&told(rate));
                println!(
                    "{engine:>10} {largest:>7} {millis:>5} ms {fastest:>14.0} {taken:>10.1?} | {:>12.0} {waits:>8.0} {:>7.1} ms",
                    rate * f64::from(PROCESSES),
                    waited * 1000.0
                );
            }
        }
    }
}

/// Runs both processes at the same time, and adds up what they say.
fn both(told: &str) -> (f64, f64) {
    let program = std::env::current_exe().unwrap();
    let children: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            let mut command = Command::new(&program);
            command
                .env(TOLD, told)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut sums = (0.0, 0.0);
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<f64> = said
            .split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect();
        sums = (sums.0 + numbers[0], sums.1 + numbers[1]);
    }
    sums
}
