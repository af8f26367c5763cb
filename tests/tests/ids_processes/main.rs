//! Ids never repeat: processes that take them are killed and started again, and so is what hands them out.
//!
//! Each test lets several processes take ids of one sequence, kills them at random points, and disturbs the authority
//! in its own way meanwhile. All ids that the processes wrote down are then looked at: none twice, each task's own
//! ascending. The tests of one run take 2,000,000 ids each; with `MDB_TEST_LONG` set, 10,000,000.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

mod databases;
mod disks;
mod fleet;
mod ledger;
mod relay;
mod served;
