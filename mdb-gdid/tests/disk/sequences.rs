//! Counts: damaged, put back, raised, near their end.

use std::fs;
use std::sync::Arc;

use mdb_gdid::{
    AuthorityError, AuthorityStatus, BlockLife, BlockSource, DiskAuthority, DiskOptions, Gdid,
    Place, RangeKey, SequenceState,
};

use crate::disks::{Disks, allocate, ids, in_full, raise, size, status};

fn notes(status: &AuthorityStatus) -> String {
    status.notes().join("\n")
}

#[test]
fn status_creates_nothing() {
    let disks = Disks::new(3);
    let source = disks.open();
    let status = status(&source).unwrap();
    assert_eq!((status.state(), status.blocks()), (SequenceState::START, 0));
    assert_eq!(status.notes(), [] as [String; 0]);
    assert!(!disks.location(0).join("b").exists());
}

#[test]
fn one_damaged_count_is_mended_and_two_are_refused() {
    for damage in [
        &b""[..],
        b"mdb-gdid-counter 1 set=",
        b"0::0",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let disks = Disks::new(3);
        allocate(&disks.open(), 10).unwrap();
        fs::write(disks.file(0), damage).unwrap();
        let source = disks.open();
        let told = status(&source).unwrap();
        assert_eq!(told.state().counter(), 10);
        assert!(notes(&told).contains("holds no valid count"), "{told:?}");
        assert_eq!(allocate(&source, 10).unwrap().first().counter(), 11);
        assert_eq!(disks.counter(0), Some(20), "mended");
        let told = notes(&status(&source).unwrap());
        assert!(told.starts_with("since this process started: "), "{told}");
        drop(source);

        fs::write(disks.file(1), damage).unwrap();
        fs::write(disks.file(2), damage).unwrap();
        let error = allocate(&disks.open(), 10).unwrap_err();
        assert!(matches!(error, AuthorityError::Corrupt { .. }), "{error:?}");
        assert!(
            in_full(&error).contains("1 of 3 locations have told"),
            "{error:?}"
        );
    }
}

#[test]
fn a_single_damaged_count_is_never_a_beginning() {
    let disks = Disks::new(1);
    allocate(&disks.open(), 10).unwrap();
    fs::write(disks.file(0), "").unwrap();
    let error = allocate(&disks.open(), 10).unwrap_err();
    assert!(matches!(error, AuthorityError::Corrupt { .. }), "{error:?}");
    assert!(in_full(&error).ends_with("the file is empty"), "{error:?}");
}

#[test]
fn the_count_of_another_sequence_is_damage() {
    let disks = Disks::new(2);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    drop(source);
    for disk in 0..2 {
        let other = disks.file(disk).with_file_name("order");
        fs::rename(disks.file(disk), other).unwrap();
    }
    for disk in 0..2 {
        fs::copy(disks.file(disk).with_file_name("order"), disks.file(disk)).unwrap();
    }
    let source = disks.open();
    allocate(&source, 10).unwrap();
    let scope = "SHOP.MAIN".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let sequence = "order".parse().unwrap();
    let error = runtime.block_on(source.allocate(&scope, &sequence, size(1)));
    assert!(in_full(&error.unwrap_err()).ends_with("its `sequence` is `user`"));
}

#[test]
fn one_location_put_back_changes_nothing() {
    for count in [2, 3, 5] {
        let disks = Disks::new(count);
        let source = disks.open();
        allocate(&source, 10).unwrap();
        disks.back_up(1);
        allocate(&source, 10).unwrap();
        // Under the running process.
        disks.restore(1, false);
        let told = notes(&status(&source).unwrap());
        assert!(
            told.contains("has gone back: it holds 0:11, but held 0:21"),
            "{told}"
        );
        assert_eq!(allocate(&source, 10).unwrap().first().counter(), 21);
        assert_eq!(disks.counter(1), Some(30));
        // While none is running.
        drop(source);
        disks.restore(1, true);
        let source = disks.open();
        let told = notes(&status(&source).unwrap());
        assert!(
            told.contains("lags: it holds 0:11, the highest is 0:31"),
            "{told}"
        );
        assert_eq!(allocate(&source, 10).unwrap().first().counter(), 31);
        assert_eq!(disks.counter(1), Some(40));
    }
}

/// Memory is higher than all disks.
#[test]
fn all_locations_put_back_under_a_running_process() {
    let disks = Disks::new(3);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    (0..3).for_each(|disk| disks.back_up(disk));
    allocate(&source, 10).unwrap();
    (0..3).for_each(|disk| disks.restore(disk, disk > 0));
    assert_eq!(allocate(&source, 10).unwrap().first().counter(), 21);
    assert_eq!([0, 1, 2].map(|disk| disks.counter(disk)), [Some(30); 3]);
    let told = notes(&status(&source).unwrap());
    assert_eq!(told.matches("has gone back").count(), 3, "{told}");
}

/// A process that gets past the lock, as on a network file system, is noticed once it is ahead.
#[test]
fn another_process_that_counts_is_noticed() {
    let disks = Disks::new(2);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    drop(source);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    disks.back_up(0);
    disks.back_up(1);
    drop(source);
    let ahead = disks.open();
    allocate(&ahead, 30).unwrap();
    let later = [0, 1].map(|disk| fs::read(disks.file(disk)).unwrap());
    drop(ahead);
    disks.restore(0, false);
    disks.restore(1, false);
    let source = disks.open();
    assert_eq!(status(&source).unwrap().state().counter(), 20);
    fs::write(disks.file(1), &later[1]).unwrap();
    let error = allocate(&source, 10).unwrap_err();
    assert!(matches!(error, AuthorityError::Closed { .. }), "{error:?}");
    assert!(
        in_full(&error).contains("another process counts there"),
        "{error:?}"
    );
    assert_eq!(disks.counter(1), Some(50), "what is higher stays");
    drop(source);
    assert_eq!(allocate(&disks.open(), 10).unwrap().first().counter(), 51);
}

#[test]
fn a_floor_holds_at_all_authorities_and_after_any_one_is_lost() {
    let disks = Disks::raw(3);
    let options = DiskOptions::new(
        ids(&[0, 5, 15]),
        disks.locations(),
        BlockLife::USUAL,
        Place::new("disks"),
    );
    DiskAuthority::initialise(&options).unwrap();
    let floor = RangeKey::new(7, 1_000).unwrap();
    let raised = raise(&DiskAuthority::open(&options).unwrap(), floor).unwrap();
    assert_eq!(raised.len(), 3);
    for status in &raised {
        assert_eq!(status.state().next(), floor);
    }
    for (disk, digit) in [(0, "0"), (1, "5"), (2, "f")] {
        fs::remove_file(disks.location(disk).join(digit).join("SHOP.MAIN/user")).unwrap();
    }
    let source = DiskAuthority::open(&options).unwrap();
    assert_eq!(allocate(&source, 1).unwrap().first().range_key(), floor);
    // One that is above it stays where it is.
    let again = raise(&source, RangeKey::new(7, 5).unwrap()).unwrap();
    assert!(again.iter().all(|status| status.state().next() >= floor));
}

/// The highest count may stand at one location only, after a crash. A floor below it has to be made
/// durable all the same.
#[test]
fn a_floor_is_durable_even_if_the_count_was_above_it() {
    let disks = Disks::new(3);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    disks.back_up(1);
    disks.back_up(2);
    allocate(&source, 90).unwrap();
    drop(source);
    disks.restore(1, false);
    disks.restore(2, false);
    let source = disks.open();
    raise(&source, RangeKey::new(0, 50).unwrap()).unwrap();
    drop(source);
    fs::remove_dir_all(disks.location(0).join("b")).unwrap();
    assert!(allocate(&disks.open(), 1).unwrap().first().counter() > 100);
}

#[test]
fn eras_turn_and_end() {
    let disks = Disks::new(2);
    let source = disks.open();
    raise(&source, RangeKey::new(3, Gdid::MAX_COUNTER - 5).unwrap()).unwrap();
    assert_eq!(
        allocate(&source, 10).unwrap().first(),
        Gdid::new(4, 11, 1).unwrap()
    );
    let last = RangeKey::new(SequenceState::LAST_ERA, Gdid::MAX_COUNTER - 5).unwrap();
    raise(&source, last).unwrap();
    drop(source);
    let source = disks.open();
    let error = allocate(&source, 10).unwrap_err();
    assert!(
        matches!(error, AuthorityError::Exhausted { .. }),
        "{error:?}"
    );
    assert!(status(&source).unwrap().state().is_near_the_end());
}

#[test]
fn calls_at_once_never_get_the_same() {
    let disks = Disks::new(3);
    let source = Arc::new(disks.open());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let mut blocks = runtime.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..40_u16 {
            let source = Arc::clone(&source);
            tasks.push(tokio::spawn(async move {
                let (scope, sequence) = ("SHOP.MAIN".parse().unwrap(), "user".parse().unwrap());
                let call = source.allocate(&scope, &sequence, size(task % 7 + 1));
                // Some are dropped right after they have begun.
                tokio::select! {
                    biased;
                    block = call => Some(block.unwrap()),
                    () = tokio::task::yield_now(), if task % 3 == 0 => None,
                }
            }));
        }
        let mut blocks = Vec::new();
        for task in tasks {
            blocks.extend(task.await.unwrap());
        }
        blocks
    });
    blocks.push(allocate(&source, 5).unwrap());
    blocks.sort_unstable_by_key(mdb_gdid::Block::first);
    for pair in blocks.windows(2) {
        assert!(pair[0].last() < pair[1].first());
    }
    // Memory and disks agree, also about the blocks that nobody waited for.
    let told = status(&source).unwrap();
    assert!(told.blocks() >= blocks.len() as u64);
    assert_eq!(told.outstanding(), told.blocks());
    assert_eq!(disks.counter(0), Some(told.state().counter()));
}
