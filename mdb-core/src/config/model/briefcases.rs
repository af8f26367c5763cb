//! Briefcase types: which tables belong to one, and how their rows are reached from its id.

use crate::config::names::BriefcaseName;

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
