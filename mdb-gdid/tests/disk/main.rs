//! Authorities that count in files: whatever fails, wherever it dies, and whichever copy is put back,
//! no id is handed out twice.
//!
//! A disk is a directory. A crash is simulated, except in `killed`, where processes are killed: what
//! was not synced before it is lost, or half of it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod crashes;
mod disks;
mod hanging;
mod killed;
mod locations;
mod model;
mod sequences;
