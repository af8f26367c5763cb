//! What makes a move impossible, and what to do about it.

use std::fmt;

/// Something that makes a move impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    place: String,
    table: Option<String>,
    reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl Refusal {
    pub(super) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            table: None,
            reason: reason.into(),
        }
    }

    pub(super) fn about_table(table: &str, reason: impl Into<String>) -> Self {
        Self {
            table: Some(table.to_owned()),
            ..Self::new(format!("table `{table}`"), reason)
        }
    }

    /// The table, if it is about one.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// What it is about: a table, a shard, a briefcase.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong with it, and what to do.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
