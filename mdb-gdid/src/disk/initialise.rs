//! Making directories locations of a set: once for all, or one in the place of a lost one.
//!
//! An empty directory can be a disk that is not mounted. So nothing is ever initialised because it
//! is empty: a person says so.

use std::path::{Path, PathBuf};

use super::error::{DiskOpenError, LocationError};
use super::location::{IDENTITY, LOCK, Location};
use super::options::DiskOptions;
use super::record::{Identity, IdentityState, SetId};

/// Entries of a directory that don't keep it from being initialised.
const HARMLESS: &[&str] = &[LOCK, ".location.new", "lost+found"];

fn failed(source: LocationError) -> DiskOpenError {
    if source.is_refusal() {
        DiskOpenError::Refused { source }
    } else {
        DiskOpenError::Initialise { source }
    }
}

/// Initialises all locations, or finds that they are. Nothing is counted before all of them are
/// [`New`](IdentityState::New); only then does the first become [`Ready`](IdentityState::Ready). `copy` brings what
/// others have counted since to those that are still new.
pub(super) fn initialise(
    options: &DiskOptions,
    copy: impl FnOnce() -> Result<(), DiskOpenError>,
) -> Result<(), DiskOpenError> {
    let paths = options.paths()?;
    let locations = Location::all(&paths, options.ids.as_slice(), &options.files);
    let identities = identities(&locations)?;
    if let Some(ready) = ready(&identities) {
        return finish(&locations, &identities, ready.set, copy);
    }
    for location in &locations {
        create(location)?;
        check_empty(location, &[IDENTITY])?;
        location.lock().map_err(failed)?;
    }
    let set = SetId::random();
    for state in [IdentityState::New, IdentityState::Ready] {
        for location in &locations {
            write(location, set, state)?;
        }
    }
    Ok(())
}

/// Whether one of the locations is in a set, and ready.
pub(super) fn is_initialised(options: &DiskOptions) -> Result<bool, DiskOpenError> {
    let paths = options.paths()?;
    let locations = Location::all(&paths, options.ids.as_slice(), &options.files);
    Ok(ready(&identities(&locations)?).is_some())
}

fn identities(locations: &[Location]) -> Result<Vec<Option<Identity>>, DiskOpenError> {
    let read = |location: &Location| location.read_identity().map_err(failed);
    locations.iter().map(read).collect()
}

fn ready(identities: &[Option<Identity>]) -> Option<&Identity> {
    let mut said = identities.iter().flatten();
    said.find(|identity| identity.state == IdentityState::Ready)
}

/// Sees to it that all locations are in the set, and ready. If they are, a process may be counting there.
fn finish(
    locations: &[Location],
    identities: &[Option<Identity>],
    set: SetId,
    copy: impl FnOnce() -> Result<(), DiskOpenError>,
) -> Result<(), DiskOpenError> {
    let mut new = Vec::new();
    for (location, identity) in locations.iter().zip(identities) {
        let path = location.path().to_owned();
        let Some(identity) = identity else {
            return Err(failed(LocationError::NotInitialised { path }));
        };
        if identity.set != set {
            return Err(failed(LocationError::OtherSet {
                path,
                found: identity.set.to_string(),
                expected: set.to_string(),
            }));
        }
        if identity.state == IdentityState::New {
            new.push(location);
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    copy()?;
    for location in new {
        write(location, set, IdentityState::Ready)?;
    }
    Ok(())
}

/// Puts the empty directory `path` in the place of the location that it stands for, and has all
/// counts copied to it by `copy`. Until that is done it is [`New`](IdentityState::New).
pub(super) fn replace(
    options: &DiskOptions,
    path: &Path,
    copy: impl FnOnce() -> Result<(), DiskOpenError>,
) -> Result<(), DiskOpenError> {
    let paths = options.paths()?;
    let all = || Location::all(&paths, options.ids.as_slice(), &options.files);
    let is_lost = |location: &Location| location.path() == path;
    let set = {
        let (lost, others): (Vec<_>, Vec<_>) = all().into_iter().partition(is_lost);
        let path = || path.to_owned();
        let [lost] = lost.as_slice() else {
            return Err(DiskOpenError::NotConfigured { path: path() });
        };
        let mut set = None;
        for location in &others {
            set = Some(location.attach().map_err(failed)?.set);
        }
        let Some(set) = set else {
            return Err(DiskOpenError::OnlyOne { path: path() });
        };
        create(lost)?;
        let begun = lost.read_identity().map_err(failed)?;
        if begun.is_none_or(|found| found.set != set || found.state != IdentityState::New) {
            check_empty(lost, &[])?;
            lost.lock().map_err(failed)?;
            write(lost, set, IdentityState::New)?;
        }
        set
    };
    copy()?;
    match all().iter().find(|location| is_lost(location)) {
        Some(replaced) => write(replaced, set, IdentityState::Ready),
        None => Ok(()),
    }
}

fn write(location: &Location, set: SetId, state: IdentityState) -> Result<(), DiskOpenError> {
    let text = location.identity(set, state).text();
    location
        .files()
        .replace(location.path(), IDENTITY, &text)
        .map_err(|error| failed(error.into()))
}

/// Creates the directory, with those above it, so that it is found after a crash.
fn create(location: &Location) -> Result<(), DiskOpenError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut path = location.path();
    while !path.is_dir() {
        missing.push(path.to_owned());
        match path.parent() {
            Some(parent) => path = parent,
            None => break,
        }
    }
    let files = location.files();
    for path in missing.iter().rev() {
        let created = files.create_directory(path);
        let parent = path.parent().unwrap_or(path);
        created
            .and_then(|()| files.sync_directory(parent))
            .map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

fn check_empty(location: &Location, besides: &[&str]) -> Result<(), DiskOpenError> {
    let mut names = location.names(location.path()).map_err(failed)?.into_iter();
    match names.find(|name| {
        !HARMLESS
            .iter()
            .chain(besides)
            .any(|harmless| harmless == name)
    }) {
        None => Ok(()),
        Some(found) => Err(DiskOpenError::NotEmpty {
            path: location.path().to_owned(),
            found,
        }),
    }
}
