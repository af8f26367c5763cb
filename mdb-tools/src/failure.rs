//! How a command can fail, and the exit status that says so to scripts.

use mdb_core::config::ConfigError;
use mdb_core::error::chain;
use mdb_core::routing::RouteError;
use mdb_core::{
    AcquireError, AreaError, IndexError, InitError, OpenError, SequenceError, TransactError,
    cause_of,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Arguments, ids or keys that can't be used. Exit status 2.
    #[error("{0}")]
    Input(String),
    /// A configuration that can't be used. Exit status 2.
    #[error("{0}")]
    Config(Box<ConfigError>),
    /// A server that can't be reached. Exit status 3.
    #[error("{0}")]
    Unreachable(String),
    /// Anything else. Exit status 1.
    #[error("{0}")]
    Failed(String),
    /// `check` found problems, or `get` found nothing, and has said so. Exit status 1.
    #[error("")]
    Reported,
    /// The user asked to stop. Exit status 130.
    #[error("interrupted; what was committed stays, and running it again goes on from there")]
    Interrupted,
}

impl Failure {
    /// The status of bad input.
    pub(crate) const INPUT_STATUS: u8 = 2;

    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Reported => 1,
            Self::Input(_) | Self::Config(_) => Self::INPUT_STATUS,
            Self::Unreachable(_) => 3,
            Self::Interrupted => 130,
        }
    }

    pub(crate) fn input(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Input(chain(error))
    }

    fn by_reach(error: &(dyn std::error::Error + 'static), is_unreachable: bool) -> Self {
        if is_unreachable {
            Self::Unreachable(chain(error))
        } else {
            Self::Failed(chain(error))
        }
    }
}

/// Whether no server was there to answer.
fn is_unreachable(error: &sqlx::Error) -> bool {
    match cause_of::<AcquireError>(error) {
        Some(acquire) => acquire.is_unreachable(),
        None => matches!(error, sqlx::Error::Io(_)),
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Config(error) => Self::Config(error),
            error => Self::input(&error),
        }
    }
}

impl From<AreaError> for Failure {
    fn from(error: AreaError) -> Self {
        Self::input(&error)
    }
}

impl From<RouteError> for Failure {
    fn from(error: RouteError) -> Self {
        Self::input(&error)
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        Self::by_reach(&error, error.is_unreachable())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::by_reach(&error, is_unreachable(&error))
    }
}

impl From<TransactError> for Failure {
    fn from(error: TransactError) -> Self {
        let unreachable =
            matches!(&error, TransactError::Database(source) if is_unreachable(source));
        Self::by_reach(&error, unreachable)
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        match &error {
            IndexError::Unknown { .. } | IndexError::Key { .. } | IndexError::ZeroId { .. } => {
                Self::input(&error)
            }
            IndexError::Database { source, .. } => Self::by_reach(&error, is_unreachable(source)),
            _ => Self::Failed(chain(&error)),
        }
    }
}

impl From<SequenceError> for Failure {
    fn from(error: SequenceError) -> Self {
        match &error {
            SequenceError::Unknown { .. } => Self::input(&error),
            error => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> =
                    std::error::Error::source(error);
                while let Some(found) = cause {
                    if let Some(error) = found.downcast_ref::<sqlx::Error>() {
                        return Self::by_reach(
                            &SequenceFailed(chain(found)),
                            is_unreachable(error),
                        );
                    }
                    cause = found.source();
                }
                Self::Failed(chain(error))
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no ids can be issued: {0}")]
struct SequenceFailed(String);
