//! What authorities that count in files are opened with.

use std::path::{self, PathBuf};

use super::error::DiskOpenError;
use super::files::Files;
use super::quorum::{Quorum, Restored};
use crate::authority::{AuthorityIds, BlockLife, Place};

/// More locations would make each block slower, and nothing safer.
const MOST_LOCATIONS: usize = 15;

/// Below a location come at most 166 bytes; together they stay below 1,024, which is the shortest
/// limit of a path among the systems that MDB runs on.
const LONGEST_PATH: usize = 800;

/// Where authorities count, and how.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    pub(super) ids: AuthorityIds,
    pub(super) locations: Vec<PathBuf>,
    pub(super) life: BlockLife,
    pub(super) place: Place,
    pub(super) restored: Restored,
    pub(super) files: Files,
}

impl DiskOptions {
    /// Authorities `ids` that count in `locations`, directories on different disks or mounts. Their
    /// order is part of what they are: it must stay the same.
    ///
    /// `life` is the block life of all processes that are handed blocks; `place` is what messages
    /// call it.
    pub fn new(ids: AuthorityIds, locations: Vec<PathBuf>, life: BlockLife, place: Place) -> Self {
        Self {
            ids,
            locations,
            life,
            place,
            restored: Restored::AtMostOne,
            files: Files::default(),
        }
    }

    /// How many locations may have been put back to an earlier copy; usually
    /// [`Restored::AtMostOne`].
    pub fn with_restored(mut self, restored: Restored) -> Self {
        self.restored = restored;
        self
    }

    /// Lets operations on files fail, for tests.
    #[cfg(feature = "failpoints")]
    pub fn with_fail_points(mut self, points: std::sync::Arc<dyn super::FailPoints>) -> Self {
        self.files.fail_points = Some(points);
        self
    }

    /// The locations as absolute paths, if they are possible.
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, DiskOpenError> {
        let found = self.locations.len();
        if found == 0 || found > MOST_LOCATIONS {
            let most = MOST_LOCATIONS;
            return Err(DiskOpenError::Count { found, most });
        }
        let mut paths: Vec<PathBuf> = Vec::new();
        for given in &self.locations {
            let path = path::absolute(given).map_err(|source| DiskOpenError::Path {
                path: given.clone(),
                source,
            })?;
            let bytes = path.as_os_str().len();
            if bytes > LONGEST_PATH {
                let most = LONGEST_PATH;
                return Err(DiskOpenError::PathTooLong { path, bytes, most });
            }
            if paths.contains(&path) {
                return Err(DiskOpenError::Twice { path });
            }
            paths.push(path);
        }
        Ok(paths)
    }

    pub(super) fn quorum(&self) -> Quorum {
        Quorum::new(self.locations.len(), self.restored)
    }
}
