//! Every operation on every location fails in turn, or is the last one that a process does.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use mdb_gdid::{DiskAuthority, FailPoints, FileStep, RangeKey};

use crate::disks::{Disks, allocate, open, raise};

/// How an operation goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is not done, and fails.
    Fails,
    /// It is done, and fails nevertheless.
    FailsAfterwards,
    /// The process dies before it, and so does the machine: what was not synced is lost, or half of
    /// it, or kept, by this seed.
    Dies(u64),
}

/// Lets the `countdown`-th operation below a path go wrong.
#[derive(Debug)]
pub(crate) struct Crash {
    below: PathBuf,
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    countdown: usize,
    happened: bool,
    dead: bool,
    /// Files that are not synced.
    written: HashSet<PathBuf>,
    /// What was in the place of a file before it was renamed, until the directory is synced.
    replaced: HashMap<PathBuf, Option<Vec<u8>>>,
    /// Directories that are not synced in the one above.
    created: HashSet<PathBuf>,
}

impl Crash {
    pub(crate) fn at(below: PathBuf, countdown: usize, fault: Fault) -> Arc<Self> {
        let state = State {
            countdown,
            happened: false,
            dead: false,
            written: HashSet::new(),
            replaced: HashMap::new(),
            created: HashSet::new(),
        };
        Arc::new(Self {
            below,
            fault,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn happened(&self) -> bool {
        self.state().happened
    }

    /// Whether it is now that it goes wrong.
    fn is_now(&self, state: &mut State, path: &Path) -> bool {
        if state.happened || !path.starts_with(&self.below) {
            return false;
        }
        state.happened = state.countdown == 0;
        state.countdown = state.countdown.saturating_sub(1);
        state.happened
    }
}

impl State {
    /// What a disk may have forgotten when power fails.
    fn lose(&mut self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        for path in self.written.drain() {
            if let Ok(content) = fs::read(&path) {
                let _ = fs::write(&path, &content[..random.usize(0..=content.len())]);
            }
        }
        for (path, before) in self.replaced.drain().filter(|_| random.bool()) {
            match before {
                Some(content) => fs::write(&path, content).unwrap(),
                None => drop(fs::remove_file(&path)),
            }
        }
        for path in self.created.drain().filter(|_| random.bool()) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn failure() -> io::Error {
    io::Error::other("on purpose")
}

impl FailPoints for Crash {
    fn before(&self, step: FileStep, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.dead {
            return Err(failure());
        }
        if step == FileStep::Rename {
            state.replaced.insert(path.to_owned(), fs::read(path).ok());
        }
        if step == FileStep::CreateDirectory && !path.exists() {
            state.created.insert(path.to_owned());
        }
        if !matches!(self.fault, Fault::FailsAfterwards) && self.is_now(&mut state, path) {
            if let Fault::Dies(seed) = self.fault {
                state.dead = true;
                state
                    .replaced
                    .retain(|replaced, _| replaced != path || step != FileStep::Rename);
                state.lose(seed);
            }
            return Err(failure());
        }
        Ok(())
    }

    fn after(&self, step: FileStep, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        match step {
            FileStep::Write => drop(state.written.insert(path.to_owned())),
            FileStep::SyncFile => drop(state.written.remove(path)),
            FileStep::Rename => {
                let temporary = format!(".{}.new", path.file_name().unwrap().display());
                if state.written.remove(&path.with_file_name(temporary)) {
                    state.written.insert(path.to_owned());
                }
            }
            FileStep::SyncDirectory => {
                let is_elsewhere = |child: &Path| child.parent() != Some(path);
                state.replaced.retain(|child, _| is_elsewhere(child));
                state.created.retain(|child| is_elsewhere(child));
            }
            _ => {}
        }
        // What was done by another thread after the death did not happen, or just before.
        let fails = matches!(self.fault, Fault::FailsAfterwards) && self.is_now(&mut state, path);
        if fails || state.dead {
            return Err(failure());
        }
        Ok(())
    }
}

/// Runs `scenario` with each operation at each location going wrong in turn, in each way.
fn everywhere(locations: usize, scenario: impl Fn(&Disks, &Arc<Crash>)) {
    for disk in 0..locations {
        for fault in [
            Fault::Fails,
            Fault::FailsAfterwards,
            Fault::Dies(1),
            Fault::Dies(2),
        ] {
            for countdown in 0.. {
                let fault = match fault {
                    Fault::Dies(seed) => Fault::Dies(seed * 1_000 + countdown as u64),
                    fault => fault,
                };
                let disks = Disks::raw(locations);
                let crash = Crash::at(disks.location(disk), countdown, fault);
                scenario(&disks, &crash);
                if !crash.happened() {
                    break;
                }
            }
        }
    }
}

#[test]
fn no_id_is_lost_or_repeated_wherever_it_fails() {
    for locations in 1..=3 {
        everywhere(locations, |disks, crash| {
            DiskAuthority::initialise(&disks.options()).unwrap();
            let mut blocks = Vec::new();
            let faulty = disks.options().with_fail_points(Arc::clone(crash) as _);
            let mut tried = 0;
            if let Ok(source) = open(&faulty) {
                for _ in 0..3 {
                    tried += 1;
                    blocks.extend(allocate(&source, 10));
                }
            }
            for _ in 0..2 {
                let source = disks.open();
                tried += 1;
                blocks.push(allocate(&source, 10).unwrap());
            }
            for pair in blocks.windows(2) {
                assert!(pair[0].last() < pair[1].first(), "{crash:?}: {blocks:?}");
            }
            let last = blocks.last().unwrap().last().counter();
            assert!(last <= tried * 10, "{crash:?}: {blocks:?}");
            // With three locations nobody notices the failure of one operation of one of them, once
            // the sequence is in use.
            if locations == 3 && matches!(crash.fault, Fault::Fails) && blocks.len() > 3 {
                assert_eq!(last, blocks.len() as u64 * 10, "{crash:?}: {blocks:?}");
            }
        });
    }
}

#[test]
fn a_floor_that_was_raised_stays_raised_wherever_it_fails() {
    everywhere(3, |disks, crash| {
        DiskAuthority::initialise(&disks.options()).unwrap();
        allocate(&disks.open(), 10).unwrap();
        let floor = RangeKey::new(2, 500).unwrap();
        let faulty = disks.options().with_fail_points(Arc::clone(crash) as _);
        let raised = open(&faulty).is_ok_and(|source| raise(&source, floor).is_ok());
        let next = allocate(&disks.open(), 10).unwrap().first().range_key();
        assert!(next == floor || (!raised && next == RangeKey::new(0, 11).unwrap()));
    });
}

#[test]
fn an_initialisation_can_be_repeated_wherever_it_fails() {
    everywhere(2, |disks, crash| {
        let faulty = disks.options().with_fail_points(Arc::clone(crash) as _);
        let first = DiskAuthority::initialise(&faulty);
        if first.is_err() {
            DiskAuthority::initialise(&disks.options()).unwrap();
        }
        assert_eq!(
            allocate(&disks.open(), 10).unwrap().first().counter(),
            1,
            "{crash:?}"
        );
    });
}

#[test]
fn a_replacement_can_be_repeated_wherever_it_fails() {
    everywhere(3, |disks, crash| {
        DiskAuthority::initialise(&disks.options()).unwrap();
        allocate(&disks.open(), 10).unwrap();
        fs::remove_dir_all(disks.location(1)).unwrap();
        let faulty = disks.options().with_fail_points(Arc::clone(crash) as _);
        let replace = |options| DiskAuthority::replace_location(options, &disks.location(1));
        while replace(&faulty).is_err() && !crash.happened() {}
        // In doubt it is done again; what is finished says so.
        match replace(&disks.options()) {
            Ok(()) | Err(mdb_gdid::DiskOpenError::NotEmpty { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(disks.counter(1), Some(10), "{crash:?}");
        assert_eq!(allocate(&disks.open(), 10).unwrap().first().counter(), 11);
    });
}
