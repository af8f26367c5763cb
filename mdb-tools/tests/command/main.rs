//! The `mdb` command as scripts and operators meet it: the program itself, run as a process, on SQLite.
//!
//! `kit` starts it. Every run is checked for what must never happen, whatever is asked: a panic, a password in the
//! output, an end later than the limit.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

mod asked;
mod bad_disks;
mod bad_files;
mod bad_servers;
mod bad_texts;
mod central;
mod check;
mod ids;
mod ids_disks;
mod ids_floor;
mod ids_serve;
mod ids_status;
mod interrupted;
mod kit;
mod leftovers;
mod lost;
mod moves;
mod moves_bad;
mod moves_interrupted;
mod moves_prepare;
mod moves_stopped;
mod moves_unknown;
mod route_live;
mod shards;
mod unwritten;
mod verify;
mod words;
