//! Briefcases are moved by processes that are killed, between servers that are killed, while other processes use them.
//!
//! The processes are `bank-worker`s. `killed` stops a mover at each of its steps and lets something die there; `bank`
//! has movers killed at random while services and a client that knows nothing of MDB transfer all the time.
//! With `MDB_TEST_LONG` set, every step meets every failure, and the bank is open for minutes.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

mod bank;
mod killed;
mod stage;

/// Whether the tests may take minutes.
fn is_long() -> bool {
    std::env::var_os("MDB_TEST_LONG").is_some()
}
