//! [`KitError`]: why a server could not be had.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::Kind;

/// Why the kit could not start or use a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// A program the kit needs is not installed.
    #[error("{program} is not installed: apt-get install {package}")]
    MissingPackage {
        /// What is missing, as a reader would call it.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A program that prepares a server ended with a failure.
    #[error("{program} failed with {status}; its output:\n{output}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed, both streams.
        output: String,
    },
    /// The server ended before it accepted a login.
    #[error("{kind} ended with {status} before it was ready; its log ends:\n{log}")]
    Died {
        /// The engine.
        kind: Kind,
        /// How the process ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server was not ready within the limit.
    #[error("{kind} was not ready within {limit:?}; its log ends:\n{log}")]
    NotReady {
        /// The engine.
        kind: Kind,
        /// How long the kit waited.
        limit: Duration,
        /// The last lines of the server's log.
        log: String,
        /// Why the last login failed, if it came to a login.
        source: Option<sqlx::Error>,
    },
    /// A statement or a login failed on a server that was ready.
    #[error("{kind} refused to {action}")]
    Statement {
        /// The engine.
        kind: Kind,
        /// What was tried, as a verb.
        action: &'static str,
        /// The driver's reason.
        source: sqlx::Error,
    },
}

impl KitError {
    /// For `map_err`: a failed file operation.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
