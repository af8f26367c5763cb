//! Authorities over HTTP: real servers, real sockets, and what can go wrong between them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod hosts;
mod partition;
mod proxy;
mod requests;
mod shutdown;
mod support;
mod transport;
mod usual;
