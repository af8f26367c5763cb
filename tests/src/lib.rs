//! What MDB's tests and benches stand on: real database servers, started from Rust.
//!
//! Everything is in [`kit`]. Tests of MDB itself are in this package's `tests/` directory.

pub mod bank;
pub mod central_store;
pub mod kit;
pub mod store;
