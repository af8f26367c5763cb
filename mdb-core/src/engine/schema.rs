//! What a database's catalogue says about tables.

mod facts;
mod reading;
mod shape;

pub(crate) use facts::{Checked, ForeignKey, Names, Obstacle, Risk, Schema, Trigger, UniqueKey};
pub(crate) use reading::{Catalogue, foreign_keys, foreign_keys_of, read, risks};
pub(crate) use shape::{Listed, Shape, Words};

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
    pub(crate) origin: Origin,
    pub(crate) unnamed: Unnamed,
    /// An index of all rows that begins with it.
    pub(crate) first_in: Option<String>,
    /// What its bytes mean besides the type: a character set, a currency's locale, what a user's type is made of; what a generated
    /// one is computed as, where the engine tells it.
    pub(crate) stored_as: Option<String>,
    /// How its texts are compared, where that may be another way than by their bytes.
    pub(crate) collation: Option<String>,
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

    /// Whether the server computes its values from other columns.
    pub fn is_generated(&self) -> bool {
        self.origin == Origin::Generated
    }

    /// Whether a row has to be given a value for it.
    pub fn is_required(&self) -> bool {
        self.nullability == Nullability::NotNull
            && self.origin == Origin::Written
            && self.numbering == Numbering::None
            && self.unnamed == Unnamed::Null
    }

    /// What its bytes mean besides the type: its character set, the locale of its currency, or what a user's type is made of. Of a
    /// generated column: how it is computed, where the engine tells it.
    pub fn stored_as(&self) -> Option<&str> {
        self.stored_as.as_deref()
    }

    /// How its texts are compared, where that may be another way than by their bytes.
    pub fn collation(&self) -> Option<&str> {
        self.collation.as_deref()
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

/// Where a column's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Written,
    /// The server computes them from other columns.
    Generated,
}

/// What a new row has in a column that its statement does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unnamed {
    Null,
    Default,
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
