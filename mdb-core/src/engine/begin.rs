//! How a transaction is to be begun.

use std::time::Duration;

/// How strongly a transaction is kept apart from others.
///
/// SQLite knows one level only, which is serializable: it serves for all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// All statements see what was committed before the first.
    RepeatableRead,
    /// As if transactions ran one after another.
    Serializable,
}

/// What a transaction may do when work is being done in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Writes {
    Allowed,
    Refused,
}

/// The options of a transaction: isolation level, read-only, and how long it may take.
///
/// ```
/// use std::time::Duration;
/// use mdb_core::{Isolation, TransactionOptions};
///
/// let report = TransactionOptions::new()
///     .isolation(Isolation::RepeatableRead)
///     .read_only()
///     .timeout(Duration::from_secs(60));
/// assert_eq!(report.timeout_or(Duration::from_secs(30)), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionOptions {
    isolation: Isolation,
    writes: Writes,
    timeout: Option<Duration>,
    extent: Extent,
}

/// What the time-out is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Extent {
    Whole,
    /// Each statement for itself: the transaction is there for one of them.
    Statement,
}

impl TransactionOptions {
    /// The longest time that a transaction can be given; a longer one is cut to it.
    pub const MAX_TIMEOUT: Duration = Duration::from_mins(15);

    /// Read committed, for reading and writing, with the server's statement time-out for the whole.
    #[expect(
        clippy::new_without_default,
        reason = "options are spelled out, not defaulted"
    )]
    pub const fn new() -> Self {
        Self {
            isolation: Isolation::ReadCommitted,
            writes: Writes::Allowed,
            timeout: None,
            extent: Extent::Whole,
        }
    }

    /// For a single statement, whose time counts from when it is sent.
    pub(crate) const fn single_statement(mut self) -> Self {
        self.extent = Extent::Statement;
        self
    }

    /// How long the whole may take, if a statement may take `statement`.
    pub(crate) fn limit(&self, statement: Duration) -> Duration {
        match self.extent {
            Extent::Whole => self.timeout_or(statement),
            Extent::Statement => Self::MAX_TIMEOUT,
        }
    }

    /// Sets the isolation level.
    #[must_use]
    pub const fn isolation(mut self, level: Isolation) -> Self {
        self.isolation = level;
        self
    }

    /// Refuses writes. On SQLite, such a transaction runs beside the writer instead of waiting for it.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.writes = Writes::Refused;
        self
    }

    /// Sets how long the whole transaction may take, from its begin to its commit: 0 to 900 s.
    ///
    /// Zero stands for the server's statement time-out. After it, the statement that runs is
    /// given up, nothing is committed, and the server's session is ended.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = (!limit.is_zero()).then(|| limit.min(Self::MAX_TIMEOUT));
        self
    }

    /// The time-out that was set, or `otherwise`.
    pub fn timeout_or(&self, otherwise: Duration) -> Duration {
        self.timeout.unwrap_or(otherwise)
    }

    pub(crate) fn isolation_sql(&self) -> &'static str {
        match self.isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        }
    }

    pub(crate) fn level(&self) -> Isolation {
        self.isolation
    }

    pub(crate) fn writes(&self) -> Writes {
        self.writes
    }

    pub(crate) fn set_timeout(&self) -> Option<Duration> {
        self.timeout
    }
}
