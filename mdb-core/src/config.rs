//! The configuration: TOML text → a checked, typed model, or a report of everything that is wrong.
//!
//! [`Config::parse`] is a pure function from text (and a way to look up environment variables) to
//! [`Config`]; [`loader::load`] reads a file and the process's environment for it. All faults of
//! a file come in one go, each a [`Fault`] with a code, the line, the text underlined and what
//! would be right.
//!
//! Vocabulary: a *section* is a TOML table; a *key* stands in a section; a *reference* is
//! `${NAME}`, taken from the environment; a *placeholder* is `{host}` or `{database}` in a URL.
//!
//! Passwords: an [`Endpoint`] masks its password by type, values from the environment never enter
//! a fault, and a password written into the file is blanked wherever the file's text is shown.
//! `mdb.reference.toml` in the repository's `config` directory shows every key.

mod endpoint;
mod error;
mod expand;
mod fault;
pub mod loader;
mod model;
mod names;
mod reader;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use endpoint::Endpoint;
pub use error::{Colour, ConfigError};
pub use fault::{Fault, FaultCode, Faults};
pub use model::{
    AreaConfig, AuthorityConfig, AuthorityKind, BriefcaseConfig, CacheConfig, Capture,
    CentralConfig, Config, DeclaredSequence, EngineKind, GenerationConfig, HashKind, IndexConfig,
    KeyKind, Normalization, PartitionConfig, Reach, SequenceConfig, ServerConfig, ServerLimits,
    ShardConfig, TableConfig,
};
pub use names::{
    AreaName, BriefcaseName, DatabaseName, IndexName, NameError, ServerName, StoreName,
};

impl Config {
    /// Reads and checks the text of a configuration. Pure: no file is opened.
    ///
    /// `name` is what reports call the text; a relative directory of a SQLite server is taken
    /// relative to `base`; `environment` gives the value of a variable, if it is set.
    ///
    /// # Errors
    ///
    /// - [`ConfigError::TooLarge`]: the text has more than 4 MiB.
    /// - [`ConfigError::NotText`]: the text holds a NUL character.
    /// - [`ConfigError::Faults`]: anything else that is wrong, all of it at once.
    pub fn parse(
        name: &str,
        text: &str,
        base: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        loader::check_size(name, text.len() as u64)?;
        loader::check_text(name, text.as_bytes())?;
        reader::read(name, text, base, environment).map_err(ConfigError::Faults)
    }
}
