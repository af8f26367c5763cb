//! What asks the command to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Ctrl-C, and what service managers send.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From here on, neither ends the process by itself.
    pub(crate) fn new() -> Result<Self, Failure> {
        let wait_for = |kind| {
            signal(kind).map_err(|error| {
                Failure::Failed(format!("can't wait for the signals that end it: {error}"))
            })
        };
        Ok(Self {
            interrupt: wait_for(SignalKind::interrupt())?,
            terminate: wait_for(SignalKind::terminate())?,
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
