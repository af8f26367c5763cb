//! Random histories of a set of disks, within what is promised to be survived: at any time at most
//! one location is damaged, emptied or put back to an earlier copy and not yet written again; any
//! number may be away.

use std::fs;
use std::sync::Arc;

use mdb_gdid::{AuthorityError, Block, DiskAuthority, RangeKey};
use proptest::prelude::*;

use crate::crashes::{Crash, Fault};
use crate::disks::{Disks, allocate, open, raise};

#[derive(Clone, Debug)]
enum Step {
    Allocate(u16),
    Raise(u64),
    Reopen,
    /// The process dies, or an operation fails, at or after so many operations at a location.
    Crash(usize, usize, Fault),
    BackUp(usize),
    Restore(usize, bool),
    Damage(usize, usize),
    Unmount(usize, bool),
    Mount(usize),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Fails),
        Just(Fault::FailsAfterwards),
        any::<u64>().prop_map(Fault::Dies),
        any::<u64>().prop_map(Fault::Dies),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..=20_u16).prop_map(Step::Allocate),
        1 => (0..100_u64).prop_map(Step::Raise),
        3 => Just(Step::Reopen),
        3 => (0..5_usize, 0..40_usize, fault()).prop_map(|(disk, after, fault)| Step::Crash(disk, after, fault)),
        2 => (0..5_usize).prop_map(Step::BackUp),
        3 => (0..5_usize, any::<bool>()).prop_map(|(disk, whole)| Step::Restore(disk, whole)),
        1 => (0..5_usize, 0..250_usize).prop_map(|(disk, bytes)| Step::Damage(disk, bytes)),
        2 => (0..5_usize, any::<bool>()).prop_map(|(disk, mount)| Step::Unmount(disk, mount)),
        3 => (0..5_usize).prop_map(Step::Mount),
    ]
}

/// The disks, a process that may be counting, and what it has handed out.
struct History {
    disks: Disks,
    source: Option<DiskAuthority>,
    crash: Option<Arc<Crash>>,
    /// The location that may have lost what it was told.
    faulty: Option<usize>,
    blocks: Vec<Block>,
    floor: u64,
}

impl History {
    fn new(count: usize) -> Self {
        Self {
            disks: Disks::new(count),
            source: None,
            crash: None,
            faulty: None,
            blocks: Vec::new(),
            floor: 0,
        }
    }

    fn last(&self) -> u64 {
        let last = self.blocks.last().map_or(0, |block| block.last().counter());
        last.max(self.floor.saturating_sub(1))
    }

    /// Whether this location may lose something now.
    fn may_go_wrong(&mut self, disk: usize) -> bool {
        if let Some(faulty) = self.faulty
            && !self.disks.is_away(faulty)
            && self.disks.counter(faulty) >= Some(self.last())
        {
            self.faulty = None;
        }
        self.disks.count > 1
            && !self.disks.is_away(disk)
            && self.faulty.is_none_or(|faulty| faulty == disk)
    }

    /// The process that counts; a new one if the last has died. `None` while too few disks are there.
    fn source(&mut self) -> Option<&DiskAuthority> {
        if self.crash.as_ref().is_some_and(|crash| crash.happened()) {
            (self.source, self.crash) = (None, None);
        }
        if self.source.is_none() {
            let options = match &self.crash {
                Some(crash) => self
                    .disks
                    .options()
                    .with_fail_points(Arc::clone(crash) as _),
                None => self.disks.options(),
            };
            self.source = open(&options).ok();
        }
        self.source.as_ref()
    }

    fn allocate(&mut self, ids: u16) -> Result<(), TestCaseError> {
        let Some(source) = self.source() else {
            return Ok(());
        };
        match allocate(source, ids) {
            Ok(block) => {
                prop_assert!(
                    block.first().counter() > self.last(),
                    "{:?} after {}",
                    block,
                    self.last()
                );
                self.blocks.push(block);
            }
            // `Corrupt`: one is damaged, and one more is away.
            Err(AuthorityError::Closed { .. } | AuthorityError::Corrupt { .. }) => {
                self.source = None;
            }
            Err(AuthorityError::Unavailable { .. }) => {}
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let count = self.disks.count;
        match *step {
            Step::Allocate(ids) => self.allocate(ids)?,
            Step::Raise(by) => {
                let floor = self.last() + by;
                if let Some(source) = self.source()
                    && raise(source, RangeKey::new(0, floor).unwrap()).is_ok()
                {
                    self.floor = floor;
                }
            }
            Step::Reopen => self.source = None,
            Step::Crash(disk, after, fault) => {
                (self.source, self.crash) = (None, None);
                let below = self.disks.location(disk % count);
                self.crash = Some(Crash::at(below, after, fault));
            }
            Step::BackUp(disk) => {
                if !self.disks.is_away(disk % count) {
                    self.disks.back_up(disk % count);
                }
            }
            Step::Restore(disk, whole) => {
                if self.may_go_wrong(disk % count) {
                    self.disks.restore(disk % count, whole);
                    self.faulty = Some(disk % count);
                }
            }
            Step::Damage(disk, bytes) => {
                let file = self.disks.file(disk % count);
                if self.may_go_wrong(disk % count) && file.exists() {
                    let content = fs::read(&file).unwrap();
                    fs::write(file, &content[..bytes.min(content.len().saturating_sub(1))])
                        .unwrap();
                    self.faulty = Some(disk % count);
                }
            }
            Step::Unmount(disk, is_mount_point) => self.disks.unmount(disk % count, is_mount_point),
            Step::Mount(disk) => self.disks.mount(disk % count),
        }
        Ok(())
    }

    /// When all disks are back, it goes on.
    fn end(&mut self) -> Result<(), TestCaseError> {
        (self.source, self.crash) = (None, None);
        (0..self.disks.count).for_each(|disk| self.disks.mount(disk));
        let before = self.blocks.len();
        self.allocate(5)?;
        prop_assert_eq!(self.blocks.len(), before + 1);
        Ok(())
    }
}

fn cases() -> u32 {
    if std::env::var_os("MDB_TEST_LONG").is_some() {
        20_000
    } else {
        200
    }
}

/// A file that damage has emptied stays a file, and may be damaged again.
#[test]
fn an_emptied_file_is_damaged_again() {
    let mut history = History::new(3);
    for step in [
        Step::Allocate(3),
        Step::Reopen,
        Step::Damage(1, 0),
        Step::Damage(1, 7),
        Step::Allocate(3),
    ] {
        history.take(&step).unwrap();
    }
    history.end().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn ids_never_repeat(count in 1..=5_usize, steps in proptest::collection::vec(step(), 1..60)) {
        let mut history = History::new(count);
        for step in &steps {
            history.take(step)?;
        }
        history.end()?;
    }
}
