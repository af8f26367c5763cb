//! Why there is no plan.

use crate::catalog::HomeError;
use crate::relocate::refusal::Refusal;
use crate::servers::{AcquireError, may_pass};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is no such area.
    #[error("there is no area called `{name}`")]
    UnknownArea {
        /// The name that was asked for.
        name: String,
    },
    /// The target, or the shard whose briefcases are to move, is no shard of the area.
    #[error("area `{area}` has no shard {shard}")]
    UnknownShard {
        /// The area.
        area: String,
        /// The shard that was asked for.
        shard: String,
    },
    /// The area's configuration lists no tables.
    #[error(
        "area `{area}` has no briefcase type: list its tables as [[area.briefcase]] before moving anything"
    )]
    NoManifest {
        /// The area.
        area: String,
    },
    /// What is installed on the area's tables does not stay.
    #[error(
        "area `{area}` records changes only while briefcases are moved: set its `capture = \"always\"` to have the triggers stay"
    )]
    CapturesMoving {
        /// The area.
        area: String,
    },
    /// Some things make it impossible.
    #[error("the move is impossible: {}", reasons(refusals))]
    Refused {
        /// All of them.
        refusals: Vec<Refusal>,
    },
    /// A database failed.
    #[error("a database could not be asked")]
    Database(#[source] sqlx::Error),
    /// A connection could not be had.
    #[error("a shard can't be reached")]
    Acquire(#[source] AcquireError),
}

impl PlanError {
    /// Whether planning may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => may_pass(error),
            Self::Acquire(error) => error.is_transient(),
            Self::UnknownArea { .. }
            | Self::UnknownShard { .. }
            | Self::NoManifest { .. }
            | Self::CapturesMoving { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// How many of the things that are in the way a message names.
const NAMED: usize = 20;

fn reasons(refusals: &[Refusal]) -> String {
    let each = refusals.iter().take(NAMED);
    let mut each: Vec<String> = each.map(ToString::to_string).collect();
    if refusals.len() > NAMED {
        each.push(format!("and {} more", refusals.len() - NAMED));
    }
    each.join("; ")
}

impl From<HomeError> for PlanError {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Database(error) => Self::Database(error),
            error @ HomeError::NoEpoch => Self::Database(sqlx::Error::Configuration(error.into())),
        }
    }
}

impl From<sqlx::Error> for PlanError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<AcquireError> for PlanError {
    fn from(error: AcquireError) -> Self {
        Self::Acquire(error)
    }
}
