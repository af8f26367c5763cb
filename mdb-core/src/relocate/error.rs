//! Why a move was refused, or stopped.

use std::time::Duration;

use mdb_gdid::Gdid;

use crate::catalog::{Epoch, HomeError};
use crate::engine::relocating::{Relocating, Side, StepError};
use crate::servers::{AcquireError, is_transient, may_pass};

mod planning;

pub use planning::PlanError;

/// Why a move stopped. Its journal says how far it came; resume or abort it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// There is no such move.
    #[error("there is no move {id}")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// The journal knows the move, which is to be ended as one that it doesn't know.
    #[error("the journal knows move {id}: resume or abort it")]
    Known {
        /// The move.
        id: String,
    },
    /// Another process has taken the move over.
    #[error("another process has taken the move over")]
    NotOwner,
    /// Another process runs the move, or died while it did.
    #[error("another process runs the move: unless it goes on, its lease runs out in {} s", left.as_secs_f64().ceil())]
    Running {
        /// For how long the move can't be taken from it, should it be dead.
        left: Duration,
    },
    /// A briefcase is being moved by another move.
    #[error(
        "briefcase {id} is being moved already, by move {by}: wait for that, or resume or abort it"
    )]
    InMotion {
        /// The briefcase.
        id: Gdid,
        /// The other move.
        by: String,
    },
    /// A briefcase has gone elsewhere since the plan was made.
    #[error("briefcase {id} is on shard {home} by now, not on {planned}: plan the move again")]
    Displaced {
        /// The briefcase.
        id: Gdid,
        /// Where it is.
        home: String,
        /// Where the plan has it.
        planned: String,
    },
    /// Fences of another move stand where the briefcases are, or where they go.
    #[error("another move's fences are in the way: see `mdb check`")]
    Conflict,
    /// Rows of the briefcases are on the target already.
    #[error(
        "the target has rows of the briefcases already, in table `{table}`: look whose they are, then delete them"
    )]
    Strays {
        /// The table.
        table: String,
    },
    /// Other briefcases have what the rows of the briefcases would have to have at the target.
    #[error(
        "another briefcase at the target has a key or unique value of the briefcases: abort the move, change the value on one of the two, and move again"
    )]
    Taken(#[source] sqlx::Error),
    /// Another move records changes on one of the shards by triggers that this one would have to replace.
    #[error(
        "another move is under way on one of the shards, with other tables or another version of MDB: \
         let it end as it began, or abort it"
    )]
    OtherTables,
    /// The configuration lists other tables than when the move began, or reaches them in another way.
    #[error(
        "the configuration does not list {} as it did when the move began: put that back, end the move, then change it",
        tables.join(", ")
    )]
    Relisted {
        /// The tables, each as people write it.
        tables: Vec<String>,
    },
    /// A shard asks for an epoch that the catalog has not come to, so the catalog was restored from a backup, or begun anew:
    /// what it says of moves is not to be relied on.
    #[error(
        "shard {shard} asks for epoch {least}, and the catalog has come to {catalog} only: it was restored from a backup, \
         or begun anew; see `mdb move raise-epoch --help`"
    )]
    CatalogBehind {
        /// The shard, as SERVER/DATABASE.
        shard: String,
        /// The least epoch that it asks for.
        least: Epoch,
        /// The catalog's.
        catalog: Epoch,
    },
    /// A shard has not the fences of the move that it must have: it, or the catalog, was restored from a backup, or begun
    /// anew. The move may have ended since.
    #[error(
        "shard {shard} has lost the move's fences: it, or CENTRAL, was restored from a backup or begun anew. The target may \
         have the only copy: save what is needed there, abort the move, and look with `mdb verify`"
    )]
    FencesLost {
        /// The shard, as SERVER/DATABASE.
        shard: String,
    },
    /// Moves are under way.
    #[error(
        "by the catalog, moves are under way: {}; abort them first, or resume those that were decided",
        moves.join(", ")
    )]
    UnderWay {
        /// Their ids.
        moves: Vec<String>,
    },
    /// The plan could not be made again.
    #[error("the move can't be planned again")]
    Plan(#[from] PlanError),
    /// Source and target differ after everything was copied. The fence is lifted; nothing is lost.
    #[error(
        "table `{table}` differs between source and target after each copy, {}: see that nothing changes rows as they come, or \
         past MDB's triggers, and resume or abort the move",
        first_of(keys)
    )]
    Mismatch {
        /// The table.
        table: String,
        /// The first differing primary keys; none, where the difference could not be found again, or is how often the same rows
        /// are there.
        keys: Vec<String>,
    },
    /// Rows that are to be deleted stay where they are: those of briefcases that have moved, at the source, or those of a half
    /// copy, at the target. Fences keep everybody from them.
    #[error(
        "rows of table `{table}`{} are still there after they were deleted: have the table's triggers let them go, and go on \
         with the move",
        on(shard.as_deref())
    )]
    Kept {
        /// The table.
        table: String,
        /// The shard, as SERVER/DATABASE, where it is known.
        shard: Option<String>,
    },
    /// Rows were written at the source after the move was decided: a handler in a stored function or trigger has caught MDB's
    /// refusal. The target lacks them, so they are not deleted.
    #[error(
        "rows were written on shard {shard} although they were refused, in {}: a stored function or trigger there catches MDB's \
         refusal (SQLSTATE 45M01). Bring them to the target, delete what is recorded of them, and resume the move",
        tables.join(", ")
    )]
    WrittenPast {
        /// The shard, as SERVER/DATABASE.
        shard: String,
        /// The tables, each with the one that has their keys.
        tables: Vec<String>,
    },
    /// Tables of the source were altered while the move was under way, or MDB's triggers were disabled or removed, so
    /// that something may not have come along. Nothing is fenced, and nothing is lost.
    #[error(
        "the source's tables, or the triggers on them, were changed while the move was under way: resume it, and it begins anew"
    )]
    Altered,
    /// A row refers to one that the target lacks. The fence is lifted; nothing is lost.
    #[error(
        "by its {key}, a row of table `{table}` refers to a row of `{referred}` that the target has not: bring that there and resume the move, or abort it"
    )]
    Dangling {
        /// The table whose row it is.
        table: String,
        /// The foreign key.
        key: String,
        /// The table that it refers to.
        referred: String,
    },
    /// Locks could not be had for too long.
    #[error(
        "others kept what the move needs{} locked for {} s, while it was to {phase}",
        on(shard.as_deref()),
        waited.as_secs()
    )]
    Busy {
        /// The shard, as SERVER/DATABASE, where it is known.
        shard: Option<String>,
        /// What it was about to do.
        phase: &'static str,
        /// How long it was tried.
        waited: Duration,
    },
    /// What was changed last could not be brought over and verified while the briefcases were fenced. Nothing is lost.
    #[error(
        "the last changes can't be brought over within {} ms: allow a longer pause (`pause_target`, or `--pause-target`), or move while less is written",
        pause.as_millis()
    )]
    Window {
        /// For how long they may be fenced.
        pause: Duration,
    },
    /// Processes did not acknowledge in time.
    #[error("waited {} s for {}", waited.as_secs(), routers.join(", "))]
    Unacknowledged {
        /// The processes, and what they wait for.
        routers: Vec<String>,
        /// How long it was waited.
        waited: Duration,
    },
    /// It can't be done any more, or not yet.
    #[error("the move is {phase}: {advice}")]
    WrongPhase {
        /// How far it is.
        phase: super::MovePhase,
        /// What can be done instead.
        advice: &'static str,
    },
    /// It was told to stop.
    #[error("the move was stopped; resume or abort it")]
    Stopped,
    /// A database failed.
    #[error("a database failed during the move")]
    Database(#[source] sqlx::Error),
    /// A database failed that briefcases move from, or to.
    #[error("the move failed on shard {}", shards.join(" or "))]
    OnShard {
        /// The shard, as SERVER/DATABASE; both, where it can't be told which.
        shards: Vec<String>,
        /// What went wrong.
        source: sqlx::Error,
    },
    /// A shard could not be reached.
    #[error("a shard can't be reached")]
    Acquire(#[source] AcquireError),
    /// The catalog could not be asked.
    #[error("the catalog can't be asked")]
    Catalog(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn on(shard: Option<&str>) -> String {
    shard.map_or_else(String::new, |shard| format!(" on shard {shard}"))
}

fn first_of(keys: &[String]) -> String {
    if keys.is_empty() {
        "but no longer in single rows".to_owned()
    } else {
        format!("first at {}", keys.join("; "))
    }
}

impl MoveError {
    /// Whether what is asked for can't be done as things are, and nothing was copied for it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::InMotion { .. }
                | Self::Displaced { .. }
                | Self::Conflict
                | Self::OtherTables
                | Self::Strays { .. }
        )
    }

    /// Whether resuming the move may succeed later with no change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Window { .. }
            | Self::Unacknowledged { .. }
            | Self::Running { .. }
            | Self::Altered
            | Self::Stopped => true,
            Self::Database(error) | Self::OnShard { source: error, .. } => may_pass(error),
            Self::Catalog(error) => {
                let home = error.downcast_ref::<HomeError>();
                matches!(home, Some(HomeError::Database(error)) if may_pass(error))
            }
            Self::Acquire(error) => error.is_transient(),
            Self::Plan(error) => error.is_transient(),
            Self::Unknown { .. }
            | Self::Known { .. }
            | Self::NotOwner
            | Self::InMotion { .. }
            | Self::Displaced { .. }
            | Self::Conflict
            | Self::Strays { .. }
            | Self::Taken(_)
            | Self::OtherTables
            | Self::Mismatch { .. }
            | Self::Kept { .. }
            | Self::WrittenPast { .. }
            | Self::Dangling { .. }
            | Self::Relisted { .. }
            | Self::CatalogBehind { .. }
            | Self::FencesLost { .. }
            | Self::UnderWay { .. }
            | Self::WrongPhase { .. } => false,
        }
    }
}

impl From<sqlx::Error> for MoveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<AcquireError> for MoveError {
    fn from(error: AcquireError) -> Self {
        Self::Acquire(error)
    }
}

impl From<HomeError> for MoveError {
    fn from(error: HomeError) -> Self {
        Self::Catalog(error.into())
    }
}

/// What a step's failure means for the move: a lock that could not be had is tried for again.
pub(super) enum Trouble {
    Busy,
    Failed(MoveError),
    /// The database on that side failed.
    FailedAt(Side, sqlx::Error),
}

impl Trouble {
    pub(super) fn of<DB: Relocating>(error: StepError) -> Self {
        match error {
            StepError::Busy => Self::Busy,
            StepError::NotOwner => Self::Failed(MoveError::NotOwner),
            StepError::OtherTables => Self::Failed(MoveError::OtherTables),
            StepError::Altered => Self::Failed(MoveError::Altered),
            StepError::Kept(table) => Self::Failed(MoveError::Kept { table, shard: None }),
            StepError::Stopped => Self::Failed(MoveError::Stopped),
            // A conflict with another transaction, not a lost connection.
            StepError::Database(error)
                if is_transient::<DB>(&error)
                    && DB::error_class(&error) == crate::engine::ErrorClass::Conflict =>
            {
                Self::Busy
            }
            StepError::Database(error) if DB::is_taken(&error) => {
                Self::Failed(MoveError::Taken(error))
            }
            StepError::Database(error) => Self::Failed(MoveError::Database(error)),
            StepError::DatabaseAt(side, error) => {
                match Self::of::<DB>(StepError::Database(error)) {
                    Self::Failed(MoveError::Database(error)) => Self::FailedAt(side, error),
                    other => other,
                }
            }
        }
    }
}
