//! What a database's catalogue says about tables, and MDB's own tables.

use super::{ColumnTypes, Engine};

/// One of the user's tables, as the server's catalogue describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its columns, in the table's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns of the primary key, in its order.
    pub fn primary_key(&self) -> Vec<&Column> {
        let mut key: Vec<&Column> = self
            .columns
            .iter()
            .filter(|column| column.key_position.is_some())
            .collect();
        key.sort_by_key(|column| column.key_position);
        key
    }
}

/// A column of a user's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub(crate) name: String,
    pub(crate) data_type: String,
    pub(crate) nullability: Nullability,
    pub(crate) key_position: Option<u32>,
    pub(crate) numbering: Numbering,
}

impl Column {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type, in the engine's words.
    pub fn data_type(&self) -> &str {
        &self.data_type
    }

    /// Whether NULL is allowed in it.
    pub fn is_nullable(&self) -> bool {
        self.nullability == Nullability::Nullable
    }

    /// Its place in the primary key, from 1.
    pub fn key_position(&self) -> Option<u32> {
        self.key_position
    }

    /// Whether the server numbers rows by it: auto-increment, serial or identity.
    pub fn is_auto_increment(&self) -> bool {
        self.numbering == Numbering::ByServer
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nullability {
    Nullable,
    NotNull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbering {
    None,
    ByServer,
}

/// Puts columns together into tables; those of one table follow each other.
pub(super) fn tables_of(
    columns: impl IntoIterator<Item = Result<(String, Column), sqlx::Error>>,
) -> Result<Vec<Table>, sqlx::Error> {
    let mut tables: Vec<Table> = Vec::new();
    for column in columns {
        let (name, column) = column?;
        match tables.last_mut() {
            Some(table) if table.name == name => table.columns.push(column),
            _ => tables.push(Table {
                name,
                columns: vec![column],
            }),
        }
    }
    Ok(tables)
}

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableSize {
    pub(crate) rows: u64,
    pub(crate) bytes: Option<u64>,
}

/// The definitions of MDB's own tables for a shard of an area, and those that CENTRAL has besides.
///
/// `mdb_shard` is the identity stamp. `mdb_sequence` is where this installation's authority keeps
/// its place. `mdb_index` holds the named indexes: `state` is 0 for an entry that is found, 1 for a
/// claim, 2 for a rename's new key before the commit point, 3 for its old key before it, and 4 for
/// its old key after it; `operation` is the token of the claim or rename, and `peer` the rename's
/// other key.
pub(crate) fn mdb_tables<DB: Engine>() -> (Vec<String>, Vec<String>) {
    let ColumnTypes {
        id,
        bytes,
        name,
        integer,
        suffix,
        unfinished_inline,
        unfinished_index,
    } = DB::column_types();
    let shard = format!(
        "CREATE TABLE IF NOT EXISTS mdb_shard (only_row {integer} NOT NULL PRIMARY KEY CHECK (only_row = 1), \
         format {integer} NOT NULL, store {name} NOT NULL, area {name} NOT NULL, generation {name} NOT NULL, \
         partition_start {name} NOT NULL, shard {integer} NOT NULL, least_epoch {integer} NOT NULL){suffix}"
    );
    let sequence = format!(
        "CREATE TABLE IF NOT EXISTS mdb_sequence (scope {name} NOT NULL, name {name} NOT NULL, \
         authority {integer} NOT NULL, era {integer} NOT NULL, counter {integer} NOT NULL, \
         PRIMARY KEY (scope, name, authority)){suffix}"
    );
    let index = format!(
        "CREATE TABLE IF NOT EXISTS mdb_index (index_name {name} NOT NULL, key_bytes {bytes} NOT NULL, \
         gdid {id} NOT NULL, state {integer} NOT NULL, operation {bytes}, peer {bytes}, changed_ms {integer} NOT NULL, \
         PRIMARY KEY (index_name, key_bytes){unfinished_inline}){suffix}"
    );
    let mut central = vec![sequence, index];
    central.extend(unfinished_index.map(str::to_owned));
    (vec![shard], central)
}
