//! `mdb gdid init-disks` and `mdb gdid replace-disk`: what only a person can know is meant.
//!
//! They block while they wait for disks, which is all that they do then.

use std::path::{Path, PathBuf};

use mdb_core::Mdb;
use mdb_core::config::{AuthorityConfig, AuthorityKind, Config, loader};
use mdb_core::error::chain;
use mdb_gdid::{DiskAuthority, DiskOptions, Place};
use serde::Serialize;

use crate::args::{Arguments, InitDisksArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

#[derive(Serialize)]
struct Ready<'a> {
    authority: &'a str,
    path: String,
}

/// An `[[authority]]` of kind disk.
struct Disks<'c> {
    config: &'c AuthorityConfig,
    paths: Vec<PathBuf>,
    options: DiskOptions,
}

impl<'c> Disks<'c> {
    fn all(config: &'c Config) -> Vec<Self> {
        let life = config.sequences().options().block_life();
        let configured = config.sequences().authorities().iter();
        let on_disks = |authority: &'c AuthorityConfig| match authority.kind() {
            AuthorityKind::Disk { paths } => {
                let paths: Vec<PathBuf> = paths.iter().map(|path| absolute(path)).collect();
                let (ids, place) = (authority.ids().clone(), Place::new(authority.name()));
                Some(Self {
                    config: authority,
                    options: DiskOptions::new(ids, paths.clone(), life, place),
                    paths,
                })
            }
            _ => None,
        };
        configured.filter_map(on_disks).collect()
    }
}

pub(crate) async fn initialise(
    arguments: &Arguments,
    asked: &InitDisksArguments,
) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    let all = Disks::all(mdb.config());
    let names: Vec<&str> = all.iter().map(|disks| disks.config.name()).collect();
    let names = format!("`{}`", names.join("`, `"));
    let chosen = match (asked.authority.as_deref(), all.as_slice()) {
        (_, []) => Err("the configuration has no [[authority]] of kind \"disk\"".to_owned()),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "several authorities count on disks; name one of {names}"
        )),
        (Some(name), all) => all
            .iter()
            .find(|disks| disks.config.name() == name)
            .ok_or_else(|| {
                format!("there is no authority of kind \"disk\" called `{name}`; there is {names}")
            }),
    };
    let disks = chosen.map_err(Failure::Input)?;
    if !asked.new_authority && !DiskAuthority::is_initialised(&disks.options)? {
        refuse_if_in_use(&mdb, disks.config).await?;
    }
    DiskAuthority::initialise(&disks.options)?;
    for path in &disks.paths {
        say(arguments, disks.config.name(), path);
    }
    Ok(())
}

/// Refuses to begin counts while the store is in use, or may be: empty directories are disks that are not mounted then.
async fn refuse_if_in_use(mdb: &Mdb, authority: &AuthorityConfig) -> Result<(), Failure> {
    let (cause, is_unreachable) = match mdb.shard_in_use().await {
        Ok(None) => return Ok(()),
        Ok(Some(shard)) => {
            let shard = store::named(mdb.topology(), shard);
            (format!("shard {shard} of the store is in use"), false)
        }
        Err(error) => {
            let cause = chain(&error);
            let cause = format!("a shard that may be in use can't be asked ({cause})");
            (cause, error.is_unreachable())
        }
    };
    let name = authority.name();
    let text = format!(
        "no disk of authority `{name}` is initialised, but {cause}: is a disk not mounted? A new set begins at 1, and would \
         issue ids again; if the authority is new, or its counts are lost, `mdb gdid init-disks {name} --new-authority` begins \
         them: raise its sequences above all ids that were issued (`mdb gdid floor`) before anybody takes new ones"
    );
    Err(if is_unreachable {
        Failure::Unreachable(text)
    } else {
        Failure::Failed(text)
    })
}

pub(crate) fn replace(arguments: &Arguments, path: &Path) -> Result<(), Failure> {
    let config = load(arguments)?;
    let all = Disks::all(&config);
    let meant = absolute(path);
    let Some(disks) = all.iter().find(|disks| disks.paths.contains(&meant)) else {
        return Err(Failure::Input(format!(
            "{} is none of the `paths` of an [[authority]] of kind \"disk\"",
            path.display()
        )));
    };
    DiskAuthority::replace_location(&disks.options, &meant)?;
    say(arguments, disks.config.name(), &meant);
    Ok(())
}

/// As it is meant from where the command runs. Only an empty one can't be made absolute, and is refused later.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn load(arguments: &Arguments) -> Result<Config, Failure> {
    loader::load(&arguments.config).map_err(|error| Failure::Config(Box::new(error)))
}

fn say(arguments: &Arguments, authority: &str, path: &Path) {
    let path = path.display().to_string();
    match arguments.format() {
        Format::Json => output::json(&Ready { authority, path }),
        Format::Table => output::line(&format!(
            "{path} is ready: authority `{authority}` counts there"
        )),
    }
}
