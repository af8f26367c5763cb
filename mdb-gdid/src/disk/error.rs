//! What can be wrong with a location, and why a set of them can't be opened.

use std::path::{Path, PathBuf};

use super::files::FileError;
use super::record::{RecordError, authority_list};
use crate::authority::AuthorityId;
use crate::range_key::RangeKey;

/// Why a location did not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// An operation on one of its files failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its file `location` is missing: it was never initialised, or its disk is not mounted.
    #[error(
        "{} is not an initialised location: it has no file `location`; is its disk mounted?",
        path.display()
    )]
    NotInitialised {
        /// The location.
        path: PathBuf,
    },
    /// Its file `location` is damaged.
    #[error("the file `location` in {} is not valid", path.display())]
    Identity {
        /// The location.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordError,
    },
    /// It belongs to another set of locations.
    #[error(
        "{} belongs to another set of locations, {found}, not {expected}; is the right disk mounted there?",
        path.display()
    )]
    OtherSet {
        /// The location.
        path: PathBuf,
        /// The set that it belongs to.
        found: String,
        /// The set of the locations before it.
        expected: String,
    },
    /// Its set has another number of locations than are configured.
    #[error(
        "{} is one of {found} locations, but {configured} are configured; a majority would not be one",
        path.display()
    )]
    OtherCount {
        /// The location.
        path: PathBuf,
        /// How many its set has.
        found: usize,
        /// How many are configured.
        configured: usize,
    },
    /// It is another one of its set.
    #[error("{} is location {found} of its set, but is configured as number {configured}", path.display())]
    OtherNumber {
        /// The location.
        path: PathBuf,
        /// Its number, from 1.
        found: usize,
        /// Its place in the configuration, from 1.
        configured: usize,
    },
    /// Other authorities count in it.
    #[error(
        "authorities {found} count in {}, not {configured}; initialise other locations for another set of authorities",
        path.display()
    )]
    OtherAuthorities {
        /// The location.
        path: PathBuf,
        /// The numbers of those that do.
        found: String,
        /// The numbers of those that are configured.
        configured: String,
    },
    /// Another process counts in it.
    #[error("{} is in use by {holder}; one process at a time can count there, and others ask it over HTTP (`mdb gdid serve`)", path.display())]
    InUse {
        /// The location.
        path: PathBuf,
        /// The process, as it wrote itself into the file `lock`.
        holder: String,
    },
    /// The file with the count of a sequence is damaged.
    #[error("{} holds no valid count", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordError,
    },
    /// It holds a higher count than this process has ever written: another one counts there.
    #[error(
        "{} is at {found}, beyond {written}, which was written last: another process counts there, in spite of the lock",
        path.display()
    )]
    Ahead {
        /// The location.
        path: PathBuf,
        /// What would come next there.
        found: RangeKey,
        /// What is to come next.
        written: RangeKey,
    },
    /// It has not answered for a long time.
    #[error("{} is still busy with what it was asked before", path.display())]
    Busy {
        /// The location.
        path: PathBuf,
    },
    /// No thread could be started to ask it.
    #[error("no thread could be started for {}", path.display())]
    Thread {
        /// The location.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl LocationError {
    /// Whether the location is there and must not be used, rather than being away.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::OtherSet { .. }
            | Self::OtherCount { .. }
            | Self::OtherNumber { .. }
            | Self::OtherAuthorities { .. }
            | Self::InUse { .. }
            | Self::Ahead { .. } => true,
            Self::File(_)
            | Self::NotInitialised { .. }
            | Self::Identity { .. }
            | Self::Damaged { .. }
            | Self::Busy { .. }
            | Self::Thread { .. } => false,
        }
    }

    /// The error with its causes, in one line.
    pub(super) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Why authorities that count in files can't be opened, or their locations not be initialised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskOpenError {
    /// There is no location, or there are more than 15.
    #[error("authorities count in 1 to {most} locations, not {found}")]
    Count {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A path is too long for what has to fit below it.
    #[error("{} has {bytes} bytes, but a location has at most {most}", path.display())]
    PathTooLong {
        /// The location.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The longest.
        most: usize,
    },
    /// A path can't be made absolute.
    #[error("`{}` is no path of a location", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A location is configured twice.
    #[error("{} is configured twice", path.display())]
    Twice {
        /// The location.
        path: PathBuf,
    },
    /// No location is initialised. It is never done by itself: directories are empty also because
    /// no disk is mounted there.
    #[error(
        "{} and the other locations are not initialised: is a disk not mounted? Only for a new authority: \
         `mdb gdid init-disks` begins at 1, and would issue ids of authority {authorities} again",
        path.display()
    )]
    NotInitialised {
        /// The first location.
        path: PathBuf,
        /// The numbers of those that count there.
        authorities: String,
    },
    /// A location is to be replaced that no other one could bring its counts to.
    #[error(
        "{} can't be replaced, for there is no other location to take the counts from: is its disk not mounted? If it is lost, \
         restore it, or begin anew and raise all sequences above the ids that were issued (`mdb gdid init-disks --help`)",
        path.display()
    )]
    OnlyOne {
        /// The location.
        path: PathBuf,
    },
    /// A location is to be replaced that is not configured.
    #[error("{} is none of the configured locations", path.display())]
    NotConfigured {
        /// The path.
        path: PathBuf,
    },
    /// A location must not be used.
    #[error("a location can't be used")]
    Refused {
        /// Which one, and why not.
        source: LocationError,
    },
    /// There is no majority of locations.
    #[error("{available} of {locations} locations can be used, but {needed} are needed")]
    TooFew {
        /// How many can be used.
        available: usize,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        locations: usize,
        /// The first one that can't be, and why not.
        source: LocationError,
    },
    /// A location that is to be initialised holds something else.
    #[error("{} can't be initialised: `{found}` is in it", path.display())]
    NotEmpty {
        /// The location.
        path: PathBuf,
        /// An entry of it.
        found: String,
    },
    /// The count of a sequence could not be copied to a new location.
    #[error("a sequence could not be copied to the new location")]
    Copy {
        /// Why.
        source: crate::authority::AuthorityError,
    },
    /// An operation on a file failed.
    #[error("a location could not be initialised")]
    Initialise {
        /// Which one, and why not.
        source: LocationError,
    },
}

impl DiskOpenError {
    pub(super) fn not_initialised(path: &Path, authorities: &[AuthorityId]) -> Self {
        Self::NotInitialised {
            path: path.to_owned(),
            authorities: authority_list(authorities),
        }
    }

    /// Whether the same call may succeed later with no change to the configuration: a disk that is
    /// away, or a process that still holds the locations.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TooFew { .. } | Self::Initialise { .. } => true,
            Self::Refused { source } => matches!(source, LocationError::InUse { .. }),
            Self::Copy { source } => source.is_transient(),
            Self::Count { .. }
            | Self::PathTooLong { .. }
            | Self::Path { .. }
            | Self::Twice { .. }
            | Self::NotInitialised { .. }
            | Self::OnlyOne { .. }
            | Self::NotConfigured { .. }
            | Self::NotEmpty { .. } => false,
        }
    }
}
