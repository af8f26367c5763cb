//! Briefcase types: which tables belong to one, how their rows are reached from its id, and how long what records
//! their changes stays installed.

use crate::config::names::BriefcaseName;

/// When the triggers stand on an area's tables that record what changes in a briefcase on the move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capture {
    /// While briefcases are moved: the first move of a run installs them, its last one removes them, or disables them on
    /// PostgreSQL. At rest they cost nothing. The default.
    Moving,
    /// For good, from the first move on or beforehand: a move then takes no lock on a table, and begins at
    /// once. Each written row is looked up in a table that is empty at rest.
    Always,
}

/// A briefcase type: its tables, parents first.
#[derive(Clone, Debug)]
pub struct BriefcaseConfig {
    pub(in crate::config) name: BriefcaseName,
    pub(in crate::config) tables: Vec<TableConfig>,
}

impl BriefcaseConfig {
    /// The type's name, unique in its area.
    pub fn name(&self) -> &BriefcaseName {
        &self.name
    }

    /// At least one table; every parent stands before its children, and the first is keyed
    /// directly.
    pub fn tables(&self) -> &[TableConfig] {
        &self.tables
    }
}

/// One table of a briefcase type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    pub(in crate::config) name: String,
    pub(in crate::config) reach: Reach,
}

impl TableConfig {
    /// The table's name as the database knows it, not quoted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a briefcase's rows are found in it.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }
}

/// How a briefcase's rows are found in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The table carries the briefcase key.
    Key {
        /// The column that holds it.
        column: String,
    },
    /// The rows belong to rows of another table.
    Parent {
        /// The parent: an earlier table of the same briefcase type.
        table: String,
        /// This table's column and the parent's column that it equals; at least one pair.
        on: Vec<(String, String)>,
    },
}
