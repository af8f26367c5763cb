//! For how long the mover may keep those waiting who queue behind it for a table.

use std::time::Duration;

use crate::engine::ConnectSpec;

/// How long a definition may wait for its table, or hold it.
pub(crate) struct LockLimit<'l> {
    duration: Duration,
    from: Option<ConnectSpec<'l>>,
}

impl<'l> LockLimit<'l> {
    /// Servers that don't count as finely end the statement when a session asks for it that `from` opens.
    pub(crate) fn new(duration: Duration, from: ConnectSpec<'l>) -> Self {
        Self {
            duration,
            from: Some(from),
        }
    }

    /// As finely as the server counts: MySQL in seconds.
    #[cfg(test)]
    pub(crate) fn of_server(duration: Duration) -> Self {
        Self {
            duration,
            from: None,
        }
    }

    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    /// How to open a session that can end a statement.
    pub(crate) fn from(&self) -> Option<&ConnectSpec<'l>> {
        self.from.as_ref()
    }
}
