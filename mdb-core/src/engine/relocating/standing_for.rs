//! Rows and locks that stand for briefcases where there is no row of their own to lock.

use mdb_gdid::Gdid;

/// The row of `mdb_stripe` that stands for a briefcase: the last byte of its id.
pub(crate) fn stripe(id: Gdid) -> i64 {
    let [.., last] = id.to_bytes();
    i64::from(last)
}

/// The first number of PostgreSQL's advisory locks that are MDB's.
pub(crate) const ADVISORY_CLASS: i32 = 0x6d64_6200;

/// How many advisory locks stand for all briefcases. A transaction that writes a hundred thousand
/// briefcases must not fill the server's lock table, which has room for some 7,000 as it comes.
pub(crate) const ADVISORY_SLOTS: i32 = 4_096;

/// The two numbers of PostgreSQL's advisory lock that stands for a briefcase: one that is MDB's own,
/// and the last bits of the id.
pub(crate) fn advisory_key(id: Gdid) -> [i32; 2] {
    let [.., a, b] = id.to_bytes();
    [
        ADVISORY_CLASS,
        i32::from(u16::from_be_bytes([a, b])) % ADVISORY_SLOTS,
    ]
}
