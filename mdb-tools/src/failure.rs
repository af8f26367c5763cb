//! How a command can fail, and the exit status that says so to scripts.

use std::sync::Arc;

use mdb_core::config::ConfigError;
use mdb_core::error::chain;
use mdb_core::relocate::{ForgetError, MoveError, PlanError, VerifyError};
use mdb_core::routing::RouteError;
use mdb_core::{
    AreaError, IndexError, InitError, OpenError, SequenceError, TransactError,
    is_authority_unreachable, is_unreachable,
};
use mdb_gdid::DiskOpenError;

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
    /// The reader of the data went away (`mdb … | head`). Exit status 141, which a shell gives to programs that the signal
    /// ends.
    #[error("")]
    ReaderGone,
    /// The user asked to stop; with what holds now. Exit status 130.
    #[error("interrupted; {0}")]
    Interrupted(String),
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
            Self::Interrupted(_) => 130,
            Self::ReaderGone => 141,
        }
    }

    pub(crate) fn input(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Input(chain(error))
    }

    /// The end of what can simply be run again.
    pub(crate) fn interrupted() -> Self {
        let again = "what was committed stays, and running it again goes on from there";
        Self::Interrupted(again.to_owned())
    }

    fn by_reach(error: &(dyn std::error::Error + 'static), is_unreachable: bool) -> Self {
        if is_unreachable {
            return Self::Unreachable(chain(error));
        }
        match driver_error(error) {
            Some(sqlx::Error::Configuration(_)) => Self::Input(format!(
                "{}: mend the server's URL in the configuration",
                chain(error)
            )),
            Some(sqlx::Error::Protocol(_)) => Self::Failed(format!(
                "{}: is the server's URL for another engine than what answers there?",
                chain(error)
            )),
            _ => Self::Failed(chain(error)),
        }
    }
}

/// The innermost error of the driver: the others only wrap MDB's own.
fn driver_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e sqlx::Error> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .filter_map(|error| {
            let shared = || error.downcast_ref::<Arc<sqlx::Error>>().map(Arc::as_ref);
            error.downcast_ref().or_else(shared)
        })
        .last()
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

impl From<DiskOpenError> for Failure {
    fn from(error: DiskOpenError) -> Self {
        if error.is_transient() {
            Self::Unreachable(chain(&error))
        } else {
            Self::input(&error)
        }
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

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match &error {
            PlanError::UnknownArea { .. }
            | PlanError::UnknownShard { .. }
            | PlanError::NoManifest { .. }
            | PlanError::CapturesMoving { .. } => Self::input(&error),
            PlanError::Database(source) => Self::by_reach(&error, is_unreachable(source)),
            PlanError::Acquire(source) => Self::by_reach(&error, source.is_unreachable()),
            _ => Self::Failed(chain(&error)),
        }
    }
}

impl From<MoveError> for Failure {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::Plan(error) => error.into(),
            MoveError::Running { .. } => Self::Failed(format!(
                "{}; `--force` takes it over at once: whoever runs it can do nothing more then",
                chain(&error)
            )),
            MoveError::InMotion { ref by, .. } => Self::Failed(format!(
                "{}; `mdb move status {by}` says how",
                chain(&error)
            )),
            error => {
                let unreachable = driver_error(&error).is_some_and(is_unreachable)
                    || matches!(&error, MoveError::Acquire(source) if source.is_unreachable());
                Self::by_reach(&error, unreachable)
            }
        }
    }
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        if matches!(error, ForgetError::Unknown { .. }) {
            return Self::Input(format!("{error}; see `mdb move processes`"));
        }
        let unreachable = driver_error(&error).is_some_and(is_unreachable);
        Self::by_reach(&error, unreachable)
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match &error {
            VerifyError::UnknownArea { .. } | VerifyError::NoManifest { .. } => Self::input(&error),
            error => Self::by_reach(error, driver_error(error).is_some_and(is_unreachable)),
        }
    }
}

impl From<SequenceError> for Failure {
    fn from(error: SequenceError) -> Self {
        match &error {
            SequenceError::Unknown { .. } => Self::input(&error),
            SequenceError::Allocate(source) => {
                Self::by_reach(source, is_authority_unreachable(source))
            }
            error => Self::by_reach(error, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_server_that_is_there_but_slow_is_not_unreachable() {
        let limit = Duration::from_secs(1);
        let slow = mdb_core::TransactionError::OutOfTime { limit };
        let area = "user".parse().unwrap();
        let no_id = RouteError::ZeroId { area };
        for inner in [io::Error::other(slow), io::Error::other(no_id)] {
            let failure = Failure::from(sqlx::Error::Io(inner));
            assert!(matches!(failure, Failure::Failed(_)), "{failure:?}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failure = Failure::from(sqlx::Error::Io(refused));
        assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    }
}
