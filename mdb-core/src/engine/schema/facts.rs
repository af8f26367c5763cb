//! What there is about tables besides their columns: what binds them together, and what acts on their rows.

use super::Table;
use crate::engine::Lanes;

/// All that moves have to know of the tables of a database.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) tables: Vec<Table>,
    pub(crate) unique: Vec<UniqueKey>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) obstacles: Vec<(String, Obstacle)>,
    pub(crate) names: Names,
    /// As the [`Catalogue`](super::Catalogue) has it.
    pub(crate) peculiar: &'static [(&'static str, &'static str)],
    /// How the database keeps texts.
    pub(crate) encoding: Option<String>,
    pub(crate) lanes: Lanes,
}

impl Schema {
    /// Tables of which nothing else is known.
    pub(crate) fn of_tables(tables: Vec<Table>, names: Names) -> Self {
        Self {
            tables,
            unique: Vec::new(),
            foreign_keys: Vec::new(),
            triggers: Vec::new(),
            obstacles: Vec::new(),
            names,
            peculiar: &[],
            encoding: None,
            lanes: Lanes::One,
        }
    }

    /// The table called `name`, as a configuration writes it.
    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name() == name)
    }

    /// Whether no two rows of `table` agree in all of `columns`.
    pub(crate) fn is_unique(&self, table: &Table, columns: &[&str]) -> bool {
        let covered = |column: &str| columns.iter().any(|c| self.names.same(c, column));
        let primary = table.primary_key();
        let mut others = self.unique.iter().filter(|key| key.table == table.name());
        !primary.is_empty() && primary.iter().all(|column| covered(column.name()))
            || others.any(|key| key.columns.iter().all(|column| covered(column)))
    }
}

/// Columns of a table in which no two rows agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UniqueKey {
    pub(crate) table: String,
    pub(crate) columns: Vec<String>,
}

/// A foreign key. Tables elsewhere on the server are written with their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// Where the engine keeps one.
    pub(crate) name: Option<String>,
    pub(crate) table: String,
    pub(crate) referred: String,
    /// Columns with those that they refer to.
    pub(crate) columns: Vec<(String, String)>,
    /// Whether rows go, or change, when what they refer to goes.
    pub(crate) follows_deletes: bool,
    /// Whether they change when what they refer to changes.
    pub(crate) follows_updates: bool,
    pub(crate) checked: Checked,
}

/// When rows that a mover brings have to find what they refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// They go unchecked, for all that the engine cares.
    Never,
    /// At the end of the statement that brings them.
    AtOnce,
    /// At the end of the transaction, if the mover has it so.
    Deferrable,
}

impl std::fmt::Display for ForeignKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("foreign key ")?;
        if let Some(name) = &self.name {
            write!(f, "`{name}` ")?;
        }
        let columns: Vec<&str> = self.columns.iter().map(|(own, _)| own.as_str()).collect();
        write!(f, "({})", columns.join(", "))
    }
}

/// A trigger of the user's that fires for what movers write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) table: String,
    pub(crate) name: String,
    /// All that says when it fires and what it does.
    pub(crate) text: String,
}

/// A property of a table because of which its rows can't, or should not, be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    #[error(
        "policies hide rows of it from the mover: let its user pass by row security, or own the table"
    )]
    RowSecurity,
    #[error(
        "its rule `{0}` has other things done than a mover asks for: use a trigger instead, or disable the rule"
    )]
    Rule(String),
    #[error(
        "publication `{0}` publishes deletions, for which it has no replica identity: give it one (`ALTER TABLE … REPLICA IDENTITY DEFAULT`)"
    )]
    NoIdentity(String),
    #[error(
        "other tables inherit from it, whose rows look like its own: make it a partitioned table"
    )]
    Inherited,
    #[error(
        "column `{0}` holds numbers of large objects, which would stay behind: keep the bytes in the table"
    )]
    LargeObjects(String),
    #[error(
        "it keeps earlier versions of its rows, which would stay behind: drop its system versioning"
    )]
    Versioned,
    #[error(
        "its storage engine {0} has no transactions that moves can rely on: convert it to InnoDB"
    )]
    StorageEngine(String),
    #[error(
        "its owner is `{0}`: only the owner may create and enable triggers, as movers do where these are not in place already; \
         make the user of movers a member of that role"
    )]
    NotOwned(String),
    #[error(
        "column `{0}` has values of a type that the server neither sends nor takes in binary form: give it another type"
    )]
    NoBinaryForm(String),
    #[error(
        "it is partitioned: what TRUNCATE, DROP or EXCHANGE PARTITION does to its rows while these move is not noticed; let none be \
         run meanwhile"
    )]
    Partitioned,
    #[error("it is a virtual table, which can have no triggers")]
    Virtual,
    #[error(
        "it is unlogged: a crash of the server empties it, also of rows that have just moved there (`ALTER TABLE … SET LOGGED`)"
    )]
    Unlogged,
}

impl Obstacle {
    /// Whether it is up to the user.
    pub(crate) fn is_tolerable(&self) -> bool {
        matches!(self, Self::Unlogged | Self::NotOwned(_) | Self::Partitioned)
    }
}

/// A setting of a server, which no session can choose, by which commits may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Risk {
    /// A loss of power may take back what was committed.
    Unforced {
        setting: String,
        value: String,
        /// The statement that sets it otherwise.
        mend: String,
    },
    /// The server is one of several that may all take writes of the same rows, and knows nothing of the others' locks.
    SeveralWriters { setting: String, value: String },
}

/// How the engine tells names apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    Exact,
    AnyCase,
}

impl Names {
    pub(crate) fn same(self, a: &str, b: &str) -> bool {
        match self {
            Self::Exact => a == b,
            Self::AnyCase => a.eq_ignore_ascii_case(b),
        }
    }
}
