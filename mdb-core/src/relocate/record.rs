//! A move as the journal has it.

use std::fmt;
use std::time::Duration;

use super::details::Details;
use super::report::TableReceipt;
use crate::catalog::Epoch;
use crate::engine::relocating::MoveId;

/// How far a move is. Each phase is written before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MovePhase {
    /// Recorded; nothing has been touched.
    Planned = 0,
    /// The catalog says "in motion".
    Announced = 1,
    /// Changes are recorded at the source, rows are copied.
    Copying = 2,
    /// The commit point is being tried for, or has been reached: the source's fences say which.
    Flipping = 3,
    /// It is decided, and being published and cleaned up.
    Purging = 4,
    /// Everything is done.
    Done = 5,
    /// It is being undone.
    Aborting = 6,
    /// It was undone.
    Aborted = 7,
}

impl MovePhase {
    pub(super) fn stored(number: i64) -> Result<Self, sqlx::Error> {
        [
            Self::Planned,
            Self::Announced,
            Self::Copying,
            Self::Flipping,
            Self::Purging,
            Self::Done,
            Self::Aborting,
            Self::Aborted,
        ]
        .into_iter()
        .find(|phase| *phase as i64 == number)
        .ok_or_else(|| sqlx::Error::Decode(format!("a move in the unknown phase {number}").into()))
    }

    /// Its name, as the command prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Announced => "announced",
            Self::Copying => "copying",
            Self::Flipping => "flipping",
            Self::Purging => "purging",
            Self::Done => "done",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
        }
    }

    /// The phases from which a move comes to this one. A mover that finds another one has been asleep, or the catalog was
    /// restored from a backup under its hands.
    pub(super) fn comes_after(self) -> &'static [Self] {
        match self {
            Self::Planned => &[],
            Self::Announced => &[Self::Planned],
            // A move that is resumed copies anew; one whose window was too short tries again.
            Self::Copying => &[Self::Announced, Self::Copying, Self::Flipping],
            Self::Flipping => &[Self::Copying, Self::Flipping],
            Self::Purging => &[Self::Flipping, Self::Purging],
            Self::Done => &[Self::Purging],
            Self::Aborting => &[
                Self::Planned,
                Self::Announced,
                Self::Copying,
                Self::Flipping,
                Self::Aborting,
            ],
            Self::Aborted => &[Self::Aborting],
        }
    }

    /// The phases in which nothing is left to do.
    pub(super) const OVER: &'static [Self] = &[Self::Done, Self::Aborted];

    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        Self::OVER.contains(&self)
    }
}

impl fmt::Display for MovePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A move as the journal has it.
#[derive(Clone, Debug)]
pub struct MoveRecord {
    pub(super) id: MoveId,
    pub(super) area: String,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) phase: MovePhase,
    pub(super) announced: Epoch,
    pub(super) published: Epoch,
    pub(super) created_ms: i64,
    pub(super) changed_ms: i64,
    pub(super) runs_for: Option<Duration>,
    pub(super) details: Details,
}

impl MoveRecord {
    /// The move's id: 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The area.
    pub fn area(&self) -> &str {
        &self.area
    }

    /// The name of the shard that the briefcases leave; see
    /// [`Topology::shard_name`](crate::topology::Topology::shard_name).
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The name of the shard that they go to.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// How far it is.
    pub fn phase(&self) -> MovePhase {
        self.phase
    }

    /// The epoch in which it was announced; 0 before.
    pub fn announced(&self) -> Epoch {
        self.announced
    }

    /// The epoch in which its outcome was published; 0 before.
    pub fn published(&self) -> Epoch {
        self.published
    }

    /// When it was recorded, in milliseconds since 1970 by the catalog's clock.
    pub fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// When its journal was written last, by the same clock.
    pub fn changed_ms(&self) -> i64 {
        self.changed_ms
    }

    /// For how long its mover's lease holds; `None` when nobody runs it.
    pub fn runs_for(&self) -> Option<Duration> {
        self.runs_for
    }

    /// What was verified, table by table; empty before the move was decided. If its mover died right after that, whoever
    /// takes it over sums the source's rows, which nobody writes any more; if they can't be read then, it stays empty.
    pub fn receipt(&self) -> Vec<TableReceipt> {
        self.details.receipt().to_vec()
    }
}
