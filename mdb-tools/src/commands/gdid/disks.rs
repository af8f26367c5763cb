//! `mdb gdid init-disks` and `mdb gdid replace-disk`: what only a person can know is meant.
//!
//! They block while they wait for disks, which is all that they do.

use std::path::{Path, PathBuf};

use mdb_core::config::{AuthorityConfig, AuthorityKind, Config, loader};
use mdb_gdid::{DiskAuthority, DiskOptions, Place};
use serde::Serialize;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{self, Format};

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

pub(crate) fn initialise(arguments: &Arguments, name: Option<&str>) -> Result<(), Failure> {
    let config = load(arguments)?;
    let all = Disks::all(&config);
    let names: Vec<&str> = all.iter().map(|disks| disks.config.name()).collect();
    let names = format!("`{}`", names.join("`, `"));
    let chosen = match (name, all.as_slice()) {
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
    DiskAuthority::initialise(&disks.options)?;
    for path in &disks.paths {
        say(arguments, disks.config.name(), path);
    }
    Ok(())
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
