//! Locations: which directories count, and which are refused.

use std::fs;

use mdb_gdid::{
    AuthorityError, BlockLife, DiskAuthority, DiskOpenError, DiskOptions, LocationError, Place,
    RangeKey,
};

use crate::disks::{AUTHORITY, Disks, allocate, ids, in_full, open, raise, status};

fn refused(options: &DiskOptions) -> LocationError {
    match DiskAuthority::open(options) {
        Err(DiskOpenError::Refused { source }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_initialised_by_itself() {
    let disks = Disks::raw(3);
    let error = DiskAuthority::open(&disks.options()).unwrap_err();
    assert!(
        matches!(error, DiskOpenError::NotInitialised { .. }),
        "{error:?}"
    );
    for location in disks.locations() {
        fs::create_dir_all(location).unwrap();
    }
    let error = DiskAuthority::open(&disks.options()).unwrap_err();
    assert!(
        matches!(error, DiskOpenError::NotInitialised { .. }),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(disks.location(0)).unwrap().count(), 0);
    for warning in ["is a disk not mounted?", "issue ids of authority 11 again"] {
        assert!(error.to_string().contains(warning), "{error}");
    }

    assert!(!DiskAuthority::is_initialised(&disks.options()).unwrap());
    DiskAuthority::initialise(&disks.options()).unwrap();
    assert!(DiskAuthority::is_initialised(&disks.options()).unwrap());
    let identity = fs::read(disks.location(1).join("location")).unwrap();
    let source = disks.open();
    assert_eq!(allocate(&source, 5).unwrap().first().counter(), 1);
    // Again, while a process counts: nothing happens.
    DiskAuthority::initialise(&disks.options()).unwrap();
    assert_eq!(
        fs::read(disks.location(1).join("location")).unwrap(),
        identity
    );
}

#[test]
fn directories_with_other_content_are_not_initialised() {
    let disks = Disks::raw(2);
    fs::create_dir_all(disks.location(1).join("photos")).unwrap();
    let error = DiskAuthority::initialise(&disks.options()).unwrap_err();
    assert!(error.to_string().ends_with("`photos` is in it"), "{error}");
}

/// What has been initialised half-way is initialised again; what has been counted in is not.
#[test]
fn an_initialisation_is_finished_but_never_repeated() {
    let disks = Disks::new(3);
    fs::remove_dir_all(disks.location(2)).unwrap();
    let error = DiskAuthority::initialise(&disks.options()).unwrap_err();
    assert!(
        in_full(&error).contains("is its disk mounted?"),
        "{error:?}"
    );
    assert!(!disks.location(2).exists());
}

#[test]
fn a_location_of_another_set_is_refused() {
    let (disks, others) = (Disks::new(3), Disks::new(3));
    let with = |locations| {
        DiskOptions::new(
            ids(&[AUTHORITY]),
            locations,
            BlockLife::USUAL,
            Place::new("disks"),
        )
    };
    let mut locations = disks.locations();
    locations[1] = others.location(1);
    let error = refused(&with(locations));
    assert!(matches!(error, LocationError::OtherSet { .. }), "{error:?}");

    let mut locations = disks.locations();
    locations.swap(0, 2);
    let error = refused(&with(locations));
    assert!(
        matches!(
            error,
            LocationError::OtherNumber {
                found: 3,
                configured: 1,
                ..
            }
        ),
        "{error:?}"
    );

    let error = refused(&with(disks.locations()[..1].to_vec()));
    assert!(
        matches!(
            error,
            LocationError::OtherCount {
                found: 3,
                configured: 1,
                ..
            }
        ),
        "{error:?}"
    );

    let options = DiskOptions::new(
        ids(&[1, AUTHORITY]),
        disks.locations(),
        BlockLife::USUAL,
        Place::new("disks"),
    );
    let error = refused(&options);
    assert!(
        error.to_string().contains("authorities 11 count in"),
        "{error}"
    );
}

#[test]
fn options_have_limits() {
    let open = |locations| {
        let place = Place::new("disks");
        DiskAuthority::open(&DiskOptions::new(
            ids(&[0]),
            locations,
            BlockLife::USUAL,
            place,
        ))
        .unwrap_err()
    };
    assert!(matches!(
        open(vec![]),
        DiskOpenError::Count { found: 0, .. }
    ));
    assert!(matches!(
        open(vec!["x".into(); 16]),
        DiskOpenError::Count { found: 16, .. }
    ));
    assert!(matches!(
        open(vec!["a/b".into(), "./a/b".into()]),
        DiskOpenError::Twice { .. }
    ));
    let error = open(vec![format!("/{}", "long/".repeat(200)).into()]);
    assert!(
        matches!(error, DiskOpenError::PathTooLong { .. }),
        "{error:?}"
    );
}

#[test]
fn one_process_at_a_time_counts() {
    let disks = Disks::new(3);
    let first = disks.open();
    let error = refused(&disks.options());
    let process = format!("is in use by process {};", std::process::id());
    assert!(error.to_string().contains(&process), "{error}");
    drop(first);
    allocate(&disks.open(), 1).unwrap();
}

#[test]
fn a_majority_is_enough_to_go_on_but_not_to_begin() {
    let disks = Disks::new(3);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    disks.unmount(2, true);
    assert_eq!(allocate(&source, 10).unwrap().last().counter(), 20);
    let notes = status(&source).unwrap().notes().to_vec();
    assert!(notes[0].contains("is its disk mounted?"), "{notes:?}");
    assert_eq!(
        fs::read_dir(disks.location(2)).unwrap().count(),
        0,
        "nothing is written there"
    );
    drop(source);

    let source = disks.open();
    let error = allocate(&source, 10).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(
        in_full(&error).contains("2 of 3 locations have told their count"),
        "{error:?}"
    );
    disks.mount(2);
    assert_eq!(allocate(&source, 10).unwrap().first().counter(), 21);
    assert_eq!(disks.counter(2), Some(30), "it has caught up");
    assert_eq!(status(&source).unwrap().notes(), [] as [String; 0]);
    drop(source);

    disks.unmount(0, false);
    let options = disks.options().with_restored(mdb_gdid::Restored::None);
    let source = open(&options).unwrap();
    assert_eq!(allocate(&source, 10).unwrap().first().counter(), 31);
    drop(source);
    disks.unmount(1, false);
    let error = DiskAuthority::open(&options).unwrap_err();
    assert!(
        matches!(
            error,
            DiskOpenError::TooFew {
                available: 1,
                needed: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_transient());
}

#[test]
fn another_disk_in_its_place_is_not_written() {
    let (disks, others) = (Disks::new(3), Disks::new(3));
    let source = disks.open();
    allocate(&source, 10).unwrap();
    disks.unmount(1, false);
    fs::rename(others.location(1), disks.location(1)).unwrap();
    allocate(&source, 10).unwrap();
    let notes = status(&source).unwrap().notes().to_vec();
    assert!(notes[0].contains("belongs to another set"), "{notes:?}");
    assert_eq!(disks.counter(1), None);
}

#[test]
fn without_a_majority_it_is_closed_until_opened_again() {
    let disks = Disks::new(3);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    disks.unmount(0, false);
    disks.unmount(1, false);
    let error = allocate(&source, 10).unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
    assert!(
        in_full(&error).contains("1 of 3 locations have stored the count"),
        "{error:?}"
    );
    disks.mount(0);
    disks.mount(1);
    allocate(&source, 10).unwrap_err();
    raise(&source, RangeKey::new(0, 500).unwrap()).unwrap_err();
    let closed = status(&source).unwrap();
    assert_eq!(closed.state().counter(), 10);
    assert!(closed.notes()[0].starts_with("closed"), "{closed:?}");
    drop(source);
    // The block of the failed write was never returned, and is skipped.
    assert_eq!(allocate(&disks.open(), 10).unwrap().first().counter(), 21);
}

/// When nothing at all was written, there is nothing to be in doubt about.
#[test]
fn with_all_disks_away_it_waits_for_them() {
    let disks = Disks::new(2);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    disks.unmount(0, true);
    disks.unmount(1, false);
    assert!(allocate(&source, 10).unwrap_err().is_transient());
    disks.mount(0);
    disks.mount(1);
    assert_eq!(allocate(&source, 10).unwrap().first().counter(), 11);
}

#[test]
fn a_lost_disk_is_replaced() {
    let disks = Disks::new(3);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    drop(source);
    fs::remove_dir_all(disks.location(1)).unwrap();
    DiskAuthority::replace_location(&disks.options(), &disks.location(1)).unwrap();
    assert_eq!(
        disks.counter(1),
        Some(10),
        "the counts are copied to it at once"
    );
    // From now on another one may be lost.
    fs::remove_dir_all(disks.location(0).join("b")).unwrap();
    assert_eq!(allocate(&disks.open(), 10).unwrap().first().counter(), 11);

    let error = DiskAuthority::replace_location(&disks.options(), &disks.location(1)).unwrap_err();
    assert!(matches!(error, DiskOpenError::NotEmpty { .. }), "{error:?}");
    fs::remove_dir_all(disks.location(0)).unwrap();
    fs::remove_dir_all(disks.location(1)).unwrap();
    let error = DiskAuthority::replace_location(&disks.options(), &disks.location(1)).unwrap_err();
    assert!(
        in_full(&error).contains("is its disk mounted?"),
        "{error:?}"
    );
}

#[test]
fn an_only_disk_has_no_other_to_be_replaced_from() {
    let disks = Disks::new(1);
    fs::remove_dir_all(disks.location(0)).unwrap();
    let replace = |disk| {
        DiskAuthority::replace_location(&disks.options(), &disks.location(disk)).unwrap_err()
    };
    let error = replace(0);
    assert!(matches!(error, DiskOpenError::OnlyOne { .. }), "{error:?}");
    assert!(!disks.location(0).exists());
    let error = replace(1);
    assert!(
        matches!(error, DiskOpenError::NotConfigured { .. }),
        "{error:?}"
    );
}

#[test]
fn a_new_disk_does_not_speak_for_the_one_that_it_replaces() {
    let disks = Disks::new(3);
    let source = disks.open();
    allocate(&source, 10).unwrap();
    disks.unmount(2, true);
    allocate(&source, 10).unwrap();
    drop(source);
    disks.mount(2);
    assert_eq!(
        [0, 1, 2].map(|disk| disks.counter(disk)),
        [20, 20, 10].map(Some)
    );

    // Of the two that hold the last block one is lost, and the other one's file is cut off.
    fs::remove_dir_all(disks.location(0)).unwrap();
    let whole = fs::read(disks.file(1)).unwrap();
    fs::write(disks.file(1), &whole[..20]).unwrap();
    let replace = || DiskAuthority::replace_location(&disks.options(), &disks.location(0));
    let initialise = || DiskAuthority::initialise(&disks.options());
    for finish in [&replace as &dyn Fn() -> _, &replace, &initialise] {
        let error = finish().unwrap_err();
        assert!(matches!(error, DiskOpenError::Copy { .. }), "{error:?}");
        assert!(in_full(&error).contains("no valid count"), "{error:?}");
        let error = allocate(&disks.open(), 10).unwrap_err();
        assert!(matches!(error, AuthorityError::Corrupt { .. }), "{error:?}");
    }

    fs::write(disks.file(1), &whole).unwrap();
    // What is not finished counts as one fault.
    assert_eq!(allocate(&disks.open(), 10).unwrap().first().counter(), 21);
    replace().unwrap();
    assert_eq!([0, 1, 2].map(|disk| disks.counter(disk)), [Some(30); 3]);
    fs::remove_dir_all(disks.location(1).join("b")).unwrap();
    assert_eq!(allocate(&disks.open(), 10).unwrap().first().counter(), 31);
}
