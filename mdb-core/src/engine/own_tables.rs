//! MDB's own tables.
//!
//! On every shard:
//!
//! - `mdb_shard`: the identity stamp, with the spread of the shard's list; the least epoch that a router
//!   must have applied to be served here; and how often a briefcase has come or gone (`flips`).
//! - `mdb_fence`: what holds for a briefcase here while it is moved, and after it has gone; see
//!   [`FenceState`](super::relocating::FenceState).
//! - `mdb_mover`: who runs a move just now. `mdb_guest`: on SQLite, marks the mover's own transaction.
//! - `mdb_stripe`: 256 rows to lock, so that also the fence of a briefcase that has none can be kept
//!   as it is. `mdb_absent`: the view of the ids whose rows here don't count.
//! - `mdb_relocation`: the relocations; what counts is CENTRAL's first shard, the others have copies.
//!
//! On CENTRAL's shards besides:
//!
//! - `mdb_sequence`: the authorities' ledgers; see [`mdb_gdid::Ledger`].
//! - `mdb_index`: the named indexes. `state` is 0 for an entry that is found, 1 for a claim, 2 for a
//!   rename's new key before the commit point, 3 for its old key before it, and 4 for its old key
//!   after it; `operation` is the token of the claim or rename, and `peer` the rename's other key.
//! - `mdb_catalog`, `mdb_router`, `mdb_move`, `mdb_move_briefcase`: the epoch, the routers with what
//!   they have applied and their leases, and the journal of moves.

use std::fmt::Write;

use super::Engine;

/// The column types of MDB's own tables in one engine.
#[derive(Clone, Copy)]
pub(crate) struct ColumnTypes {
    pub(crate) id: &'static str,
    pub(crate) bytes: &'static str,
    pub(crate) name: &'static str,
    pub(crate) integer: &'static str,
    pub(crate) text: &'static str,
    pub(crate) suffix: &'static str,
    pub(crate) indexes: Indexes,
    /// How a view is made that may be there already.
    pub(crate) create_view: &'static str,
}

/// How an index of MDB's own tables is defined, so that the definition can be repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexes {
    /// As a part of the table's definition.
    Inline,
    /// As a statement of its own, which may leave rows out.
    Apart,
}

/// The definitions for every shard, and those that CENTRAL's shards have besides. All of them can be
/// repeated.
pub(crate) fn mdb_tables<DB: Engine>() -> (Vec<String>, Vec<String>) {
    let types = DB::column_types();
    let mut shard = on_every_shard(&types);
    shard.push(DB::insert_if_absent(&stripes(), "version"));
    let (mut central, first_epoch) = on_central(&types);
    central.push(DB::insert_if_absent(first_epoch, "epoch"));
    (shard, central)
}

fn on_every_shard(types: &ColumnTypes) -> Vec<String> {
    let ColumnTypes {
        id,
        name,
        integer,
        suffix,
        indexes,
        create_view,
        ..
    } = types;
    let mut tables = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_shard (only_row {integer} NOT NULL PRIMARY KEY CHECK (only_row = 1), \
             format {integer} NOT NULL, store {name} NOT NULL, area {name} NOT NULL, generation {name} NOT NULL, \
             partition_start {name} NOT NULL, shard {integer} NOT NULL, spread {name} NOT NULL, least_epoch {integer} NOT NULL, \
             flips {integer} NOT NULL){suffix}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_fence (gdid {id} NOT NULL PRIMARY KEY, move {name} NOT NULL, \
             state {integer} NOT NULL, deadline {integer} NOT NULL, target {name}, epoch {integer} NOT NULL, \
             landed {integer} NOT NULL{}){suffix}",
            inline(*indexes, "mdb_fence_move", "move")
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_mover (move {name} NOT NULL PRIMARY KEY, owner {integer} NOT NULL){suffix}"
        ),
        format!("CREATE TABLE IF NOT EXISTS mdb_guest (move {name} NOT NULL PRIMARY KEY){suffix}"),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_stripe (stripe {integer} NOT NULL PRIMARY KEY, \
             version {integer} NOT NULL){suffix}"
        ),
        format!("{create_view} mdb_absent AS SELECT gdid FROM mdb_fence WHERE state >= 3"),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_relocation (area {name} NOT NULL, gdid {id} NOT NULL, \
             move {name} NOT NULL, state {integer} NOT NULL, home {name}, source {name} NOT NULL, \
             epoch {integer} NOT NULL, PRIMARY KEY (area, gdid){}){suffix}",
            inline(*indexes, "mdb_relocation_epoch", "epoch")
        ),
    ];
    tables.extend(apart(*indexes, "mdb_fence_move", "mdb_fence (move)"));
    tables.extend(apart(
        *indexes,
        "mdb_relocation_epoch",
        "mdb_relocation (epoch)",
    ));
    tables
}

/// The tables, and the insertion of the first epoch.
fn on_central(types: &ColumnTypes) -> (Vec<String>, &'static str) {
    let ColumnTypes {
        id,
        bytes,
        name,
        integer,
        text,
        suffix,
        indexes,
        ..
    } = types;
    let mut tables = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_sequence (scope {name} NOT NULL, name {name} NOT NULL, \
             authority {integer} NOT NULL, era {integer} NOT NULL, counter {integer} NOT NULL, \
             blocks {integer} NOT NULL, last_at {integer} NOT NULL, window_at {integer} NOT NULL, \
             window_blocks {integer} NOT NULL, earlier_blocks {integer} NOT NULL, \
             PRIMARY KEY (scope, name, authority)){suffix}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_index (index_name {name} NOT NULL, key_bytes {bytes} NOT NULL, \
             gdid {id} NOT NULL, state {integer} NOT NULL, operation {bytes}, peer {bytes}, changed_ms {integer} NOT NULL, \
             PRIMARY KEY (index_name, key_bytes){}){suffix}",
            inline(
                *indexes,
                "mdb_index_unfinished",
                "index_name, state, changed_ms"
            )
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_catalog (only_row {integer} NOT NULL PRIMARY KEY CHECK (only_row = 1), \
             epoch {integer} NOT NULL){suffix}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_router (router {name} NOT NULL PRIMARY KEY, \
             acknowledged {integer} NOT NULL, lease_until {integer} NOT NULL, waits_for {text}, \
             place {text} NOT NULL){suffix}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_move (move {name} NOT NULL PRIMARY KEY, area {name} NOT NULL, \
             source {name} NOT NULL, target {name} NOT NULL, phase {integer} NOT NULL, owner {integer} NOT NULL, \
             lease_until {integer} NOT NULL, announced {integer} NOT NULL, published {integer} NOT NULL, \
             created_ms {integer} NOT NULL, changed_ms {integer} NOT NULL, detail {text} NOT NULL){suffix}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS mdb_move_briefcase (move {name} NOT NULL, gdid {id} NOT NULL, \
             PRIMARY KEY (move, gdid)){suffix}"
        ),
    ];
    tables.extend(apart(
        *indexes,
        "mdb_index_unfinished",
        "mdb_index (index_name, changed_ms) WHERE state <> 0",
    ));
    (
        tables,
        "INSERT INTO mdb_catalog (only_row, epoch) VALUES (1, 0)",
    )
}

/// The rows of `mdb_stripe`: one for each value of an id's last byte.
fn stripes() -> String {
    let mut insert = "INSERT INTO mdb_stripe (stripe, version) VALUES (0, 0)".to_owned();
    for stripe in 1..=u8::MAX {
        let _ = write!(insert, ", ({stripe}, 0)");
    }
    insert
}

fn inline(indexes: Indexes, name: &str, columns: &str) -> String {
    match indexes {
        Indexes::Inline => format!(", KEY {name} ({columns})"),
        Indexes::Apart => String::new(),
    }
}

fn apart(indexes: Indexes, name: &str, on: &str) -> Option<String> {
    match indexes {
        Indexes::Inline => None,
        Indexes::Apart => Some(format!("CREATE INDEX IF NOT EXISTS {name} ON {on}")),
    }
}
