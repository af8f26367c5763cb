//! Authorities that count in files on several disks.
//!
//! Vocabulary:
//!
//! - **location**: a directory on a disk of its own. All locations of a **set** hold the same; each
//!   says in its file `location` which one of which set it is.
//! - **copy**: the count of one sequence at one location, in `<authority>/<SCOPE>/<sequence>` below it;
//!   the authority is one hexadecimal digit.
//! - **majority**: more than half of the locations: 1 of 1, 2 of 2, 2 of 3, 3 of 4, 3 of 5.
//!
//! ```text
//! /mnt/a/ids/location           which location of which set this is
//! /mnt/a/ids/lock               locked while a process counts here
//! /mnt/a/ids/3/SHOP.MAIN/user   the count of sequence `user` at authority 3
//! ```

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::authority::{
    AllocateFuture, AuthorityError, AuthorityId, AuthorityIds, AuthorityStatus, BlockSize,
    BlockSource, Cause, StatusFuture, UnixMillis,
};
use crate::names::{ScopeName, SequenceName};
use crate::range_key::RangeKey;
use counter::{Counter, LocationSet};
use location::Location;
use record::{CounterKey, IdentityState};

pub use error::{DiskOpenError, LocationError};
#[cfg(feature = "failpoints")]
pub use files::FailPoints;
pub use files::{FileError, FileStep};
pub use options::DiskOptions;
pub use quorum::Restored;
pub use record::RecordError;

mod counter;
mod error;
mod files;
mod initialise;
mod location;
mod options;
mod quorum;
mod record;

/// Authorities that count in files on several disks: **locations**, directories on disks of their own,
/// all of which hold the same. A **majority** is more than half of them: 1 of 1, 2 of 2, 2 of 3, 3 of 4,
/// 3 of 5.
///
/// ```
/// use mdb_gdid::{
///     AuthorityId, AuthorityIds, BlockLife, BlockSize, BlockSource, DiskAuthority, DiskOptions, Place,
/// };
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # let directory = tempfile::tempdir()?;
/// # let disks = directory.path();
/// let ids = AuthorityIds::new(vec![AuthorityId::new(3).expect("below 16")]).expect("one");
/// let locations = ["a", "b", "c"].map(|disk| disks.join(disk).join("ids"));
/// let options = DiskOptions::new(ids, locations.to_vec(), BlockLife::USUAL, Place::new("disks"));
/// DiskAuthority::initialise(&options)?; // once, by hand
///
/// let authority = DiskAuthority::open(&options)?;
/// # runtime.block_on(async {
/// let size = BlockSize::new(10).expect("1 to 1,024");
/// let block = authority.allocate(&"SHOP.MAIN".parse()?, &"user".parse()?, size).await?;
/// assert_eq!(block.first().to_string(), "0:3:1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What is guaranteed
///
/// A block is returned only after the count behind it is durable at a majority: written to a new
/// file, synced, put in the place of the old one, and the directory synced. When a sequence is first
/// used, all locations are read, and the highest count holds. From then on the count is in memory, and
/// what is on the disks is only compared with it.
///
/// | what happens | what becomes of it |
/// |---|---|
/// | the process dies anywhere, or power fails | no id twice; ids of a block that nobody got are lost |
/// | a location is away, full or broken while ids are issued | reported; goes on while a majority can be written; it catches up with the next block after it is back |
/// | a location hangs | left behind after 750 ms if the others are enough, with its lock held; if they are not, the call waits for it |
/// | one location is put back to an earlier copy, or emptied of counts | reported, rewritten, without effect on the count: its majority has another member (not with one location) |
/// | a count is damaged, cut off or empty | never a beginning: as above, or [`AuthorityError::Corrupt`] when too few are left |
/// | a new disk that takes the place of a lost one has not got a count yet | that counts as damaged |
/// | a location is away when a sequence is first used | of 2 or 3 locations: [`AuthorityError::Unavailable`] until it is back or replaced; of 4 or 5, one may be; see [`Restored`] |
/// | a disk is not mounted: an empty directory | is no location, for its identity is missing; never written to |
/// | another disk is mounted at the place of a location | refused: it is not the one of the set |
/// | no majority can be written | [`AuthorityError::Closed`] for that sequence of that authority until opened again; if nothing was written yet, [`AuthorityError::Unavailable`] |
/// | all locations are put back to an earlier copy, or a majority is, while a process is running | reported; it goes on from memory, which is higher |
/// | a second process opens one of the locations | refused: [`LocationError::InUse`] |
///
/// Not survived: more than one location put back to an earlier copy (or one, where there is only one)
/// while no process holds the count in memory. A snapshot of a whole machine is that. Then raise the
/// sequences above all ids in use before anything is issued.
///
/// Also not: disks that say that they have synced when they have not; network file systems whose
/// locks or syncs don't hold between machines. On those a second process that gets past the lock is
/// noticed only when it has counted further ([`LocationError::Ahead`]), which can be too late.
///
/// The number of locations of a set and their order never change. To have others, initialise a new
/// set with other paths, and raise its sequences above the status of the old one.
#[derive(Clone)]
pub struct DiskAuthority(Arc<Inner>);

struct Inner {
    ids: AuthorityIds,
    set: LocationSet,
    counters: Mutex<HashMap<CounterKey, Arc<AsyncMutex<Counter>>>>,
}

/// The thread that counts has ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the thread that counts can't be started, or has failed")]
struct NoThread {
    source: Option<std::io::Error>,
}

impl fmt::Debug for DiskAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskAuthority")
            .field("place", &self.0.set.place)
            .field("ids", &self.0.ids)
            .finish_non_exhaustive()
    }
}

impl DiskAuthority {
    /// Makes the directories the locations of a new set, creating those that are missing; does nothing
    /// when they are one already. To be called by a person, once, when all disks are mounted: what it
    /// makes begins to count at 1. Blocks while it waits for the disks.
    ///
    /// # Errors
    ///
    /// [`DiskOpenError`]: one of them can't be written, holds something else, or belongs to another
    /// set; or some of them are initialised, and others are not. After a failed one, call it again.
    pub fn initialise(options: &DiskOptions) -> Result<(), DiskOpenError> {
        initialise::initialise(options, || Self::settle_all(options))
    }

    /// Whether one of the directories counts in a set already, so that [`initialise`](Self::initialise) begins none.
    /// Blocks while it waits for the disks.
    ///
    /// # Errors
    ///
    /// [`DiskOpenError`]: one of them can't be read, or belongs elsewhere.
    pub fn is_initialised(options: &DiskOptions) -> Result<bool, DiskOpenError> {
        initialise::is_initialised(options)
    }

    /// Makes the empty directory `path`, which stands among the configured locations, the one that
    /// was lost there, and copies all counts to it. All others have to be available, and no process
    /// may be counting. Blocks while it waits for the disks.
    ///
    /// # Errors
    ///
    /// [`DiskOpenError`]: another location is not available; the directory is not empty; or a count
    /// could not be copied. Then call it again.
    pub fn replace_location(options: &DiskOptions, path: &Path) -> Result<(), DiskOpenError> {
        let path = std::path::absolute(path).map_err(|source| DiskOpenError::Path {
            path: path.to_owned(),
            source,
        })?;
        initialise::replace(options, &path, || Self::settle_all(options))
    }

    /// Writes every count to all locations.
    fn settle_all(options: &DiskOptions) -> Result<(), DiskOpenError> {
        let opened = Self::open(options)?;
        let set = &opened.0.set;
        for location in &set.locations {
            let keys = location.keys();
            for key in keys.map_err(|source| DiskOpenError::Initialise { source })? {
                let mut counter = Counter::new(key, set.locations.len());
                let settled = counter.settle(set);
                settled.map_err(|source| DiskOpenError::Copy { source })?;
            }
        }
        Ok(())
    }

    /// Opens authorities whose locations are initialised, and locks these until it, and whatever it
    /// was asked last, is dropped. A minority of the locations may be away; they are used once they
    /// are there. Blocks while it waits for the disks.
    ///
    /// # Errors
    ///
    /// [`DiskOpenError`]: no majority is available; one must not be used, because it belongs to
    /// another set or another process counts there; or none was ever initialised.
    pub fn open(options: &DiskOptions) -> Result<Self, DiskOpenError> {
        let paths = options.paths()?;
        let locations = Location::all(&paths, options.ids.as_slice(), &options.files);
        let (mut available, mut ready, mut away) = (0, false, Vec::new());
        for location in &locations {
            match location.attach() {
                Ok(identity) => {
                    available += 1;
                    ready |= identity.state == IdentityState::Ready;
                }
                Err(source) if source.is_refusal() => {
                    return Err(DiskOpenError::Refused { source });
                }
                Err(source) => {
                    tracing::warn!(place = %options.place, "{}", source.in_full());
                    away.push(source);
                }
            }
        }
        let is_missing =
            |error: &LocationError| matches!(error, LocationError::NotInitialised { .. });
        if !ready && away.iter().all(is_missing) {
            let authorities = options.ids.as_slice();
            return Err(DiskOpenError::not_initialised(&paths[0], authorities));
        }
        let quorum = options.quorum();
        let needed = quorum.to_write();
        if !ready || available < needed {
            return Err(DiskOpenError::TooFew {
                available,
                needed,
                locations: quorum.locations(),
                source: away.swap_remove(0),
            });
        }
        Ok(Self(Arc::new(Inner {
            ids: options.ids.clone(),
            set: LocationSet {
                place: options.place.clone(),
                life: options.life,
                quorum,
                locations: locations.into_iter().map(Arc::new).collect(),
            },
            counters: Mutex::default(),
        })))
    }

    /// Runs `work` on the count of a sequence, one at a time, in a thread of its own and to its end,
    /// whether or not somebody still waits for it.
    async fn with_counter<T: Send + 'static>(
        &self,
        authority: AuthorityId,
        scope: &ScopeName,
        sequence: &SequenceName,
        work: impl FnOnce(&mut Counter, &LocationSet) -> Result<T, AuthorityError> + Send + 'static,
    ) -> Result<T, AuthorityError> {
        let inner = Arc::clone(&self.0);
        let key = CounterKey {
            authority,
            scope: scope.clone(),
            sequence: sequence.clone(),
        };
        let counter = {
            let mut counters = inner
                .counters
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let new = || {
                Arc::new(AsyncMutex::new(Counter::new(
                    key.clone(),
                    inner.set.locations.len(),
                )))
            };
            Arc::clone(counters.entry(key.clone()).or_insert_with(new))
        };
        let mut counter = counter.lock_owned().await;
        let (answer, answered) = oneshot::channel();
        let run = move || {
            let result = work(&mut counter, &inner.set);
            // Before the answer is seen, so that whoever has it can open the locations again.
            drop((counter, inner));
            let _ = answer.send(result);
        };
        let failed = |source| AuthorityError::Unavailable {
            place: self.0.set.place.clone(),
            sequence: sequence.clone(),
            source: Cause::from(NoThread { source }),
        };
        thread::Builder::new()
            .name("mdb-gdid-count".to_owned())
            .spawn(run)
            .map_err(|error| failed(Some(error)))?;
        answered.await.map_err(|_| failed(None))?
    }
}

impl BlockSource for DiskAuthority {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            let authority = self.0.ids.at(SystemTime::now());
            self.with_counter(authority, scope, sequence, move |counter, set| {
                counter.allocate(set, size, UnixMillis::from(SystemTime::now()))
            })
            .await
        })
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        Box::pin(async move {
            let mut failure = None;
            for authority in self.0.ids.as_slice() {
                let work =
                    move |counter: &mut Counter, set: &LocationSet| counter.raise(set, floor);
                let raised = self.with_counter(*authority, scope, sequence, work).await;
                failure = failure.or(raised.err());
            }
            match failure {
                Some(error) => Err(error),
                None => self.status(scope, sequence).await,
            }
        })
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async move {
            let mut all: Vec<AuthorityStatus> = Vec::new();
            for authority in self.0.ids.as_slice() {
                let work = |counter: &mut Counter, set: &LocationSet| {
                    counter.status(set, UnixMillis::from(SystemTime::now()))
                };
                all.push(self.with_counter(*authority, scope, sequence, work).await?);
            }
            Ok(all)
        })
    }
}
