//! Real processes, killed at random points, with one location put back in between.
//!
//! The process is this test program once more, told by an environment variable where to count.

use std::collections::HashSet;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use mdb_gdid::{BlockLife, DiskOptions, Place};

use crate::disks::{AUTHORITY, Disks, allocate, ids, open};

const LOCATIONS: &str = "MDB_TEST_DISK_LOCATIONS";
const THREADS: usize = 4;

/// Counts until it is killed.
#[test]
#[ignore = "is the process that another test starts and kills"]
fn counts_for_ever() {
    let Some(locations) = env::var_os(LOCATIONS) else {
        return;
    };
    let locations: Vec<PathBuf> = env::split_paths(&locations).collect();
    let place = Place::new("disks");
    let options = DiskOptions::new(ids(&[AUTHORITY]), locations, BlockLife::USUAL, place);
    let source = open(&options).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let source = &source;
            scope.spawn(move || {
                for ids in (1..=30).cycle() {
                    let block = allocate(source, ids).unwrap();
                    println!(
                        "block {thread} {} {}",
                        block.first().counter(),
                        block.count()
                    );
                }
            });
        }
    });
}

/// The blocks of a process that is killed once it has told so many: thread, first counter, count.
fn run_and_kill(disks: &Disks, blocks: usize) -> Vec<(usize, u64, u64)> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::counts_for_ever",
            "--ignored",
            "--nocapture",
        ])
        .env(LOCATIONS, env::join_paths(disks.locations()).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut told, mut line) = (Vec::new(), String::new());
    while output.read_line(&mut line).unwrap() > 0 {
        // The last line may be cut off.
        if let Some((_, block)) = line.split_once("block ")
            && line.ends_with('\n')
        {
            let mut numbers = block
                .split_whitespace()
                .map(|number| number.parse::<u64>().unwrap());
            let [thread, first, count] = std::array::from_fn(|_| numbers.next().unwrap());
            told.push((usize::try_from(thread).unwrap(), first, count));
        }
        line.clear();
        if told.len() == blocks {
            // What it tells until it is dead counts as well.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(told.len() >= blocks, "the process has ended by itself");
    told
}

#[test]
fn killed_processes_never_repeat_an_id() {
    let rounds = if env::var_os("MDB_TEST_LONG").is_some() {
        200
    } else {
        8
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let disks = Disks::new(3);
    let mut seen = HashSet::new();
    let (mut restored, mut last) = (None, 0);
    for round in 0..rounds {
        let blocks = run_and_kill(&disks, random.usize(1..120));
        let mut threads = [last; THREADS];
        for (thread, first, count) in blocks {
            assert!(first > threads[thread], "round {round}: it does not ascend");
            threads[thread] = first + count - 1;
            last = last.max(threads[thread]);
            for id in first..first + count {
                assert!(seen.insert(id), "round {round}: {id} twice");
            }
        }
        if restored.is_some_and(|disk| disks.counter(disk) >= Some(last)) {
            restored = None;
        }
        let disk = restored.unwrap_or_else(|| random.usize(0..3));
        if random.bool() {
            disks.restore(disk, random.bool());
            restored = Some(disk);
        } else {
            disks.back_up(disk);
        }
    }
    println!("{} ids", seen.len());
}
