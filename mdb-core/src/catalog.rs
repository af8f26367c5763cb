//! The dynamic state: which router answers just now, and who has to know before it changes.
//!
//! A topology and its relocations change as a whole: a new [`Router`](crate::routing::Router) replaces the old one in one
//! step, and every operation uses the one that it found at its beginning. A handle keeps the router
//! that it was made with and compares one number per operation, so that routing takes no lock and
//! follows no shared pointer while nothing changes.
//!
//! Vocabulary:
//!
//! - **epoch**: the number of a state of the relocations; each change has the next one.
//! - **snapshot**: a router with its epoch, the briefcases that are in motion, and the number of
//!   operations that run by it on each shard.
//! - **home**: CENTRAL's first shard, where the catalog is kept.
//! - **session**: this process' registration at the home. It holds a **lease** while it is sure to
//!   be heard of, and **acknowledges** an epoch once no operation that began under an older snapshot
//!   runs on a shard that the epoch is about.
//! - **path**: an operation goes *directly* to the shard while there is a lease and its briefcase
//!   rests; else it goes *guarded*: it looks at the briefcase's fence on the shard first. So a process
//!   without a lease is slower, never wrong.

mod copies;
mod home;
mod live;
mod operation;
mod relocation;
mod session;

pub(crate) use copies::{forget_all as forget_copies, spread as spread_copies};
pub(crate) use home::{Home, HomeError};
pub use live::{Epoch, LiveArea, LiveRouter};
pub(crate) use operation::{Operation, Path};
pub(crate) use relocation::{KnownRelocations, RelocationState};
pub(crate) use session::Session;
