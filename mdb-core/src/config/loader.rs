//! Reading a configuration file: the only part of `config` that touches files and the environment.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::error::ConfigError;
use super::model::Config;

/// The largest configuration that is read, in bytes.
pub const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// Reads and checks the configuration file at `path`.
///
/// References `${NAME}` are taken from this process's environment; a value that is not UTF-8
/// counts as unset. A relative directory of a SQLite server is taken relative to the file's own
/// directory. Blocks while the file is read; it is at most 4 MiB, and no more is read.
///
/// # Errors
///
/// - [`ConfigError::Read`]: the file can't be opened or read.
/// - [`ConfigError::TooLarge`]: it has more than 4 MiB.
/// - [`ConfigError::NotText`]: it is not UTF-8, or holds a NUL byte.
/// - [`ConfigError::Faults`]: anything that is wrong with its text, all of it at once.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let name = path.display().to_string();
    let bytes = read(path, &name)?;
    check_text(&name, &bytes)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| not_text(&name, &bytes, error.valid_up_to()))?;
    let base = path.parent().unwrap_or(Path::new(""));
    Config::parse(&name, text, base, &|variable| std::env::var(variable).ok())
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let known = file.metadata().map_err(failed)?.len();
    check_size(name, known)?;
    // A device or a growing file has more than its metadata says.
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    check_size(name, bytes.len() as u64)?;
    Ok(bytes)
}

pub(super) fn check_size(name: &str, size: u64) -> Result<(), ConfigError> {
    if size > MAX_SIZE {
        return Err(ConfigError::TooLarge {
            name: name.to_owned(),
            size,
            limit: MAX_SIZE,
        });
    }
    Ok(())
}

/// Refuses NUL bytes: no text has them, and every binary format does.
pub(super) fn check_text(name: &str, bytes: &[u8]) -> Result<(), ConfigError> {
    match bytes.iter().position(|&byte| byte == 0) {
        Some(offset) => Err(not_text(name, bytes, offset)),
        None => Ok(()),
    }
}

fn not_text(name: &str, bytes: &[u8], offset: usize) -> ConfigError {
    let line = bytes[..offset].split(|&byte| byte == b'\n').count();
    ConfigError::NotText {
        name: name.to_owned(),
        offset,
        line,
    }
}
