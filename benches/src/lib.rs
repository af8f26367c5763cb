//! What the benches share: floors to compare with, stores to read from, and fair comparison.
//!
//! A ratio means something only when both sides run under the same conditions, so [`compare`] runs
//! them in turn, in one process, and compares medians. `ratios` prints all of them as one table;
//! `routing` and `reading` are criterion's view of the same work.

pub mod compare;
pub mod floors;
pub mod stores;
